"""Two label images of one picture, and how sure each is -> the nuclei that both have."""

import numpy as np
from scipy import ndimage

from .agreement import overlaps


def sureness(labels: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """The mean probability over every nucleus's pixels: (n + 1,), float64, 0 for numbers that no nucleus has.

    Args:
        labels: (H, W), integers.
        probability: (H, W), float, in [0, 1].
    """
    area = np.bincount(labels.ravel())
    return np.bincount(labels.ravel(), probability.ravel()) / np.maximum(area, 1) * (np.arange(len(area)) > 0)


def agreed(a: np.ndarray, b: np.ndarray, sure_a: np.ndarray, sure_b: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """The nuclei that both label images have, each with the outline of the one that is surer of it.

    Args:
        a, b: (H, W), integers; 0 is background.
        sure_a, sure_b: (n + 1,) each, how sure of every nucleus, by its number; see `sureness`.
        threshold: IoU that a pair must exceed; at least 0.5, so that nobody has two counterparts.

    Returns:
        (H, W), int32, numbered 1 .. n in the order of `a`. Where two outlines overlap, the surer nucleus has the
        pixels; what that cuts off a nucleus is left out.
    """
    if not 0.5 <= threshold <= 1:
        raise ValueError(f"threshold={threshold}: expected 0.5 .. 1, where a nucleus has one counterpart at most.")
    area_a, area_b = np.bincount(a.ravel()), np.bincount(b.ravel())
    in_a, in_b, shared = overlaps(a, b)
    same = shared > threshold * (area_a[in_a] + area_b[in_b] - shared)
    in_a, in_b = in_a[same], in_b[same]
    order = np.argsort(in_a)
    in_a, in_b = in_a[order], in_b[order]
    by_a = sure_a[in_a] >= sure_b[in_b]
    number_a, number_b = np.zeros(len(area_a), np.int32), np.zeros(len(area_b), np.int32)
    numbers = np.arange(1, len(in_a) + 1, dtype=np.int32)
    number_a[in_a[by_a]], number_b[in_b[~by_a]] = numbers[by_a], numbers[~by_a]
    sure = np.concatenate([[0.0], np.where(by_a, sure_a[in_a], sure_b[in_b])])
    first, second = number_a[a], number_b[b]
    found = np.where(sure[first] >= sure[second], np.where(first > 0, first, second), second)
    return _largest_parts(found, len(numbers)) if np.any((first > 0) & (second > 0)) else found


def _largest_parts(labels: np.ndarray, n: int) -> np.ndarray:
    """Every nucleus 1 .. n without the pieces that were cut off it."""
    for number, box in enumerate(ndimage.find_objects(labels, n), 1):
        if box is None:
            continue
        parts, several = ndimage.label(labels[box] == number)
        if several > 1:
            largest = np.bincount(parts.ravel())[1:].argmax() + 1
            labels[box][(parts > 0) & (parts != largest)] = 0
    return labels
