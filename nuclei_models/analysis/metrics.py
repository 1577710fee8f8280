"""Metrics: true and found label images -> figures. Pure functions.

Masks: intersection over union and Dice of "nucleus". Instances: nuclei are paired one to one by IoU; AP is
TP / (TP + FP + FN), as in the 2018 Data Science Bowl (Caicedo et al. 2019) and in StarDist (Schmidt et al. 2018). Where
there is nothing to find and nothing was found, every figure is 1.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from .agreement import overlaps

BOWL_THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))


@dataclass(frozen=True)
class MaskCounts:
    """Pixels of one or more images: true positives, false positives, false negatives, true negatives."""

    tp: int
    fp: int
    fn: int
    tn: int

    def __add__(self, other: "MaskCounts") -> "MaskCounts":
        return MaskCounts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    @property
    def iou(self) -> float:
        """Nucleus IoU."""
        return _ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def dice(self) -> float:
        """Dice of the nucleus class, the F1 of its pixels."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def mean_iou(self) -> float:
        """Two-class mean IoU: of nucleus and of background."""
        return (self.iou + _ratio(self.tn, self.tn + self.fp + self.fn)) / 2


def count_mask(true: np.ndarray, found: np.ndarray) -> MaskCounts:
    """Pixels of two label images or masks of one shape (H, W); above 0 is nucleus."""
    _check(true, found)
    t, f = true > 0, found > 0
    tp, fp, fn = (int(np.count_nonzero(m)) for m in (t & f, ~t & f, t & ~f))
    return MaskCounts(tp, fp, fn, t.size - tp - fp - fn)


def iou_matrix(true: np.ndarray, found: np.ndarray) -> sparse.csr_array:
    """IoU of every true nucleus with every found one.

    Args:
        true, found: (H, W), integers; 0 is background, any other number one nucleus (gaps are allowed).

    Returns:
        (n_true, n_found), float64, sparse, in the order of the numbers. Only nuclei that overlap have an entry, so its
        memory grows with the number of nuclei and not with its square.
    """
    _check(true, found)
    (t_ids, t_area), (f_ids, f_area) = (np.unique(x[x != 0], return_counts=True) for x in (true, found))
    t, f, overlap = overlaps(true, found)
    t, f = np.searchsorted(t_ids, t), np.searchsorted(f_ids, f)
    iou = overlap / (t_area[t] + f_area[f] - overlap)
    return sparse.csr_array((iou, (t, f)), shape=(len(t_ids), len(f_ids)))


@dataclass(frozen=True)
class Matching:
    """Nuclei of one or more images at one IoU threshold. `iou_sum` is over the matched pairs."""

    threshold: float
    tp: int
    fp: int
    fn: int
    iou_sum: float

    def __add__(self, other: "Matching") -> "Matching":
        return Matching(
            self.threshold, self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.iou_sum + other.iou_sum
        )

    @property
    def ap(self) -> float:
        """TP / (TP + FP + FN), also called the Bowl's precision and StarDist's accuracy."""
        return _ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def f1(self) -> float:
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def panoptic_quality(self) -> float:
        """Kirillov et al. 2019: mean IoU of the matched pairs times F1. Defined for a threshold of 0.5."""
        return _ratio(self.iou_sum, self.tp + (self.fp + self.fn) / 2)


def match(iou: sparse.sparray | np.ndarray, threshold: float, strict: bool = False) -> Matching:
    """Pair nuclei one to one, as many as possible, where the IoU reaches the threshold.

    Args:
        iou: (n_true, n_found), from `iou_matrix`; a dense array does as well.
        threshold: Above 0. At least 0.5 makes the pairing unique but for ties.
        strict: Whether the IoU must exceed the threshold (the Bowl) instead of reaching it (StarDist).

    Raises:
        ValueError: The threshold isn't above 0.
    """
    if not threshold > 0:
        raise ValueError(f"threshold={threshold}: expected an IoU above 0.")
    entries = sparse.coo_array(iou)
    n_true, n_found = entries.shape
    reached = entries.data > threshold if strict else entries.data >= threshold
    t, f, value = entries.row[reached], entries.col[reached], entries.data[reached]
    kept = _pairs(t, f, value, n_true, n_found)
    tp = len(kept)
    return Matching(threshold, tp, n_found - tp, n_true - tp, float(value[kept].sum()))


def _pairs(t: np.ndarray, f: np.ndarray, value: np.ndarray, n_true: int, n_found: int) -> np.ndarray:
    """Of candidate pairs those that make the most pairs one to one, and among these the largest sum of IoUs.

    Candidates that share no nucleus with another are pairs. The others go through a sparse assignment, in which a true
    nucleus may also stay alone: nothing of the size n_true x n_found is ever held.
    """
    contested = (np.bincount(t, minlength=n_true)[t] > 1) | (np.bincount(f, minlength=n_found)[f] > 1)
    alone, at = np.flatnonzero(~contested), np.flatnonzero(contested)
    if not len(at):
        return alone
    rows, row = np.unique(t[at], return_inverse=True)
    columns, column = np.unique(f[at], return_inverse=True)
    nobody = len(columns) + np.arange(len(rows))
    gain = np.concatenate([1 + value[at] / (2 * len(rows)), np.full(len(rows), 1e-9)])
    places = np.concatenate([row, np.arange(len(rows))]), np.concatenate([column, nobody])
    wishes = sparse.csr_array((gain, places), shape=(len(rows), len(columns) + len(rows)))
    partner = min_weight_full_bipartite_matching(wishes, maximize=True)[1]
    return np.sort(np.concatenate([alone, at[partner[row] == column]]))


def bowl_map(iou: sparse.sparray | np.ndarray) -> float:
    """The Bowl's mean AP of one image: the mean of TP / (TP + FP + FN) over IoU > 0.5, 0.55, .. 0.95."""
    return float(np.mean([match(iou, t, strict=True).ap for t in BOWL_THRESHOLDS]))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 1.0


def _check(true: np.ndarray, found: np.ndarray) -> None:
    if true.ndim != 2 or true.shape != found.shape:
        raise ValueError(f"Label images of shapes {true.shape} and {found.shape}: expected two of one shape (H, W).")
