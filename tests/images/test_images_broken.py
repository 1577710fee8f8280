"""The reader of broken, lying and hostile files: each says why, soon and in little memory."""

import io
import os
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from nuclei_models.images import tiff_walk as tiff
from nuclei_models.images.reader import SUPPORTED_EXTENSIONS, ImageError, inspect, read
from tests.support.image_files import png_bytes, tags, tiff_bytes
from tests.support.images import DEEP, GREY, RGB, RNG, STACK, H, Save, W, check, fails

# what goes wrong


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["empty", "0 bytes"]),
        (b"%PDF-1.7 ...", ["a PDF", "Export"]),
        (b"PK\x03\x04....", ["zip", "Unpack"]),
        (b"ZISRAWFILE", ["damaged", "Fiji"]),
        (b"\x70\0\0\0\x10\0\0\0\x2a", ["damaged", "Fiji"]),
        (b"\xda\xce\xbe\x0a", ["damaged", "Fiji"]),
        (b"\x89HDF\r\n\x1a\n", ["HDF5"]),
        (bytes(128) + b"DICM", ["DICOM"]),
        (b"<html>", ["web page"]),
        (b"nucleus,area\n1,2\n", ["no image", "expected TIFF"]),
        (b"\0", ["no image"]),
        (b"II*\0", ["cut short"]),
        (b"II*\0\x08\0\0\0", ["cut short"]),
        (b"II*\0\0\0\0\0", ["without a page"]),
        (b"\x89PNG\r\n\x1a\n", ["damaged"]),
        (b"\xff\xd8\xff\xe0", ["damaged"]),
        (b"BM", ["damaged"]),
        (b"GIF89a", ["damaged"]),
        (b"RIFF....WEBPVP8 ", ["damaged"]),
        (b"\xff\xd8\xff" + b"\xff\xda" * 101, ["101 scans"]),
    ],
)
@pytest.mark.parametrize("name", ["cells.tif", "cells.png"])
def test_not_an_image(save: Save, content: bytes, words: list[str], name: str):
    fails(save(content, name), name, *words)
    with pytest.raises(ImageError):
        inspect(save(content, name))


def test_no_file(tmp_path: Path):
    fails(tmp_path / "none.tif", "none.tif", "no such file")
    fails(tmp_path, "folder")
    fails(tmp_path / "a\0b.tif", "a\ufffdb.tif", "opened")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.tif")
        fails(tmp_path / "pipe.tif", "pipe")


def test_extension_does_not_matter(save: Save):
    check(save(save(RGB, "a.png").read_bytes(), "cells.tif"), RGB)
    assert ".tif" in SUPPORTED_EXTENSIONS and all(e == e.lower() and e[0] == "." for e in SUPPORTED_EXTENSIONS)


def test_names_are_fit_to_be_shown(save: Save):
    message = fails(save(b"", "a\n\x1b[31m\u202eb.tif"), "a\ufffd\ufffd[31m\ufffdb.tif")
    assert message.isprintable()
    assert read(save(GREY, "n" * 200 + ".tif")).name == "n" * 60 + "…" + "n" * 15 + ".tif"
    assert inspect(save(GREY, "grün zellen.tif")).name == "grün zellen.tif"


@pytest.mark.parametrize(
    "name", ["a.png", "a.jpg", "a.bmp", "a.gif", "a.webp", "a.tif", "lzw.tiff", "zip.tif", "tiles.tif"]
)
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.97])
def test_cut_short(save: Save, name: str, kept: float):
    pixels = RNG.integers(0, 256, (96, 128, 3)).astype(np.uint8)
    options: dict = {"lzw.tiff": {"compression": "tiff_lzw"}, "zip.tif": {"compression": "zlib"}}.get(name, {})
    options |= {"a.webp": {"lossless": True}, "tiles.tif": {"tile": (32, 32)}}.get(name, {})
    options |= {"photometric": "rgb"} if name.endswith(".tif") else {}
    data = save(pixels, name, **options).read_bytes()
    fails(save(data[: int(len(data) * kept)], name), "cut short")


def test_cause_is_kept(save: Save):
    with pytest.raises(ImageError) as caught:
        read(save(save(RGB, "a.png").read_bytes()[:-200], "a.png"))
    assert isinstance(caught.value.__cause__, OSError)


def test_max_pixels(save: Save):
    for path in (save(GREY, "a.tif"), save(GREY, "a.png"), save(RGB, "a.jpg")):
        assert read(path, max_pixels=H * W).pixels.shape[:2] == (H, W)
        fails(path, "51 x 37", "0.0", max_pixels=H * W - 1)


