"""Label image -> sums over the pixels of each nucleus. Those of the parts of an image add up to those of the whole, so
an image larger than memory is measured like a small one."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from .members import Grouped, Members, numbered
from .neighbours import beside, framed, steps
from .windows import Window

HALO = 2  # pixels around a part of an image that its perimeters depend on
SURE = 0.9  # probability of a pixel that the network is sure of


class Sums(NamedTuple):
    """Sums over the pixels of nuclei.

    Attributes:
        label: (n,), the nuclei's numbers.
        values: By name, (n, k) float64. What begins with "least" or "greatest" is the extreme value, else a sum.
    """

    label: np.ndarray
    values: dict[str, np.ndarray]


def join(parts: Iterable[Sums], n: int) -> dict[str, np.ndarray]:
    """Put the sums of parts together: by name, (n, k), of the nuclei 1 .. n. What no part holds is 0, or infinite."""
    whole: dict[str, np.ndarray] = {}
    for part in parts:
        row = part.label - 1
        for name, values in part.values.items():
            if name.startswith("least"):
                np.minimum.at(whole.setdefault(name, np.full((n, values.shape[1]), np.inf)), row, values)
            elif name.startswith("greatest"):
                np.maximum.at(whole.setdefault(name, np.full((n, values.shape[1]), -np.inf)), row, values)
            else:
                np.add.at(whole.setdefault(name, np.zeros((n, values.shape[1]))), row, values)
    return whole


def shape_sums(
    labels: np.ndarray,
    window: Window | None = None,
    origin: tuple[int, int] = (0, 0),
    size: tuple[int, int] | None = None,
    members: Members | None = None,
) -> Sums:
    """What the shape of each nucleus is computed from.

    Args:
        labels: (H, W), integers; 0 is background.
        window: The pixels that count, if these are part of an image; `HALO` pixels around them must be there as far as
            the image goes.
        origin: Row and column of the first pixel of `labels` in the image.
        size: Height and width of the image; the default is that of `labels`.
        members: `Members` of labels and window, where they are known.

    Returns:
        "moments" (n, 6), the sums of 1, y, x, y², x² and xy of the pixels' centres, where the image begins at 0 and a
        pixel is 1 wide; "perimeter" (n, 1), pixels; "greatest_edge" (n, 1), 1 for a nucleus at the image's edge; and
        its box, "least_corner" and "greatest_corner" (n, 2), its first and last row and column.
    """
    members = members or Members(labels, window)
    height, width = size or labels.shape
    stretches = members.stretches()  # there are far fewer of them than of pixels
    row, first, end = stretches.row + origin[0], stretches.first + origin[1], stretches.end + origin[1]
    n, y = (end - first).astype(float), row + 0.5
    x = (end * end - first * first) / 2  # sums over the stretch, exact
    xx = (4 * (end * end * end - first * first * first) - (end - first)) / 12
    at_edge = (row == 0) | (first == 0) | (row == height - 1) | (end == width)
    values = {
        "moments": [stretches.add(v) for v in (n, n * y, x, n * y * y, xx, x * y)],
        "perimeter": [_perimeters(members)],
        "greatest_edge": [stretches.greatest(at_edge.astype(float))],
        "least_corner": [stretches.least(row), stretches.least(first)],
        "greatest_corner": [stretches.greatest(row), stretches.greatest(end - 1)],
    }
    return Sums(members.label, {name: np.stack(columns, axis=1) for name, columns in values.items()})


def map_sums(
    labels: np.ndarray,
    probability: np.ndarray,
    distance: np.ndarray | None,
    reach: int,
    window: Window | None = None,
    members: Members | None = None,
) -> Iterable[Sums]:
    """What the confidence in each nucleus is computed from.

    Args:
        labels, window: See `shape_sums`; around the window, `reach` or `HALO` pixels must be there.
        probability, distance: (H, W), what the network said.
        reach: How far around a nucleus its surroundings reach, pixels.
        members: See `shape_sums`.

    Yields:
        "probability" (n, 2), the sum and the number of pixels that the network is sure of; "distance" (n, 1) and
        "greatest_distance" (n, 1); "contact" (n, 3), the number of pixels at its rim, of those that touch another
        nucleus, and the sum of the distance over the latter. Then "around" (n, 2), the number of background pixels
        around it and the sum of the probability there.
    """
    members = members or Members(labels, window)
    p = probability.ravel()[members.at].astype(np.float64)
    d = np.zeros_like(p) if distance is None else distance.ravel()[members.at].astype(np.float64)
    rim, touching = members.rims
    at_rim, _ = members.some(rim)
    in_touch, at = members.some(touching)
    there = np.zeros(len(at)) if distance is None else distance.ravel()[at].astype(np.float64)
    values = {
        "probability": [members.add(p), members.add(p > SURE)],
        "distance": [members.add(d)],
        "greatest_distance": [members.greatest(d)],
        "contact": [at_rim.add(np.ones(len(at_rim.of))), in_touch.add(np.ones(len(at))), in_touch.add(there)],
    }
    yield Sums(members.label, {name: np.stack(columns, axis=1) for name, columns in values.items()})
    at, number = _surroundings(labels, reach, window)
    near = Grouped(*numbered(number))
    outside = near.add(probability.ravel()[at].astype(np.float64))
    yield Sums(near.label, {"around": np.stack([near.add(np.ones(len(at))), outside], axis=1)})


def _perimeters(members: Members) -> np.ndarray:
    """The length of each nucleus's edge, (n,), as `skimage.measure.perimeter` counts it."""
    labels, (rim, _) = members.labels, members.rims
    flat = np.zeros((labels.shape[0] + 2) * (labels.shape[1] + 2), labels.dtype)
    at_rim, inside = members.some(rim)
    at = framed(inside, labels.shape[1])
    flat[at] = labels.ravel()[inside]
    if members.window is not None:  # those around it count as neighbours
        every = np.flatnonzero(rim)
        flat[framed(every, labels.shape[1])] = labels.ravel()[every]
    return at_rim.add(edge_lengths(flat, at, labels.shape[1]))


