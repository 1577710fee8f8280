"""Which nuclei are kept: by size, roundness, confidence, and whether the image's edge cuts them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .measurements import Table

REASONS = {
    "exclude_edge": "touch the image's edge",
    "smallest": "are smaller",
    "largest": "are larger",
    "min_roundness": "are less round",
    "min_confidence": "are less sure",
}


@dataclass(frozen=True)
class Filters:
    """What a nucleus must be to be kept. The default keeps all.

    Attributes:
        exclude_edge: Leave out nuclei that touch the image's edge, which may be cut there.
        smallest, largest: Area, square micrometres where the pixel size is known, else pixels.
        min_roundness: 4 pi area / perimeter², 0 .. 1.
        min_confidence: 0 .. 1. Where no confidence was fitted, it can't be asked for.

    Raises:
        ValueError: A limit is out of range.
    """

    exclude_edge: bool = False
    smallest: float | None = None
    largest: float | None = None
    min_roundness: float | None = None
    min_confidence: float | None = None

    def __post_init__(self):
        for name, top in (("smallest", np.inf), ("largest", np.inf), ("min_roundness", 1), ("min_confidence", 1)):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= top:
                raise ValueError(f"{name}={value}: expected a number from 0{'' if top == np.inf else ' to 1'}.")
        if None not in (self.smallest, self.largest) and self.smallest > self.largest:  # type: ignore[operator]
            raise ValueError(f"smallest={self.smallest:g} is above largest={self.largest:g}: no nucleus would be kept.")

    def __bool__(self) -> bool:
        """Whether any nucleus may be left out."""
        return self != Filters()


class Kept(NamedTuple):
    """What is left of an image's nuclei.

    Attributes:
        labels: (H, W), int32, of the kept, 1 .. n.
        table: Of the kept, with the same numbers.
        left_out: How many were left out, by the names of `Filters`; each counts once, for the first that applies.
    """

    labels: np.ndarray
    table: Table
    left_out: dict[str, int]


def wanted(table: Mapping[str, np.ndarray], filters: Filters) -> tuple[np.ndarray, dict[str, int]]:
    """Which rows of a table are kept, (n,) bool; and how many are left out, by the names of `Filters`.

    Raises:
        ValueError: A confidence is asked for, and the table has none.
    """
    if filters.min_confidence is not None and "confidence" not in table:
        raise ValueError(
            f"min_confidence={filters.min_confidence:g}: no confidence was fitted for these weights. "
            f"Leave it out, or fit one with train.fit.confidence."
        )
    area = table["area_um2"] if "area_um2" in table else table["area_px"]
    nothing = np.zeros(len(area), bool)
    fails = {
        "exclude_edge": table["touches_edge"] if filters.exclude_edge else nothing,
        "smallest": nothing if filters.smallest is None else area < filters.smallest,
        "largest": nothing if filters.largest is None else area > filters.largest,
        "min_roundness": nothing if filters.min_roundness is None else table["roundness"] < filters.min_roundness,
        "min_confidence": nothing if filters.min_confidence is None else table["confidence"] < filters.min_confidence,
    }
    kept, left_out = ~nothing, {}
    for name, failing in fails.items():
        if n := int((kept & failing).sum()):
            left_out[name] = n
        kept &= ~failing
    return kept, left_out


def renumbered(table: Mapping[str, np.ndarray], kept: np.ndarray) -> Table:
    """The rows that are kept, with the numbers 1 .. n."""
    found = {name: column[kept] for name, column in table.items()}
    found["label"] = np.arange(1, int(kept.sum()) + 1)
    return found


def apply_filters(labels: np.ndarray, table: Mapping[str, np.ndarray], filters: Filters) -> Kept:
    """Leave out the nuclei that the filters don't let through; the others are numbered anew, 1 .. n.

    Args:
        labels: (H, W), integers; 0 is background.
        table: From `measure` of these labels.
        filters: The default keeps all.

    Raises:
        ValueError: A confidence is asked for, and the table has none.
    """
    kept, left_out = wanted(table, filters)
    number = np.zeros(int(labels.max(initial=0)) + 1, np.int32)
    number[table["label"][kept]] = np.arange(1, int(kept.sum()) + 1)
    return Kept(number[labels], renumbered(table, kept), left_out)


def told(left_out: Mapping[str, int]) -> str:
    """A sentence for the user; "" if nothing was left out."""
    if not left_out:
        return ""
    total = sum(left_out.values())
    reasons = ", ".join(f"{n} {REASONS[name]}" for name, n in left_out.items())
    return f"{total} nuclei are left out: {reasons}."
