"""Files for `test_images*.py`, of kinds that no library at hand writes: TIFFs tag by tag and 16-bit PNGs."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

# TIFF field types by their number of bytes
_CODES = {1: "B", 2: "B", 3: "H", 4: "L", 5: "L", 7: "B", 11: "f", 12: "d"}
Tags = dict[int, tuple[int, list]]


def tiff_bytes(*pages: tuple[Tags, list[bytes]], order: str = "<") -> bytes:
    """A classic TIFF.

    Args:
        pages: For each its tags, tag -> (type, values), and its strips or tiles. Their offsets (273 or 324) and byte
            counts (279 or 325) are added unless they are given.
    """
    out = io.BytesIO((b"II*\0" if order == "<" else b"MM\0*") + bytes(4))
    pointer = 4
    out.seek(8)
    for given, segments in pages:
        offsets = []
        for segment in segments:
            offsets.append(out.tell())
            out.write(segment)
        names = (324, 325) if 322 in given else (273, 279)
        tags = {names[0]: (4, offsets), names[1]: (4, [len(s) for s in segments])} | given
        entries = b""
        for tag, (kind, values) in sorted(tags.items()):
            count = len(values) // 2 if kind == 5 else len(values)
            packed = struct.pack(f"{order}{len(values)}{_CODES[kind]}", *values)
            if len(packed) > 4:
                packed, where = struct.pack(order + "L", out.tell()), packed
                out.write(where)
            entries += struct.pack(order + "HHL", tag, kind, count) + packed.ljust(4, b"\0")
        directory = out.tell()
        out.write(struct.pack(order + "H", len(tags)) + entries)
        end = out.tell()
        out.write(bytes(4))
        out.seek(pointer)
        out.write(struct.pack(order + "L", directory))
        out.seek(0, 2)
        pointer = end
    return out.getvalue()


def ndpi_bytes(page: tuple[Tags, list[bytes]]) -> bytes:
    """Hamamatsu's TIFF: the next page's offset takes 8 bytes, and the upper halves of all values follow."""
    data = tiff_bytes((tags(2, 2), [bytes(4)]), page)  # the first leaves room for the upper half of an offset
    first = struct.unpack_from("<L", data, 4)[0]
    at = struct.unpack_from("<L", data, first + 2 + 12 * struct.unpack_from("<H", data, first)[0])[0]
    n = struct.unpack_from("<H", data, at)[0]
    return data[:4] + struct.pack("<L", len(data)) + data[8:] + data[at : at + 2 + 12 * n] + bytes(8) + bytes(4 * n)


def tags(width: int, height: int, bits: int = 8, samples: int = 1, photometric: int = 1, **more: tuple) -> Tags:
    """Tags of a page in strips; `more` are given as t317=(3, [2])."""
    base = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [bits] * samples),
        259: (3, [1]),
        262: (3, [photometric]),
        277: (3, [samples]),
        278: (4, [height]),
    }
    return base | {int(name[1:]): value for name, value in more.items()}


def lzw(data: bytes) -> bytes:
    """Compressed by Pillow, as the only strip of a grey image, and taken out of its TIFF."""
    file = io.BytesIO()
    Image.frombytes("L", (len(data), 1), data).save(file, "TIFF", compression="tiff_lzw")
    with Image.open(file) as image:
        (offset,), (count,) = image.tag_v2[273], image.tag_v2[279]
    return file.getvalue()[offset : offset + count]


def float_predicted(block: np.ndarray) -> bytes:
    """TIFF's predictor 3 of one strip or tile: (H, W, S), float."""
    height, width, samples = block.shape
    highest_first = block.astype(block.dtype.newbyteorder(">")).view(np.uint8).reshape(height, width * samples, -1)
    rows = highest_first.swapaxes(1, 2).reshape(height, -1, samples)
    return np.diff(rows, axis=1, prepend=np.uint8(0)).tobytes()


def png_bytes(pixels: np.ndarray, size: tuple[int, int] | None = None) -> bytes:
    """A 16-bit PNG of (H, W, C), C being 1 grey, 2 grey and alpha, 3 RGB or 4 RGBA; rows are filtered in turn by none,
    "sub" and "up". `size`, (width, height), is what its header claims."""
    height, width, channels = pixels.shape
    rows = pixels.astype(">u2").view(np.uint8).reshape(height, -1)
    data = b""
    for i, row in enumerate(rows):
        before = np.zeros_like(row)
        if i % 3 == 1:
            before[2 * channels :] = row[: -2 * channels]
        elif i % 3 == 2:
            before = rows[i - 1]
        data += bytes([i % 3]) + (row - before).tobytes()
    header = struct.pack(">LLBBBBB", *(size or (width, height)), 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b""))
    packed = (struct.pack(">L", len(d)) + name + d + struct.pack(">L", zlib.crc32(name + d)) for name, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)
