"""What the pruning levels of a U-Net++ cost and give, as `python -m train.evaluation.levels` measured them."""

import json
from dataclasses import dataclass
from typing import Any

from ..model.repository import HubError, Repository
from .loading import parse_model_id
from .network import Network

FILE = "levels.json"  # beside the weights


SETTINGS = (
    "threshold",
    "separation",
    "min_area",
    "distance_sigma",
    "least_confidence",
)  # of the processor, fitted for the whole network


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
