"""A TIFF's chain of pages, walked within bounds before tifffile sees the file.

tifffile follows a ring of pages without end and reads what overlapping pages state again and again; so whatever has
such a chain is refused here.
"""

import struct
from dataclasses import dataclass, field
from typing import BinaryIO

from tifffile import TIFF

from .series import ImageError

MAX_PAGES = 100_000
MAX_TAGS = 4096  # of a page
ALLOWANCE = 1 << 26  # bytes of tags' values, beyond the size of the file, that pages may share
SUBFILE_TYPE, COMPRESSION, SUB_PAGES, NDPI = 254, 259, 330, 65420
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
    if 0 <= offset <= offset + n <= size:
        file.seek(offset)
        if len(data := file.read(n)) == n:
            return data
    raise ImageError(
        f"It is damaged or cut short: it refers to bytes {offset} to {offset + n}, but has {size}. Copy or download it "
        f"again."
    )


def walk(file: BinaryIO, size: int) -> Chain:
    """The pages of a TIFF or BigTIFF. Raises ImageError for a chain that is broken, circular or endless."""
    chain, entries, values = Chain(), 0, 0
    head = read_exactly(file, size, 0, 8)
    order, big = "<" if head[:2] == b"II" else ">", head[2:4] in (b"+\0", b"\0+")
    forms = ("Q", "Q", "HHQ8s") if big else ("H", "L", "HHL4s")
    number, pointer, entry = (struct.Struct(order + form) for form in forms)
    (offset,) = pointer.unpack(read_exactly(file, size, 8, 8) if big else head[4:])
    while offset:
        (n_tags,) = number.unpack(read_exactly(file, size, offset, number.size))
        tags = read_exactly(file, size, offset + number.size, n_tags * entry.size) if n_tags <= MAX_TAGS else b""
        is_copy, signature = False, []
        for tag, kind, count, value in entry.iter_unpack(tags):
            n_bytes = count * _SIZES.get(kind, 0)
            values += n_bytes if len(value) < n_bytes <= size else 0  # tifffile refuses what lies beyond the end
            chain.tags.add(tag)
            if tag == SUBFILE_TYPE:
                is_copy = any(byte & 1 for byte in value)
            elif tag == COMPRESSION:
                chain.compressions.update(struct.unpack(order + "H", value[:2]))
            elif tag in _SIGNIFICANT:
                signature.append((tag, count, value if count == 1 else b""))
        chain.pages[offset] = (is_copy, *signature)
        entries += number.size + len(tags)
        if len(chain.pages) > MAX_PAGES or n_tags > MAX_TAGS or entries > size or values > size + ALLOWANCE:
            raise ImageError(
                f"Its list of pages can't be followed beyond page {len(chain.pages)}: it has more than {MAX_PAGES:,} "
                f"pages, a page of more than {MAX_TAGS} tags, or pages that overlap or run in a circle. Export it "
                f"again, or save part of it."
            )
        offset += number.size + len(tags)
        if NDPI in chain.tags and not big and order == "<" and not chain.is_ndpi:
            chain.is_ndpi, pointer = True, struct.Struct("<Q")
        (offset,) = pointer.unpack(read_exactly(file, size, offset, pointer.size))
    if not chain.pages:
        raise ImageError("It is a TIFF without a page. Export it again.")
    return chain
