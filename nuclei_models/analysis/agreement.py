"""Two label images of one picture -> which nuclei they share. Functions of arrays."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from scipy import sparse
from skimage.metrics import contingency_table

PART_SHARE = 0.1  # of the whole's area, below which a fragment doesn't count as a part of a split


class Kind(IntEnum):
    """What became of a nucleus in the other label image."""

    NONE = 0
    BOTH = 1  # the other has it too, IoU at or above the threshold
    ONLY = 2  # the other has nothing like it
    SPLIT = 3  # one has it whole where the other has several


@dataclass(frozen=True)
class Agreement:
    """How two label images compare.

    Attributes:
        a, b: (n + 1,), uint8, the `Kind` of every nucleus by its number; number 0 is the background's.
    """

    a: np.ndarray
    b: np.ndarray

    def count(self, kind: Kind) -> tuple[int, int]:
        """Nuclei of a kind in the first and the second."""
        return int(np.count_nonzero(self.a == kind)), int(np.count_nonzero(self.b == kind))

    @property
    def score(self) -> float:
        """Share of all nuclei, of both, that the other has too: 2 x both / (n_a + n_b); 1 where neither has any."""
        shared, total = sum(self.count(Kind.BOTH)), np.count_nonzero(self.a) + np.count_nonzero(self.b)
        return shared / total if total else 1.0


def compare(a: np.ndarray, b: np.ndarray, threshold: float = 0.5) -> Agreement:
    """Compare two label images.

    A nucleus is split where at least two of the other's lie mostly in it, each with at least `PART_SHARE` of its area;
    the parts are split too. Of the rest, pairs with IoU at or above the threshold are found by both.

    Args:
        a, b: (H, W), integers; 0 is background, 1 .. n one number a nucleus.
        threshold: IoU; at least 0.5, so that pairs are unique but for ties.

    Raises:
        ValueError: The shapes differ, or the threshold is below 0.5.
    """
    if a.ndim != 2 or a.shape != b.shape:
        raise ValueError(f"Label images of shapes {a.shape} and {b.shape}: expected two of one shape (H, W).")
    if not 0.5 <= threshold <= 1:
        raise ValueError(f"threshold={threshold}: expected 0.5 .. 1, where a nucleus has one counterpart at most.")
    area_a, area_b = np.bincount(a.ravel()), np.bincount(b.ravel())
    in_a, in_b, overlap = overlaps(a, b)

    kind_a, kind_b = _only(area_a), _only(area_b)
    split = _parts(in_a, in_b, overlap, area_a, area_b) | _parts(in_b, in_a, overlap, area_b, area_a)
    kind_a[in_a[split]], kind_b[in_b[split]] = Kind.SPLIT, Kind.SPLIT

    iou = overlap / (area_a[in_a] + area_b[in_b] - overlap)
    free = (iou >= threshold) & (kind_a[in_a] != Kind.SPLIT) & (kind_b[in_b] != Kind.SPLIT)
    kind_a[in_a[free]], kind_b[in_b[free]] = Kind.BOTH, Kind.BOTH
    return Agreement(kind_a, kind_b)


def _only(area: np.ndarray) -> np.ndarray:
    kinds = np.where(area > 0, Kind.ONLY, Kind.NONE).astype(np.uint8)
    kinds[0] = Kind.NONE
    return kinds


def overlaps(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of nuclei that share pixels, of two label images of one shape.

    Args:
        a, b: (H, W), integers; 0 is background, any other number one nucleus.

    Returns:
        Their numbers in `a` and in `b`, and how many pixels they share: (pairs,) each, int64. Only pairs that overlap
        are held, however many nuclei there are.
    """
    at = np.flatnonzero((a != 0) & (b != 0))
    if not len(at):
        return (np.zeros(0, np.int64),) * 3
    numbers, inverse = zip(*(np.unique(x.ravel()[at], return_inverse=True) for x in (a, b)), strict=True)
    table = sparse.coo_array(contingency_table(*inverse))
    return (
        numbers[0][table.row].astype(np.int64),
        numbers[1][table.col].astype(np.int64),
        table.data.astype(np.int64),
    )


def _parts(
    whole: np.ndarray, part: np.ndarray, overlap: np.ndarray, area_whole: np.ndarray, area_part: np.ndarray
) -> np.ndarray:
    """Which of the overlapping pairs are a whole and one of its several parts. All (pairs,) but the areas; bool."""
    inside = (overlap * 2 > area_part[part]) & (overlap >= PART_SHARE * area_whole[whole])
    parts = np.bincount(whole[inside], minlength=len(area_whole))
    return inside & (parts[whole] >= 2)
