"""Cores -> nuclei: the watershed of an image on its distance map, most of it without a queue.

A watershed gives each pixel to the neighbour that is flooded first. From almost every pixel a path of steepest ascent
of the distance leads to a core; then that neighbour is the highest one, and the pixel goes where the path ends. Only
pixels whose path ends on a summit that is no core need to be flooded, and parts in which pixels tie.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.segmentation import watershed

from .neighbours import beside
from .threads import for_each

Part = tuple[int, tuple[slice, slice]]  # number and box of a connected part of the mask
BAND = 128  # rows that are looked at together: they stay in the caches
STRIP = 2048  # pixels, the width of what is flooded at once


class Ascent:
    """Where the highest of each pixel and its four neighbours is: what no threshold changes.

    Args:
        distance: (H, W), float, how high pixels are.

    Attributes:
        way: (H, W), uint8, which it is: 0 the pixel itself, 1 .. 4 the one above, left, right or below; of several of
            one height the first.
        tied: (H, W), bool, whether there are several.
    """

    def __init__(self, distance: np.ndarray):
        height, width = distance.shape
        framed = np.full((height + 2, width + 2), -np.inf, np.result_type(distance, np.float32))
        framed[1:-1, 1:-1] = distance
        self.way, self.tied = np.zeros(distance.shape, np.uint8), np.zeros(distance.shape, bool)

        def look(first: int) -> None:
            band = framed[first : first + BAND + 2]
            rows, columns = slice(1, len(band) - 1), slice(1, width + 1)
            beside = band[:-2, columns], band[rows, :width], band[rows, 2:], band[2:, columns]
            seen = slice(first, first + BAND)
            self.way[seen], self.tied[seen] = _highest(band[rows, columns], beside)

        for_each(look, range(0, height, BAND), distance.size)


def _highest(own: np.ndarray, beside: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Which of pixels' own height, 0, and of those beside them, 1 .. 4, is the greatest, and whether several are."""
    way, tied, top = np.zeros(own.shape, np.uint8), np.zeros(own.shape, bool), own.copy()
    for number, beyond in enumerate(beside, 1):
        higher = beyond > top
        tied = (tied | (beyond == top)) & ~higher
        np.copyto(way, np.uint8(number), where=higher)  # of cores of one height, the first in raster order
        np.copyto(top, beyond, where=higher)
    return way, tied


