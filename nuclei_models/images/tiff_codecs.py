"""A TIFF page's strips or tiles -> plain bytes. Uncompressed ones are read; Pillow's libtiff unpacks the others.

Pillow itself knows few kinds of pixel (no 16-bit RGB, no float16, no five channels). So a compressed page is handed to
it as what its bytes are to a codec: an 8-bit grey image as wide as a row has bytes. Only JPEG, which knows of colours,
is handed over as it is. libtiff stops at the stated size, so a few bytes that would unpack to gigabytes do no harm.
"""

import io
import struct

import numpy as np
from PIL.TiffImagePlugin import TiffImageFile

from . import tiff
from .series import ImageError
from .tiff import Layout, Page

_CODECS = {5: "LZW", 8: "Deflate", 32946: "Deflate", 32773: "PackBits", 34925: "LZMA", 50000: "Zstandard", 7: "JPEG"}
_OTHER_CODECS = {2: "CCITT fax", 3: "CCITT fax", 4: "CCITT fax", 6: "old-style JPEG", 34887: "LERC", 50001: "WebP"}
_OTHER_CODECS |= {22610: "JPEG XR", 33003: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000", 50002: "JPEG XL"}
_JPEG = 7
RESAVE = "Save it uncompressed or with LZW (Fiji: File > Save As > Tiff; large slides: QuPath's export)."
_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def unpack(page: Page, lay: Layout, plane: int, shift: int) -> np.ndarray:
    """The bytes of the samples that are stored together.

    Args:
        plane: Which sample, where each has a plane of its own; else 0.
        shift: Bytes from the page's own pixels to those wanted (planes without a page of their own).

    Returns:
        (H, bytes of a row), uint8, H and the row padded to whole tiles.

    Raises:
        ImageError: Cut short, damaged or of a compression that isn't read.
    """
    if lay.compression == 1:
        return _uncompressed(page, lay, plane, shift)
    return _jpeg(page, lay, plane) if lay.compression == _JPEG else _codec(page, lay, plane)


def _segments(page: Page, lay: Layout, plane: int) -> tuple[list[int], list[int]]:
    """Offsets and stored bytes of the strips or tiles of a plane, left to right and top to bottom."""
    if lay.tile:
        n = (lay.padded[0] // lay.tile[0]) * (lay.padded[1] // lay.tile[1])
    else:
        n = -(-lay.height // lay.rows_per_strip)
    offsets = page.values(tiff.TILE_OFFSETS if tiff.TILE_OFFSETS in page else tiff.STRIP_OFFSETS)
    counts = page.values(tiff.TILE_BYTE_COUNTS if tiff.TILE_BYTE_COUNTS in page else tiff.STRIP_BYTE_COUNTS)
    offsets, counts = offsets[plane * n : (plane + 1) * n], counts[plane * n : (plane + 1) * n]
    if len(offsets) != n or (lay.compression != 1 and len(counts) != n):
        raise ImageError(
            f"It is damaged: it lists {len(offsets)} of the {n} strips or tiles that {lay.width} x {lay.height} pixels "
            f"take. Export it again."
        )
    return offsets.tolist(), counts.tolist()


def _uncompressed(page: Page, lay: Layout, plane: int, shift: int) -> np.ndarray:
    height, width = lay.padded
    offsets, _ = _segments(page, lay, plane)
    across, step = (width // lay.tile[1], lay.tile[0]) if lay.tile else (1, lay.rows_per_strip)
    n_bytes = lay.row_bytes(width // across)
    data = np.empty((height, across * n_bytes), np.uint8)
    reverse = _bits_are_reversed(page)
    for i, offset in enumerate(offsets):
        top, left = i // across * step, i % across * n_bytes
        block = data[top : top + step, left : left + n_bytes]
        stored = tiff.read_exactly(page.file, page.file_size, offset + shift, block.size)
        stored = stored.translate(_REVERSED_BITS) if reverse else stored
        block[:] = np.frombuffer(stored, np.uint8).reshape(block.shape)
    return data


def _codec(page: Page, lay: Layout, plane: int) -> np.ndarray:
    """Unpacked as an 8-bit grey image."""
    height, width = lay.padded
    across = width // lay.tile[1] if lay.tile else 1
    n_bytes = lay.row_bytes(width // across)
    segments = _stored(page, lay, plane)
    if _bits_are_reversed(page):
        segments = [segment.translate(_REVERSED_BITS) for segment in segments]
    tile = (lay.tile[0], n_bytes) if lay.tile else None
    return _by_libtiff(lay, segments, across * n_bytes, height, 1, 1, tile)


def _jpeg(page: Page, lay: Layout, plane: int) -> np.ndarray:
    """Unpacked as an image of its colours; YCbCr becomes RGB."""
    height, width = lay.padded
    samples = lay.samples_together
    if lay.bits != 8 or samples not in (1, 3):
        raise ImageError(
            f"It is JPEG-compressed with {samples} samples of {lay.bits} bits, expected 1 or 3 of 8. {RESAVE}"
        )
    photometric = 1 if samples == 1 else 6 if lay.photometric == 6 else 2
    extra = {}
    if len(tables := page.values(tiff.JPEG_TABLES)):
        extra[tiff.JPEG_TABLES] = (7, tables.tolist())
    if photometric == 6 and len(subsampling := page.values(tiff.YCBCR_SUBSAMPLING)):
        extra[tiff.YCBCR_SUBSAMPLING] = (3, subsampling.tolist())
    segments = _stored(page, lay, plane)
    _check_frames(lay, segments)
    pixels = _by_libtiff(lay, segments, width, height, samples, photometric, lay.tile, extra)
    return pixels.reshape(height, width * samples)


def _check_frames(lay: Layout, segments: list[bytes]) -> None:
    """Each JPEG must be as large as its strip or tile: beside a smaller one libtiff leaves the memory as it was, which
    may hold somebody else's image."""
    for i, segment in enumerate(segments):
        high = lay.tile[0] if lay.tile else min(lay.rows_per_strip, lay.height - i * lay.rows_per_strip)
        wide = lay.tile[1] if lay.tile else lay.width
        height, width = _frame_size(segment)
        if not height or not width:
            raise ImageError(_cannot_unpack(lay))
        if height < high or width < wide:
            raise ImageError(
                f"It is damaged: a strip or tile of {wide} x {high} pixels holds a JPEG of {width} x {height}. Export "
                f"it again, or open it in Fiji and save it as TIFF."
            )


def _frame_size(jpeg: bytes) -> tuple[int, int]:
    """Height and width that a JPEG states; 0, 0 if it doesn't."""
    at = 2
    while at + 9 <= len(jpeg) and jpeg[at] == 0xFF:
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(jpeg[at + 5 : at + 7], "big"), int.from_bytes(jpeg[at + 7 : at + 9], "big")
        at += 1 if marker == 0xFF else 2 + length
    return 0, 0


def _stored(page: Page, lay: Layout, plane: int) -> list[bytes]:
    """The compressed strips or tiles of a plane."""
    if lay.compression not in _CODECS:
        name = _OTHER_CODECS.get(lay.compression, f"TIFF scheme {lay.compression}")
        known = ", ".join(dict.fromkeys(_CODECS.values()))
        raise ImageError(f"It is compressed with {name}; read are {known} and no compression. {RESAVE}")
    offsets, counts = _segments(page, lay, plane)
    if sum(counts) > page.file_size:
        raise ImageError(
            f"It is damaged or cut short: its pixels are said to take {sum(counts)} bytes, it has {page.file_size}. "
            f"Copy or download it again."
        )
    return [tiff.read_exactly(page.file, page.file_size, *where) for where in zip(offsets, counts, strict=True)]


def _bits_are_reversed(page: Page) -> bool:
    """Whether the first pixel of a byte is its lowest bit."""
    return page.number(tiff.FILL_ORDER, 1) == 2


def _by_libtiff(
    lay: Layout,
    segments: list[bytes],
    width: int,
    height: int,
    samples: int,
    photometric: int,
    tile: tuple[int, int] | None,
    extra: dict[int, tuple[int, list[int]]] | None = None,
) -> np.ndarray:
    """Wrap compressed strips or tiles in a little TIFF of one 8-bit page and let Pillow unpack it.

    Returns:
        (height, width) or (height, width, 3), uint8.
    """
    data = io.BytesIO(b"II*\0\0\0\0\0")
    data.seek(8)
    offsets = []
    for segment in segments:
        offsets.append(data.tell())
        data.write(segment)
    counts = [len(segment) for segment in segments]
    tags: dict[int, tuple[int, list[int]]] = {
        tiff.IMAGE_WIDTH: (4, [width]),
        tiff.IMAGE_LENGTH: (4, [height]),
        tiff.BITS_PER_SAMPLE: (3, [8] * samples),
        tiff.COMPRESSION: (3, [lay.compression]),
        tiff.PHOTOMETRIC: (3, [photometric]),
        tiff.SAMPLES_PER_PIXEL: (3, [samples]),
        **(extra or {}),
    }
    if tile:
        tags |= {tiff.TILE_LENGTH: (4, [tile[0]]), tiff.TILE_WIDTH: (4, [tile[1]])}
        tags |= {tiff.TILE_OFFSETS: (4, offsets), tiff.TILE_BYTE_COUNTS: (4, counts)}
    else:
        tags |= {tiff.ROWS_PER_STRIP: (4, [lay.rows_per_strip])}
        tags |= {tiff.STRIP_OFFSETS: (4, offsets), tiff.STRIP_BYTE_COUNTS: (4, counts)}
    _write_directory(data, tags)
    data.seek(0)
    try:
        with TiffImageFile(data) as image:
            image.load()
            return np.asarray(image)
    except OSError as error:
        raise ImageError(_cannot_unpack(lay)) from error


def _cannot_unpack(lay: Layout) -> str:
    return (
        f"Its {_CODECS[lay.compression]}-compressed pixels can't be unpacked: it is damaged or cut short. Copy or "
        f"download it again; if Fiji can open it, save it there uncompressed."
    )


def _write_directory(data: io.BytesIO, tags: dict[int, tuple[int, list[int]]]) -> None:
    """Write a page of little-endian tags at the end and point the file's header to it."""
    entries = b""
    for tag, (kind, values) in sorted(tags.items()):
        packed = struct.pack(f"<{len(values)}{ {3: 'H', 4: 'L', 7: 'B'}[kind] }", *values)
        if len(packed) > 4:
            position = data.tell()
            data.write(packed)
            packed = struct.pack("<L", position)
        entries += struct.pack("<HHL4s", tag, kind, len(values), packed)
    start = data.tell()
    data.write(struct.pack("<H", len(tags)) + entries + bytes(4))
    data.seek(4)
    data.write(struct.pack("<L", start))
