"""The reader of TIFFs: every kind gives its exact pixels, planes, channels and pixel size."""

import itertools
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from nuclei_models.images.reader import inspect, planes, read
from nuclei_models.images.source import Source
from tests.support.image_files import float_predicted, lzw, tags, tiff_bytes
from tests.support.images import DEEP, GREY, RGB, RNG, STACK, H, Save, W, check, fails

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
    colours = RGB > 99
    rows = np.packbits(colours.reshape(H, -1), axis=1).tobytes()
    check(save(tiff_bytes((tags(W, H, 1, 3, 2), [rows]))), colours * np.uint8(255))
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
    path = save(65535 - DEEP[..., 0], photometric="miniswhite")
    image = check(path, DEEP[..., 0])
    assert image.notes == ("It is stored with 0 as white: it was inverted.",)
    assert inspect(path).notes == Source(path).notes == image.notes  # of large images it is said, too


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


@pytest.mark.parametrize("options", [{"metadata": None}, {}])
def test_few_pages_without_a_word_are_channels(save: Save, options: dict):
    pages = STACK[0, :, 0]
    path = save(pages, photometric="minisblack", **options)
    image = check(path, pages[0])
    assert image.sizes == {"T": 1, "Z": 1, "C": 3} and inspect(path).guessed == "C"
    assert image.notes == (
        "It doesn't say what its 3 pages are: they are taken for channels.",
        "3 channels: channel 1 is used.",
    )
    for axis in ("channel", "z", "t"):  # whatever a user takes them for
        image = read(path, **{axis: 2})
        assert image.notes == () and np.array_equal(image.pixels, pages[2])
        fails(path, "3 was asked for" if axis != "channel" else "[3]", "it has 3", "0 to 2", **{axis: 3})
    assert [image.plane["Z"] for image in planes(path, z="all", t=None)] == [0, 1, 2]


def test_twelve_planes_show_the_seventh(save: Save):
    pages = RNG.integers(0, 99, (12, 9, 8)).astype(np.int16)
    image = check(save(pages, photometric="minisblack"), pages[6])
    assert image.notes == (
        "It doesn't say what its 12 pages are: they are taken for Z planes.",
        "12 Z planes: plane 7 is used.",
    )


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
    image = check(save(pages, description=xml, metadata=None, photometric="minisblack"), pages[0])
    assert image.sizes == {"T": 1, "Z": 1, "C": 3} and "doesn't fit" in image.notes[0]


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