@pytest.mark.parametrize("size", [(60_000, 60_000), (10_001, 10_000), (2**31 - 1, 2**31 - 1)])
def test_bombs(save: Save, size: tuple[int, int]):
    name = f"{size[0]} x {size[1]}"
    megapixels = "3,600" if size[0] == 60_000 else "100.0" if size[0] == 10_001 else "megapixels"
    path = save(png_bytes(DEEP[..., :3], size), "bomb.png")
    fails(path, name, megapixels, "at most 100 ")
    assert (inspect(path).width, inspect(path).height) == size  # a header is no danger
    for options in ({}, {"t259": (3, [8])}, {"t322": (4, [512]), "t323": (4, [512])}):
        fails(save(tiff_bytes((tags(*size, **options), [zlib.compress(bytes(10**6))]))), name, megapixels)
    if size[0] < 2**16:
        gif = b"GIF89a" + struct.pack("<HH", *size) + b"\xf0\0\0" + bytes(6) + b","
        gif += struct.pack("<HHHHB", 0, 0, *size, 0) + b"\x02\x02\x44\x01\0;"
        fails(save(gif, "bomb.gif"))


def test_many_channels_are_a_bomb_too(save: Save):
    form = tags(9000, 9000, 16, 1000, t338=(3, [0] * 999), t284=(3, [2]))
    fails(save(tiff_bytes((form, [b"x"]))), "162,000 MB", "at most 1,200 MB")


def test_strip_that_unpacks_to_more_than_stated(save: Save):
    packed = zlib.compress(bytes(50_000_000), 1)
    path = save(tiff_bytes((tags(10, 10, t259=(3, [8])), [packed])))
    tracemalloc.start()
    np.testing.assert_array_equal(read(path).pixels, np.zeros((10, 10), np.uint8))
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_strips_that_share_their_bytes(save: Save):
    data = zlib.compress(RNG.bytes(200_000))
    form = tags(1000, 1000, t259=(3, [8]), t278=(4, [1]), t273=(4, [8] * 1000), t279=(4, [len(data)] * 1000))
    fails(save(tiff_bytes((form, [data]))), "said to take 200")


GOOD = [bytes(H * W)]


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ((tags(0, H), GOOD), ["0 x 37"]),
        ((tags(W, 0), GOOD), ["51 x 0"]),
        ((tags(W, H, samples=0), GOOD), ["damaged"]),
        ((tags(W, H, t277=(4, [2**31])), GOOD), ["samples"]),
        ((tags(W, H, 64, t339=(3, [6])), GOOD), ["complex"]),
        ((tags(W, H, 24, t339=(3, [3])), GOOD), ["24 bits"]),
        ((tags(W, H, t258=(3, [8, 16]), t277=(3, [2])), GOOD), ["(8, 16) bits"]),
        ((tags(W, H, photometric=8), GOOD), ["interpretation 8"]),
        ((tags(W, H, 8, 3, 6), [bytes(3 * H * W)]), ["YCbCr"]),
        ((tags(W, H, photometric=3), GOOD), ["palette of 0"]),
        ((tags(W, H, t32997=(4, [5])), GOOD), ["volume"]),
        ((tags(W, H, t273=(4, [10**9])), GOOD), ["cut short"]),
        ((tags(W, H, t273=(4, [2**32 - 1])), GOOD), ["cut short"]),
        ((tags(W, H, t259=(3, [5]), t279=(4, [10**9])), GOOD), ["10000000"]),
        ((tags(W, H, t278=(4, [1])), GOOD), ["1 of the 37 strips"]),
        ((tags(W, H, t278=(4, [0])), GOOD), ["(0, 51)"]),
        ((tags(W, H, t259=(3, [5])), GOOD), ["LZW", "unpacked"]),
        ((tags(W, H, t259=(3, [8])), GOOD), ["DEFLATE", "unpacked"]),
        ((tags(W, H, t259=(3, [7])), GOOD), ["JPEG", "unpacked"]),
        ((tags(W, H, 16, t259=(3, [7])), GOOD), ["JPEG", "16 bits"]),
        ((tags(W, H, t259=(3, [8]), t317=(3, [3])), [zlib.compress(GOOD[0])]), ["predictor 3"]),
        ((tags(W, H, t259=(3, [34712])), GOOD), ["JPEG2000", "unpacked"]),
        ((tags(W, H, t259=(3, [34887])), GOOD), ["LERC", "uncompressed"]),
        ((tags(W, H, t259=(3, [12345])), GOOD), ["12345"]),
        ((tags(W, H, t322=(4, [0]), t323=(4, [16])), GOOD), ["tiles"]),
        ((tags(W, H, t322=(4, [2**16]), t323=(4, [2**16])), GOOD), ["tiles of (65536, 65536)"]),
    ],
)
def test_lying_tiff(save: Save, page: tuple, words: list[str]):
    fails(save(tiff_bytes(page)), *words)


def test_tag_beyond_the_file(save: Save):
    data = bytearray(tiff_bytes((tags(W, H, t273=(4, [8, 9])), GOOD)))
    where = data.index(struct.pack("<HHL", 273, 4, 2))
    for count in (2**31, 2**32 - 1):
        data[where + 4 : where + 8] = struct.pack("<L", count)
        fails(save(bytes(data)), "damaged")
    data[where + 2 : where + 4] = b"\x63\0"
    fails(save(bytes(data)), "damaged")


def test_circle_of_pages(save: Save):
    page = (tags(W, H), GOOD)
    data = bytearray(tiff_bytes(page, page))
    data[-4:] = data[4:8]
    fails(save(bytes(data)), "run in a circle")