def edge_lengths(flat: np.ndarray, at: np.ndarray, width: int) -> np.ndarray:
    """What pixels at the edges of nuclei add to the perimeters, (k,).

    Args:
        flat: The numbers of the nuclei at these pixels, 0 elsewhere, in an image of this width that has a frame of one
            pixel around it, flat.
        at: (k,), the pixels' positions in it.
    """
    mine = flat[at]
    code = np.ones(len(at), np.uint8)
    above, *_, below = steps(width)
    for weight, offsets in ((2, (above, -1, 1, below)), (10, (above - 1, above + 1, below - 1, below + 1))):
        for offset in offsets:
            code += np.uint8(weight) * (flat[at + offset] == mine)
    lengths = np.zeros(50)
    lengths[[5, 7, 15, 17, 25, 27]] = 1
    lengths[[21, 33]] = np.sqrt(2)
    lengths[[13, 23]] = (1 + np.sqrt(2)) / 2
    return lengths[code]


def _surroundings(labels: np.ndarray, reach: int, window: Window | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The background pixels of a window within so many steps of a nucleus: their flat positions, and the number of the
    nearest nucleus of each, of two as near the higher one."""
    height, width = labels.shape
    rows, columns = window or (slice(0, height), slice(0, width))
    number = np.zeros((height + 2, width + 2), labels.dtype)
    number[1:-1, 1:-1] = labels
    flat, found = number.ravel(), []
    reached = np.ones((height + 2, width + 2), bool)  # the frame is never to be reached
    new = np.zeros_like(reached)
    new[1:-1, 1:-1] = reached[1:-1, 1:-1] = labels != 0
    for _ in range(reach):
        at = np.flatnonzero(beside(new) & ~reached)
        new = np.zeros_like(new)
        new.ravel()[at] = reached.ravel()[at] = True
        above, left, right, below = (flat[at + step] for step in steps(width))
        flat[at] = np.maximum(np.maximum(above, left), np.maximum(right, below))
        found.append(at)
    at = np.concatenate(found)
    row, column = np.divmod(at, width + 2)
    row, column, nearest = row - 1, column - 1, flat[at]
    if window is not None:
        inside = (row >= rows.start) & (row < rows.stop) & (column >= columns.start) & (column < columns.stop)
        row, column, nearest = row[inside], column[inside], nearest[inside]
    return row * width + column, nearest
