"""A TIFF page, or any window of it -> pixels: only the strips or tiles that a window touches are read.

tifffile says how a page is stored and unpacks, with imagecodecs. Here sizes are compared with the file's before
anything is read, and nothing is unpacked to more than its strip or tile has room for.
"""

import io
import math
import zlib
from collections.abc import Sequence
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from tifffile import TiffPage

from .series import MAX_PIXELS, ImageError
from .tiff_walk import read_exactly

# of bytes, which know of no picture and can't write more than they are told: LZW, Deflate, PackBits, LZMA, Zstandard
BYTES = {1, 5, 8, 32946, 32773, 34925, 50000}
JPEG, APERIO_YCC, LERC = 7, 33003, 34887
_LERC_PARAMETERS = 50674
_SMALL = 1 << 24  # pixels of padding that are no harm
MAX_SAMPLES = 1024


class Page:
    """Reads a page, or windows of it.

    Attributes:
        height, width, dtype, is_rgb: Of what `read` gives.
        bytes_per_pixel: As stored.
        kind: "grey", "rgb", "cmyk", "palette" or "channels".
        n_channels: Channels to choose from; 1 for colour.
        notes: Sentences for the user.

    Args:
        size: Of the file.
        shift: Bytes from the page's own pixels to those wanted (planes without a page of their own).
        as_stored: Whether a palette only colours a grey image for the eye, and white as zero only shows it inverted, as
            in ImageJ.

    Raises:
        ImageError: It is no image of numbers, or of a kind that isn't read.
    """

    def __init__(self, page: TiffPage, file: BinaryIO, size: int, shift: int = 0, as_stored: bool = False):
        self.page, self.file, self.size, self.shift = page, file, size, shift
        self.separate, _, self.height, self.width, self.together = map(int, page.shaped)
        samples, photometric = self.separate * self.together, int(page.photometric)
        self.kind, self.alpha = _kind(photometric, samples, tuple(page.extrasamples or ()))
        self.tile = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, self.width)
        wrong = next((what for what, is_so in _refused(page, self.kind, self.tile).items() if is_so), "")
        if wrong:
            raise ImageError(f"It {wrong}. Open it in Fiji and save it as TIFF, uncompressed.")
        self.grid = -(-self.height // self.tile[0]), -(-self.width // self.tile[1])
        self.stored = np.dtype(page.dtype).newbyteorder("=")
        self.bytes_per_pixel = samples * self.stored.itemsize
        self.palette = _palette(page) if self.kind == "palette" and not as_stored else None
        self.n_channels = samples - self.alpha if self.kind == "channels" else 1
        self.is_rgb = self.kind in ("rgb", "cmyk") or (self.palette is not None and self.palette.ndim == 2)
        self.dtype = self.stored if self.palette is None and self.stored.kind != "b" else np.dtype(np.uint8)
        white_is_zero = photometric == 0 and self.stored.kind in "ub"
        self.inverted = white_is_zero and not as_stored
        more = samples - self.alpha - 3 if self.kind == "rgb" else 0
        notes = {
            f"It has {more} more channels beside red, green and blue: they are ignored.": more,
            "Its CMYK colours were converted to RGB.": self.kind == "cmyk",
            "Its colour table only colours grey values for the eye: the values beneath are used.": (
                self.kind == "palette" and self.palette is None
            ),
            "Its lookup table shows 0 as white: the values beneath are used as they are.": white_is_zero and as_stored,
            "It is stored with 0 as white: it was inverted.": self.inverted,
            "It asks to be shown turned or mirrored (TIFF orientation): it is left as stored, as in Fiji.": (
                page.tags.valueof(274, 1) != 1
            ),
        }
        self.notes = [note for note, is_so in notes.items() if is_so]
        if page.compression == 1:
            page.predictor = 1  # it means nothing then
        self._last: tuple[int, Any] = -1, None  # a strip or tile: the next window often wants the same

    def read(self, rows: slice, cols: slice, channel: int = 0) -> tuple[np.ndarray, list[str]]:
        """(h, w) of a channel or (h, w, 3) colour, and sentences for the user. The window lies within the page.

        Raises:
            ImageError: Cut short, damaged, or stored in so large strips that a window can't be had without most of the
                page.
        """
        samples, notes = self._samples(rows, cols, channel if self.kind == "channels" else None), list[str]()
        bits, number = self.page.bitspersample, self.stored.kind
        if number == "b" and self.palette is None:
            samples = samples * np.uint8(255)
        top = {"b": 255, "u": (1 << bits) - 1, "i": (1 << bits - 1) - 1, "f": 1}[number]
        if self.alpha and self.kind != "channels" and (samples[..., -1] != top).any():
            notes.append("It has transparent parts: the transparency is ignored.")
        if self.kind == "rgb":
            return samples[..., :3], notes
        if self.kind == "cmyk":
            image = Image.fromarray(np.ascontiguousarray(samples[..., :4]), "CMYK")
            return np.asarray(image.convert("RGB")), notes
        grey = samples[..., 0]
        if self.palette is not None:
            return self.palette[grey.astype(np.uint16)], notes
        return grey.dtype.type(top) - grey if self.inverted else grey, notes

    def _samples(self, rows: slice, cols: slice, channel: int | None) -> np.ndarray:
        """(h, w, samples), or (h, w, 1) of one channel, as stored."""
        page, n_parts = self.page, math.prod(self.grid) * self.separate
        if len(page.dataoffsets) < n_parts:
            raise ImageError(
                f"It is damaged: it lists {len(page.dataoffsets)} of the {n_parts} strips or tiles that {self.width} x "
                f"{self.height} pixels take. Export it again."
            )
        planes: Sequence[int] = range(self.separate) if channel is None or self.separate == 1 else [channel]
        inner = slice(None) if channel is None or self.separate > 1 else slice(channel, channel + 1)
        if page.is_contiguous and page.dataoffsets[0] and page.fillorder == 1:
            parts = [self._plain(plane, rows, cols)[..., inner] for plane in planes]
            return np.concatenate(parts, axis=-1, dtype=self.stored)
        n = self.together if channel is None or self.separate > 1 else 1
        out = np.zeros((rows.stop - rows.start, cols.stop - cols.start, n * len(planes)), self.stored)
        tall, wide = self.tile
        down, across = (range(s.start // k, -(-s.stop // k)) for s, k in ((rows, tall), (cols, wide)))
        touched = [(i, r, c, (plane * self.grid[0] + r) * self.grid[1] + c)
                   for i, plane in enumerate(planes) for r in down for c in across]  # fmt: skip
        stated = 0 if page.compression == 1 else sum(int(page.databytecounts[number]) for *_, number in touched)
        if stated > self.size:
            raise ImageError(
                f"It is damaged or cut short: its pixels are said to take {stated} bytes, it has {self.size}. Copy or "
                f"download it again."
            )
        for i, r, c, number in touched:
            block = self._block(number)
            if block is not None:
                top, left = max(rows.start, r * tall), max(cols.start, c * wide)
                block = block[top - r * tall : rows.stop - r * tall, left - c * wide : cols.stop - c * wide, inner]
                target = out[top - rows.start :, left - cols.start :, i * n : (i + 1) * n]
                target[: block.shape[0], : block.shape[1]] = block
        return out

    def _plain(self, plane: int, rows: slice, cols: slice) -> np.ndarray:
        """Pixels of an uncompressed page, row by row unless whole rows are wanted."""
        pixel, n_rows = self.together * self.stored.itemsize, rows.stop - rows.start
        start = ((plane * self.height + rows.start) * self.width + cols.start) * pixel
        step, part = self.width * pixel, (cols.stop - cols.start) * pixel
        n_reads, n_bytes = (1, n_rows * step) if part == step else (n_rows, part)
        offset = int(self.page.dataoffsets[0]) + self.shift + start
        data = b"".join(self._bytes(offset + i * step, n_bytes) for i in range(n_reads))
        stored = self.stored.newbyteorder(self.page.parent.byteorder)
        return np.frombuffer(data, stored).reshape(n_rows, -1, self.together)

    def _bytes(self, offset: int, n: int) -> bytes:
        return read_exactly(self.file, self.size, offset, n)

    def _block(self, number: int) -> np.ndarray | None:
        """A strip or tile: (h, w, together). `None` if it is empty, which is zeros."""
        page, plain, offset = self.page, self.page.compression == 1, int(self.page.dataoffsets[number])
        count = 0 if plain else int(page.databytecounts[number])
        if not offset or not (count or plain):
            return None
        if self._last[0] != number:
            self._last = -1, None
            try:
                _, tall, wide, n = page.decode(None, number)[2]
                padded = math.prod(self.grid) * math.prod(self.tile) if page.is_tiled else 0
                if tall * wide > MAX_PIXELS or padded > 4 * self.width * self.height + _SMALL:
                    raise ImageError(
                        f"Its pixels are stored in strips or tiles of {tall, wide} (height, width), too large for part "
                        f"of its {self.width} x {self.height} pixels to be read: save it in tiles (QuPath: Export > "
                        f"OME-TIFF), or uncompressed."
                    )
                room = tall * -(-wide * n * page.bitspersample // 8)
                data = self._bytes(offset + self.shift, room if plain else count)
                self._last = number, self._decoded(data, number, tall, room)
            except (ImageError, MemoryError):
                raise
            except Exception as error:
                packing = getattr(page.compression, "name", page.compression or "an unknown scheme")
                raise ImageError(
                    f"Its pixels can't be unpacked from {packing}: it is damaged, cut short or of a rare kind. Copy or "
                    f"download it again; if Fiji can open it, save it there uncompressed."
                ) from error
        return self._last[1]

    def _decoded(self, data: bytes, number: int, tall: int, room: int) -> np.ndarray:
        """A strip or tile of so many rows and bytes, unpacked."""
        page, tables = self.page, {"jpegtables": self.page.jpegtables, "jpegheader": self.page.jpegheader}
        if page.compression == JPEG:  # one of another size would be unpacked before it is noticed
            width, height = JpegImageFile(io.BytesIO((page.jpegheader or b"") + data)).size
            if (height, width) != (0, 0) and not (tall <= height <= self.tile[0] and width == self.tile[1]):
                raise ImageError(
                    f"It is damaged: a strip or tile of {self.tile[1]} x {tall} pixels holds a JPEG of {width} x "
                    f"{height}. Export it again, or open it in Fiji and save it as TIFF."
                )
        around = (page.tags.valueof(_LERC_PARAMETERS) or (0, 0))[1] if page.compression == LERC else 0
        if around:  # a second compression, which GDAL may add
            unpack = imagecodecs.zlib_decode if around == 1 else imagecodecs.zstd_decode
            data = bytes(unpack(data, out=2 * room + _SMALL))
        try:
            block: np.ndarray = page.decode(data, number, **tables)[0][0]  # type: ignore[index]
        except Exception:
            if page.compression not in (8, 32946):
                raise
            # some programs fill the last strip up, and libdeflate takes no more than there is room for
            data = zlib.compress(zlib.decompressobj().decompress(data, room), 0)
            block = page.decode(data, number, **tables)[0][0]  # type: ignore[index]
        if page.compression == APERIO_YCC and block.dtype == np.uint8 and self.together == 3:
            block = np.asarray(Image.fromarray(np.ascontiguousarray(block), "YCbCr").convert("RGB"))
        return block


def _kind(photometric: int, samples: int, extra: tuple[int, ...]) -> tuple[str, bool]:
    """What the samples of a pixel mean, and whether the last of them is opacity."""
    if photometric == 3 and samples == 1:
        return "palette", False
    if photometric in (2, 6) and samples >= 3:
        return "rgb", samples > 3 and (1 in extra or 2 in extra)
    if photometric == 5 and samples >= 4:
        return "cmyk", False
    alpha = samples > 1 and bool(extra) and extra[-1] in (1, 2)
    return "" if photometric > 5 else "grey" if samples - alpha == 1 else "channels", alpha


def _refused(page: TiffPage, kind: str, tile: tuple[int, int]) -> dict[str, bool]:
    """What is refused, and whether this page is it."""
    bits = page.bitspersample if isinstance(page.bitspersample, int) else 0  # else they differ
    form = page.sampleformat if isinstance(page.sampleformat, int) else 0
    number, samples = (page.dtype or np.dtype("V")).kind, page.shaped[0] * page.shaped[4]
    table = 0 if page.colormap is None else np.size(page.colormap)
    return {
        f"says that it is {page.imagewidth} x {page.imagelength} pixels of {page.samplesperpixel} samples, expected at "
        f"least 1 x 1 and at most {MAX_SAMPLES} samples": min(page.shaped) < 1 or samples > MAX_SAMPLES,
        "holds a volume in one page": page.shaped[1] > 1,
        f"says that its strips or tiles are {tile} (height, width), expected at least 1": min(tile) < 1,
        f"has samples of {page.bitspersample} bits of TIFF sample format {page.sampleformat}, expected integers of 1 "
        f"to 16, 32 or 64 bits or reals of 16, 32 or 64, all alike; no complex numbers": (
            number not in "buif" or not bits or not form or (form == 3 and bits not in (16, 32, 64))
        ),
        f"has colours of TIFF photometric interpretation {page.photometric}, expected grey, RGB, CMYK or a palette": (
            not kind
        ),
        f"has a palette of {table} numbers, expected {3 << min(bits, 16)}": (
            kind == "palette" and (number not in "ub" or table != 3 << min(bits, 17))
        ),
        f"has CMYK colours of {bits} bits, expected 8": kind == "cmyk" and bits != 8,
        "has YCbCr colours without JPEG compression": page.photometric == 6 and page.compression in BYTES,
        f"is JPEG-compressed with samples of {bits} bits, expected 8": page.compression == JPEG and bits != 8,
        "is compressed with predictor 3 on integers": page.predictor == 3 and form != 3 and page.compression != 1,
    }


def _palette(page: TiffPage) -> np.ndarray | None:
    """(n, 3) or, if all are grey, (n,), uint8. `None` if all colours rise: then it only colours values for the eye."""
    colours = np.asarray(page.colormap).reshape(3, -1).T.astype(np.uint16)
    if (np.diff(colours.astype(np.int32), axis=0) >= 0).all():
        return None
    colours = (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8)
    return colours[:, 0] if (colours == colours[:, :1]).all() else colours
