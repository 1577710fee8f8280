"""Files that are well-formed on the surface and lie beneath, as hypothesis makes them up."""

import io
import json
import struct
import zlib
from functools import cache

from hypothesis import strategies as st
from PIL import Image

from tests.support.image_files import tags, tiff_bytes

EXTREMES = st.sampled_from([0, 1, 2, 7, 64, 1000, 1024, 46_341, 65_535, 65_536, 2**31 - 1, 2**32 - 1])
SIZES = EXTREMES | st.integers(0, 90)
SHORTS = st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32, 64, 128, 255, 1024, 65_535])
SMALL = st.binary(max_size=300)


@cache
def bomb() -> bytes:
    """20 MB of zeros, deflated."""
    return zlib.compress(bytes(20_000_000), 9)


BODIES = st.one_of(
    SMALL,
    SMALL.map(zlib.compress),
    st.sampled_from([bytes(10_000), zlib.compress(bytes(100_000))]),
    st.builds(bomb),
)

# TIFF


@st.composite
def tiffs(draw) -> bytes:
    """Pages whose tags say what they like, chained in any way."""
    pages = draw(st.lists(_pages(), min_size=1, max_size=3))
    data = bytearray(tiff_bytes(*pages, order=draw(st.sampled_from("<>"))))
    if draw(st.integers(0, 9)) == 0:  # the last page points to the first, to itself or beyond the end
        order = "<" if data[:2] == b"II" else ">"
        first = struct.unpack_from(order + "L", data, 4)[0]
        data[-4:] = struct.pack(order + "L", draw(st.sampled_from([first, 4, len(data), 2**32 - 1])))
    return bytes(data)


def rarely(draw, one_in: int) -> bool:
    return draw(st.integers(0, one_in - 1)) == one_in - 1


