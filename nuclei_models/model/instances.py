"""Maps -> instances: nucleus probability and distance to a label image. Functions of arrays, no network, no state."""

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .watershed import Ascent, grow


def find_instances(
    probability: np.ndarray,
    distance: np.ndarray | None = None,
    threshold: float = 0.5,
    separation: float = 0.5,
    min_area: float = 0.0,
    ascent: Ascent | None = None,
) -> np.ndarray:
    """Cut the mask `probability > threshold` into nuclei by a watershed that starts from their cores.

    The cores are the connected parts of `distance > separation`. A part of the mask without a core is one nucleus.
    Holes in a nucleus are filled. What a connected part of the mask becomes depends on nothing outside it and its
    holes.

    Args:
        probability: (H, W), float, of being nucleus, in [0, 1].
        distance: (H, W), float, the normalised distance to the nucleus's edge: 0 at the edge, 1 at the centre. `None`:
            touching nuclei are not told apart.
        threshold: Probability above which a pixel is nucleus.
        separation: Distance above which a pixel is core. Higher cuts more.
        min_area: Pixels. Smaller nuclei are dropped.
        ascent: `Ascent` of the distance, where it is known: for who cuts the same maps again and again.

    Returns:
        (H, W), int32: 0 background, 1 .. n one number a nucleus, without gaps.

    Raises:
        ValueError: The maps are not two-dimensional or differ in shape, or a setting is out of range.
    """
    for name, value, top in (("threshold", threshold, 1), ("separation", separation, 1), ("min_area", min_area, 1e9)):
        if not isinstance(value, int | float | np.number) or not 0 <= value <= top:
            raise ValueError(f"{name}={value!r}: expected a number from 0 to {top:g}.")
    if probability.ndim != 2 or (distance is not None and distance.shape != probability.shape):
        other = None if distance is None else distance.shape
        raise ValueError(f"Maps of shapes {probability.shape} and {other}: expected two of one shape (H, W).")
    mask = probability > threshold
    return drop_small(fill_holes(cut(mask, distance, separation, ascent), mask), min_area)


def cut(mask: np.ndarray, distance: np.ndarray | None, separation: float, ascent: Ascent | None = None) -> np.ndarray:
    """The mask's nuclei as they come from the watershed, see `find_instances`: (H, W), int32, numbered without gaps."""
    parts, n_parts = ndimage.label(mask)
    if distance is None or n_parts == 0:
        return parts.astype(np.int32, copy=False)
    deep = mask & (distance > separation)
    cores, n_cores = ndimage.label(deep)
    at = np.flatnonzero(deep)
    core = cores.ravel()[at]
    part_of = np.zeros(n_cores + 1, np.intp)  # a core's part
    part_of[core] = parts.ravel()[at]
    cores_in = np.bincount(part_of[1:], minlength=n_parts + 1)
    number = n_cores - 1 + np.cumsum(cores_in == 0, dtype=np.int32)  # a part's, where it is one nucleus
    number[part_of] = np.arange(n_cores + 1)
    labels = np.take(number, parts)
    crowded = cores_in > 1
    if crowded.any():
        free = np.flatnonzero(mask & ~deep)
        free = free[crowded[parts.ravel()[free]]]
        labels.ravel()[at] = core
        labels.ravel()[free] = grow(cores, parts, free, distance, ascent)
    return labels


def fill_holes(labels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Give the holes in a nucleus its number, in place: the connected parts of what is not mask that lie off the
    image's edge and touch one nucleus only. A gap between several nuclei stays, as does a hole with something in it.

    Args:
        labels: (H, W), int32; pixels of the mask may be 0, which holds what they touch open.
        mask: (H, W), bool.
    """
    at, gap, n = closed_gaps(mask)
    if not len(at):
        return labels
    flat, is_mask = labels.ravel(), mask.ravel()
    least, most = np.full(n, np.iinfo(np.int32).max, np.int32), np.zeros(n, np.int32)
    for step in (-1, 1, -labels.shape[1], labels.shape[1]):
        beside = is_mask[at + step]
        nucleus = flat[at + step][beside]
        np.minimum.at(least, gap[beside], nucleus)
        np.maximum.at(most, gap[beside], nucleus)
    least[least != most] = 0
    labels.flat[at] = least[gap]
    return labels


def closed_gaps(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """The connected parts of what is not mask, (H, W) bool, that lie off the image's edge.

    Returns:
        (k,), their pixels' flat positions, increasing; (k,), the number of each one's part; and above all such numbers.
    """
    height, width = mask.shape
    flat = np.pad(mask, ((0, 0), (1, 1)), constant_values=True).ravel()  # something of the mask between the rows
    change = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    first, end = change[::2], change[1::2]  # of each stretch; there are far fewer of them than of pixels
    pitch = width + 2
    low, high = np.searchsorted(end, first + pitch, "right"), np.searchsorted(first, end + pitch, "left")
    n_below = high - low  # stretches of the next row that one touches: those from `low` up to `high`
    above = np.repeat(np.arange(len(first)), n_below)
    below = np.arange(len(above)) + np.repeat(low - np.cumsum(n_below) + n_below, n_below)
    touching = coo_array((np.ones(len(above), bool), (above, below)), shape=(len(first), len(first)))
    n, part = connected_components(touching, directed=False)
    row, column = np.divmod(first, pitch)
    length, column = end - first, column - 1
    is_closed = np.ones(n, bool)
    is_closed[part[(row == 0) | (row == height - 1) | (column == 0) | (column + length == width)]] = False
    kept = np.flatnonzero(is_closed[part])
    start, length, part = (row * width + column)[kept], length[kept], part[kept]
    shift = np.repeat(start - np.cumsum(length) + length, length)
    return np.arange(len(shift)) + shift, np.repeat(part, length), n


def drop_small(labels: np.ndarray, min_area: float) -> np.ndarray:
    """Remove labels of fewer than `min_area` pixels and number the rest 1 .. n. (H, W) int32 to the same."""
    area = np.bincount(labels.ravel())
    kept = area >= max(min_area, 1)
    kept[0] = False
    return keep(labels, kept)


def keep(labels: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Remove the labels that `kept` (bool, by label, the background first) doesn't name, and number the rest 1 .. n.
    Where it names all, these are the labels that are given."""
    if kept[1:].all():
        return labels
    return np.take(np.where(kept, np.cumsum(kept), 0).astype(np.int32), labels)
