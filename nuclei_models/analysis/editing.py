"""Label image and an edit -> the label image as a person wants it. Functions of arrays; nothing is changed in place.

A nucleus that nobody touched keeps its pixels and its number; numbers may have gaps.
"""

from collections.abc import Callable, Iterable

import numpy as np
from scipy import ndimage
from skimage.morphology import disk
from skimage.segmentation import watershed

from .edits import Change, Edit, EditError
from .strokes import Box, Point, around, box_of, brush_mask, from_runs, joined, path_pixels, pixel_of, ring_mask

MIN_PART = 4  # pixels; smaller pieces that an edit cuts off are no nuclei
MAX_GAP = 10  # pixels that a merge may bridge, to either side


def apply(labels: np.ndarray, edit: Edit, fresh: int | None = None) -> Change:
    """What an edit does to a label image.

    Args:
        labels: (H, W), int32; 0 is background; a nucleus is in one part.
        fresh: The number of the first new nucleus; by default one above the highest.

    Raises:
        EditError: It does nothing here.
    """
    fresh = int(labels.max(initial=0)) + 1 if fresh is None else fresh
    box, after = DO[edit.act](labels, edit, fresh)
    before = labels[box].copy()
    if np.array_equal(before, after):
        raise EditError("That changes nothing.")
    return Change(box, before, after)


# the acts: labels, edit, first free number -> box, labels there afterwards


def _delete(labels: np.ndarray, edit: Edit, fresh: int) -> tuple[Box, np.ndarray]:
    """The nuclei at the points."""
    box, numbers = _under(labels, edit.points)
    if not numbers:
        raise EditError("There is no nucleus there.")
    window = labels[box].copy()
    window[np.isin(window, numbers)] = 0
    return box, window


def _lasso(labels: np.ndarray, edit: Edit, fresh: int) -> tuple[Box, np.ndarray]:
    """The nuclei that lie with more than half of their pixels within the outline."""
    inside = box_of(edit.points, 1, labels.shape)
    mask = ring_mask(edit.points, inside)
    found, first = np.unique(labels[inside] * mask, return_index=True)
    places = [_place(inside, int(at)) for number, at in zip(found, first, strict=True) if number]
    if not places:
        raise EditError("There is no nucleus within this outline.")
    box = joined([inside, *(around(labels, place) for place in places)])
    window = labels[box].copy()
    whole, part = np.bincount(window.ravel()), np.bincount(labels[inside][mask], minlength=int(window.max()) + 1)
    numbers = np.flatnonzero(2 * part > whole)
    window[np.isin(window, numbers[numbers > 0])] = 0
    return box, window


def _merge(labels: np.ndarray, edit: Edit, fresh: int) -> tuple[Box, np.ndarray]:
    """The nuclei under the stroke become one, with the number of the largest; a gap between them is closed."""
    box, numbers = _under(labels, edit.points, MAX_GAP + 1, stroke=True)
    if len(numbers) < 2:
        raise EditError("A merge needs two nuclei: draw from one to the other.")
    window = labels[box].copy()
    mask = np.isin(window, numbers)
    one = _closed(mask, window == 0)
    area = np.bincount(window[mask])
    window[one] = max(numbers, key=lambda number: int(area[number]))
    return box, window


def _closed(mask: np.ndarray, free: np.ndarray) -> np.ndarray:
    """A mask in one part: itself, or with as little free ground as closing it takes."""
    pad = MAX_GAP + 1
    wide = np.pad(mask, pad)
    for radius in range(MAX_GAP + 1):
        found = wide if not radius else ndimage.binary_closing(wide, disk(radius))
        one: np.ndarray = mask | (found[pad:-pad, pad:-pad] & free)
        if ndimage.label(one)[1] == 1:
            return one
    raise EditError("These nuclei are too far apart, or another lies between them.")


def _split(labels: np.ndarray, edit: Edit, fresh: int) -> tuple[Box, np.ndarray]:
    """The nuclei that the stroke crosses from edge to edge are cut along it; the largest part keeps the number."""
    box, numbers = _under(labels, edit.points, stroke=True)
    window = labels[box].copy()
    wall = np.zeros(window.shape, bool)
    rows, columns = path_pixels(edit.points, labels.shape)
    wall[rows - box[0].start, columns - box[1].start] = True
    for number in numbers:
        mask = window == number
        parts, n = ndimage.label(mask & ~wall)
        large = np.bincount(parts.ravel(), minlength=n + 1) >= MIN_PART
        large[0] = False
        if np.count_nonzero(large) < 2:
            continue
        parts[~large[parts]] = 0
        parts = watershed(np.zeros(parts.shape), parts, mask=mask)
        fresh = _number_parts(window, parts, number, fresh)
    if np.array_equal(window, labels[box]):
        raise EditError("A split needs a line across a nucleus, from edge to edge.")
    return box, window


