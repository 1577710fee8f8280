"""What the pruning levels of U-Net++ cost and give, as `python -m train.levels` measured them, for the chooser."""

import json
from dataclasses import dataclass
from typing import Any

from ..hub import parse_model_id
from ..network import Network
from ..repository import HubError, Repository

FILE = "levels.json"  # beside the weights
WHOLE = "Whole network"
SETTINGS = ("threshold", "separation", "min_area", "distance_sigma")  # of the processor, fitted for the whole network


@dataclass(frozen=True)
class Level:
    """A level as measured.

    Attributes:
        faster: How many times as fast as the whole network.
        f1: Of the nuclei of the validation images, means by image, at IoU 0.5: 1 finds every one and nothing else.
    """

    faster: float
    f1: float


def measured_with(network: Network) -> dict[str, Any]:
    """What the figures are of; those of others aren't shown."""
    settings = {name: getattr(network.processor, name) for name in SETTINGS}
    return {"weights_sha256": network.sha256, "settings": settings}


def read_levels(network: Network, source: str) -> dict[int, Level]:
    """The levels by number, the last the whole network; none where they weren't measured, or with other weights or
    settings.

    Args:
        network: Loaded.
        source: From where: folder, or "owner/name@revision" on the Hub.
    """
    name, revision = parse_model_id(source)
    try:
        path = Repository(name, revision=revision).find(FILE)
        facts = json.loads(path.read_text(encoding="utf-8")) if path else {}
        rows = facts["levels"] if facts.items() >= measured_with(network).items() else []
        return {int(r["level"]): Level(rows[-1]["seconds"] / r["seconds"], float(r["f1"])) for r in rows}
    except (HubError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):
        return {}


def choices(levels: list[int], measured: dict[int, Level]) -> list[tuple[str, str]]:
    """Labels and values to choose from: the whole network, then the others from the largest to L1."""
    if set(levels) != set(measured):
        return [(WHOLE, WHOLE), *((f"L{n}", f"L{n}") for n in levels[-2::-1])]
    whole = measured[levels[-1]]
    smaller = [(f"L{n}: {measured[n].faster:.1f} × as fast, F1 {measured[n].f1:.2f}", f"L{n}") for n in levels[-2::-1]]
    return [(f"{WHOLE}: F1 {whole.f1:.2f}", WHOLE), *smaller]


def explained(measured: dict[int, Level]) -> str:
    """What is written under the chooser."""
    text = "A smaller part of the network (L1 the smallest) is faster and less exact."
    return text + " F1 says how well nuclei of other images were found; 1 is perfect." if measured else text
