"""A click -> nuclei to put there: one that the maps show only at a lower threshold, or the other network's."""

import numpy as np

from ..model.instances import find_instances
from .edits import Edit, EditError
from .strokes import Box, Point, around, box_of, inner_point, pixel_of, to_runs

FAINTEST = 0.02  # probability below which the network sees nothing
SHARE = 0.5  # of the probability at the click, above which a pixel belongs to the nucleus there
REACH = 3  # pixels around the click in which the highest probability counts
LARGEST = 4  # diameters, side of the largest nucleus that is looked for
OVERLAP = 0.5  # of the smaller nucleus, above which two networks speak of the same


def find(
    probability: np.ndarray,
    distance: np.ndarray | None,
    labels: np.ndarray,
    point: Point,
    threshold: float,
    separation: float,
    diameter: float,
) -> Edit:
    """The nucleus at a point that lies below the threshold.

    The threshold there is half of the probability at the point, never above the given one; nuclei that are there
    already keep their pixels.

    Args:
        probability, distance: (H, W), float, see `find_instances`.
        labels: (H, W), the nuclei there are.
        point: x, y, pixels.
        threshold, separation: As the nuclei there are were cut.
        diameter: Typical of the nuclei, pixels.

    Raises:
        EditError: There is a nucleus already, or the network sees none.
    """
    y, x = pixel_of(point, labels.shape)
    if labels[y, x]:
        raise EditError("There is a nucleus already.")
    box = box_of([point], max(LARGEST * diameter / 2, 16), labels.shape)
    free = labels[box] == 0
    p = np.where(free, probability[box], 0)
    y, x = _peak(p, y - box[0].start, x - box[1].start)
    if p[y, x] < FAINTEST:
        raise EditError("The network sees no nucleus there. Draw its outline.")
    lower = min(threshold, SHARE * float(p[y, x]))
    found = find_instances(p, None if distance is None else distance[box], lower, separation, 0)
    mask = (found == found[y, x]) & free
    if _reaches_edge(mask, box, labels.shape):
        raise EditError("The network sees no nucleus of this image's size there. Draw its outline.")
    return Edit("find", (point,), parts=(to_runs(mask, box, labels.shape[1]),))


def _peak(p: np.ndarray, y: int, x: int) -> tuple[int, int]:
    """The pixel of the highest probability near another; itself, if none is higher."""
    top, left = max(y - REACH, 0), max(x - REACH, 0)
    near = p[top : y + REACH + 1, left : x + REACH + 1]
    if near.max() <= p[y, x]:
        return y, x
    dy, dx = np.unravel_index(int(near.argmax()), near.shape)
    return top + int(dy), left + int(dx)


def _reaches_edge(mask: np.ndarray, box: Box, shape: tuple[int, ...]) -> bool:
    """Whether a mask goes on beyond its box."""
    rows, columns = box
    return bool(
        (rows.start > 0 and mask[0].any())
        or (rows.stop < shape[0] and mask[-1].any())
        or (columns.start > 0 and mask[:, 0].any())
        or (columns.stop < shape[1] and mask[:, -1].any())
    )


def take(own: np.ndarray, other: np.ndarray, point: Point) -> Edit:
    """What another label image has at a point, in place of what this one has.

    What both have there is taken whole: where one nucleus of the one is two of the other, all three are concerned. Two
    nuclei are of one place where they share more than half of the smaller one.

    Args:
        own, other: (H, W), int32, of one picture.

    Raises:
        EditError: Neither has a nucleus there, or both have the same.
    """
    y, x = pixel_of(point, own.shape)
    sides = (own, other)
    masks: tuple[dict[int, tuple[np.ndarray, Box]], ...] = ({}, {})
    waiting = [(side, (x + 0.5, y + 0.5)) for side in (0, 1) if sides[side][y, x]]
    if not waiting:
        raise EditError("Neither network has a nucleus there.")
    while waiting:
        side, place = waiting.pop()
        row, column = pixel_of(place, own.shape)
        number = int(sides[side][row, column])
        if number in masks[side]:
            continue
        box = around(sides[side], place)
        mask = sides[side][box] == number
        masks[side][number] = mask, box
        waiting += [(1 - side, spot) for spot in _counterparts(mask, box, sides[1 - side])]
    old = [inner_point(*held) for held in masks[0].values()]
    parts = [to_runs(mask, box, own.shape[1]) for mask, box in masks[1].values()]
    if {to_runs(mask, box, own.shape[1]) for mask, box in masks[0].values()} == set(parts):
        raise EditError("Both networks have the same nucleus there.")
    return Edit("take", tuple(old) or (point,), parts=tuple(parts))


def _counterparts(mask: np.ndarray, box: Box, other: np.ndarray) -> list[Point]:
    """Places in the nuclei of the other that share more than half of the smaller one with this one."""
    numbers, first, shared = np.unique(np.where(mask, other[box], 0), return_index=True, return_counts=True)
    found = []
    for number, at, n in zip(numbers, first, shared, strict=True):
        y, x = divmod(int(at), mask.shape[1])
        place = box[1].start + x + 0.5, box[0].start + y + 0.5
        if number:
            there = around(other, place)
            area = np.count_nonzero(other[there] == number)
            if n > OVERLAP * min(area, np.count_nonzero(mask)):
                found.append(place)
    return found
