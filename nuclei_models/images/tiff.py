"""TIFF: a file -> its images, each with a reader of whole planes and windows."""

import logging
from collections.abc import Callable
from functools import lru_cache
from typing import BinaryIO

import numpy as np
from tifffile import TiffFile

from .series import ImageError, Series
from .tiff_page import BYTES, JPEG, PageWindows
from .tiff_pixels import PageReader
from .tiff_plans import Plan, page_at, plans_of
from .tiff_walk import walk

TABLES = {34412, 33628, 33629, 34361, 34362, 65426}  # tags with tables of LSM, STK, FluoView and NDPI

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it says of broken files is said here


class NotHere(Exception):
    """The file is of a kind that is unpacked in a process of its own."""


def open_tiff(
    file: BinaryIO, size: int, name: str, which: int, trusted: bool = False
) -> tuple[list[str], Series | None]:
    """The header of a TIFF.

    Args:
        size: Of the file.
        name: Of this file, by which a set of OME-TIFFs refers to it.
        which: Which of its images.
        trusted: Whether codecs may be used, and tables read, whose libraries may be led astray by a hostile file.

    Returns:
        The label of each image, and the one asked for, or `None` if there are fewer.

    Raises:
        ImageError: Broken, or an image that isn't read.
        NotHere: It needs what only a trusted process does.
    """
    chain = walk(file, size)
    if not trusted and (chain.compressions - set(BYTES) - {JPEG} or chain.tags & TABLES):
        raise NotHere
    file.seek(0)
    tiff = TiffFile(file, name="cells.tif", _multifile=False, is_ndpi=chain.is_ndpi or None)
    plans = plans_of(tiff, chain, name)
    labels = [plan.label for plan in plans]
    return labels, _series(tiff, file, size, plans[which]) if which < len(plans) else None


def _series(tiff: TiffFile, file: BinaryIO, size: int, plan: Plan) -> Series:
    first = next(int(i) for i in plan.index.ravel() if i >= 0)

    @lru_cache(maxsize=4)
    def page(number: int) -> PageReader:
        shift = 0
        if plan.contiguous:
            key = page_at(tiff, plan.pages[0])
            shift, number = number * key.nbytes, 0
        return PageReader(PageWindows(page_at(tiff, plan.pages[number]), file, size, shift), plan.as_stored)

    lay = page(first * max(plan.folded, 1))
    height, width = (plan.folded, lay.height) if plan.folded else (lay.height, lay.width)
    n_channels = lay.width if plan.folded else lay.n_channels

    def alike(number: int) -> PageReader:
        found = page(number)
        if (found.width, found.height, found.dtype, found.kind) != (lay.width, lay.height, lay.dtype, lay.kind):
            raise ImageError(f"Page {number + 1} is of another size or type than page {first + 1}. Save them apart.")
        return found

    def number_of(t: int, z: int, c: int) -> int:
        number = int(plan.index[t, z, c // n_channels])
        if number < 0:
            raise ImageError("That plane is in another file of the same set. Open that file, or join them in Fiji.")
        return number

    def window(t: int, z: int, c: int) -> Callable[[slice, slice], np.ndarray]:
        number = number_of(t, z, c)
        if not plan.folded:
            plane = alike(number)
            return lambda rows, cols: plane.read(rows, cols, c % n_channels)

        def rows_of_pages(rows: slice, cols: slice) -> np.ndarray:
            column = slice(c % n_channels, c % n_channels + 1)
            pages = range(number * plan.folded + rows.start, number * plan.folded + rows.stop)
            return np.stack([alike(i).read(cols, column)[:, 0] for i in pages])

        return rows_of_pages

    def decode(t: int, z: int, c: int, max_pixels: int) -> tuple[np.ndarray, list[str]]:
        if plan.folded:
            return window(t, z, c)(slice(0, height), slice(0, width)), []
        return alike(number_of(t, z, c)).whole(c % n_channels, max_pixels)

    notes = list(plan.notes)
    if lay.page.tags.valueof(274, 1) != 1:
        notes.append("It asks to be shown turned or mirrored (TIFF orientation): it is left as stored, as in Fiji.")
    names = plan.channel_names
    n = plan.index.shape[2] * n_channels
    return Series(
        format=plan.format,
        label=plan.label,
        width=width,
        height=height,
        dtype=lay.dtype,
        is_rgb=lay.is_rgb and not plan.folded,
        sizes={"T": plan.index.shape[0], "Z": plan.index.shape[1], "C": n},
        channel_names=names if len(names) == n and any(names) else (),
        pixel_size=plan.pixel_size,
        notes=tuple(notes),
        decode=decode,
        window=window,
        guessed=plan.guessed,
    )
