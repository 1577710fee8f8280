"""What a file says of its pages, and what its values mean: every case with its right value.

The files are written byte by byte or by Pillow; tifffile, which reads, writes only what no other program writes."""

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from nuclei_models.images import inspect, read
from nuclei_models.images.label_images import read_labels
from nuclei_models.images.source import Source
from tests.support.image_files import ndpi_bytes, tags, tiff_bytes
from tests.support.images import DEEP, GREY, RGB, RNG, H, Save, W, check, fails

DNA, ACTIN, TUBULIN = (np.ascontiguousarray(DEEP[..., i]) for i in range(3))


def strip(pixels: np.ndarray) -> list[bytes]:
    return [pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()]


def page(pixels: np.ndarray, **more: tuple):
    return tags(W, H, 8 * pixels.dtype.itemsize, **more), strip(pixels)


def ascii_tag(text: str) -> tuple[int, list[int]]:
    return 2, list(text.encode() + b"\0")


# tiles and strips that aren't there


@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("tiled", [False, True])
def test_empty_tiles_and_strips_are_zeros(save: Save, compression: int, tiled: bool):

    pixels = RNG.integers(1, 65536, (64, 48)).astype("<u2")
    pixels[16:32] = 0
    rows = [pixels[y : y + 16] for y in range(0, 64, 16)]
    data = [
        b"" if i == 1 else (zlib.compress(row.tobytes()) if compression == 8 else row.tobytes())
        for i, row in enumerate(rows)
    ]
    at = [8 + sum(map(len, data[:i])) for i in range(4)]
    form = tags(48, 64, 16, t259=(3, [compression]))
    if tiled:
        form |= {322: (4, [48]), 323: (4, [16]), 324: (4, [a if d else 0 for a, d in zip(at, data, strict=True)])}
    else:
        form |= {278: (4, [16]), 273: (4, [a if d else 0 for a, d in zip(at, data, strict=True)])}
    check(save(tiff_bytes((form, data))), pixels.astype(np.uint16))


# what the axes are


@pytest.mark.parametrize("channels", [2, 5])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_channels_that_were_given_last(save: Save, channels: int, compression: str | None):
    stack = RNG.integers(0, 65536, (H, W, channels)).astype(np.uint16)
    path = save(stack, compression=compression)
    assert len(tifffile.TiffFile(path).pages) == H  # a page a row
    image = check(path, stack[..., 0])
    assert image.sizes == {"T": 1, "Z": 1, "C": channels}
    assert image.notes == (f"{channels} channels: channel 1 is used.",)
    check(path, stack[..., 1], channel=1)


def test_channels_last_in_pages_written_by_hand(save: Save):
    """As `tifffile.imwrite("h.tif", np.stack([empty, dna], -1))` writes them: a page of (width, 2) for each row."""
    stack = np.stack([np.zeros_like(DNA), DNA], axis=-1)
    text = ascii_tag(json.dumps({"shape": [H, W, 2]}))
    rows = [(tags(2, W, 16, **({"t270": text} if y == 0 else {})), strip(stack[y])) for y in range(H)]
    path = save(tiff_bytes(*rows))
    assert inspect(path).sizes == {"T": 1, "Z": 1, "C": 2}
    check(path, DNA, channel=1)


def test_named_pages_are_channels(save: Save):
    named = [("Actin", ACTIN), ("DAPI", DNA), ("Tubulin", TUBULIN)]
    path = save(tiff_bytes(*(page(pixels, t285=ascii_tag(name)) for name, pixels in named)))
    image = check(path, DNA)
    assert image.channel_names == ("DAPI",) and inspect(path).channel_names == ("Actin", "DAPI", "Tubulin")
    assert image.notes == ("3 channels (Actin, DAPI, Tubulin): channel 2 is used, for its name.",)


def test_names_that_a_file_gives_are_fit_to_be_shown(save: Save):
    named = [("Ac\x1b[31mtin\u202e", ACTIN), ("DAPI" + "!" * 200, DNA)]
    path = save(tiff_bytes(*(page(pixels, t285=ascii_tag(name)) for name, pixels in named)))
    image = check(path, DNA)
    assert inspect(path).channel_names == ("Ac\ufffd[31mtin\ufffd", "DAPI" + "!" * 56 + "…" + "!" * 19)
    assert all(note.isprintable() for note in image.notes)


