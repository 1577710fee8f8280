"""What a person does to a label image, written down, and what became of it.

An edit says where a hand was, never which number a nucleus has, so that a list of edits can be repeated on another
label image of the same picture.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .strokes import Box, Point

MAX_POINTS, MAX_PARTS = 5000, 100
MAX_RADIUS = 500.0
ACTS = ("delete", "lasso", "merge", "split", "draw", "find", "take", "paint", "erase")


class EditError(ValueError):
    """An edit that does nothing here, and why, as a sentence."""


@dataclass(frozen=True)
class Edit:
    """One act of a person.

    Attributes:
        act: A key of `ACTS`.
        points: (x, y) each, in pixels of the image; the first pixel reaches from 0 to 1. The places that were clicked,
            a stroke, or an outline, which closes itself.
        radius: Of the brush, pixels.
        parts: Nuclei that the act brings along, each as `to_runs` writes it.
    """

    act: str
    points: tuple[Point, ...] = ()
    radius: float = 0.0
    parts: tuple[tuple[int, ...], ...] = ()

    def to_json(self) -> dict:
        found: dict = {"act": self.act, "points": [[round(x, 2), round(y, 2)] for x, y in self.points]}
        if self.radius:
            found["radius"] = self.radius
        if self.parts:
            found["parts"] = [list(part) for part in self.parts]
        return found

    @classmethod
    def from_json(cls, data: object, shape: tuple[int, ...]) -> "Edit":
        """What `to_json` gave, or a browser sent, checked.

        Args:
            shape: Height and width of the image.

        Raises:
            ValueError: It is no edit of such an image.
        """
        if not isinstance(data, dict) or data.get("act") not in ACTS:
            raise ValueError(f"An edit is a dictionary whose act is one of {', '.join(ACTS)}.")
        try:
            points = tuple((float(x), float(y)) for x, y in data.get("points", ()))
            parts = tuple(tuple(int(n) for n in part) for part in data.get("parts", ()))
            radius = float(data.get("radius", 0))
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"The edit {data['act']!r} has points, a radius or parts that are no numbers.") from None
        if len(points) > MAX_POINTS or len(parts) > MAX_PARTS or not 0 <= radius <= MAX_RADIUS:
            raise ValueError(
                f"An edit has up to {MAX_POINTS} points, {MAX_PARTS} parts and a radius of up to {MAX_RADIUS:g}."
            )
        if not points or not np.isfinite(points).all():
            raise ValueError(f"The edit {data['act']!r} has no place: expected finite points.")
        height, width = shape[:2]
        clipped = tuple((round(min(max(x, 0), width), 2), round(min(max(y, 0), height), 2)) for x, y in points)
        for part in parts:
            _check_runs(part, height, width)
        return cls(data["act"], clipped, radius, parts)


def _check_runs(runs: tuple[int, ...], height: int, width: int) -> None:
    if not runs or len(runs) % 2:
        raise ValueError("A part of an edit is start, length, start, length, ...")
    start, length = runs[::2], runs[1::2]
    for s, n in zip(start, length, strict=True):
        if not (0 <= s < height * width and 0 < n <= width - s % width):
            raise ValueError(f"A part of an edit lies outside of the image of {width} x {height} pixels.")


@dataclass(frozen=True)
class Change:
    """What an edit did.

    Attributes:
        box: Where; every nucleus that is touched lies in it whole.
        before, after: The labels there, (h, w), int32.
    """

    box: Box
    before: np.ndarray
    after: np.ndarray

    @cached_property
    def _numbers(self) -> tuple[frozenset[int], frozenset[int], frozenset[int]]:
        before, after = (frozenset(np.unique(a).tolist()) - {0} for a in (self.before, self.after))
        differs = self.before != self.after
        touched = frozenset(np.unique(self.before[differs]).tolist()) | set(np.unique(self.after[differs]).tolist())
        return after - before, before - after, (touched & after & before)

    @property
    def new(self) -> frozenset[int]:
        """Numbers of nuclei that weren't there before."""
        return self._numbers[0]

    @property
    def gone(self) -> frozenset[int]:
        """Numbers of nuclei that are no more."""
        return self._numbers[1]

    @property
    def changed(self) -> frozenset[int]:
        """Numbers of nuclei that gained or lost pixels."""
        return self._numbers[2]

    def done(self, labels: np.ndarray) -> np.ndarray:
        """Labels before -> a copy after."""
        return _with(labels, self.box, self.after)

    def undone(self, labels: np.ndarray) -> np.ndarray:
        """Labels after -> a copy before."""
        return _with(labels, self.box, self.before)


def _with(labels: np.ndarray, box: Box, content: np.ndarray) -> np.ndarray:
    copy = labels.copy()
    copy[box] = content
    return copy
