"""TIFF's structure: file -> pages -> layout of a page's pixels. No pixel is read here; `tiff_pixels.py` does that.

Written from the TIFF 6.0 specification (Adobe, 1992) and the BigTIFF one. A file may lie: whatever it states is
compared with its size before it is believed, and a tag is read only when asked for.
"""

import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from .series import ImageError

MAX_PAGES = 100_000
MAX_SAMPLES = 1024
MAX_TAGS = 4096  # of a page

# the tags used, by their names in the specification
SUBFILE_TYPE, IMAGE_WIDTH, IMAGE_LENGTH, BITS_PER_SAMPLE, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
FILL_ORDER, IMAGE_DESCRIPTION, STRIP_OFFSETS, ORIENTATION, SAMPLES_PER_PIXEL = 266, 270, 273, 274, 277
ROWS_PER_STRIP, STRIP_BYTE_COUNTS, X_RESOLUTION, Y_RESOLUTION, PLANAR_CONFIGURATION = 278, 279, 282, 283, 284
RESOLUTION_UNIT, PREDICTOR, COLOR_MAP, TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS = 296, 317, 320, 322, 323, 324
TILE_BYTE_COUNTS, EXTRA_SAMPLES, SAMPLE_FORMAT, JPEG_TABLES, YCBCR_SUBSAMPLING = 325, 338, 339, 347, 530
IMAGE_DEPTH, STK_PLANES = 32997, 33629

