"""A TIFF's chain of pages, walked within bounds before tifffile sees the file.

tifffile follows a ring of pages without end and reads what overlapping pages state again and again; so whatever has
such a chain is refused here. No value of a tag is read.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import BinaryIO

from tifffile import TIFF

from .series import ImageError

MAX_PAGES = 100_000
MAX_TAGS = 4096  # of a page
ALLOWANCE = 1 << 26  # bytes of tags' values, beyond the size of the file, that pages may share
SUBFILE_TYPE, COMPRESSION, SUB_PAGES, NDPI = 254, 259, 330, 65420
DAMAGED = "Export it again, or open it in Fiji and save it as TIFF."
_SIGNIFICANT = {256, 257, 258, 262, 277, 322, 339}  # equal for pages that may be planes of one image
_SIZES = {int(kind): struct.calcsize("<" + form) for kind, form in TIFF.DATA_FORMATS.items()}


@dataclass
class Chain:
    """The pages of a file.

    Attributes:
        pages: Where each begins, and its signature, which is equal for pages that may be planes of one image; the first
            of it is whether the page is a smaller copy of another.
        tags, compressions: All that occur.
        is_ndpi: Whether it is Hamamatsu's, which has offsets of its own kind.
    """

    pages: dict[int, tuple] = field(default_factory=dict)
    tags: set[int] = field(default_factory=set)
    compressions: set[int] = field(default_factory=set)
    is_ndpi: bool = False


def read_exactly(file: BinaryIO, size: int, offset: int, n: int) -> bytes:
    """Bytes of a file of a known size. Raises ImageError if it ends before."""
    if offset < 0 or n < 0 or offset + n > size:
        raise ImageError(
            f"It is damaged or cut short: it refers to bytes {offset} to {offset + n}, but has {size}. Copy or "
            f"download it again."
        )
    file.seek(offset)
    data = file.read(n)
    if len(data) != n:
        raise ImageError(f"It ended {n - len(data)} bytes early. Copy or download it again.")
    return data


def walk(file: BinaryIO, size: int) -> Chain:
    """The pages of a TIFF or BigTIFF. Raises ImageError for a chain that is broken, circular or endless."""
    read, chain, entries, values = partial(read_exactly, file, size), Chain(), 0, 0
    head = read(0, 8)
    order, big = "<" if head[:2] == b"II" else ">", head[2:4] in (b"+\0", b"\0+")
    forms = ("Q", "Q", "HHQ8s") if big else ("H", "L", "HHL4s")
    number, pointer, entry = (struct.Struct(order + form) for form in forms)
    (offset,) = pointer.unpack(read(8, 8) if big else head[4:])
    while offset:
        n = len(chain.pages)
        if offset in chain.pages:
            raise ImageError(f"Its list of pages runs in a circle after page {n}. {DAMAGED}")
        if n == MAX_PAGES:
            raise ImageError(f"It has more than {MAX_PAGES:,} pages, the most that are read. Save part of it.")
        (n_tags,) = number.unpack(read(offset, number.size))
        entries += n_tags * entry.size
        if n_tags > MAX_TAGS or entries > size:
            raise ImageError(f"Page {n + 1} of it has {n_tags} tags, or overlaps another page. {DAMAGED}")
        start = offset + number.size
        chain.pages[offset], stated = _page(chain, order, entry.iter_unpack(read(start, n_tags * entry.size)), size)
        values += stated
        if values > size + ALLOWANCE:
            raise ImageError(f"The tags of its pages state more values than it has bytes. {DAMAGED}")
        if NDPI in chain.tags and not big and order == "<" and not chain.is_ndpi:
            chain.is_ndpi, pointer = True, struct.Struct("<Q")
        (offset,) = pointer.unpack(read(start + n_tags * entry.size, pointer.size))
    if not chain.pages:
        raise ImageError(f"It is a TIFF without a page. {DAMAGED}")
    return chain


def _page(chain: Chain, order: str, tags: Iterable[tuple[int, int, int, bytes]], size: int) -> tuple[tuple, int]:
    """Note what occurs on a page -> its signature, and how many bytes its tags' values take."""
    signature: list = [False]
    stated = 0
    for tag, kind, count, value in tags:
        n = count * _SIZES.get(kind, 0)
        if n > len(value):
            stated += n if n <= size else 0  # tifffile refuses what lies beyond the end
        elif tag in (SUBFILE_TYPE, COMPRESSION):
            first = int.from_bytes(value[: _SIZES.get(kind, 0)], "little" if order == "<" else "big")
            if tag == SUBFILE_TYPE:
                signature[0] = bool(first & 1)
            else:
                chain.compressions.add(first)
        chain.tags.add(tag)
        if tag in _SIGNIFICANT:
            signature.append((tag, count, value if count == 1 else b""))
    return tuple(signature), stated
