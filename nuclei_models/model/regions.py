"""Label image -> sums over the pixels of each nucleus. Those of the parts of an image add up to those of the whole, so
an image larger than memory is measured like a small one."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from .windows import Window

HALO = 2  # pixels around a part of an image that its perimeters depend on
SURE = 0.9  # probability of a pixel that the network is sure of
_SIDES = ((0, 1), (0, -1), (1, 0), (-1, 0))
_CORNERS = ((1, 1), (1, -1), (-1, 1), (-1, -1))


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


class Grouped:
    """Things that each belong to a nucleus.

    Args:
        label: (n,), the nuclei.
        of: (k,), the position of each thing's nucleus in `label`.

    Attributes:
        runs: Where in `of` a run of things of one nucleus begins.
    """

    def __init__(self, label: np.ndarray, of: np.ndarray):
        self.label, self.of = label, of
        self.runs = np.flatnonzero(np.diff(of, prepend=-1))

    def add(self, values: np.ndarray) -> np.ndarray:
        """Sum of a value a thing, (k,), over each nucleus: (n,)."""
        return np.bincount(self.of, values, len(self.label))

    def least(self, values: np.ndarray) -> np.ndarray:
        """Least of a value a thing, (k,), of each nucleus: (n,)."""
        found = np.full(len(self.label), np.inf)
        if len(self.runs):
            np.minimum.at(found, self.of[self.runs], np.minimum.reduceat(values, self.runs))
        return found

    def greatest(self, values: np.ndarray) -> np.ndarray:
        return -self.least(-values)


class Stretches(Grouped):
    """Pixels of one nucleus beside each other in a row.

    Attributes:
        row, first, end: (k,), where each of them lies: its row, its first column and the one after its last.
    """

    def __init__(self, label: np.ndarray, of: np.ndarray, row: np.ndarray, first: np.ndarray, end: np.ndarray):
        super().__init__(label, of)
        self.row, self.first, self.end = row, first, end


class Members(Grouped):
    """The pixels that belong to nuclei, in a window of a label image.

    Args:
        labels: (H, W), integers; 0 is background.
        window: The pixels that count; the default is all.

    Attributes:
        at: (p,), the pixels' positions in `labels.ravel()`.
    """

    def __init__(self, labels: np.ndarray, window: Window | None = None):
        if window is None:
            self.at = np.flatnonzero(labels)
        else:
            y, x = np.nonzero(labels[window])
            self.at = (y + window[0].start) * labels.shape[1] + x + window[1].start
        number = labels.ravel()[self.at].astype(np.int64)
        lowest = int(number.min()) if len(number) else 0
        there = np.bincount(number - lowest) > 0
        super().__init__(np.flatnonzero(there) + lowest, (np.cumsum(there) - 1)[number - lowest])

    def stretches(self, width: int) -> Stretches:
        """These pixels, in rows of so many."""
        is_first = np.ones(len(self.at), bool)
        is_first[1:] = (np.diff(self.at) != 1) | (np.diff(self.of) != 0)
        is_first |= self.at % width == 0
        begin = np.flatnonzero(is_first)
        row, first = np.divmod(self.at[begin], width)
        return Stretches(self.label, self.of[begin], row, first, first + np.diff(begin, append=len(self.at)))


def shape_sums(
    labels: np.ndarray,
    window: Window | None = None,
    origin: tuple[int, int] = (0, 0),
    size: tuple[int, int] | None = None,
) -> Sums:
    """What the shape of each nucleus is computed from.

    Args:
        labels: (H, W), integers; 0 is background.
        window: The pixels that count, if these are part of an image; `HALO` pixels around them must be there as far as
            the image goes.
        origin: Row and column of the first pixel of `labels` in the image.
        size: Height and width of the image; the default is that of `labels`.

    Returns:
        "moments" (n, 6), the sums of 1, y, x, y², x² and xy of the pixels' centres, where the image begins at 0 and a
        pixel is 1 wide; "perimeter" (n, 1), pixels; "greatest_edge" (n, 1), 1 for a nucleus at the image's edge; and
        its box, "least_corner" and "greatest_corner" (n, 2), its first and last row and column.
    """
    members = Members(labels, window)
    height, width = size or labels.shape
    stretches = members.stretches(labels.shape[1])  # there are far fewer of them than of pixels
    row, first, end = stretches.row + origin[0], stretches.first + origin[1], stretches.end + origin[1]
    n, y = (end - first).astype(float), row + 0.5
    x, xx = (end**2 - first**2) / 2, (4 * (end**3 - first**3) - (end - first)) / 12  # sums over the stretch, exact
    at_edge = (row == 0) | (first == 0) | (row == height - 1) | (end == width)
    values = {
        "moments": [stretches.add(v) for v in (n, n * y, x, n * y * y, xx, x * y)],
        "perimeter": [members.add(_perimeter(labels, members.at))],
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
) -> Iterable[Sums]:
    """What the confidence in each nucleus is computed from.

    Args:
        labels, window: See `shape_sums`; around the window, `reach` or `HALO` pixels must be there.
        probability, distance: (H, W), what the network said.
        reach: How far around a nucleus its surroundings reach, pixels.

    Yields:
        "probability" (n, 2), the sum and the number of pixels that the network is sure of; "distance" (n, 1) and
        "greatest_distance" (n, 1); "contact" (n, 3), the number of pixels at its rim, of those that touch another
        nucleus, and the sum of the distance over the latter. Then "around" (n, 2), the number of background pixels
        around it and the sum of the probability there.
    """
    members = Members(labels, window)
    p = probability.ravel()[members.at].astype(np.float64)
    d = np.zeros_like(p) if distance is None else distance.ravel()[members.at].astype(np.float64)
    rim, touching = _rims(labels, members.at)
    values = {
        "probability": [members.add(p), members.add(p > SURE)],
        "distance": [members.add(d)],
        "greatest_distance": [members.greatest(d)],
        "contact": [members.add(rim), members.add(touching), members.add(touching * d)],
    }
    yield Sums(members.label, {name: np.stack(columns, axis=1) for name, columns in values.items()})
    near = Members(_surroundings(labels, reach), window)
    around = near.add(probability.ravel()[near.at].astype(np.float64))
    yield Sums(near.label, {"around": np.stack([near.add(np.ones(len(near.at))), around], axis=1)})


def _padded(labels: np.ndarray, at: np.ndarray, by: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Labels with a frame of zeros, flat; the positions in them; their width."""
    padded = np.pad(labels, by)
    row, col = np.divmod(at, labels.shape[1])
    return padded.ravel(), (row + by) * padded.shape[1] + col + by, padded.shape[1]


