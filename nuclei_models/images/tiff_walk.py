"""A TIFF's chain of pages, walked within bounds before tifffile sees the file.

tifffile follows a ring of pages without end and reads what overlapping pages state again and again; so whatever has
such a chain is refused here. No value of a tag is read.
"""

import struct
from dataclasses import dataclass, field
from typing import BinaryIO

from .series import ImageError

MAX_PAGES = 100_000
MAX_TAGS = 4096  # of a page
ALLOWANCE = 1 << 26  # bytes of tags' values, beyond the size of the file, that pages may share

MAX_DEPTH = 2  # of pages below pages

SUBFILE_TYPE, COMPRESSION, SUB_PAGES, NDPI = 254, 259, 330, 65420
_SIGNIFICANT = {256, 257, 258, 262, 277, 322, 339}  # equal for pages that may be planes of one image
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_DAMAGED = "Export it again, or open it in Fiji and save it as TIFF."


@dataclass
class Chain:
    """The pages of a file.

    Attributes:
        offsets: Where each begins.
        signatures: Equal for pages that may be planes of one image; the first of each is whether the page is a smaller
            copy of another.
        tags: All tags that occur in any page.
        compressions: All compressions that occur.
        is_ndpi: Whether it is Hamamatsu's, which has offsets of its own kind.
    """

    offsets: list[int] = field(default_factory=list)
    signatures: list[tuple] = field(default_factory=list)
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


class _Walker:
    def __init__(self, file: BinaryIO, size: int):
        self.file, self.size, self.chain = file, size, Chain()
        head = self.bytes_at(0, 8)
        self.order = "<" if head[:2] == b"II" else ">"
        big = head[2:4] in (b"+\0", b"\0+")
        self.first, self.number, self.pointer, self.entry = (8, "Q", "Q", "HHQ8s") if big else (4, "H", "L", "HHL4s")
        self.values = self.entries = 0  # bytes stated so far

    def bytes_at(self, offset: int, n: int) -> bytes:
        return read_exactly(self.file, self.size, offset, n)

    def pointer_at(self, form: str, offset: int) -> int:
        return struct.unpack(self.order + form, self.bytes_at(offset, struct.calcsize("<" + form)))[0]

    def walk(self) -> Chain:
        offset, seen = self.pointer_at(self.pointer, self.first), set[int]()
        while offset:
            n = len(self.chain.offsets)
            if offset in seen:
                raise ImageError(f"Its list of pages runs in a circle after page {n}. {_DAMAGED}")
            if n == MAX_PAGES:
                raise ImageError(f"It has more than {MAX_PAGES:,} pages, the most that are read. Save part of it.")
            seen.add(offset)
            self.chain.offsets.append(offset)
            offset = self.page(offset, 0)
        if not self.chain.offsets:
            raise ImageError(f"It is a TIFF without a page. {_DAMAGED}")
        return self.chain

    def page(self, offset: int, depth: int) -> int:
        """Look at a page, and at the pages below it -> where the next one begins."""
        n, size = self.pointer_at(self.number, offset), struct.calcsize("<" + self.entry)
        start = offset + struct.calcsize("<" + self.number)
        self.entries += n * size
        if n > MAX_TAGS or self.entries > self.size:
            raise ImageError(f"Page {len(self.chain.offsets)} of it has {n} tags, or overlaps another page. {_DAMAGED}")
        signature: list = [False]
        below: list[int] = []
        for tag, kind, count, value in struct.iter_unpack(self.order + self.entry, self.bytes_at(start, n * size)):
            self.chain.tags.add(tag)
            n_bytes = count * _SIZES.get(kind, 0)
            if n_bytes > len(value):
                self.values += n_bytes if n_bytes <= self.size else 0  # tifffile refuses what lies beyond the end
            elif tag == SUBFILE_TYPE:
                signature[0] = bool(self.whole(value, kind) & 1)
            elif tag == COMPRESSION:
                self.chain.compressions.add(self.whole(value, kind))
            if tag == NDPI and self.entry == "HHL4s" and self.order == "<" and not self.chain.is_ndpi and depth == 0:
                self.chain.is_ndpi, self.pointer = True, "Q"
            if tag == SUB_PAGES and 0 < n_bytes <= self.size and kind in (4, 13, 16, 18):
                form = f"{self.order}{count}{'Q' if kind > 13 else 'L'}"
                inline = n_bytes <= len(value)
                below += struct.unpack(
                    form, value[:n_bytes] if inline else self.bytes_at(self.whole(value, 16), n_bytes)
                )
            if tag in _SIGNIFICANT:
                signature.append((tag, count, value if count == 1 else b""))
        if self.values > self.size + ALLOWANCE:
            raise ImageError(f"The tags of its pages state more values than it has bytes. {_DAMAGED}")
        if depth == 0:
            self.chain.signatures.append(tuple(signature))
        for inner in below if depth < MAX_DEPTH else ():
            if 8 <= inner < self.size:
                self.page(inner, depth + 1)
        return self.pointer_at(self.pointer, start + n * size) if depth == 0 else 0

    def whole(self, value: bytes, kind: int) -> int:
        """The first number of a tag's value."""
        return int.from_bytes(value[: _SIZES.get(kind, 0)], "little" if self.order == "<" else "big")


def walk(file: BinaryIO, size: int) -> Chain:
    """The pages of a TIFF or BigTIFF. Raises ImageError for a chain that is broken, circular or endless."""
    return _Walker(file, size).walk()
