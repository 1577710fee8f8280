"""Planes to their places along T, Z and C; where a file names pages and no axis, or nothing, what the pages are."""

import re

import numpy as np
from tifffile import transpose_axes

from .planes import NUCLEAR

FEW = 4  # pages of which nothing is said are taken for channels up to here, and for Z planes beyond
UNKNOWN = "Q"  # tifffile's name for an axis of which nothing is known; it also says I
_PLURALS = {"C": "channels", "Z": "Z planes", "T": "time points"}


def meaning_of(axes: str, shape: list[int], names: tuple[str, ...], samples: int) -> tuple[str, str, list[str]]:
    """Give the axis of pages a meaning where it has none, or where the pages' names show that it is another.

    Args:
        axes: Slowest first.
        names: Of channels, or of pages that may be channels.
        samples: Of a pixel: pages with several are no channels.

    Returns:
        The axes, with T, Z and C each at most once; the one that was guessed, or ""; and sentences for the user.
    """
    long = {axis: n for axis, n in zip(axes, shape, strict=True) if n > 1}
    pages = next((axis for axis in long if axis not in "TZC"), next(iter(long), "")) if "C" not in long else ""
    guessed, notes = "", []
    if pages and samples == 1 and len(names) == long[pages] and _are_channels(names, pages in "TZ" and len(long) == 1):
        axes = _renamed(axes, pages, "C")
    elif pages == UNKNOWN:
        wanted = "CZT" if long[pages] <= FEW and samples == 1 else "ZT"
        guessed = next((axis for axis in wanted if axis not in long), "")
        if guessed:
            axes = _renamed(axes, pages, guessed)
            notes.append(f"It doesn't say what its {long[pages]} pages are: they are taken for {_PLURALS[guessed]}.")
    notes += [
        f"{n} positions along its axis {axis}: the first is used."
        for axis, n in zip(axes, shape, strict=True)
        if axis not in "TZC" and n > 1
    ]
    return axes, guessed, notes


def in_tzc(numbers: np.ndarray, axes: str, shape: list[int]) -> np.ndarray:
    """Numbers in the order of `axes`, slowest first -> (T, Z, C). Of other axes only the first position is kept."""
    numbers = numbers.reshape(shape)[tuple(slice(None) if axis in "TZC" else 0 for axis in axes)]
    return transpose_axes(numbers, "".join(axis for axis in axes if axis in "TZC"), "TZC")


def _renamed(axes: str, old: str, new: str) -> str:
    """An axis called otherwise; one that has the new name already has a single position."""
    return axes.replace(new, "_").replace(old, new, 1)


def _are_channels(names: tuple[str, ...], must_be_stains: bool) -> bool:
    """Whether pages are called as channels are: by different words, not by one word and numbers.

    Args:
        must_be_stains: Whether one, but not every one, must be a nuclear stain: of pages that may be planes too.
    """
    words = {re.sub(r"[\W\d_]+", "", name).lower() for name in names}
    stains = sum(bool(NUCLEAR.search(name)) for name in names)
    return len(words) == len(names) and "" not in words and (0 < stains < len(names) or not must_be_stains)