@st.composite
def _pages(draw):
    """A page that can be read, with a few tags changed."""
    width, height, samples = draw(st.integers(1, 60)), draw(st.integers(1, 60)), draw(st.integers(1, 4))
    bits = draw(st.sampled_from([1, 4, 8, 8, 8, 12, 16, 16, 32, 64]))
    page = tags(width, height, bits, samples, 2 if samples > 2 else 1)
    raw = bytes(height * -(-width * samples * bits // 8))
    if draw(st.booleans()):
        page[259], raw = (3, [8]), zlib.compress(raw)
    choices = {
        256: EXTREMES,
        257: EXTREMES,
        258: SHORTS,
        259: st.sampled_from(
            [0, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 8, 32773, 34925, 50000, 50001, 34712, 22610, 34887, 65535]
        ),
        262: st.integers(0, 9),
        266: st.sampled_from([0, 1, 2, 3]),
        277: SHORTS,
        278: SIZES,
        284: st.sampled_from([0, 1, 2, 3]),
        317: st.sampled_from([0, 1, 2, 3, 4, 34892]),
        339: st.integers(0, 7),
        254: st.integers(0, 4),
        274: st.integers(0, 9),
        32997: SIZES,
    }
    for tag in draw(st.sets(st.sampled_from(sorted(choices)), max_size=3)):
        page[tag] = (4, [draw(choices[tag])])
    if rarely(draw, 5):
        page |= {322: (4, [draw(SIZES)]), 323: (4, [draw(SIZES)])}
    if rarely(draw, 3):
        page[270] = (2, list(draw(descriptions())))
    if rarely(draw, 5):
        colours = draw(st.sampled_from([0, 3, 6, 48, 768, 769]))
        page |= {320: (3, [(i * 257) % 65536 for i in range(colours)]), 262: (3, [3])}
    if rarely(draw, 4):
        page |= {282: (5, [draw(SIZES), draw(SIZES)]), 283: (5, [draw(SIZES), draw(SIZES)]), 296: (3, [3])}
    if rarely(draw, 4):
        page[338] = (3, draw(st.lists(st.integers(0, 3), min_size=1, max_size=4)))
    if rarely(draw, 6):
        page[draw(st.integers(250, 350))] = (draw(st.sampled_from([1, 2, 3, 4])), [draw(st.integers(0, 255))])
    if rarely(draw, 8):  # strips that are elsewhere
        page |= {273: (4, [draw(SIZES)]), 279: (4, [draw(SIZES)])}
    return page, draw(st.lists(BODIES, min_size=1, max_size=3)) if rarely(draw, 3) else [raw]


@st.composite
def descriptions(draw) -> bytes:
    """What ImageJ, tifffile or OME-XML say of planes."""
    n = st.sampled_from([-1, 0, 1, 2, 3, 10**6, 10**9, 10**30])
    kind = draw(st.sampled_from(["imagej", "shaped", "ome", "ome", "text"]))
    if kind == "imagej":
        keys = draw(st.sets(st.sampled_from(["images", "channels", "slices", "frames", "unit", "min"])))
        return ("ImageJ=1.54\n" + "".join(f"{key}={draw(n)}\n" for key in sorted(keys))).encode()
    if kind == "shaped":
        axes = draw(st.text("TZCYXSQ", max_size=7))
        return json.dumps({"shape": draw(st.lists(n, max_size=6)), "axes": axes}).encode()
    if kind == "text":
        return draw(SMALL)
    order = draw(st.sampled_from(["XYZCT", "XYTZC", "YXCZT", "XY", "", "XYZCTZ"]))
    sizes = " ".join(f'Size{axis}="{draw(n)}"' for axis in "XYZCT")
    data = "".join(
        f'<TiffData IFD="{draw(n)}" FirstZ="{draw(n)}" FirstC="{draw(n)}" PlaneCount="{draw(n)}"/>'
        for _ in range(draw(st.integers(0, 3)))
    )
    size = draw(st.sampled_from(["0.5", "nan", "inf", "-1", "1e400", "x", ""]))
    pixels = f'<Pixels DimensionOrder="{order}" {sizes} PhysicalSizeX="{size}" PhysicalSizeY="{size}">{data}</Pixels>'
    head = draw(st.sampled_from(["", '<!DOCTYPE a [<!ENTITY b "cc">]>', "<" * 2000, '<?xml version="1.0"?>']))
    return f"{head}<OME>{draw(st.sampled_from(['', '<Image>'] * 2))}<Image>{pixels}</Image></OME>".encode()


@st.composite
def page_chains(draw) -> bytes:
    """Very many tiny pages: more than are read, in a circle, or overlapping."""
    n = draw(st.sampled_from([2, 1000, 100_001]))
    end = draw(st.sampled_from([0, 8, 8 + 18, 2**32 - 1]))
    offsets = [8 + 18 * i for i in range(1, n)] + [end]
    return b"II*\0\x08\0\0\0" + b"".join(struct.pack("<HHHLLL", 1, 256, 4, 1, 9, o) for o in offsets)


# PNG, BMP, JPEG, WebP, GIF


@st.composite
def pngs(draw) -> bytes:
    """Any header, then chunks in any order, all with right checksums; animation chunks and compressed text too."""
    depth, colour = draw(st.sampled_from([(1, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2), (4, 3), (8, 3), (8, 4)]))
    if rarely(draw, 4):
        depth, colour = draw(st.sampled_from([0, 1, 2, 4, 8, 16, 32])), draw(st.integers(0, 7))
    size = SIZES if rarely(draw, 3) else st.integers(1, 60)
    header = struct.pack(
        ">LLBBBBB", draw(size), draw(size), depth, colour, 0, 0, draw(st.sampled_from([0, 0, 0, 1, 2]))
    )
    body = {
        b"IDAT": BODIES,
        b"PLTE": st.sampled_from([b"", bytes(3), bytes(range(48)), bytes(768), bytes(1000)]),
        b"tRNS": SMALL,
        b"acTL": st.builds(struct.pack, st.just(">LL"), SIZES, SIZES),
        b"fcTL": st.builds(
            struct.pack, st.just(">LLLLLHHBB"), *[SIZES] * 5, *[st.just(1)] * 2, *[st.integers(0, 3)] * 2
        ),
        b"fdAT": BODIES.map(lambda data: bytes(4) + data),
        b"zTXt": st.builds(bomb).map(lambda data: b"k\0\0" + data),
        b"iTXt": st.builds(bomb).map(lambda data: b"k\0\1\0\0\0" + data),
        b"iCCP": st.builds(bomb).map(lambda data: b"k\0\0" + data),
        b"eXIf": SMALL | st.just(b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\x06\0\0\0"),
        b"gAMA": SMALL,
        b"pHYs": SMALL,
        b"IEND": st.just(b""),
    }
    names = draw(st.lists(st.sampled_from(sorted(body)), max_size=6))
    chunks = [(b"IHDR", header), *((name, draw(body[name])) for name in names), (b"IEND", b"")]
    pixels = BODIES if rarely(draw, 4) else st.just(zlib.compress(bytes(60 * 60 * 8 + 60)))
    chunks.insert(-1, (b"IDAT", draw(pixels)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data)) for name, data in chunks
    )


@st.composite
def bmps(draw) -> bytes:
    """Negative heights, odd depths, run lengths and bit fields."""
    extreme = SIZES.map(lambda n: n if n < 2**31 else n - 2**32) | st.sampled_from([-1, -7, -64, -(2**31)])
    signed = extreme if rarely(draw, 3) else st.integers(-60, 60)
    bits, compression = (
        draw(st.sampled_from([1, 4, 8, 16, 24, 24, 32, 0, 64])),
        draw(st.sampled_from([0, 0, 0, 1, 2, 3, 6])),
    )
    header_size = draw(st.sampled_from([40, 40, 40, 12, 52, 56, 64, 108, 124, 0, 41, 2**31]))
    header = struct.pack("<LllHHLLllLL", header_size, draw(signed), draw(signed), 1, bits, compression,
                         draw(SIZES), draw(signed), draw(signed), draw(SIZES), 0)  # fmt: skip
    rest = draw(st.sampled_from([b"", bytes(84), bytes(range(256)) * 4])) + draw(BODIES | st.just(bytes(16_000)))
    start = draw(st.sampled_from([54, 54, 138, 1078, 0, 26, 10**9]))
    return b"BM" + struct.pack("<LHHL", draw(SIZES), 0, 0, start) + header + rest


@st.composite
def jpegs(draw) -> bytes:
    """A real JPEG with a size that isn't its own, and segments of any content before it."""
    data = bytearray(_jpeg(draw(st.sampled_from(["L", "RGB", "CMYK"])), draw(st.booleans())))
    start = next(i for i in range(len(data)) if data[i : i + 2] in (b"\xff\xc0", b"\xff\xc2"))
    form = draw(st.sampled_from([">HH", ">HH", None]))
    if form:
        struct.pack_into(form, data, start + 5, draw(SIZES) % 65536, draw(SIZES) % 65536)
    if draw(st.booleans()):
        data[draw(st.integers(start, start + 20))] = draw(st.integers(0, 255))
    segments = b""
    for marker in draw(st.lists(st.sampled_from([0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE, 0xC4, 0xDB, 0xDD]), max_size=3)):
        content = draw(st.sampled_from([b"", b"Exif\0\0", b"Adobe\0d\0\0\0\0\2", b"ICC_PROFILE\0\1\1", b"MPF\0II*\0"]))
        content += draw(SMALL)
        segments += struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content
    tail = draw(st.sampled_from([b"", b"\xff\xda\0\x02" * 90, b"\xff\xda" * 300]))
    return bytes(data[:2]) + segments + bytes(data[2:]) + tail


@cache
def _jpeg(mode: str, progressive: bool) -> bytes:
    file = io.BytesIO()
    Image.radial_gradient("L").resize((24, 17)).convert(mode).save(file, "JPEG", progressive=progressive)
    return file.getvalue()


@st.composite
def webps(draw) -> bytes:
    """A canvas and frames of any size around real and unreal pictures."""
    real = _webp()[12:]
    parts = [b"VP8X" + struct.pack("<LL", 10, draw(st.integers(0, 255))) + _u24(draw(SIZES)) + _u24(draw(SIZES))]
    for kind in draw(
        st.lists(st.sampled_from(["real", "ANIM", "ANMF", "EXIF", "ICCP", "VP8 ", "VP8L", "ALPH"]), max_size=4)
    ):
        if kind == "real":
            parts.append(real)
            continue
        body = draw(SMALL)
        if kind == "ANMF":
            body = b"".join(_u24(draw(SIZES)) for _ in range(5)) + b"\0" + real
        parts.append(kind.encode() + struct.pack("<L", len(body)) + body + b"\0" * (len(body) % 2))
    data = b"WEBP" + b"".join(parts[draw(st.integers(0, 1)) :])
    return b"RIFF" + struct.pack("<L", draw(st.sampled_from([len(data), 0, 2**32 - 1]))) + data


@cache
def _webp() -> bytes:
    file = io.BytesIO()
    Image.radial_gradient("L").resize((24, 17)).save(file, "WEBP", lossless=True)
    return file.getvalue()


def _u24(number: int) -> bytes:
    return struct.pack("<L", number % 2**24)[:3]


@st.composite
def gifs(draw) -> bytes:
    """Screens and frames of any size, with any code size."""
    side = SIZES.map(lambda n: n % 65536)
    data = b"GIF89a" + struct.pack("<HHBBB", draw(side), draw(side), draw(st.sampled_from([0, 0x80, 0xF7])), 0, 0)
    data += bytes(draw(st.sampled_from([0, 6, 768])))
    for _ in range(draw(st.integers(0, 3))):
        data += b"!\xf9\4" + bytes(draw(st.lists(st.integers(0, 255), min_size=4, max_size=4))) + b"\0"
        data += b"," + struct.pack("<HHHHB", *[draw(side) for _ in range(4)], draw(st.sampled_from([0, 0x40, 0x87])))
        body = draw(SMALL)[:255]
        data += bytes([draw(st.integers(0, 14)), len(body)]) + body + b"\0"
    return data + b";"


files = st.one_of(tiffs(), tiffs(), tiffs(), pngs(), bmps(), jpegs(), webps(), gifs())
chains = page_chains()
