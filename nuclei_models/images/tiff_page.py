"""A TIFF page, or any window of it -> samples as stored: only the strips or tiles that a window touches are read.

tifffile says how a page is stored and unpacks, with imagecodecs. Here sizes are compared with the file's before
anything is read, and nothing is unpacked to more than its strip or tile has room for.
"""

import io
import math
import zlib
from collections.abc import Sequence
from typing import BinaryIO

import imagecodecs
import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from tifffile import TiffPage

from .series import MAX_PIXELS, ImageError
from .tiff_walk import DAMAGED, read_exactly

# compressions of bytes, which know of no picture and can't write more than they are told
BYTES = {1: "no", 5: "LZW", 8: "Deflate", 32946: "Deflate", 32773: "PackBits", 34925: "LZMA", 50000: "Zstandard"}
JPEG, APERIO_YCC, LERC = 7, 33003, 34887
_NAMES = BYTES | {JPEG: "JPEG", 6: "old-style JPEG", LERC: "LERC", 22610: "JPEG XR", 50001: "WebP", 50002: "JPEG XL"}
_NAMES |= dict.fromkeys((APERIO_YCC, 33005, 34712), "JPEG 2000") | dict.fromkeys((2, 3, 4), "CCITT fax")
_LERC_PARAMETERS = 50674
_SMALL = 1 << 24  # pixels of padding that are no harm
_AT_ONCE = 1 << 20  # bytes that are read whole sooner than row by row
MAX_SAMPLES = 1024
RESAVE = "Save it uncompressed or with LZW (Fiji: File > Save As > Tiff; large slides: QuPath's export)."


