"""The reader of image files: every kind gives its exact pixels and says what it chose; every broken one says why."""

import io
import itertools
import os
import re
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_files import float_predicted, lzw, png_bytes, tags, tiff_bytes
from PIL import Image

from nuclei_models.display import to_display
from nuclei_models.formats import tiff
from nuclei_models.images import SUPPORTED_EXTENSIONS, ImageError, MicroscopyImage, inspect, read

RNG = np.random.default_rng(0)
H, W = 37, 51
RGB = RNG.integers(0, 256, (H, W, 3)).astype(np.uint8)
GREY = RGB[..., 0]
DEEP = RNG.integers(0, 65536, (H, W, 4)).astype(np.uint16)
STACK = RNG.integers(0, 65536, (2, 3, 4, 20, 22)).astype(np.uint16)  # T, Z, C, Y, X

Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write a file: of bytes, or of an array by tifffile or, for other extensions or compressions, Pillow."""

    def write(content: bytes | np.ndarray | Image.Image, name: str = "cells.tif", **options) -> Path:
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, np.ndarray) and name.endswith(".tif"):
            tifffile.imwrite(path, content, **options)
        else:
            image = Image.fromarray(content) if isinstance(content, np.ndarray) else content
            image.save(path, **options)
        return path

    return write


def check(path: Path, expected: np.ndarray, **options) -> MicroscopyImage:
    """Read a file; its values, their type and what its header says must be as expected."""
    image = read(path, **options)
    assert image.pixels.dtype == expected.dtype and image.pixels.dtype.isnative
    np.testing.assert_array_equal(image.pixels, expected)
    info = inspect(path, series=options.get("series", 0))
    assert (info.height, info.width) == expected.shape[:2]
    assert info.dtype == expected.dtype
    if "channel" not in options:
        assert info.is_rgb == (expected.ndim == 3)
    assert (info.name, info.sizes, info.format) == (image.name, image.sizes, image.format)
    return image


def fails(path: Path, *words: str, **options) -> str:
    """Reading must fail soon, in little memory, with a message that has the words and no folder."""
    started = time.process_time()
    tracemalloc.start()
    with pytest.raises(ImageError) as caught:
        read(path, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    message = str(caught.value)
    assert time.process_time() - started < 4 and peak < 60e6
    assert str(path.parent) not in message and len(message) < 500
    assert message.endswith((".", "!")) and message.count(". ") + message.count(": ") >= 1
    for word in words:
        assert word in message, message
    return message


# TIFF: types, layouts, compressions


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"])
@pytest.mark.parametrize("order", "<>")
def test_tiff_types(save: Save, dtype: str, order: str):
    values = (RNG.random((H, W)) * 2e4 - (1e4 if dtype[0] != "u" else 0)).astype(dtype)
    for options in ({}, {"bigtiff": True, "rowsperstrip": 5}, {"compression": "zlib", "tile": (16, 32)}):
        check(save(values, byteorder=order, **options), values)


def test_tiff_one_bit(save: Save):
    mask = GREY > 99
    expected = mask * np.uint8(255)
    check(save(mask, photometric="minisblack"), expected)
    image = check(save(~mask, photometric="miniswhite"), expected)
    assert "inverted" in image.notes[0]
    check(save(Image.fromarray(mask), "mask.tiff", compression="tiff_lzw"), expected)
    backwards = np.packbits(mask, axis=1, bitorder="little").tobytes()
    check(save(tiff_bytes((tags(W, H, 1, t266=(3, [2])), [backwards]))), expected)


@pytest.mark.parametrize("bits", [4, 12])
@pytest.mark.parametrize("order", "<>")
def test_tiff_packed_bits(save: Save, bits: int, order: str):
    values = (DEEP[..., 0] >> (16 - bits)).astype(np.uint8 if bits == 4 else np.uint16)
    by_bit = values[..., None] >> np.arange(bits)[::-1].astype(values.dtype) & 1
    rows = np.packbits(by_bit.reshape(H, -1).astype(np.uint8), axis=1)
    check(save(tiff_bytes((tags(W, H, bits), [rows.tobytes()]), order=order)), values)


def test_tiff_white_is_zero(save: Save):
    image = check(save(65535 - DEEP[..., 0], photometric="miniswhite"), DEEP[..., 0])
    assert image.notes == ("It is stored with 0 as white: it was inverted.",)


@pytest.mark.parametrize("compression", ["tiff_lzw", "zstd", "packbits", "tiff_adobe_deflate", "tiff_deflate", "lzma"])
def test_tiff_compressions(save: Save, compression: str):
    for pixels in (GREY, RGB, DEEP[..., 0], DEEP[..., 0].astype(np.float32) / 7):
        predictors = (1,) if compression == "packbits" else (1, 2, 3) if pixels.dtype == np.float32 else (1, 2)
        for predictor in predictors:
            path = save(pixels, "cells.tiff", compression=compression, tiffinfo={317: predictor})
            assert tifffile.TiffFile(path).pages[0].predictor == predictor
            check(path, pixels)


@pytest.mark.parametrize("tile", [None, (16, 32)])
def test_tiff_predictor(save: Save, tile: tuple[int, int] | None):
    for pixels in (DEEP[..., :3], RGB):
        check(save(pixels, photometric="rgb", compression="zlib", predictor=2, tile=tile), pixels)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("order", "<>")
def test_tiff_float_predictor_in_tiles(save: Save, dtype: str, order: str):
    pixels = RNG.normal(size=(H, W, 1)).astype(dtype)
    padded = np.pad(pixels, ((0, 48 - H), (0, 64 - W), (0, 0)))
    tiles = [padded[y : y + 16, x : x + 32] for y in (0, 16, 32) for x in (0, 32)]
    form = tags(W, H, 8 * int(dtype[1]), t259=(3, [8]), t317=(3, [3]), t339=(3, [3]), t322=(4, [32]), t323=(4, [16]))
    path = save(tiff_bytes((form, [zlib.compress(float_predicted(tile)) for tile in tiles]), order=order))
    check(path, pixels[..., 0])


@pytest.mark.parametrize("order", "<>")
def test_tiff_lzw_of_types_pillow_does_not_know(save: Save, order: str):
    deep = DEEP[..., :3].astype(order + "u2")
    form = tags(W, H, 16, 3, 2, t259=(3, [5]), t278=(4, [10]))
    strips = [lzw(deep[y : y + 10].tobytes()) for y in range(0, H, 10)]
    check(save(tiff_bytes((form, strips), order=order)), DEEP[..., :3])
    form = tags(W, H, 64, 4, 1, t259=(3, [5]), t284=(3, [2]), t339=(3, [3] * 4), t338=(3, [0] * 3))
    planes = np.moveaxis(DEEP, -1, 0).astype(order + "f8")
    check(save(tiff_bytes((form, [lzw(p.tobytes()) for p in planes]), order=order)), planes[2].astype("f8"), channel=2)


def test_tiff_jpeg(save: Save):
    smooth = np.asarray(Image.fromarray(RGB).resize((8, 6)).resize((W, H), Image.Resampling.BICUBIC))
    for pixels in (smooth, smooth[..., 1]):
        path = save(pixels, "cells.tiff", compression="jpeg", quality=95)
        assert tifffile.TiffFile(path).pages[0].compression == 7
        assert np.abs(read(path).pixels.astype(int) - pixels).mean() < 2
        check(path, np.asarray(Image.open(path)))


@pytest.mark.parametrize("options", [{}, {"tile": (16, 16)}, {"rowsperstrip": 3, "compression": "zlib"}])
def test_tiff_colour(save: Save, options: dict):
    check(save(RGB, photometric="rgb", **options), RGB)
    check(save(np.moveaxis(DEEP[..., :3], -1, 0), photometric="rgb", planarconfig="separate", **options), DEEP[..., :3])
    image = check(save(DEEP, photometric="rgb", extrasamples=["unassalpha"], **options), DEEP[..., :3])
    assert image.notes == ("It has transparent parts: the transparency is ignored.",)
    opaque = np.dstack([RGB, np.full_like(GREY, 255)])
    assert check(save(opaque, photometric="rgb", extrasamples=["unassalpha"], **options), RGB).notes == ()


def test_tiff_cmyk(save: Save):
    cmyk = Image.fromarray(RGB).convert("CMYK")
    image = check(save(cmyk, "cells.tiff"), np.asarray(cmyk.convert("RGB")))
    assert image.notes == ("Its CMYK colours were converted to RGB.",)


def test_tiff_palette(save: Save):
    table = RNG.integers(0, 256, (3, 256)).astype(np.uint16) * 257
    path = save(GREY, photometric="palette", colormap=table)
    check(path, (table.T[GREY] >> 8).astype(np.uint8))
    grey = np.broadcast_to(table[:1], (3, 256))
    check(save(GREY, photometric="palette", colormap=grey), (table[0][GREY] >> 8).astype(np.uint8))
    green = np.zeros((3, 256), np.uint16)
    green[1] = np.arange(256) * 257
    assert "colour table" in check(save(GREY, photometric="palette", colormap=green), GREY).notes[0]
    assert "colour table" in check(save(GREY, colormap=table, imagej=True), GREY).notes[0]


# TIFF: planes, channels, sizes


def test_several_channels(save: Save):
    planes = np.moveaxis(np.dstack([DEEP, DEEP[..., :1]]), -1, 0)
    for path in (
        save(planes, "planar.tif", photometric="minisblack", planarconfig="separate"),
        save(np.moveaxis(planes, 0, -1), "contig.tif", photometric="minisblack", planarconfig="contig"),
        save(planes, "pages.tif", photometric="minisblack", metadata={"axes": "CYX"}),
    ):
        image = check(path, planes[0])
        assert image.sizes == {"T": 1, "Z": 1, "C": 5} and image.channels == (0,)
        assert image.notes == ("5 channels: channel 1 is used.",)
        assert check(path, planes[3], channel=3).notes == ()
        assert check(path, np.dstack([planes[4], planes[1]]), channel=[4, 1]).channels == (4, 1)
        fails(path, "5", "0 to 4", channel=5)
        fails(path, "0 to 4", channel=[])


def test_plain_pages_are_z_planes(save: Save):
    pages = STACK[0, :, 0]
    image = check(save(pages, photometric="minisblack", metadata=None), pages[1])
    assert image.sizes == {"T": 1, "Z": 3, "C": 1} and image.plane == {"T": 0, "Z": 1}
    assert image.notes == ("3 Z planes: plane 2 is used.",)
    fails(save(pages, photometric="minisblack", metadata=None), "number 3", "it has 3", "0 to 2", z=3)


def test_twelve_planes_show_the_seventh(save: Save):
    pages = RNG.integers(0, 99, (12, 9, 8)).astype(np.int16)
    image = check(save(pages, photometric="minisblack"), pages[6])
    assert image.notes == ("12 Z planes: plane 7 is used.",)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("contiguous", [True, False])
def test_imagej_hyperstack(save: Save, order: str, contiguous: bool):
    path = save(STACK, imagej=True, byteorder=order, resolution=(5, 2.5), metadata={"axes": "TZCYX", "unit": "um"})
    if contiguous:  # as ImageJ writes stacks above 4 GB: one page, which the pixels of the others follow
        data = bytearray(path.read_bytes())
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            end = page.offset + 2 + 12 * len(page.tags)
        data[end : end + 4] = bytes(4)
        path = save(bytes(data))
        assert len(tifffile.TiffFile(path).pages) == 1
    image = check(path, STACK[0, 1, 0])
    assert image.format == "ImageJ TIFF" and image.sizes == {"T": 2, "Z": 3, "C": 4}
    assert image.pixel_size == (0.4, 0.2)
    assert image.notes == (
        "2 time points: time point 1 is used.",
        "3 Z planes: plane 2 is used.",
        "4 channels: channel 1 is used.",
    )
    for t, z, c in itertools.product(range(2), range(3), range(4)):
        assert check(path, STACK[t, z, c], t=t, z=z, channel=c).plane == {"T": t, "Z": z}


def test_imagej_colour_stack(save: Save):
    pages = RNG.integers(0, 256, (3, 20, 22, 3)).astype(np.uint8)
    assert check(save(pages, imagej=True, metadata={"axes": "ZYXS"}), pages[1]).sizes == {"T": 1, "Z": 3, "C": 1}


@pytest.mark.parametrize("order", ["XYCZT", "XYZCT", "XYTCZ", "XYZTC"])
def test_ome_axes(save: Save, order: str):
    axes = order[:1:-1]
    stack = STACK.transpose(["TZC".index(a) for a in axes] + [3, 4])
    names = {"Channel": {"Name": ["GFP", "RFP", "Hoechst 33342", "Cy5"]}}
    path = save(stack, "cells.ome.tif", metadata={"axes": axes + "YX"} | names, compression="zlib", tile=(16, 16))
    assert f'DimensionOrder="{order}"' in tifffile.TiffFile(path).ome_metadata
    image = check(path, STACK[0, 1, 2])
    assert image.format == "OME-TIFF" and image.channel_names == ("Hoechst 33342",)
    assert "(GFP, RFP, Hoechst 33342, Cy5): channel 3 is used, for its name." in image.notes[-1]
    for t, z, c in itertools.product(range(2), range(3), range(4)):
        check(path, STACK[t, z, c], t=t, z=z, channel=c)


def test_ome_several_images(save: Save, tmp_path: Path):
    path = tmp_path / "two.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(GREY, metadata={"axes": "YX", "Name": "overview"})
        file.write(STACK[0, :, 0], metadata={"axes": "ZYX", "Name": "detail"}, photometric="minisblack")
    assert inspect(path).series == ("overview", "detail")
    assert "2 images" in check(path, GREY).notes[0]
    assert check(path, STACK[0, 2, 0], series=1, z=2).notes == ()
    fails(path, "it has 2", "0 to 1", series=2)
    fails(path, "it has 2", series=-1)


def test_ome_colour(save: Save):
    pages = RNG.integers(0, 256, (3, 20, 22, 3)).astype(np.uint8)
    for options in ({}, {"compression": "zlib"}):
        path = save(pages, "cells.ome.tif", photometric="rgb", metadata={"axes": "ZYXS"}, **options)
        assert check(path, pages[1]).sizes == {"T": 1, "Z": 3, "C": 1}


def ome(body: str, order: str = "XYZCT", uuid: str = "", **sizes: int) -> str:
    form = " ".join(f'Size{a}="{sizes.get(a, 1)}"' for a in "XYZCT")
    return (
        f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"{uuid}>'
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="{order}" Type="uint16" {form}>{body}</Pixels>'
        "</Image></OME>"
    )


def test_ome_set_of_files(save: Save):
    channels = '<Channel Name="GFP"/><Channel Name="DAPI"/>'
    other = '<TiffData IFD="0" FirstC="0"><UUID FileName="gfp.ome.tif">urn:uuid:1</UUID></TiffData>'
    own = '<TiffData IFD="0" FirstC="1"><UUID FileName="dapi.ome.tif">urn:uuid:2</UUID></TiffData>'
    xml = ome(channels + other + own, uuid=' UUID="urn:uuid:2"', C=2, X=W, Y=H)
    save(65535 - DEEP[..., 0], "gfp.ome.tif")
    for name in ("dapi.ome.tif", "renamed.tif"):
        image = check(save(DEEP[..., 0], name, description=xml, metadata=None), DEEP[..., 0])
        assert image.sizes["C"] == 1 and image.channel_names == ("DAPI",)
        assert image.notes == ("Some of its planes are in other files of a set: they are left out.",)


def test_ome_of_a_renamed_file(save: Save):
    body = '<TiffData IFD="0"><UUID FileName="before.ome.tif">urn:uuid:1</UUID></TiffData>'
    image = check(save(GREY, "after.tif", description=ome(body, X=W, Y=H), metadata=None), GREY)
    assert image.format == "OME-TIFF" and image.notes == ()


@pytest.mark.parametrize(
    "xml",
    [
        ome('<TiffData FirstZ="9"/>', Z=3),
        ome("<TiffData/>", Z=10**9, C=10**9),
        ome("<TiffData/>", Z=-1),
        ome("<TiffData/>" * 500, Z=3),
        ome('<TiffData IFD="-3" PlaneCount="-5"/>', Z=3),
        ome("<TiffData/>", order="XYQRS"),
        ome("<TiffData/>", Z=3)[:-9],
        ome("&a;<TiffData/>", Z=3).replace("<OME", '<!DOCTYPE OME [<!ENTITY a "a">]><OME'),
        "<OME" + "<a>" * 20_000,
    ],
)
def test_ome_that_lies_is_not_believed(save: Save, xml: str):
    pages = STACK[0, :, 0]
    image = check(save(pages, description=xml, metadata=None, photometric="minisblack"), pages[1])
    assert image.sizes == {"T": 1, "Z": 3, "C": 1} and "doesn't fit" in image.notes[0]


@pytest.mark.parametrize("text", ["channels=7\nslices=5", "images=1000000000", "frames=-2\nslices=99999999999999999"])
def test_imagej_that_lies_is_not_believed(save: Save, text: str):
    image = check(save(GREY, description=f"ImageJ=1.54f\n{text}\n", metadata=None), GREY)
    assert image.sizes == {"T": 1, "Z": 1, "C": 1}


@pytest.mark.parametrize("text", ['{"shape": [9, 9, 9]}', '{"shape": "x"}', '{"shape": ', '{"shape": [1e9, 37, 51]}'])
def test_shape_that_lies_is_not_believed(save: Save, text: str):
    check(save(GREY, description=text, metadata=None), GREY)


def test_other_axes(save: Save):
    path = save(STACK, photometric="minisblack", metadata={"axes": "TRZYX"})
    image = check(path, STACK[1, 0, 2], t=1, z=2)
    assert image.sizes == {"T": 2, "Z": 4, "C": 1} and "3 positions along its axis R" in image.notes[0]


def test_pages_of_several_sizes(tmp_path: Path):
    path = tmp_path / "slide.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(RGB, photometric="rgb", metadata=None)
        file.write(RGB[::2, ::2], photometric="rgb", metadata=None, subfiletype=1)
        file.write(GREY[:9, :7], metadata=None)
    assert inspect(path).series == ("51 x 37 pixels", "7 x 9 pixels")
    assert "the first (51 x 37 pixels) is used" in check(path, RGB).notes[0]
    check(path, GREY[:9, :7], series=1)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"resolution": (4, 2), "imagej": True, "metadata": {"unit": "micron"}}, (0.5, 0.25)),
        ({"resolution": (4, 2), "imagej": True, "metadata": {"unit": "\\u00B5m"}}, (0.5, 0.25)),
        ({"resolution": (0.01, 0.01), "imagej": True, "metadata": {"unit": "nm"}}, (0.1, 0.1)),
        ({"resolution": (4, 2), "imagej": True, "metadata": {"unit": "pixel"}}, None),
        ({"resolution": (4, 2), "imagej": True}, None),
        ({"resolution": (20000, 40000), "resolutionunit": "CENTIMETER"}, (0.25, 0.5)),
        ({"resolution": (25400, 25400), "resolutionunit": "INCH"}, (1.0, 1.0)),
        ({"resolution": (72, 72), "resolutionunit": "INCH"}, None),
        ({"resolution": (300, 300), "resolutionunit": "INCH"}, None),
        ({"resolution": (1200, 1200), "resolutionunit": "INCH"}, None),
        ({"resolution": (28.3, 28.3), "resolutionunit": "CENTIMETER"}, None),
        ({"resolution": (5, 5), "resolutionunit": "NONE"}, None),
        ({"resolution": (0, 0), "resolutionunit": "CENTIMETER"}, None),
        ({}, None),
    ],
)
def test_pixel_size(save: Save, options: dict, expected: tuple[float, float] | None):
    assert inspect(save(GREY, **options)).pixel_size == (pytest.approx(expected) if expected else None)


@pytest.mark.parametrize(
    ("x", "unit", "expected"),
    [
        ("0.25", "µm", 0.25),
        ("0.25", None, 0.25),
        ("250", "nm", 0.25),
        ("2500", "Å", 0.25),
        ("0.00025", "mm", 0.25),
        ("0.25", "pixel", None),
        ("0", "µm", None),
        ("-1", "µm", None),
        ("NaN", "µm", None),
        ("inf", "µm", None),
    ],
)
def test_ome_pixel_size(save: Save, x: str, unit: str | None, expected: float | None):
    form = ome("<TiffData/>", X=W, Y=H)
    sizes = " ".join(f'PhysicalSize{a}="{x}"' + (f' PhysicalSize{a}Unit="{unit}"' if unit else "") for a in "XY")
    path = save(GREY, description=form.replace("SizeX", f"{sizes} SizeX").encode(), metadata=None)
    size = inspect(path).pixel_size
    assert size == (pytest.approx((expected, expected)) if expected else None)


# PNG, JPEG, BMP, WebP, GIF


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_keeps_16_bits(save: Save, channels: int):
    pixels = DEEP[..., :channels]
    image = check(save(png_bytes(pixels), "cells.png"), pixels[..., :3] if channels > 2 else pixels[..., 0])
    assert ("transparent" in " ".join(image.notes)) == (channels in (2, 4))


@pytest.mark.parametrize("extension", [".png", ".bmp", ".webp", ".tiff"])
def test_grey_and_colour(save: Save, extension: str):
    options = {"lossless": True} if extension == ".webp" else {}
    assert check(save(RGB, f"cells{extension}", **options), RGB).notes == ()
    if extension != ".webp":
        check(save(GREY, f"grey{extension}"), GREY)
        check(save(Image.fromarray(GREY > 99), f"mask{extension}"), (GREY > 99) * np.uint8(255))


def test_equal_channels_stay_colour(save: Save):
    check(save(np.dstack([GREY] * 3), "grey.png"), np.dstack([GREY] * 3))


@pytest.mark.parametrize("extension", [".png", ".webp"])
def test_transparency(save: Save, extension: str):
    options = {"lossless": True, "exact": True} if extension == ".webp" else {}
    rgba = np.dstack([RGB, np.where(GREY > 99, 255, 128).astype(np.uint8)])
    assert "transparent" in check(save(rgba, f"a{extension}", **options), RGB).notes[0]
    rgba[..., 3] = 255
    assert check(save(rgba, f"b{extension}", **options), RGB).notes == ()


def test_png_grey_with_alpha(save: Save):
    assert "transparent" in check(save(np.dstack([GREY, RGB[..., 1]]), "a.png"), GREY).notes[0]


@pytest.mark.parametrize("extension", [".png", ".bmp", ".gif"])
def test_palette(save: Save, extension: str):
    coloured = Image.fromarray(RGB).quantize(16)
    check(save(coloured, f"a{extension}"), np.asarray(coloured.convert("RGB")))
    grey = Image.fromarray(GREY // 16, "P")
    grey.putpalette([v for i in range(16) for v in [255 - 16 * i] * 3])
    check(save(grey, f"b{extension}"), 255 - GREY // 16 * 16)


def test_palette_with_transparency(save: Save):
    coloured = Image.fromarray(RGB).quantize(16)
    image = check(save(coloured, "a.png", transparency=3), np.asarray(coloured.convert("RGB")))
    assert "transparent" in image.notes[0]


@pytest.mark.parametrize("extension", [".gif", ".webp", ".png"])
def test_animation(save: Save, extension: str):
    frames = [Image.new("RGB", (W, H), colour) for colour in ("red", "green")]
    path = save(frames[0], f"a{extension}", save_all=True, append_images=frames[1:], lossless=True)
    assert "first frame" in check(path, np.asarray(frames[0])).notes[0]


def test_jpeg(save: Save):
    for image in (Image.fromarray(RGB), Image.fromarray(GREY), Image.fromarray(RGB).convert("CMYK")):
        path = save(image, "cells.jpg", quality=95)
        with Image.open(path) as stored:
            expected = np.asarray(stored.convert("RGB") if image.mode == "CMYK" else stored)
        assert bool(check(path, expected).notes) == (image.mode == "CMYK")


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp"])
def test_exif_turns_upright(save: Save, turn: int, extension: str):
    blocks = np.kron(np.array([[250, 10, 120], [30, 200, 80]], np.uint8), np.ones((16, 16), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = turn
    path = save(
        np.dstack([blocks] * 3), f"a{extension}", exif=exif, **({} if extension == ".jpg" else {"lossless": True})
    )
    with Image.open(path) as stored:
        expected = np.asarray(stored)
    upright = {
        1: expected,
        2: np.fliplr(expected),
        3: np.rot90(expected, 2),
        4: np.flipud(expected),
        5: np.rot90(np.fliplr(expected)),
        6: np.rot90(expected, 3),
        7: np.rot90(np.fliplr(expected), 3),
        8: np.rot90(expected),
    }[turn]
    assert ("upright" in " ".join(check(path, upright).notes)) == (turn > 1)


# what goes wrong


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["empty", "0 bytes"]),
        (b"%PDF-1.7 ...", ["a PDF", "Export"]),
        (b"PK\x03\x04....", ["zip", "Unpack"]),
        (b"ZISRAWFILE", ["CZI", "Fiji"]),
        (b"\x70\0\0\0\x10\0\0\0\x2a", ["LIF", "Fiji"]),
        (b"\xda\xce\xbe\x0a", ["ND2", "Fiji"]),
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
    fails(tmp_path / "a\0b.tif", "a\\x00b.tif", "opened")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.tif")
        fails(tmp_path / "pipe.tif", "pipe")


def test_extension_does_not_matter(save: Save):
    check(save(save(RGB, "a.png").read_bytes(), "cells.tif"), RGB)
    assert ".tif" in SUPPORTED_EXTENSIONS and all(e == e.lower() and e[0] == "." for e in SUPPORTED_EXTENSIONS)


def test_names_are_fit_to_be_shown(save: Save):
    message = fails(save(b"", "a\n\x1b[31m\u202eb.tif"), r"a\n\x1b[31m\u202eb.tif")
    assert message.isprintable()
    assert read(save(GREY, "n" * 200 + ".tif")).name == "n" * 60 + "…" + "n" * 15 + ".tif"
    assert inspect(save(GREY, "grün zellen.tif")).name == "grün zellen.tif"


@pytest.mark.parametrize(
    "name", ["a.png", "a.jpg", "a.bmp", "a.gif", "a.webp", "a.tif", "lzw.tiff", "zip.tif", "tiles.tif"]
)
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.97])
def test_cut_short(save: Save, name: str, kept: float):
    pixels = RNG.integers(0, 256, (100, 120, 3)).astype(np.uint8)
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
        ((tags(W, H, samples=0), GOOD), ["of 0 samples"]),
        ((tags(W, H, t277=(4, [2**31])), GOOD), ["samples"]),
        ((tags(W, H, 64, t339=(3, [6])), GOOD), ["complex"]),
        ((tags(W, H, 24, t339=(3, [3])), GOOD), ["24-bit"]),
        ((tags(W, H, t258=(3, [8, 16]), t277=(3, [2])), GOOD), ["[8, 16] bits"]),
        ((tags(W, H, photometric=8), GOOD), ["interpretation 8"]),
        ((tags(W, H, 8, 3, 6), [bytes(3 * H * W)]), ["YCbCr"]),
        ((tags(W, H, photometric=3), GOOD), ["palette has 0"]),
        ((tags(W, H, t32997=(4, [5])), GOOD), ["volume"]),
        ((tags(W, H, t273=(4, [10**9])), GOOD), ["cut short"]),
        ((tags(W, H, t273=(4, [2**32 - 1])), GOOD), ["cut short"]),
        ((tags(W, H, t259=(3, [5]), t279=(4, [10**9])), GOOD), ["10000000"]),
        ((tags(W, H, t278=(4, [1])), GOOD), ["1 of the 37 strips"]),
        ((tags(W, H, t278=(4, [0])), GOOD), ["strips 0 rows"]),
        ((tags(W, H, t259=(3, [5])), GOOD), ["LZW", "unpacked"]),
        ((tags(W, H, t259=(3, [8])), GOOD), ["Deflate", "unpacked"]),
        ((tags(W, H, t259=(3, [7])), GOOD), ["JPEG", "unpacked"]),
        ((tags(W, H, 16, t259=(3, [7])), GOOD), ["JPEG", "16 bits"]),
        ((tags(W, H, t259=(3, [8]), t317=(3, [3])), [zlib.compress(GOOD[0])]), ["predictor 3"]),
        ((tags(W, H, t259=(3, [34712])), GOOD), ["JPEG 2000", "LZW"]),
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
        fails(save(bytes(data)), "cut short")
    data[where + 2 : where + 4] = b"\x63\0"
    fails(save(bytes(data)), "type 99")


def test_circle_of_pages(save: Save):
    page = (tags(W, H), GOOD)
    data = bytearray(tiff_bytes(page, page))
    data[-4:] = data[4:8]
    fails(save(bytes(data)), "circle", "page 2")


def test_too_many_pages(save: Save):
    n = tiff.MAX_PAGES + 1
    directory = struct.pack("<HHHLL", 1, 256, 4, 1, 9)
    data = b"II*\0\x08\0\0\0" + b"".join(directory + struct.pack("<L", 8 + 18 * i) for i in range(1, n))
    path = save(data + directory + bytes(4))
    started = time.process_time()
    with pytest.raises(ImageError, match="100,000 pages"):
        read(path)
    assert time.process_time() - started < 4


def test_pages_that_overlap(save: Save):
    data = bytearray(b"II*\0\x08\0\0\0" + bytes(60_000))
    for offset in range(8, 4008, 4):  # each claims 4096 tags, to the end of which it may read
        data[offset : offset + 2] = struct.pack("<H", 4096)
        where = offset + 2 + 4096 * 12
        data[where : where + 4] = struct.pack("<L", offset + 4)
    fails(save(bytes(data)), "overlaps")


def test_not_a_number(save: Save):
    values = GREY.astype(np.float32)
    values[0, :3] = np.nan, np.inf, -np.inf
    assert check(save(values), values).notes == ("3 of 1,887 values are not a number or infinite.",)


def test_bad_arguments(save: Save):
    path = save(GREY)
    for options in ({"z": "1"}, {"t": 0.5}, {"channel": "DAPI"}, {"series": None}):
        with pytest.raises(TypeError):
            read(path, **options)
    fails(save(RGB, "a.png"), "RGB", channel=[0, 0])
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


# for the eye


def test_display_stretches():
    ramp = np.linspace(1000, 1100, 10_000).reshape(100, 100).astype(np.uint16)
    shown = to_display(ramp, low=0, high=100)
    assert shown.shape == (100, 100, 3) and shown.dtype == np.uint8
    assert (shown[0, 0] == 0).all() and (shown[-1, -1] == 255).all() and abs(int(shown[50, 0, 0]) - 128) <= 3
    for same in (ramp.astype(np.float64) * 1e-9, ramp.astype(np.int32) - 5000, ramp.astype(np.uint64) << 30):
        assert np.abs(to_display(same, 0, 100).astype(int) - shown).max() <= 1
    spike = np.where(np.arange(10_000).reshape(100, 100) == 5, 65535, ramp).astype(np.uint16)
    assert to_display(spike)[-1, -1, 0] == 255  # a hot pixel doesn't darken the rest


def test_display_keeps_colours_and_photographs():
    photograph = (RGB * 0.7 + 30).astype(np.uint8)
    np.testing.assert_array_equal(to_display(photograph), photograph)
    dim = RGB // 8
    shown = to_display(dim)
    assert shown.max() == 255
    two = np.dstack([DEEP[..., 0], DEEP[..., 0] // 2]).astype(np.int32) - 50_000
    shown = to_display(two)
    assert (shown[..., 2] == 0).all() and abs(float(shown[..., 1].mean()) / float(shown[..., 0].mean()) - 0.5) < 0.05


@pytest.mark.parametrize("fill", [0, 7, np.nan, np.inf])
def test_display_of_nothing(fill: float):
    assert (to_display(np.full((5, 6), fill, np.float32)) == to_display(np.full((5, 6), fill, np.float32))[0, 0]).all()
    mixed = np.array([[0.0, 1.0, fill]], np.float32)
    assert to_display(mixed, 0, 100)[0, 0, 0] == 0


def test_display_arguments():
    with pytest.raises(ValueError, match=re.escape("(2, 3, 4, 5)")):
        to_display(np.zeros((2, 3, 4, 5)))
    with pytest.raises(ValueError, match="low=9"):
        to_display(GREY, low=9, high=5)
