"""Nuclei found in pieces -> numbers without gaps, as `find_instances` gives them on the whole image."""

from dataclasses import dataclass

import numpy as np

from .nuclei import load
from .workplace import Workplace, write_whole

NUMBERS = "numbers.bin"


@dataclass(frozen=True)
class Numbering:
    """All nuclei of an image.

    Attributes:
        offsets: By the name under which nuclei were saved, where their numbers begin in the file `NUMBERS`.
        areas: (n,), pixels, of nucleus 1, 2, .. n.
    """

    offsets: dict[str, int]
    areas: np.ndarray


def number_nuclei(work: Workplace, names: list[str]) -> Numbering:
    """Number all nuclei of at least the minimum area, in the order of their keys, and save the numbers.

    Args:
        names: Under which they are saved. One of several names is one nucleus if the key is the same.
    """
    saved = [load(work, name) for name in names]
    keys = np.concatenate([np.zeros(0, np.int64), *(k for k, _ in saved)])
    areas = np.concatenate([np.zeros(0, np.int64), *(a for _, a in saved)])
    known, nucleus = np.unique(keys, return_inverse=True)
    total = np.bincount(nucleus, areas, len(known)).astype(np.int64)
    kept = total >= max(work.plan.min_area, 1)
    number = np.where(kept, np.cumsum(kept), 0).astype(np.uint32)
    write_whole(work.folder / NUMBERS, number[nucleus].tobytes())
    starts = np.concatenate([[0], np.cumsum([len(k) for k, _ in saved])])
    return Numbering({name: int(at) for name, at in zip(names, starts, strict=False)}, total[kept])


def renumbering(kept: np.ndarray) -> np.ndarray:
    """By the numbers 0 .. n, those that the kept of 1 .. n get, in the same order; 0 for the others: (n + 1,), uint32.

    Args:
        kept: (n,), bool.
    """
    return np.concatenate([[0], np.where(kept, np.cumsum(kept), 0)]).astype(np.uint32)


def keep_numbers(work: Workplace, numbering: Numbering, kept: np.ndarray) -> Numbering:
    """Number those nuclei anew that are kept, in the same order, and save the numbers.

    Args:
        kept: (n,), bool, of nucleus 1, 2, .. n.
    """
    path = work.folder / NUMBERS
    write_whole(path, renumbering(kept)[np.fromfile(path, np.uint32)].tobytes())
    return Numbering(numbering.offsets, numbering.areas[kept])


def numbers_of(work: Workplace, offset: int, count: int) -> np.ndarray:
    """The numbers of nuclei saved under one name, with a 0 before them for the background: (count + 1,), uint32."""
    numbers = np.fromfile(work.folder / NUMBERS, np.uint32, count, offset=4 * offset)
    return np.concatenate([np.zeros(1, np.uint32), numbers])