class PageWindows:
    """Reads windows of the samples of one page.

    Attributes:
        samples: Of a pixel.
        stored: Their type, native byte order; bool for one bit.

    Args:
        size: Of the file.
        shift: Bytes from the page's own pixels to those wanted (planes without a page of their own).

    Raises:
        ImageError: It is no image of numbers.
    """

    def __init__(self, page: TiffPage, file: BinaryIO, size: int, shift: int = 0):
        self.page, self.file, self.size, self.shift = page, file, size, shift
        self.separate, depth, self.height, self.width, self.together = map(int, page.shaped)
        self.samples = self.separate * self.together
        if self.height < 1 or self.width < 1 or not 1 <= self.samples <= MAX_SAMPLES:
            raise ImageError(
                f"It says that it is {page.imagewidth} x {page.imagelength} pixels of {page.samplesperpixel} samples, "
                f"expected at least 1 x 1 and at most {MAX_SAMPLES} samples. {DAMAGED}"
            )
        if depth > 1:
            raise ImageError("It holds a volume in one page. Open it in Fiji and save it as TIFF.")
        self.stored = _sample_type(page)
        self.bytes_per_pixel = self.samples * self.stored.itemsize
        self.compression = _NAMES.get(page.compression, f"TIFF scheme {int(page.compression)}")
        if page.photometric == 6 and page.compression in BYTES:
            raise ImageError(f"Its colours are YCbCr without JPEG compression, which isn't read. {RESAVE}")
        if page.predictor == 3 and self.stored.kind != "f" and page.compression != 1:
            raise ImageError(f"It is compressed with predictor 3 on {self.stored} pixels, which isn't read. {RESAVE}")
        strip = int(page.rowsperstrip), self.width
        self.tile = (int(page.tilelength), int(page.tilewidth)) if page.is_tiled else strip
        if min(self.tile) < 1:
            raise ImageError(f"Its strips or tiles are {self.tile} (height, width), expected at least 1. {DAMAGED}")
        self.grid = -(-self.height // self.tile[0]), -(-self.width // self.tile[1])
        if page.is_tiled and math.prod(self.grid) * math.prod(self.tile) > 4 * self.width * self.height + _SMALL:
            raise ImageError(
                f"Its tiles of {self.tile} (height, width) are far larger than its {self.width} x {self.height} "
                f"pixels. {DAMAGED}"
            )
        self._last: tuple[int, np.ndarray] | None = None  # a strip: the next window often wants the same

    def stored_window(self, rows: slice, cols: slice, sample: int | None) -> np.ndarray:
        """(h, w, samples), or (h, w, 1) of one sample. The window lies within the page.

        Raises:
            ImageError: Cut short, damaged, of a kind that isn't read, or stored in so large strips that a window can't
                be had without most of the page.
        """
        planes: Sequence[int] = range(self.separate) if sample is None or self.separate == 1 else [sample]
        inner = slice(None) if sample is None or self.separate > 1 else slice(sample, sample + 1)
        n = self.together if inner == slice(None) else 1
        out = np.zeros((rows.stop - rows.start, cols.stop - cols.start, n * len(planes)), self.stored)
        tall, wide = self.tile
        down = range(rows.start // tall, -(-rows.stop // tall))
        across = range(cols.start // wide, -(-cols.stop // wide))
        touched = [(i, r, c, (plane * self.grid[0] + r) * self.grid[1] + c)
                   for i, plane in enumerate(planes) for r in down for c in across]  # fmt: skip
        self._check_counts([number for *_, number in touched])
        for i, r, c, number in touched:
            y, x = r * tall, c * wide
            part = slice(max(rows.start - y, 0), min(rows.stop - y, tall))
            span = slice(max(cols.start - x, 0), min(cols.stop - x, wide))
            block = self._segment(number, min(tall, self.height - y), part, span)
            if block is not None:
                target = out[y + part.start - rows.start :, x + span.start - cols.start :, i * n : (i + 1) * n]
                target[: block.shape[0], : block.shape[1]] = block[..., inner]
        return out

    def _check_counts(self, touched: list[int]) -> None:
        offsets, counts, n = self.page.dataoffsets, self.page.databytecounts, math.prod(self.grid) * self.separate
        plain = self.page.compression == 1
        listed = len(offsets) if plain else min(len(offsets), len(counts))
        if listed < n:
            raise ImageError(
                f"It is damaged: it lists {listed} of the {n} strips or tiles that {self.width} x {self.height} pixels "
                f"take. Export it again."
            )
        stated = 0 if plain else sum(int(counts[number]) for number in touched)
        if stated > self.size:
            raise ImageError(
                f"It is damaged or cut short: its pixels are said to take {stated} bytes, it has {self.size}. Copy or "
                f"download it again."
            )

    def _segment(self, number: int, tall: int, part: slice, span: slice) -> np.ndarray | None:
        """Rows `part` and columns `span` of a strip or tile of at least `tall` rows: (h, w, together).
        `None` if it is empty, which is zeros."""
        page, plain = self.page, self.page.compression == 1
        offset = int(page.dataoffsets[number])
        count = int(page.databytecounts[number]) if number < len(page.databytecounts) else 0
        if offset == 0 or (count == 0 and not plain):
            return None
        if plain:
            return self._unpacked(offset + self.shift, number, tall, part, span)
        if self._last is None or self._last[0] != number:
            if tall * self.tile[1] > MAX_PIXELS:
                raise ImageError(
                    f"Its pixels are compressed in strips of {tall:,} rows of {self.width:,} pixels, so that no part "
                    f"of it can be read without {tall * self.width / 1e6:,.0f} megapixels: save it in tiles (QuPath: "
                    f"Export > OME-TIFF), or uncompressed."
                )
            self._last = None
            self._last = number, self._decoded(self._bytes(offset, count), number, tall)
        return self._last[1][part, span]

    def _bytes(self, offset: int, n: int) -> bytes:
        return read_exactly(self.file, self.size, offset, n)

    def _rows(self, tall: int) -> int:
        """Of a strip or tile as it is stored, of which `tall` are in the image."""
        return self.tile[0] if self.page.is_tiled else tall

    def _row_bytes(self, width: int) -> int:
        return -(-width * self.together * int(self.page.bitspersample) // 8)

    def _unpacked(self, offset: int, number: int, tall: int, part: slice, span: slice) -> np.ndarray:
        """Of an uncompressed strip or tile the rows that are wanted; of long rows only the columns that are."""
        wide, stride, n_rows = self.tile[1], self._row_bytes(self.tile[1]), part.stop - part.start
        if self.page.bitspersample % 8 or self.page.fillorder == 2:
            return self._by_tifffile(self._bytes(offset, self._rows(tall) * stride), number)[part, span]
        offset += part.start * stride
        stored = self.stored.newbyteorder(self.page.parent.byteorder)
        if 2 * (span.stop - span.start) > wide or n_rows * stride < _AT_ONCE:
            data = np.frombuffer(self._bytes(offset, n_rows * stride), stored)
            return data.reshape(n_rows, wide, self.together)[:, span]
        offset, n = offset + self._row_bytes(span.start), self._row_bytes(span.stop - span.start)
        data = np.frombuffer(b"".join(self._bytes(offset + y * stride, n) for y in range(n_rows)), stored)
        return data.reshape(n_rows, -1, self.together)

    def _decoded(self, data: bytes, number: int, tall: int) -> np.ndarray:
        """A compressed strip or tile, (height, width, together)."""
        page, size = self.page, self._rows(tall) * self._row_bytes(self.tile[1])
        try:
            if page.compression == JPEG:
                self._check_jpeg((page.jpegheader or b"") + data, tall)
            if page.compression == LERC:
                data = _plain_lerc(data, page, 2 * size + _SMALL)
            try:
                block = self._by_tifffile(data, number)
            except Exception:
                if self.compression != "Deflate":
                    raise
                # some programs fill the last strip up, and libdeflate takes no more than there is room for
                block = self._by_tifffile(zlib.compress(zlib.decompressobj().decompress(data, size), 0), number)
        except (ImageError, MemoryError):
            raise
        except Exception as error:
            raise ImageError(
                f"Its {self.compression}-compressed pixels can't be unpacked: it is damaged, cut short or of a rare "
                f"kind. Copy or download it again; if Fiji can open it, save it there uncompressed."
            ) from error
        if block.shape[0] < tall or block.shape[2] != self.together:
            raise ImageError(f"It is damaged: a strip or tile of {tall} rows holds {block.shape[0]}. {DAMAGED}")
        return block

    def _by_tifffile(self, data: bytes, number: int) -> np.ndarray:
        page = self.page
        jpeg = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader} if page.compression == JPEG else {}
        block: np.ndarray = page.decode(data, number, **jpeg)[0][0]  # type: ignore[index]
        if page.compression == APERIO_YCC and block.dtype == np.uint8 and self.together == 3:
            block = np.asarray(Image.fromarray(np.ascontiguousarray(block), "YCbCr").convert("RGB"))
        return block

    def _check_jpeg(self, data: bytes, tall: int) -> None:
        """Each JPEG must be as large as its strip or tile: another size would be unpacked before it is noticed."""
        if self.page.bitspersample != 8:
            bits = self.page.bitspersample
            raise ImageError(f"It is JPEG-compressed with samples of {bits} bits, expected 8. {RESAVE}")
        width, height = JpegImageFile(io.BytesIO(data)).size
        expected = self._rows(tall)
        if (height, width) != (0, 0) and not (expected <= height <= self.tile[0] and width == self.tile[1]):
            raise ImageError(
                f"It is damaged: a strip or tile of {self.tile[1]} x {expected} pixels holds a JPEG of {width} x "
                f"{height}. {DAMAGED}"
            )


def _plain_lerc(data: bytes, page: TiffPage, size: int) -> bytes:
    """Without the compression around it that GDAL may add."""
    around = (page.tags.valueof(_LERC_PARAMETERS) or (0, 0))[1]
    if around == 1:
        return zlib.decompressobj().decompress(data, size)
    return bytes(imagecodecs.zstd_decode(data, out=size)) if around == 2 else data


def _sample_type(page: TiffPage) -> np.dtype:
    bits, form = page.bitspersample, page.sampleformat
    if not isinstance(bits, int) or not isinstance(form, int):
        raise ImageError(f"Its channels differ in type: {bits} bits. Save each channel as its own file.")
    if form in (5, 6):
        raise ImageError("Its pixels are complex numbers, expected integers or reals. Save their magnitude instead.")
    if page.dtype is None or page.dtype.kind not in "buif" or (form == 3 and bits not in (16, 32, 64)):
        raise ImageError(
            f"Its pixels are {bits}-bit of TIFF sample format {int(form)}, expected integers of 1 to 16, 32 or 64 bits "
            f"or reals of 16, 32 or 64. Open it in Fiji, set Image > Type > 16-bit and save it as TIFF."
        )
    return np.dtype(page.dtype).newbyteorder("=")