def _around(at: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Positions above, left, right and below these, flat, (4, n), and which of them are in the image: the others are
    the pixels themselves."""
    height, width = shape
    row, column = np.divmod(at, width)
    inside = np.stack([row > 0, column > 0, column < width - 1, row < height - 1])
    return at + inside * np.array(_steps(width)[1:])[:, None], inside


def _steps(width: int) -> tuple[int, ...]:
    """How far away, flat, a pixel itself is and those above, left, right and below."""
    return 0, -width, -1, 1, width


def grow(
    cores: np.ndarray, parts: np.ndarray, free: np.ndarray, distance: np.ndarray, ascent: Ascent | None = None
) -> np.ndarray:
    """Give pixels to the cores, the highest first.

    Args:
        cores: (H, W), int32, the cores' numbers; 0 elsewhere.
        parts: (H, W), int32, connected parts of the mask, which no core leaves; 0 elsewhere.
        free: (n,), positions in these, flat and increasing: all pixels of some parts that are in no core. Each of these
            parts has a core, and its cores are higher than they.
        distance: (H, W), float, how high pixels are.
        ascent: `Ascent` of the distance, where it is known.

    Returns:
        (n,), int32, the core of each of these pixels.
    """
    slopes = _Slopes(cores, parts, free, distance, ascent or Ascent(distance))
    part, grown = parts.ravel()[free], slopes.climb()
    tied = part[slopes.tied]
    lost = np.flatnonzero((grown == 0) & ~np.isin(part, tied)) if len(tied) else np.flatnonzero(grown == 0)
    if len(lost):
        tied = np.concatenate([tied, part[slopes.flood(grown, lost)]])
    if len(tied):
        labels, boxes = cores.copy(), ndimage.find_objects(parts)
        strips = _strips([(number, boxes[number - 1]) for number in np.unique(tied).tolist()])
        for_each(lambda strip: _flood(strip, labels, parts, cores, distance), strips, cores.size)
        np.copyto(grown, labels.ravel()[free], where=np.isin(part, tied))
    return grown


class _Slopes:
    """Which neighbour of each free pixel is the highest.

    Attributes:
        tied: Indices of free pixels with two free neighbours of one height, higher than all others.
    """

    def __init__(self, cores: np.ndarray, parts: np.ndarray, free: np.ndarray, distance: np.ndarray, ascent: Ascent):
        self.n, self.n_cores, self.at, self.distance = len(free), int(cores.max(initial=0)), free, distance
        self.node = cores.ravel() + np.int32(self.n)  # the index of a free pixel; `n` and more: none, a core
        self.node[free] = np.arange(self.n, dtype=np.int32)
        steps, height, part = np.array(_steps(cores.shape[1])), distance.ravel(), parts.ravel()
        to = free + steps[ascent.way.ravel()[free]]
        tied = ascent.tied.ravel()[free]
        unsure = np.flatnonzero(tied | (part[to] == 0))  # within the parts it may be another
        at = free[unsure]
        near, inside = _around(at, cores.shape)
        beyond = np.where(inside & (part[near] > 0), height[near], -np.inf)
        way, tied[unsure] = _highest(height[at], beyond.astype(height.dtype, copy=False))
        to[unsure] = at + steps[way]
        self.up = self.node[to]
        self.tied = np.flatnonzero(tied & (self.up < self.n))

    def climb(self) -> np.ndarray:
        """Where the paths of steepest ascent lead: (n,), int32, a core of each free pixel, or 0."""
        up = np.concatenate([self.up, np.arange(self.n, self.n + self.n_cores + 1, dtype=np.int32)])
        while not np.array_equal(further := up[up], up):
            up = further
        return np.maximum(up[: self.n] - np.int32(self.n), 0)

    def flood(self, grown: np.ndarray, lost: np.ndarray) -> np.ndarray:
        """Flood the free pixels whose path leads to no core from those beside them, in place.

        Args:
            grown: (n,), the core of each free pixel, 0 where it isn't known.
            lost: Indices of these; none beside a core.

        Returns:
            Indices of free pixels in whose surroundings pixels tie; there, what comes of it may be wrong.
        """
        near, inside = _around(self.at[lost], self.distance.shape)
        around = self.node[near]
        is_free = inside & (around < self.n)
        pair = np.broadcast_to(lost, around.shape)[is_free], around[is_free]
        pixel, index = np.unique(np.concatenate([lost, *pair]), return_inverse=True)
        first, second = np.split(index[len(lost) :], 2)
        edges = coo_array((np.ones(len(first), bool), (first, second)), shape=(len(pixel), len(pixel)))
        n, region = connected_components(edges, directed=False)
        row, column = np.divmod(self.at[pixel], self.distance.shape[1])
        row, tall = _from_least(row, region, n)
        column, wide = _from_least(column, region, n)
        height, is_known = self.distance.ravel()[self.at[pixel]], grown[pixel] > 0
        size = np.ceil(np.log2(tall))
        for one in np.unique(size):  # regions of about one height, beside each other, a pixel apart
            own, picked = size == one, np.flatnonzero(size[region] == one)
            left = np.cumsum(np.where(own, wide + 1, 0)) - wide
            at = row[picked], (column + left[region])[picked]
            depth = np.zeros((int(tall[own].max()), int((wide + 1)[own].sum())))
            seeds, wet = np.zeros(depth.shape, np.int32), np.zeros(depth.shape, bool)
            depth[at], seeds[at], wet[at] = -height[picked], grown[pixel[picked]], True
            grown[pixel[picked]] = watershed(depth, seeds, mask=wet)[at]
        # of those that were lost, the one that was reached first still goes first
        order = np.lexsort((is_known, height, region))
        twice = (np.diff(height[order]) == 0) & (np.diff(region[order]) == 0) & is_known[order][1:]
        return pixel[order[1:][twice]]


def _from_least(values: np.ndarray, group: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers less the least of their group, and how many there are from the least to the greatest, (n,)."""
    least, most = np.full(n, values.max()), np.zeros(n, values.dtype)
    np.minimum.at(least, group, values)
    np.maximum.at(most, group, values)
    return values - least[group], most - least + 1


def _strips(parts: list[Part]) -> Iterator[list[Part]]:
    """Parts of about one height, as many as fit beside each other, a pixel apart, in `STRIP` pixels; at least one."""
    strip: list[Part] = []
    left = STRIP
    for part in sorted(parts, key=lambda part: part[1][0].stop - part[1][0].start):
        width = part[1][1].stop - part[1][1].start + 1
        if strip and width > left:
            yield strip
            strip, left = [], STRIP
        strip.append(part)
        left -= width
    if strip:
        yield strip


def _flood(strip: list[Part], labels: np.ndarray, parts: np.ndarray, cores: np.ndarray, distance: np.ndarray) -> None:
    """Write the numbers of their cores to the labels of these parts, by one watershed over all of them, side by side.

    Its seeds are the cores' pixels that touch others. They go by rank, which settles ties between them in raster order:
    otherwise what else is in the strip would.
    """
    heights, widths = ([box[axis].stop - box[axis].start for _, box in strip] for axis in (0, 1))
    lefts = np.cumsum([0, *(width + 1 for width in widths)]).tolist()
    places = [(slice(0, h), slice(x, x + w)) for h, w, x in zip(heights, widths, lefts, strict=False)]
    shape = max(heights), lefts[-1]
    inside, found, depth = np.zeros(shape, bool), np.zeros(shape, np.int32), np.zeros(shape)
    for (part, box), place in zip(strip, places, strict=True):
        inside[place] = parts[box] == part
        found[place] = cores[box]
        np.negative(distance[box], out=depth[place])
    free = inside & (found == 0)
    rim = np.flatnonzero(beside(free) & inside & ~free)
    depth.flat[rim[np.argsort(depth.flat[rim], kind="stable")]] = np.arange(len(rim)) - len(rim) - 2  # below any free
    seeds = np.zeros(shape, np.int32)
    seeds.flat[rim] = found.flat[rim]
    np.copyto(found, watershed(depth, seeds, mask=free | (seeds > 0)), where=free)
    for (_, box), place in zip(strip, places, strict=True):
        np.copyto(labels[box], found[place], where=inside[place])
