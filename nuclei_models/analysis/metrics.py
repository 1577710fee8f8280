"""Metrics: true and found label images -> figures. Pure functions.

Masks: intersection over union and Dice of "nucleus". Instances: nuclei are paired one to one by IoU; AP is
TP / (TP + FP + FN), as in the 2018 Data Science Bowl (Caicedo et al. 2019) and in StarDist (Schmidt et al. 2018). Where
there is nothing to find and nothing was found, every figure is 1.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

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


def iou_matrix(true: np.ndarray, found: np.ndarray) -> np.ndarray:
    """IoU of every true nucleus with every found one.

    Args:
        true, found: (H, W), integers; 0 is background, any other number one nucleus (gaps are allowed).

    Returns:
        (n_true, n_found), float64, in the order of the numbers.
    """
    _check(true, found)
    t_ids, t = np.unique(true, return_inverse=True)
    f_ids, f = np.unique(found, return_inverse=True)
    overlap = np.bincount(t.ravel() * len(f_ids) + f.ravel(), minlength=len(t_ids) * len(f_ids))
    overlap = overlap.reshape(len(t_ids), len(f_ids))
    union = overlap.sum(1, keepdims=True) + overlap.sum(0, keepdims=True) - overlap
    iou = overlap / np.maximum(union, 1)
    return iou[np.ix_(t_ids != 0, f_ids != 0)]


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


def match(iou: np.ndarray, threshold: float, strict: bool = False) -> Matching:
    """Pair nuclei one to one, as many as possible, where the IoU reaches the threshold.

    Args:
        iou: From `iou_matrix`.
        threshold: At least 0.5 makes the pairing unique but for ties.
        strict: Whether the IoU must exceed the threshold (the Bowl) instead of reaching it (StarDist).
    """
    n_true, n_found = iou.shape
    reached = iou > threshold if strict else iou >= threshold
    if (reached.sum(0) > 1).any() or (reached.sum(1) > 1).any():
        rows, cols = linear_sum_assignment(-(reached + iou / (2 * min(n_true, n_found))))
    else:
        rows, cols = np.nonzero(reached)
    ok = reached[rows, cols]
    tp = int(ok.sum())
    return Matching(threshold, tp, n_found - tp, n_true - tp, float(iou[rows, cols][ok].sum()))


def bowl_map(iou: np.ndarray) -> float:
    """The Bowl's mean AP of one image: the mean of TP / (TP + FP + FN) over IoU > 0.5, 0.55, .. 0.95."""
    return float(np.mean([match(iou, t, strict=True).ap for t in BOWL_THRESHOLDS]))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 1.0


def _check(true: np.ndarray, found: np.ndarray) -> None:
    if true.ndim != 2 or true.shape != found.shape:
        raise ValueError(f"Label images of shapes {true.shape} and {found.shape}: expected two of one shape (H, W).")