def test_too_many_pages(save: Save):
    n = tiff.MAX_PAGES + 1
    directory = struct.pack("<HHHLL", 1, 256, 4, 1, 9)
    data = b"II*\0\x08\0\0\0" + b"".join(directory + struct.pack("<L", 8 + 18 * i) for i in range(1, n))
    path = save(data + directory + bytes(4))
    started = time.process_time()
    with pytest.raises(ImageError, match="100,000 pages"):
        read(path)
    assert time.process_time() - started < 4


def test_many_pages_that_a_description_does_not_fit(save: Save):
    """tifffile would compare each with every other: 8 seconds for these."""
    text = b'{"shape": [9, 9, 9]}'
    form = {256: 4, 257: 4, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 4, 279: 16}
    entries = {tag: struct.pack("<HHLL", tag, 4, 1, value) for tag, value in form.items()}
    data = bytearray(b"II*\0" + struct.pack("<L", 8 + len(text)) + text)
    for number in range(12_000):
        tags = entries | ({270: struct.pack("<HHLL", 270, 2, len(text), 8)} if number == 0 else {})
        page = struct.pack("<H", len(tags)) + b"".join(tags[tag] for tag in sorted(tags))
        data += page + struct.pack("<L", len(data) + len(page) + 4)
    path = save(bytes(data[:-4]) + bytes(4))
    started = time.process_time()
    info = inspect(path)
    assert time.process_time() - started < 2
    assert info.sizes["Z"] == 12_000 and "not believed" in info.notes[0]


def test_pages_that_overlap(save: Save):
    data = bytearray(b"II*\0\x08\0\0\0" + bytes(60_000))
    for offset in range(8, 4008, 4):  # each claims 4096 tags, to the end of which it may read
        data[offset : offset + 2] = struct.pack("<H", 4096)
        where = offset + 2 + 4096 * 12
        data[where : where + 4] = struct.pack("<L", offset + 4)
    fails(save(bytes(data)), "page 2", "overlap")


def test_not_a_number(save: Save):
    values = GREY.astype(np.float32)
    values[0, :3] = np.nan, np.inf, -np.inf
    assert check(save(values), values).notes == ("3 of 1,887 values are not a number or infinite.",)


def test_bad_arguments(save: Save):
    path = save(GREY)
    for options in ({"z": "1"}, {"t": 0.5}, {"channel": "DAPI"}, {"series": "0"}):
        with pytest.raises(TypeError):
            read(path, **options)
    fails(save(RGB, "a.png"), "red, green and blue", "0 to 2", channel=3)
    fails(path, "number -1", z=-1)


def seeds() -> list[bytes]:
    """Small files of every format."""
    small, deep = RGB[:12, :14], DEEP[:12, :14]
    files = []
    for format, options in [("PNG", {}), ("JPEG", {}), ("BMP", {}), ("WEBP", {"lossless": True}), ("GIF", {})] + [
        ("TIFF", {"compression": c}) for c in ("tiff_lzw", "zstd", "packbits", "tiff_adobe_deflate", "jpeg")
    ]:
        file = io.BytesIO()
        Image.fromarray(small).save(file, format, **options)
        files.append(file.getvalue())
    for pixels, options in [
        (STACK[..., :8, :9], {"imagej": True, "metadata": {"axes": "TZCYX"}}),
        (STACK[..., :8, :9], {"ome": True, "metadata": {"axes": "TZCYX"}}),
        (deep, {"bigtiff": True, "byteorder": ">", "photometric": "rgb", "extrasamples": ["unassalpha"]}),
        (np.moveaxis(deep, -1, 0), {"photometric": "minisblack", "planarconfig": "separate", "tile": (16, 16)}),
        (small, {"photometric": "rgb", "compression": "zlib", "predictor": 2, "rowsperstrip": 5}),
    ]:
        file = io.BytesIO()
        tifffile.imwrite(file, pixels, **options)
        files.append(file.getvalue())
    return [*files, png_bytes(deep)]


SEEDS = seeds()
MUTATION = st.tuples(st.integers(0, 2**20), st.sampled_from([0, 1, 2, 4, 8, 127, 128, 254, 255]) | st.integers(0, 255))


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    seed=st.sampled_from(SEEDS),
    mutations=st.lists(MUTATION, min_size=1, max_size=6),
    at_front=st.booleans(),
    cut=st.none() | st.integers(1, 2000),
)
def test_mutated_files(tmp_path: Path, seed: bytes, mutations: list, at_front: bool, cut: int | None):
    """Whatever is wrong with a file, it gives an image or an ImageError, soon."""
    data = bytearray(seed)
    for position, value in mutations:
        data[position % min(len(data), 200 if at_front else len(data))] = value
    path = tmp_path / "mutated.bin"
    path.write_bytes(data[:cut])
    started = time.process_time()
    try:
        image = read(path, max_pixels=1_000_000)
        assert image.pixels.ndim in (2, 3) and 0 < image.pixels[..., None].shape[0] * image.pixels.shape[1] <= 1_000_000
    except ImageError as error:
        assert str(tmp_path) not in str(error) and str(error).startswith("mutated.bin: ")
    assert time.process_time() - started < 2