def test_numbered_pages_are_no_channels(save: Save):
    pages = [page(DNA + i, t285=ascii_tag(f"Plane {i}")) for i in range(6)]
    image = check(save(tiff_bytes(*pages)), DNA + 3)
    assert image.sizes["Z"] == 6


def test_imagej_slices_whose_labels_are_stains(save: Save):
    stack = np.stack([ACTIN, DNA, TUBULIN])
    labels = {"axes": "ZYX", "Labels": ["actin.tif", "DAPI.tif", "tubulin.tif"]}
    image = check(save(stack, imagej=True, metadata=labels), DNA)
    assert image.sizes == {"T": 1, "Z": 1, "C": 3} and image.channel_names == ("DAPI.tif",)
    labels["Labels"] = ["DAPI z1", "DAPI z2", "DAPI z3"]
    image = check(save(stack, imagej=True, metadata=labels), DNA)
    assert image.sizes == {"T": 1, "Z": 3, "C": 1} and image.plane["Z"] == 1
    both = np.stack([stack, stack])
    labels = {
        "axes": "ZCYX",
        "Labels": [f"c:{c}/3 z:{z}/2 - {n}" for z in (1, 2) for c, n in enumerate(("a", "DAPI", "b"), 1)],
    }
    assert check(save(both, imagej=True, metadata=labels), DNA).channel_names == ("DAPI",)


def test_imagejs_labels_written_by_hand(save: Save):
    """In its own two entries: the sizes of a header and of UTF-16 labels, and these."""
    labels = [name.encode("utf-16-le") for name in ("actin", "DAPI", "tubulin")]
    header = b"JIJI" + b"lbal" + struct.pack("<I", len(labels))
    entries = {"t50838": (4, [len(header), *map(len, labels)]), "t50839": (1, list(header + b"".join(labels)))}
    text = ascii_tag("ImageJ=1.54f\nimages=3\nslices=3\n")
    pages = [page(ACTIN, t270=text, **entries), page(DNA), page(TUBULIN)]
    image = check(save(tiff_bytes(*pages)), DNA)
    assert image.format == "ImageJ TIFF" and image.channel_names == ("DAPI",) and image.sizes["C"] == 3


def test_pages_of_a_shape_that_names_its_axes(save: Save):
    for axes, sizes in [("CYX", {"C": 3}), ("ZYX", {"Z": 3}), ("TYX", {"T": 3})]:
        path = save(np.stack([DNA, ACTIN, TUBULIN]), photometric="minisblack", metadata={"axes": axes})
        assert inspect(path).sizes == {"T": 1, "Z": 1, "C": 1} | sizes and inspect(path).guessed == ""


# values


def imagej(pixels: np.ndarray, text: str = "", **more: tuple) -> bytes:
    return tiff_bytes(page(pixels, t270=ascii_tag(f"ImageJ=1.54f\n{text}"), **more))


@pytest.mark.parametrize("pixels", [GREY, DNA])
def test_imagejs_inverting_lookup_table_changes_no_value(save: Save, pixels: np.ndarray):
    path = save(imagej(pixels, t262=(3, [0])))
    assert "the values beneath are used as they are" in check(path, pixels).notes[0]


def test_labels_with_an_inverting_lookup_table(save: Save):
    labels = np.zeros((H, W), np.uint16)
    labels[3:9, 3:9], labels[20:30, 20:40] = 1, 2
    np.testing.assert_array_equal(read_labels(save(imagej(labels, t262=(3, [0])))), labels)


def test_values_that_are_no_numbers(save: Save):
    values = DNA.astype("<f4")
    values[0, :3] = np.nan, np.inf, -np.inf
    path = save(tiff_bytes(page(values, t339=(3, [3]))))
    assert check(path, values).notes == ("3 of 1,887 values are not a number or infinite.",)


def test_a_page_with_white_as_zero_among_others_is_not_taken_for_one_of_them(save: Save):
    text = ascii_tag(json.dumps({"shape": [2, H, W]}))
    path = save(tiff_bytes(page(DNA, t270=text), page(ACTIN, t262=(3, [0]))))
    check(path, DNA)
    fails(path, "Page 2 is of another size or type", channel=1)