def _draw(labels: np.ndarray, edit: Edit, fresh: int) -> tuple[Box, np.ndarray]:
    """A new nucleus within the outline, on free ground."""
    box = box_of(edit.points, 1, labels.shape)
    window = labels[box].copy()
    _add(window, ring_mask(edit.points, box), fresh)
    return box, window


def _put(labels: np.ndarray, edit: Edit, fresh: int) -> tuple[Box, np.ndarray]:
    """The parts in place of the nuclei at the points, on free ground."""
    given = [from_runs(part, labels.shape) for part in edit.parts]
    old, numbers = _under(labels, edit.points)
    box = joined([old, *(place for _, place in given)])
    window = labels[box].copy()
    window[np.isin(window, numbers)] = 0
    for mask, place in given:
        there = tuple(slice(p.start - b.start, p.stop - b.start) for p, b in zip(place, box, strict=True))
        _add(window[there], mask, fresh)
        fresh += 1
    return box, window


def _paint(labels: np.ndarray, edit: Edit, fresh: int) -> tuple[Box, np.ndarray]:
    """The nucleus where the stroke begins gets what the brush covers; on free ground a new one begins."""
    number = int(labels[pixel_of(edit.points[0], labels.shape)])
    return _brushed(labels, edit, number or fresh, fresh if number else fresh + 1)


def _erase(labels: np.ndarray, edit: Edit, fresh: int) -> tuple[Box, np.ndarray]:
    """What the brush covers becomes background."""
    return _brushed(labels, edit, 0, fresh)


def _brushed(labels: np.ndarray, edit: Edit, number: int, fresh: int) -> tuple[Box, np.ndarray]:
    touched = box_of(edit.points, edit.radius + 1, labels.shape)
    mask = brush_mask(edit.points, edit.radius, touched)
    found, first = np.unique(np.where(mask, labels[touched], 0), return_index=True)
    others = [
        (int(n), around(labels, _place(touched, int(at))))
        for n, at in zip(found, first, strict=True)
        if n not in (0, number)
    ]
    begun = labels[pixel_of(edit.points[0], labels.shape)]
    grown = [around(labels, edit.points[0])] if begun and begun == number else []
    box = joined([touched, *grown, *(place for _, place in others)])
    window = labels[box].copy()
    inside = tuple(slice(t.start - b.start, t.stop - b.start) for t, b in zip(touched, box, strict=True))
    window[inside][mask] = number
    for other, _ in others:
        parts, n = ndimage.label(window == other)
        if n > 1:
            fresh = _number_parts(window, parts, other, fresh)
    return box, window


DO: dict[str, Callable[[np.ndarray, Edit, int], tuple[Box, np.ndarray]]] = {
    "delete": _delete,
    "lasso": _lasso,
    "merge": _merge,
    "split": _split,
    "draw": _draw,
    "find": _put,
    "take": _put,
    "paint": _paint,
    "erase": _erase,
}


def _place(box: Box, flat: int) -> Point:
    """Centre of a pixel of a box, by its index there."""
    y, x = divmod(flat, box[1].stop - box[1].start)
    return box[1].start + x + 0.5, box[0].start + y + 0.5


def _under(labels: np.ndarray, points: Iterable[Point], margin: int = 1, stroke: bool = False) -> tuple[Box, list[int]]:
    """The nuclei at points, or under the stroke through them, and a box that holds points and nuclei."""
    points = tuple(points)
    rows, columns = (
        path_pixels(points, labels.shape)
        if stroke
        else np.array([pixel_of(point, labels.shape) for point in points]).reshape(-1, 2).T
    )
    found, first = np.unique(labels[rows, columns], return_index=True)
    numbers = [int(n) for n in found if n]
    places = [(columns[at] + 0.5, rows[at] + 0.5) for n, at in zip(found, first, strict=True) if n]
    boxes = [around(labels, place, margin) for place in places]
    return joined([box_of(points, 0, labels.shape), *boxes]), numbers


def _add(window: np.ndarray, mask: np.ndarray, number: int) -> None:
    """Write a new nucleus where the ground is free: the largest part of it."""
    parts, n = ndimage.label(mask & (window == 0))
    area = np.bincount(parts.ravel(), minlength=n + 1)
    area[0] = 0
    if area.max() < MIN_PART:
        raise EditError("There is no free ground for a nucleus.")
    window[parts == area.argmax()] = number


def _number_parts(window: np.ndarray, parts: np.ndarray, number: int, fresh: int) -> int:
    """Write a nucleus's parts: the largest keeps the number, others get new ones, specks go. -> next number."""
    area = np.bincount(parts.ravel())
    area[0] = 0
    for part in np.argsort(-area, kind="stable")[: np.count_nonzero(area)].tolist():
        if part == area.argmax():
            continue
        speck = area[part] < MIN_PART
        window[parts == part] = 0 if speck else fresh
        fresh += not speck
    return fresh
