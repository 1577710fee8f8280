"""What a hand draws -> which pixels it means.

Points are x, y in pixels of the image; the first pixel reaches from 0 to 1.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy import ndimage
from skimage.draw import line, polygon

Point = tuple[float, float]
Box = tuple[slice, slice]
FINEST = 0.7072  # pixels, half of a pixel's diagonal: a thinner line would leave pixels that touch at corners only


def pixel_of(point: Point, shape: tuple[int, ...]) -> tuple[int, int]:
    """Row and column of the pixel that holds a point; of the nearest one, where it lies outside of the image."""
    x, y = point
    return min(max(int(y), 0), shape[0] - 1), min(max(int(x), 0), shape[1] - 1)


def box_of(points: Sequence[Point], margin: float, shape: tuple[int, ...]) -> Box:
    """The box around points, with a margin in pixels, within the image."""
    (x0, y0), (x1, y1) = np.min(points, axis=0) - margin, np.max(points, axis=0) + margin
    (top, left), (bottom, right) = pixel_of((x0, y0), shape), pixel_of((x1, y1), shape)
    return slice(top, bottom + 1), slice(left, right + 1)


def around(labels: np.ndarray, point: Point, margin: int = 1) -> Box:
    """The box around the nucleus at a point, with a margin in pixels, within the image.

    Args:
        labels: (H, W), integers; a nucleus is in one part.
    """
    y, x = pixel_of(point, labels.shape)
    number, reach = labels[y, x], 32
    while True:
        top, left = max(y - reach, 0), max(x - reach, 0)
        mask = labels[top : y + reach + 1, left : x + reach + 1] == number
        bottom, right = top + mask.shape[0], left + mask.shape[1]
        cut_off = (
            (top > 0 and mask[0].any())
            or (bottom < labels.shape[0] and mask[-1].any())
            or (left > 0 and mask[:, 0].any())
            or (right < labels.shape[1] and mask[:, -1].any())
        )
        if not cut_off:
            break
        reach *= 2
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (
        slice(max(top + int(rows[0]) - margin, 0), min(top + int(rows[-1]) + 1 + margin, labels.shape[0])),
        slice(max(left + int(columns[0]) - margin, 0), min(left + int(columns[-1]) + 1 + margin, labels.shape[1])),
    )


def joined(boxes: Sequence[Box]) -> Box:
    """The box around several."""
    rows, columns = zip(*boxes, strict=True)
    return (
        slice(min(s.start for s in rows), max(s.stop for s in rows)),
        slice(min(s.start for s in columns), max(s.stop for s in columns)),
    )


def path_pixels(points: Sequence[Point], shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels under a line through points, in order; each touches the next, if at a corner."""
    at = [pixel_of(point, shape) for point in points]
    pieces = [line(*a, *b) for a, b in pairwise(at)] or [tuple(np.array([n]) for n in at[0])]
    return np.concatenate([p[0] for p in pieces]), np.concatenate([p[1] for p in pieces])


def ring_mask(points: Sequence[Point], box: Box) -> np.ndarray:
    """Which pixels of a box have their centre within a closed outline: (h, w), bool."""
    mask = np.zeros((box[0].stop - box[0].start, box[1].stop - box[1].start), bool)
    x, y = np.asarray(points, float).T
    mask[polygon(y - 0.5 - box[0].start, x - 0.5 - box[1].start, mask.shape)] = True
    return mask


def brush_mask(points: Sequence[Point], radius: float, box: Box) -> np.ndarray:
    """Which pixels of a box have their centre within `radius` of a line through points: (h, w), bool.

    However fine the brush, what it covers is in one part.
    """
    radius = max(radius, FINEST)
    top, left = box[0].start, box[1].start
    shape = box[0].stop - top, box[1].stop - left
    mask = np.zeros(shape, bool)
    moved = [(x - left, y - top) for x, y in points]
    for (ax, ay), (bx, by) in zip(moved, moved[1:] or moved, strict=False):
        rows, columns = box_of([(ax, ay), (bx, by)], radius + 1, shape)
        y, x = np.mgrid[rows, columns] + 0.5
        dx, dy = bx - ax, by - ay
        along = np.clip(((x - ax) * dx + (y - ay) * dy) / max(dx * dx + dy * dy, 1e-9), 0, 1)
        mask[rows, columns] |= np.hypot(x - ax - along * dx, y - ay - along * dy) <= radius
    return mask


def inner_point(mask: np.ndarray, box: Box) -> Point:
    """The centre of the pixel of a nucleus that lies farthest from its edge.

    Args:
        mask: (h, w), bool, the nucleus in its box.
    """
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(box[1].start + x + 0.5), float(box[0].start + y + 0.5)


def to_runs(mask: np.ndarray, box: Box, width: int) -> tuple[int, ...]:
    """Pixels of a box -> (start, length, start, length, ...), where a start counts the image's pixels in raster order.

    Args:
        mask: (h, w), bool.
        width: Of the image.
    """
    edge = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    (row, start), (_, stop) = np.nonzero(edge == 1), np.nonzero(edge == -1)
    first = (row + box[0].start) * width + start + box[1].start
    return tuple(np.stack([first, stop - start], 1).ravel().tolist())


def from_runs(runs: Sequence[int], shape: tuple[int, ...]) -> tuple[np.ndarray, Box]:
    """The inverse of `to_runs`: (h, w) bool, and its box."""
    start, length = np.asarray(runs, np.int64).reshape(-1, 2).T
    y, x = np.divmod(start, shape[1])
    box = slice(int(y.min()), int(y.max()) + 1), slice(int(x.min()), int((x + length).max()))
    mask = np.zeros((box[0].stop - box[0].start, box[1].stop - box[1].start), bool)
    for row, first, n in zip(y - box[0].start, x - box[1].start, length, strict=True):
        mask[row, first : first + n] = True
    return mask, box