def _perimeter(labels: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The length of its nucleus's edge that each pixel stands for, (p,): as `skimage.measure.perimeter` counts it."""
    flat, all_at, width = _padded(labels, np.flatnonzero(labels), 2)
    rim = np.zeros(len(flat), bool)
    rim[all_at] = _differ(flat, all_at, width)
    at = _padded(labels, at, 2)[1] if len(at) < len(all_at) else all_at
    length = np.zeros(len(at))
    is_rim = rim[at]
    mine = at[is_rim]
    code = np.ones(len(mine), np.intp)
    for weight, steps in ((2, _SIDES), (10, _CORNERS)):
        for dy, dx in steps:
            other = mine + dy * width + dx
            code += weight * (rim[other] & (flat[other] == flat[mine]))
    lengths = np.zeros(50)
    lengths[[5, 7, 15, 17, 25, 27]] = 1
    lengths[[21, 33]] = np.sqrt(2)
    lengths[[13, 23]] = (1 + np.sqrt(2)) / 2
    length[is_rim] = lengths[code]
    return length


def _differ(flat: np.ndarray, at: np.ndarray, width: int) -> np.ndarray:
    """Which pixels have a neighbour beside, above or below them that is not of their nucleus."""
    return np.logical_or.reduce([flat[at + dy * width + dx] != flat[at] for dy, dx in _SIDES])


def _rims(labels: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels are at their nucleus's rim, and which of these touch another nucleus. Bool, (p,) each."""
    there = labels != 0
    rim, touching = np.zeros((2, *labels.shape), bool)
    rim[[0, -1]] = rim[:, [0, -1]] = True  # outside there is no nucleus
    for first, second in (
        ((slice(-1), slice(None)), (slice(1, None), slice(None))),
        ((slice(None), slice(-1)), (slice(None), slice(1, None))),
    ):
        differ = labels[first] != labels[second]
        touch = differ & there[first] & there[second]
        for side in (first, second):
            rim[side] |= differ
            touching[side] |= touch
    return rim.ravel()[at], touching.ravel()[at]


def _surroundings(labels: np.ndarray, reach: int) -> np.ndarray:
    """Background pixels within so many steps of a nucleus, with its number; of two as near, with the higher one."""
    kind = np.int32 if labels.dtype == np.int32 else np.int64
    padded = np.pad(labels.astype(kind, copy=False), 1)
    near, free = padded[1:-1, 1:-1], labels == 0
    for _ in range(reach):
        grown = np.maximum(padded[:-2, 1:-1], padded[2:, 1:-1])
        np.maximum(grown, padded[1:-1, :-2], out=grown)
        np.maximum(grown, padded[1:-1, 2:], out=grown)
        np.copyto(near, grown, where=near == 0)
    return np.where(free, near, 0)