# field type -> numpy type; a rational is two numbers
_TYPES = {1: "u1", 2: "u1", 3: "u2", 4: "u4", 5: "u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 10: "i4", 11: "f4", 12: "f8"}
_TYPES |= {13: "u4", 16: "u8", 17: "i8", 18: "u8"}
_RATIONALS = (5, 10)
_SIGNIFICANT = {IMAGE_WIDTH, IMAGE_LENGTH, BITS_PER_SAMPLE, SAMPLES_PER_PIXEL, SAMPLE_FORMAT, PHOTOMETRIC}

_DAMAGED = "Export it again, or open it in Fiji and save it as TIFF."


class Page:
    """One image file directory. Its tags are read when asked for, within the bounds of the file."""

    __slots__ = ("_entries", "_form", "big", "file", "file_size", "order")

    def __init__(self, file: BinaryIO, file_size: int, order: str, big: bool, entries: bytes):
        self.file, self.file_size, self.order, self.big, self._entries = file, file_size, order, big, entries
        self._form = order + ("HHQ8s" if big else "HHL4s")

    def _entry(self, tag: int) -> tuple[int, int, bytes] | None:
        """Type, count and value (or the value's offset) of a tag. Not kept: there may be 100,000 pages."""
        for found, kind, count, value in struct.iter_unpack(self._form, self._entries):
            if found == tag:
                return kind, count, value
        return None

    def __contains__(self, tag: int) -> bool:
        return self._entry(tag) is not None

    @property
    def signature(self) -> tuple:
        """Equal for pages that may be planes of one image. First comes whether it is a thumbnail or smaller copy."""
        parts = []
        is_small = False
        for tag, _, count, value in struct.iter_unpack(self._form, self._entries):
            if tag == SUBFILE_TYPE:
                is_small = bool(value[0 if self.order == "<" else 3] & 1)
            elif tag in _SIGNIFICANT:
                parts.append((tag, count, value if count == 1 else b""))
        return is_small, *parts

    def values(self, tag: int) -> np.ndarray:
        """The numbers of a tag, (n,), characters as uint8, rationals as float64; (0,) if the page lacks the tag."""
        kind, count, inline = self._entry(tag) or (1, 0, b"")
        if kind not in _TYPES:
            raise ImageError(f"Its tag {tag} has type {kind}, which TIFF doesn't have. {_DAMAGED}")
        dtype = np.dtype(self.order + _TYPES[kind])
        count *= 2 if kind in _RATIONALS else 1
        n_bytes = count * dtype.itemsize
        if n_bytes <= len(inline):
            data = inline[:n_bytes]
        else:
            offset = struct.unpack(self.order + ("Q" if self.big else "L"), inline)[0]
            data = read_exactly(self.file, self.file_size, offset, n_bytes)
        numbers = np.frombuffer(data, dtype)
        if kind in _RATIONALS:
            with np.errstate(divide="ignore", invalid="ignore"):
                return numbers[::2] / numbers[1::2].astype(np.float64)
        return numbers.astype(dtype.newbyteorder("="))

    def number(self, tag: int, default: int) -> int:
        """The first number of a tag."""
        values = self.values(tag)
        return int(values[0]) if len(values) else default

    def text(self, tag: int) -> str:
        data = self.values(tag).astype(np.uint8).tobytes().split(b"\0", 1)[0]
        try:
            return data.decode()
        except UnicodeDecodeError:
            return data.decode("latin-1")


def read_exactly(file: BinaryIO, file_size: int, offset: int, n_bytes: int) -> bytes:
    """Bytes of the file, or an ImageError if it ends before."""
    if offset < 0 or n_bytes < 0 or offset + n_bytes > file_size:
        raise ImageError(
            f"It is damaged or cut short: it refers to bytes {offset} to {offset + n_bytes}, but has {file_size}. "
            f"Copy or download it again."
        )
    file.seek(offset)
    data = file.read(n_bytes)
    if len(data) != n_bytes:
        raise ImageError(f"It ended {n_bytes - len(data)} bytes early. Copy or download it again.")
    return data


def read_pages(file: BinaryIO, file_size: int) -> list[Page]:
    """The chain of pages of a TIFF or BigTIFF. Raises ImageError for a chain that is broken, circular or endless."""
    head = read_exactly(file, file_size, 0, 8)
    order = "<" if head[:2] == b"II" else ">"
    big = head[2:4] in (b"+\0", b"\0+")
    number_form, pointer_form = (order + "Q", order + "Q") if big else (order + "H", order + "L")
    entry_size, number_size, pointer_size = (20, 8, 8) if big else (12, 2, 4)
    offset = struct.unpack(pointer_form, read_exactly(file, file_size, 8 if big else 4, pointer_size))[0]
    pages: list[Page] = []
    seen: set[int] = set()
    total = 0  # bytes of all pages' tags, of which pages that overlap would make far more than the file has
    while offset:
        if offset in seen:
            raise ImageError(f"Its list of pages runs in a circle after page {len(pages)}. {_DAMAGED}")
        if len(pages) == MAX_PAGES:
            raise ImageError(f"It has more than {MAX_PAGES:,} pages, the most that are read. Save part of the stack.")
        seen.add(offset)
        n_entries = struct.unpack(number_form, read_exactly(file, file_size, offset, number_size))[0]
        total += n_entries * entry_size
        if n_entries > MAX_TAGS or total > file_size:
            raise ImageError(f"Page {len(pages) + 1} of it has {n_entries} tags, or overlaps another page. {_DAMAGED}")
        rest = read_exactly(file, file_size, offset + number_size, n_entries * entry_size + pointer_size)
        pages.append(Page(file, file_size, order, big, rest[:-pointer_size]))
        offset = struct.unpack(pointer_form, rest[-pointer_size:])[0]
    if not pages:
        raise ImageError(f"It is a TIFF without a page. {_DAMAGED}")
    return pages


@dataclass(frozen=True)
class Layout:
    """How a page's pixels are stored.

    Attributes:
        dtype: Of one stored sample, native byte order.
        bits: Of one sample; fewer than the dtype's where they are packed.
        samples: Per pixel.
        planar: Whether each sample has a plane of its own.
        tile: (height, width), or `None` for strips of `rows_per_strip` rows.
        kind: "grey", "rgb", "cmyk", "palette" or "channels".
        alpha: Whether the last sample is opacity.
    """

    width: int
    height: int
    dtype: np.dtype
    bits: int
    samples: int
    planar: bool
    tile: tuple[int, int] | None
    rows_per_strip: int
    compression: int
    predictor: int
    photometric: int
    kind: str
    alpha: bool

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width rounded up to whole tiles."""
        if self.tile is None:
            return self.height, self.width
        return -(-self.height // self.tile[0]) * self.tile[0], -(-self.width // self.tile[1]) * self.tile[1]

    @property
    def samples_together(self) -> int:
        """Samples stored side by side."""
        return 1 if self.planar else self.samples

    @property
    def n_channels(self) -> int:
        """Channels to choose from; 1 for colour."""
        return self.samples - self.alpha if self.kind == "channels" else 1

    def row_bytes(self, width: int) -> int:
        """Of `width` pixels of samples stored side by side, uncompressed; rows begin at whole bytes."""
        return -(-width * self.samples_together * self.bits // 8)

    @property
    def page_bytes(self) -> int:
        """Of all samples, uncompressed."""
        return self.row_bytes(self.width) * self.height * (self.samples // self.samples_together)


def layout(page: Page) -> Layout:
    """Read a page's layout. Raises ImageError for what is no image of numbers."""
    width, height = page.number(IMAGE_WIDTH, 0), page.number(IMAGE_LENGTH, 0)
    samples = page.number(SAMPLES_PER_PIXEL, 1)
    if width < 1 or height < 1 or not 1 <= samples <= MAX_SAMPLES:
        raise ImageError(
            f"It says that it is {width} x {height} pixels of {samples} samples, expected at least 1 x 1 and at most "
            f"{MAX_SAMPLES} samples. {_DAMAGED}"
        )
    if page.number(IMAGE_DEPTH, 1) > 1 or STK_PLANES in page:
        raise ImageError("It holds a volume in one page (as in MetaMorph's STK). Open it in Fiji and save it as TIFF.")
    bits, dtype = _sample_type(page, samples)
    tile = (page.number(TILE_LENGTH, 0), page.number(TILE_WIDTH, 0)) if TILE_WIDTH in page else None
    rows_per_strip = page.number(ROWS_PER_STRIP, height)
    if (tile and min(tile) < 1) or rows_per_strip < 1:
        raise ImageError(f"Its tiles are {tile} or its strips {rows_per_strip} rows, expected at least 1. {_DAMAGED}")
    photometric = page.number(PHOTOMETRIC, 1)
    kind, alpha = _kind(photometric, samples, page.values(EXTRA_SAMPLES).tolist())
    return Layout(
        width=width,
        height=height,
        dtype=dtype,
        bits=bits,
        samples=samples,
        planar=samples > 1 and page.number(PLANAR_CONFIGURATION, 1) == 2,
        tile=tile,
        rows_per_strip=min(rows_per_strip, height),
        compression=page.number(COMPRESSION, 1),
        predictor=page.number(PREDICTOR, 1),
        photometric=photometric,
        kind=kind,
        alpha=alpha,
    )


def _sample_type(page: Page, samples: int) -> tuple[int, np.dtype]:
    """Bits of a sample and the dtype they are read to."""
    all_bits, formats = page.values(BITS_PER_SAMPLE)[:samples], page.values(SAMPLE_FORMAT)[:samples]
    if len(set(all_bits.tolist())) > 1 or len(set(formats.tolist())) > 1:
        raise ImageError(f"Its channels differ in type: {all_bits.tolist()} bits. Save each channel as its own file.")
    bits, form = int(all_bits[0]) if len(all_bits) else 1, int(formats[0]) if len(formats) else 1
    if form in (5, 6):
        raise ImageError("Its pixels are complex numbers, expected integers or reals. Save their magnitude instead.")
    if form == 3 and bits in (16, 32, 64):
        return bits, np.dtype(f"f{bits // 8}")
    if form == 2 and bits in (8, 16, 32, 64):
        return bits, np.dtype(f"i{bits // 8}")
    if form in (1, 4) and (1 <= bits <= 16 or bits in (32, 64)):
        return bits, np.dtype(f"u{1 if bits <= 8 else 2 if bits <= 16 else bits // 8}")
    raise ImageError(
        f"Its pixels are {bits}-bit of TIFF sample format {form}, expected integers of 1 to 16, 32 or 64 bits or "
        f"reals of 16, 32 or 64. Open it in Fiji, set Image > Type > 16-bit and save it as TIFF."
    )


def _kind(photometric: int, samples: int, extra: list[int]) -> tuple[str, bool]:
    """What the samples of a pixel mean, and whether the last of them is opacity."""
    if photometric == 3 and samples == 1:
        return "palette", False
    if photometric in (2, 6) and samples >= 3:
        return "rgb", samples > 3 and (1 in extra or 2 in extra)
    if photometric == 5 and samples >= 4:
        return "cmyk", False
    if photometric in (0, 1, 2, 4, 5) or (photometric == 3 and samples > 1):
        alpha = samples > 1 and bool(extra) and extra[-1] in (1, 2)
        return ("grey" if samples - alpha == 1 else "channels"), alpha
    raise ImageError(
        f"Its colours are stored as TIFF photometric interpretation {photometric}, expected grey, RGB, CMYK or a "
        f"palette. Open it in Fiji, set Image > Type > RGB Color and save it as TIFF."
    )
