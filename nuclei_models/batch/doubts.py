"""Which images of a run a person should look at first, and why."""

from collections.abc import Iterable

import numpy as np

from .records import Record

UNSURE = 0.3  # share of an image's nuclei that may be doubtful
OFF = 2 / 3  # octaves that the nuclei's size may be off what was assumed
AT_EDGE = 0.5  # share of an image's nuclei that may touch its edge
SATURATED = 0.01  # share of an image's pixels that may be as bright as their type can say
OUTLIER = 3.5  # robust standard deviations from the other images of the group
PEERS = 5  # images that a group needs to have outliers
COMPARED = {"nuclei": "number of nuclei", "median_diameter_px": "size of nuclei", "median_intensity": "brightness"}


def doubts(records: Iterable[Record]) -> dict[str, list[str]]:
    """What is doubtful about each image, by its name, in sentences; none for an image that is as it should be."""
    records = list(records)
    found = {record.name: of_its_own(record.facts) for record in records}
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(group_of(record.name), []).append(record)
    for peers in groups.values():
        for name, sentence in _outliers(peers):
            found[name].append(sentence)
    return found


def group_of(name: str) -> str:
    """The folder that an image lies in; "" for the outermost."""
    return name.rpartition("/")[0]


def of_its_own(facts: dict) -> list[str]:
    """What is doubtful about an image, whatever the others are."""
    n = facts.get("nuclei") or 0
    if not n:
        return ["No nuclei were found."]
    said = []
    doubtful, size, assumed = facts.get("doubtful"), facts.get("median_diameter_px"), facts.get("diameter_assumed_px")
    if doubtful is not None and doubtful > UNSURE * n:
        said.append(f"Confidence: that of {doubtful} of {n} nuclei is below 0.5.")
    if size and assumed and abs(np.log2(size / assumed)) > OFF:
        said.append(f"Scale: nuclei of {assumed:.0f} pixels were assumed, and of {size:.0f} were found.")
    elif assumed and facts.get("diameter_doubtful"):
        said.append(f"Scale: nuclei of {assumed:.0f} pixels were assumed, and nothing in the picture confirms it.")
    if n >= 4 and facts.get("at_edge", 0) > AT_EDGE * n:
        said.append(f"Edge: {facts['at_edge']} of {n} nuclei touch it.")
    if facts.get("saturated", 0) > SATURATED:
        said.append(f"Saturation: {facts['saturated']:.0%} of the pixels are as bright as they can be.")
    return said


def _outliers(peers: list[Record]) -> Iterable[tuple[str, str]]:
    for key, title in COMPARED.items():
        known = [record for record in peers if record.facts.get(key)]
        if len(known) < PEERS:
            continue
        values = np.log2([record.facts[key] for record in known])
        middle = float(np.median(values))
        spread = max(1.4826 * float(np.median(np.abs(values - middle))), 0.1)
        for record, value in zip(known, values, strict=True):
            if abs(value - middle) > OUTLIER * spread:
                side = "above" if value > middle else "below"
                others = f"the middle of its folder is {2**middle:.3g}"
                yield record.name, f"Outlier: its {title}, {record.facts[key]:g}, is far {side} the others'; {others}."
