"""Zeiss CZI and Leica LIF written byte by byte, as their makers' specifications have them."""

import struct
from collections.abc import Callable, Iterable

import numpy as np

Tile = tuple[dict[str, int], np.ndarray]


def czi_bytes(
    tiles: Iterable[Tile],
    xml: str = "",
    pack: Callable[[np.ndarray], bytes] = lambda pixels: pixels.tobytes(),
    compression: int = 0,
) -> bytes:
    """A CZI.

    Args:
        tiles: Where each begins, as {"X": 0, "Y": 0, "C": 1}, and its pixels, (h, w) uint16 or (h, w, 3) BGR uint8. One
            that says "stored" is of a pyramid: it covers that many times its own width and height.
    """
    out, entries = bytearray(_segment(b"ZISRAWFILE", bytes(512))), []
    for start, pixels in tiles:
        where = len(out)
        factor = start.get("stored", 1)
        sizes = {"X": pixels.shape[1], "Y": pixels.shape[0]}
        dims = b""
        for axis, at in start.items():
            if axis != "stored":
                size = sizes.get(axis, 1)
                dims += struct.pack("<4siifi", axis.encode(), at, size * (factor if axis in sizes else 1), 0.0, size)
        kind = {np.dtype("u1"): 3 if pixels.ndim == 3 else 0, np.dtype("u2"): 1}[pixels.dtype]
        head = struct.pack("<2siqiiBB4si", b"DV", kind, where, 0, compression, factor > 1, 0, b"", len(dims) // 20)
        entries.append(head + dims)
        data = pack(pixels)
        body = struct.pack("<iiq", 0, 0, len(data)) + head + dims
        out += _segment(b"ZISRAWSUBBLOCK", body.ljust(256, b"\0") + data)
    directory = len(out)
    out += _segment(b"ZISRAWDIRECTORY", struct.pack("<i", len(entries)).ljust(128, b"\0") + b"".join(entries))
    metadata = len(out)
    out += _segment(b"ZISRAWMETADATA", struct.pack("<ii", len(xml.encode()), 0).ljust(256, b"\0") + xml.encode())
    header = struct.pack("<iiii16s16siqqiq", 1, 0, 0, 0, b"a" * 16, b"a" * 16, 0, directory, metadata, 0, 0)
    out[32 : 32 + len(header)] = header
    return bytes(out)


def _segment(name: bytes, data: bytes) -> bytes:
    data += bytes(-len(data) % 32)
    return struct.pack("<16sqq", name, len(data), len(data)) + data


def lif_bytes(images: dict[str, np.ndarray], step: float = 0.5) -> bytes:
    """A LIF.

    Args:
        images: By name, (T, Z, C, Y, X) uint16.
        step: Size of a pixel, micrometres.
    """
    elements, blocks = "", b""
    for number, (name, stack) in enumerate(images.items()):
        t, z, c, height, width = stack.shape
        plane = 2 * height * width
        channels = "".join(
            f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="16" NameOfMeasuredQuantity="" Min="0" '
            f'Max="65535" Unit="" LUTName="Green" IsLUTInverted="0" BytesInc="{plane * i}" BitInc="0"/>'
            for i in range(c)
        )
        sizes = {1: (width, 2), 2: (height, 2 * width), 3: (z, plane * c), 4: (t, plane * c * z)}
        dimensions = "".join(
            f'<DimensionDescription DimID="{axis}" NumberOfElements="{n}" Origin="0" Length="{(n - 1) * step * 1e-6}" '
            f'Unit="m" BytesInc="{step_bytes}" BitInc="0"/>'
            for axis, (n, step_bytes) in sizes.items()
        )
        elements += (
            f'<Element Name="{name}" UniqueID="{number}"><Data><Image><ImageDescription><Channels>{channels}</Channels>'
            f"<Dimensions>{dimensions}</Dimensions></ImageDescription></Image></Data>"
            f'<Memory Size="{stack.nbytes}" MemoryBlockID="MemBlock_{number}"/><Children/></Element>'
        )
        label = f"MemBlock_{number}".encode("utf-16-le")
        blocks += struct.pack("<IIBQBI", 0x70, len(label) + 14, 0x2A, stack.nbytes, 0x2A, len(label) // 2) + label
        blocks += stack.astype("<u2").tobytes()
    xml = (
        f'<LMSDataContainerHeader Version="2"><Element Name="x" UniqueID="x"><Children>{elements}</Children></Element>'
        "</LMSDataContainerHeader>"
    ).encode("utf-16-le")
    return struct.pack("<IIBI", 0x70, len(xml) + 5, 0x2A, len(xml) // 2) + xml + blocks