# the size of a pixel


@pytest.mark.parametrize("dpi", [72, 96, 150, 300, 600])
@pytest.mark.parametrize("per_cm", [False, True])
@pytest.mark.parametrize("text", [None, "unit=inch\n", "unit=cm\n", ""])
def test_a_printers_resolution_is_no_pixel_size(save: Save, dpi: int, per_cm: bool, text: str | None):
    if text is not None and ("cm" in text) != per_cm:
        return
    n = round(dpi / 2.54 * 1000) if per_cm else dpi * 1000
    form = {"t282": (5, [n, 1000]), "t283": (5, [n, 1000]), "t296": (3, [3 if per_cm else 2])}
    path = save(tiff_bytes(page(GREY, **form)) if text is None else imagej(GREY, text, **form))
    assert inspect(path).pixel_size is None
    assert any("printer's" in note for note in inspect(path).notes) == bool(text)


def test_pillows_resolution_is_no_pixel_size(tmp_path: Path):
    Image.fromarray(RGB).save(tmp_path / "a.tif", dpi=(300, 300))
    assert inspect(tmp_path / "a.tif").pixel_size is None


def test_imagejs_own_units(save: Save):
    form = {"t282": (5, [4, 1]), "t283": (5, [2, 1]), "t296": (3, [1])}
    for unit, size in [("um", (0.5, 0.25)), ("\\u00B5m", (0.5, 0.25)), ("mm", (500.0, 250.0)), ("pixel", None)]:
        assert inspect(save(imagej(GREY, f"unit={unit}\n", **form))).pixel_size == size


def test_ome_with_the_size_of_one_axis_only(save: Save):
    sizes = f'SizeX="{W}" SizeY="{H}" SizeZ="1" SizeC="1" SizeT="1" PhysicalSizeX="0.5"'
    xml = f'<OME><Image><Pixels DimensionOrder="XYZCT" Type="uint8" {sizes}><TiffData/></Pixels></Image></OME>'
    path = save(tiff_bytes(page(GREY, t270=ascii_tag(xml))))
    assert inspect(path).pixel_size == (0.5, 0.5)
    assert inspect(path).notes == ("It says how large a pixel is along X (0.5 µm) and not along Y: taken for square.",)


def test_a_size_given_by_hand(save: Save):
    form = {"t282": (5, [300, 1]), "t283": (5, [300, 1]), "t296": (3, [2])}
    path = save(imagej(GREY, "unit=inch\n", **form))
    image = read(path, pixel_size=0.65)
    assert image.pixel_size == (0.65, 0.65) and image.notes == ()
    assert Source(path, pixel_size=0.65).pixel_size == (0.65, 0.65)


# slides


def tiled(pixels: np.ndarray, **more: tuple):
    """A page of JPEG tiles of 32 x 32, by Pillow."""
    height, width = pixels.shape[:2]
    padded = np.pad(pixels, ((0, -height % 32), (0, -width % 32), (0, 0)))
    data = []
    for y in range(0, height, 32):
        for x in range(0, width, 32):
            file = io.BytesIO()
            Image.fromarray(padded[y : y + 32, x : x + 32]).save(file, "JPEG", quality=95, subsampling=0)
            data.append(file.getvalue())
    form = tags(width, height, 8, 3, 6, t259=(3, [7]), t322=(4, [32]), t323=(4, [32]), t530=(3, [1, 1]))
    return form | {int(name[1:]): value for name, value in more.items()}, data


SMOOTH = np.asarray(Image.fromarray(RGB).resize((100, 70), Image.Resampling.BICUBIC))


def test_aperio_svs(save: Save):
    """Its picture by window; no thumbnail, no lower resolution, no label, no macro picture."""
    text = ascii_tag("Aperio Image Library v1\r\n100x70 -> 100x70|AppMag = 20|MPP = 0.4990")
    small = SMOOTH[::2, ::2]
    beside = [(tags(50, 35, 8, 3, 2, t254=(4, [kind])), strip(np.ascontiguousarray(small))) for kind in (0, 1, 9)]
    path = save(
        tiff_bytes(tiled(SMOOTH, t270=text), beside[0], tiled(small, t270=text), beside[1], beside[2]), "slide.svs"
    )
    info = inspect(path)
    assert info.format == "SVS" and info.series == ("Baseline",) and info.pixel_size == (0.499, 0.499)
    assert (info.width, info.height, info.is_rgb) == (100, 70, True)
    whole = read(path).pixels
    assert np.abs(whole.astype(int) - SMOOTH).mean() < 3
    np.testing.assert_array_equal(Source(path).read(slice(20, 50), slice(30, 90)), whole[20:50, 30:90])


