"""Convex hulls of nuclei: how many pixels each has, for all nuclei at once.

These are the pixels that skimage's `convex_hull_image` finds one nucleus after the other: those whose centre lies in
the hull of the points half a pixel above, below and beside the centres of a nucleus's pixels, or on its edge. Places
are counted in halves of a pixel, so that all is done in whole numbers.
"""

import numpy as np

from ..model.members import Stretches

NONE = 2**40  # beyond any column: a row without pixels


def hull_areas(stretches: Stretches) -> np.ndarray:
    """Pixels of the convex hull of each nucleus: (n,), int64."""
    n = len(stretches.label)
    if n == 0:
        return np.zeros(0, np.int64)
    top = stretches.least(stretches.row).astype(np.int64)
    height = stretches.greatest(stretches.row).astype(np.int64) - top + 1
    order = np.argsort(-height, kind="stable")  # the tallest first, so that those not yet at their end come first
    rank = np.empty(n, np.int64)
    rank[order] = np.arange(n)
    height, of = height[order], rank[stretches.of]
    begin = np.cumsum(height) - height  # of each nucleus's rows
    at = begin[of] + stretches.row - top[stretches.of]
    left, right = np.full((2, height.sum()), NONE)
    np.minimum.at(left, at, stretches.first)
    np.minimum.at(right, at, 1 - stretches.end)  # mirrored, so that both sides are the least
    sides = [_inside(side, height, begin) for side in (left, right)]
    return (height - sides[0] - sides[1])[rank]


def _inside(least: np.ndarray, height: np.ndarray, begin: np.ndarray) -> np.ndarray:
    """One side of the hulls.

    Args:
        least: The first column of the nuclei in each of their rows, one nucleus after the other; `NONE` in a row
            without pixels.
        height: (n,), how many rows each nucleus has, falling.
        begin: (n,), where these begin.

    Returns:
        (n,), the first column within the hull, summed over the rows of each nucleus.
    """
    n, places = len(height), 2 * height + 1  # half a row above each row, the row, .., half a row below the last
    start = np.cumsum(places) - places
    row = 2 * np.arange(len(least)) + np.repeat(start - 2 * begin, height)  # half a row above each
    x = np.full(int(places.sum()), 2 * NONE)
    np.minimum.at(x, row, 2 * least)
    np.minimum.at(x, row + 2, 2 * least)
    x[row + 1] = 2 * least - 1
    corner_x, corner_y, count = np.zeros_like(x), np.zeros_like(x), np.zeros(n, np.int64)
    for y in range(int(places[0])):  # Andrew's monotone chain, all nuclei abreast
        chain = np.arange(np.searchsorted(-places, -y, side="left"))
        new = x[start[chain] + y]
        chain, new = chain[new < NONE], new[new < NONE]
        last, ahead = chain, new
        while len(last):
            is_long = count[last] > 1
            last, ahead = last[is_long], ahead[is_long]
            b = start[last] + count[last] - 1
            x0, y0 = corner_x[b - 1], corner_y[b - 1]
            outer = (corner_x[b] - x0) * (y - y0) >= (ahead - x0) * (corner_y[b] - y0)
            last, ahead = last[outer], ahead[outer]
            count[last] -= 1  # not a corner: it lies on or within the line from the one before to the new one
        end = start[chain] + count[chain]
        corner_x[end], corner_y[end] = new, y
        count[chain] += 1
    chain = np.repeat(np.arange(n), count)
    corner = start[chain] + np.arange(len(chain)) - np.repeat(np.cumsum(count) - count, count)
    corner_x, corner_y = corner_x[corner], corner_y[corner]
    most = int(places[0])
    y = row + 1 - np.repeat(start, height)
    i = np.searchsorted(chain * most + corner_y, np.repeat(np.arange(n), height) * most + y, side="right") - 1
    rise = corner_y[i + 1] - corner_y[i]
    along = corner_x[i] * rise + (corner_x[i + 1] - corner_x[i]) * (y - corner_y[i])
    return np.add.reduceat(-(-along // (2 * rise)), begin)
