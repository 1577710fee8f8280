"""Zeiss CZI, Leica LIF and Nikon ND2 written byte by byte, as their makers' specifications have them."""

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


def nd2_bytes(stack: np.ndarray, names: tuple[str, ...], step: float | None = 0.5) -> bytes:
    """An ND2 of version 2.1, whose descriptions are XML.

    Args:
        stack: (positions, Z, C, Y, X) uint16.
        names: Of the channels.
        step: Size of a pixel, micrometres; `None` where nobody measured it.
    """
    n_positions, n_z, n_channels, height, width = stack.shape
    z_loop = {"eType": 4, "uLoopPars": {"uiCount": n_z, "dZStep": 1.0}}
    points = {f"i{i:010}": {"dPosX": float(i), "dPosY": 0.0} for i in range(n_positions)}
    loops = {"eType": 2, "uLoopPars": {"Points": points}, "ppNextLevelEx": {"i0000000000": z_loop}}
    sizes = {"uiWidth": width, "uiWidthBytes": 2 * width * n_channels, "uiHeight": height, "uiComp": n_channels}
    sizes |= {"uiBpcInMemory": 16, "uiBpcSignificant": 16, "uiSequenceCount": n_positions * n_z, "eCompression": 2}
    dye = {name: {"uiCount": 0} for name in ("m_ExcitationSpectrum", "m_EmissionSpectrum")}
    channels = {f"a{i}": {"sDescription": name, "pFluorescentProbe": dye} for i, name in enumerate(names)}
    planes = {"uiCount": n_channels, "sPlaneNew": channels}
    about = {"bCalibrated": step is not None, "dCalibration": step or 0.0, "sPicturePlanes": planes}
    chunks = [(b"ImageAttributes!", _variant(sizes)), (b"ImageMetadata!", _variant(loops))]
    chunks += [(b"ImageMetadataSeq|0!", _variant(about))]
    frames = np.moveaxis(stack, 2, -1).reshape(-1, height, width, n_channels).astype("<u2")
    chunks += [(f"ImageDataSeq|{i}!".encode(), bytes(8) + frame.tobytes()) for i, frame in enumerate(frames)]
    out = bytearray(_chunk(b"ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver2.1".ljust(64, b"\0"), 32))
    places = b""
    for name, data in chunks:
        places += name + struct.pack("<QQ", len(out), len(data))
        out += _chunk(name, data, 4072)
    end = b"ND2 CHUNK MAP SIGNATURE 0000001!" + struct.pack("<Q", len(out))
    return bytes(out) + _chunk(b"ND2 FILEMAP SIGNATURE NAME 0001!", places + end, 32)


def _chunk(name: bytes, data: bytes, reserved: int) -> bytes:
    return struct.pack("<IIQ", 0x0ABECEDA, reserved, len(data)) + name.ljust(reserved, b"\0") + data


def _variant(values: dict) -> bytes:
    """Nikon's XML of nested values."""

    def element(name: str, value: object) -> str:
        if isinstance(value, dict):
            inner = "".join(element(*item) for item in value.items())
            return f'<{name} runtype="CLxListVariant">{inner}</{name}>'
        kinds = {bool: "bool", int: "lx_uint32", float: "double", str: "CLxStringW"}
        return f'<{name} runtype="{kinds[type(value)]}" value="{value}"/>'

    return f'<variant version="1.0">{element("no_name", values)}</variant>'.encode()
