"""Nuclei of the planes of a stack that are parts of one nucleus, linked by how they overlap."""

from collections.abc import Sequence

import numpy as np

from .agreement import overlaps

LEAST_IOU = 0.25  # of the same nucleus in two neighbouring planes


def link(planes: Sequence[np.ndarray], least_iou: float = LEAST_IOU) -> list[np.ndarray]:
    """Give nuclei that go through several planes one number.

    Two nuclei of neighbouring planes are one where each is the other's best partner and their IoU is high enough.

    Args:
        planes: Label images of the planes in their order, (H, W) integers each; 0 is background, and numbers count
            from 1 in every plane.
        least_iou: 0 .. 1.

    Returns:
        Label images, (H, W) int64 each, in which numbers count through all planes, without gaps.
    """
    linked: list[np.ndarray] = []
    last, before = 0, np.zeros(1, np.int64)
    for k, labels in enumerate(planes):
        n = int(labels.max(initial=0))
        number = np.zeros(n + 1, np.int64)
        if k:
            mine, theirs = _partners(labels, planes[k - 1], least_iou)
            number[mine] = before[theirs]
        new = np.flatnonzero(number[1:] == 0) + 1
        number[new] = last + np.arange(1, len(new) + 1)
        last += len(new)
        linked.append(number[labels])
        before = number
    return linked


def _partners(a: np.ndarray, b: np.ndarray, least_iou: float) -> tuple[np.ndarray, np.ndarray]:
    """Numbers in a, and those of their partners in b."""
    in_a, in_b, shared = overlaps(a, b)
    area_a, area_b = np.bincount(a.ravel()), np.bincount(b.ravel())
    iou = shared / (area_a[in_a] + area_b[in_b] - shared)
    best_a, best_b = np.zeros(len(area_a)), np.zeros(len(area_b))
    np.maximum.at(best_a, in_a, iou)
    np.maximum.at(best_b, in_b, iou)
    ok = (iou >= least_iou) & (iou == best_a[in_a]) & (iou == best_b[in_b])
    in_a, in_b = in_a[ok], in_b[ok]
    _, first = np.unique(in_a, return_index=True)  # of several as good the first
    in_a, in_b = in_a[first], in_b[first]
    _, first = np.unique(in_b, return_index=True)
    return in_a[first], in_b[first]
