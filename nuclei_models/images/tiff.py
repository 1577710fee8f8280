"""TIFF: a file -> its images, each with a reader of whole planes and windows."""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from typing import BinaryIO

import numpy as np
from tifffile import TiffFile

from .ome import ome_plans
from .series import ImageError, Series, check_size
from .tiff_page import BYTES, JPEG, Page
from .tiff_plans import Plan, described_plans, page_at, plain_plans
from .tiff_walk import SUB_PAGES, Chain, walk

TABLES = {34412, 33628, 33629, 34361, 34362, 65426}  # tags with tables of LSM, STK, FluoView and NDPI
MAX_OFFSET = 2000  # characters before OME's root, which a comment may take
_UNBELIEVED = "What it says about its planes doesn't fit its pages, and is not believed."

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
    if not trusted and (chain.compressions - BYTES - {JPEG} or chain.tags & TABLES):
        raise NotHere
    file.seek(0)
    tiff = TiffFile(file, name="cells.tif", _multifile=False, is_ndpi=chain.is_ndpi or None)
    if not trusted and SUB_PAGES in chain.tags and tiff.is_shaped:  # tifffile reads those, which nobody has counted
        raise NotHere
    plans = _plans(tiff, chain, name)
    labels = [plan.label for plan in plans]
    return labels, _series(tiff, file, size, plans[which]) if which < len(plans) else None


def _plans(tiff: TiffFile, chain: Chain, name: str) -> list[Plan]:
    """A plan for each image; what is said of the pages is only believed if it fits them."""
    try:
        is_ome = "<OME" in tiff.pages.first.description[:MAX_OFFSET]
        plans = ome_plans(tiff, list(chain.pages), name) if is_ome else described_plans(tiff, chain)
    except MemoryError:
        raise
    except Exception:
        plans = []
    notes = () if plans is None else (_UNBELIEVED,)
    return plans or [replace(plan, notes=(*notes, *plan.notes)) for plan in plain_plans(tiff, chain)]


def _series(tiff: TiffFile, file: BinaryIO, size: int, plan: Plan) -> Series:
    @lru_cache(maxsize=4)
    def page(number: int) -> Page:
        key = page_at(tiff, plan.pages[0 if plan.contiguous else number])
        shift = number * key.nbytes if plan.contiguous else 0
        return Page(key, file, size, shift, as_stored=plan.format == "ImageJ TIFF")

    first = int(plan.index[plan.index >= 0][0]) * max(plan.folded, 1)
    lay = page(first)
    height, width, n_channels = lay.height, lay.width, lay.n_channels
    if plan.folded:
        height, width, n_channels = plan.folded, lay.height, lay.width

    def read(number: int, channel: int, rows: slice, cols: slice) -> tuple[np.ndarray, list[str]]:
        if plan.folded:
            lines = range(number * height + rows.start, number * height + rows.stop)
            return np.stack([alike(i).read(cols, slice(channel, channel + 1))[0][:, 0] for i in lines]), []
        return alike(number).read(rows, cols, channel)

    def alike(number: int) -> Page:
        found = page(number)
        if any(getattr(found, a) != getattr(lay, a) for a in ("width", "height", "dtype", "kind", "inverted")):
            raise ImageError(f"Page {number + 1} is of another size or type than page {first + 1}. Save them apart.")
        return found

    def plane(t: int, z: int, c: int) -> Callable[[slice, slice], tuple[np.ndarray, list[str]]]:
        number, channel = int(plan.index[t, z, c // n_channels]), c % n_channels
        if number < 0:
            raise ImageError("That plane is in another file of the same set. Open that file, or join them in Fiji.")
        return partial(read, number, channel)

    def window(t: int, z: int, c: int) -> Callable[[slice, slice], np.ndarray]:
        of_plane = plane(t, z, c)
        return lambda rows, cols: of_plane(rows, cols)[0]

    def decode(t: int, z: int, c: int, max_pixels: int) -> tuple[np.ndarray, list[str]]:
        check_size(width, height, lay.bytes_per_pixel, max_pixels)
        return plane(t, z, c)(slice(0, height), slice(0, width))

    n, names = plan.index.shape[2] * n_channels, plan.channel_names
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
        notes=(*plan.notes, *lay.notes),
        decode=decode,
        window=window,
        guessed=plan.guessed,
    )