def test_akoya_qptiff(save: Save):
    """Its channels by their names; thumbnail and lower resolutions left out."""

    def fluor(name: str) -> tuple[int, list[int]]:
        return ascii_tag(
            f"<?xml?><PerkinElmer-QPI-ImageDescription><Name>{name}</Name></PerkinElmer-QPI-ImageDescription>"
        )

    form = {"t322": (4, [64]), "t323": (4, [48]), "t305": ascii_tag("PerkinElmer-QPI"), "t296": (3, [3])}
    form |= {"t282": (5, [20000, 1]), "t283": (5, [20000, 1])}

    def tile(pixels: np.ndarray, name: str, **more: tuple):
        high, wide = pixels.shape
        padded = np.pad(pixels, ((0, 48 - high), (0, 64 - wide))).astype("<u2")
        return tags(wide, high, 16, t270=fluor(name), **form, **more), [padded.tobytes()]

    named = {"Opal 520": ACTIN, "DAPI": DNA, "Opal 690": TUBULIN}
    pages = [tile(pixels, name) for name, pixels in named.items()]
    thumb = (tags(10, 8, 8, 3, 2, t254=(4, [1])), [bytes(240)])
    low = [tile(np.ascontiguousarray(p[: H // 2, : W // 2]), name, t254=(4, [1])) for name, p in named.items()]
    path = save(tiff_bytes(*pages, thumb, *low), "slide.qptiff")
    info = inspect(path)
    assert info.format == "QPTIFF" and len(info.series) == 1 and info.sizes == {"T": 1, "Z": 1, "C": 3}
    assert info.channel_names == ("Opal 520", "DAPI", "Opal 690") and info.pixel_size == (0.5, 0.5)
    assert check(path, DNA).notes == ("3 channels (Opal 520, DAPI, Opal 690): channel 2 is used, for its name.",)


def test_leica_scn(save: Save):
    """The image of the sample, not the overview that comes first."""
    view = '<view sizeX="1" sizeY="1"/>'

    def image(name: str, pages: list[int]) -> str:
        levels = "".join(f'<dimension sizeX="9" sizeY="9" r="{r}" ifd="{ifd}"/>' for r, ifd in enumerate(pages))
        return f'<image name="{name}" uuid="1"><pixels sizeX="9" sizeY="9">{levels}</pixels>{view}</image>'

    xml = f'<scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01"><collection name="x">{image("macro", [0])}'
    xml += f"{image('image_1', [1, 2])}</collection></scn>"
    text = {"t270": ascii_tag(xml), "t305": ascii_tag("Leica")}
    path = save(tiff_bytes(tiled(SMOOTH[:40, :50], **text), tiled(SMOOTH), tiled(SMOOTH[::2, ::2])), "slide.scn")
    info = inspect(path)
    assert info.format == "SCN" and info.series == ("image_1",) and (info.width, info.height) == (100, 70)
    assert np.abs(read(path).pixels.astype(int) - SMOOTH).mean() < 3


def test_hamamatsu_ndpi(save: Save):
    """Pages with offsets of 64 bits."""
    slide = tiled(SMOOTH, t271=ascii_tag("Hamamatsu"), t65420=(4, [1]), t65421=(11, [20]))
    path = save(ndpi_bytes(slide), "slide.ndpi")
    info = inspect(path)
    assert info.format == "NDPI" and (info.width, info.height) == (100, 70)
    assert np.abs(read(path).pixels.astype(int) - SMOOTH).mean() < 3


def test_json_of_a_shape_without_pages(save: Save):
    """A description of more planes than there are is not believed."""
    text = ascii_tag(json.dumps({"shape": [50, H, W]}))
    assert check(save(tiff_bytes(page(GREY, t270=text))), GREY).sizes == {"T": 1, "Z": 1, "C": 1}
