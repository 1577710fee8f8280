"""Small real files of every format, compression and sample type: what mutations start from."""

import io
import tempfile
import zlib
from functools import cache
from pathlib import Path

import imagecodecs
import numcodecs
import numpy as np
import tifffile
import zarr
from PIL import Image

from tests.support.image_files import float_predicted, ndpi_bytes, png_bytes, tags, tiff_bytes
from tests.support.vendor_files import czi_bytes, lif_bytes, nd2_bytes

from .folders import packed

_RANDOM = np.random.default_rng(0)
RGB = _RANDOM.integers(0, 256, (12, 14, 3)).astype(np.uint8)
DEEP = _RANDOM.integers(0, 65536, (12, 14, 4)).astype(np.uint16)
STACK = _RANDOM.integers(0, 65536, (2, 3, 2, 8, 9)).astype(np.uint16)  # T, Z, C, Y, X


@cache
def seeds() -> dict[str, bytes]:
    """By what they are, in a fixed order."""
    return {**_by_pillow(), **_by_tifffile(), **_of_rare_kinds(), **_of_stated_kinds(), **_by_vendors(), **_by_zarr()}


def _of_rare_kinds() -> dict[str, bytes]:
    """Compressions that are unpacked in the sandbox, slides, and vendors' formats."""
    packers = {
        "JPEG 2000": (34712, lambda p: _packed(p, "JPEG2000", irreversible=False, no_jp2=True)),
        "JPEG 2000, Aperio": (33003, lambda p: _packed(p, "JPEG2000", irreversible=True, no_jp2=True)),
        "WebP": (50001, lambda p: _packed(p, "WEBP", lossless=True)),
        "JPEG XR": (22610, imagecodecs.jpegxr_encode),
        "JPEG XL": (50002, lambda p: imagecodecs.jpegxl_encode(p, lossless=True)),
        "LERC": (34887, imagecodecs.lerc_encode),
        "PNG": (34933, imagecodecs.png_encode),
        "JPEG": (7, lambda p: _packed(p, "JPEG")),
    }
    block = np.pad(RGB, ((0, 4), (0, 2), (0, 0)), mode="edge")
    files = {}
    for name, (scheme, pack) in packers.items():
        form = tags(14, 12, 8, 3, 2, t259=(3, [scheme]), t322=(4, [16]), t323=(4, [16]))
        files[f"TIFF {name}"] = tiff_bytes((form, [pack(block)]))
    lerc = imagecodecs.lerc_encode(DEEP[..., 0])
    for code, around in ((1, imagecodecs.zlib_encode), (2, imagecodecs.zstd_encode)):
        form = tags(14, 12, 16, t259=(3, [34887]), t50674=(4, [4, code]))
        files[f"TIFF LERC in {around.__name__}"] = tiff_bytes((form, [around(lerc)]))
    for name, (scheme, pack) in {"JPEG XR": packers["JPEG XR"], "JPEG XL": packers["JPEG XL"]}.items():
        files[f"TIFF {name}, 16 bits"] = tiff_bytes((tags(14, 12, 16, t259=(3, [scheme])), [pack(DEEP[..., 0])]))
    for method in ("group3", "tiff_ccitt"):
        mask = Image.fromarray(RGB[..., 0] > 99)
        files[f"TIFF fax, {method}"] = _saved(mask, "TIFF", {"compression": method})
    jpeg = tags(14, 12, 8, 3, 6, t259=(3, [7]), t322=(4, [16]), t323=(4, [16]), t530=(3, [1, 1]))
    tile = [_packed(block, "JPEG", subsampling=0)]
    aperio = jpeg | {270: _text("Aperio Image Library|MPP = 0.5")}
    small = tags(7, 6, 8, 3, 2, t254=(4, [1])), [bytes(126)]
    files["SVS"] = tiff_bytes((aperio, tile), small, (aperio, tile), small)
    xml = (
        '<scn><collection><image name="a"><pixels><dimension r="0" ifd="0"/><dimension r="1" ifd="1"/></pixels></image>'
    )
    files["SCN"] = tiff_bytes((jpeg | {270: _text(f"{xml}</collection></scn>"), 305: _text("Leica")}, tile), small)
    akoya = {305: _text("PerkinElmer-QPI"), 322: (4, [16]), 323: (4, [16])}
    named = [_text(f"<PerkinElmer-QPI-ImageDescription><Name>{n}</Name>") for n in ("DAPI", "FITC")]
    pages = [(tags(14, 12, 16) | akoya | {270: name}, [bytes(512)]) for name in named]
    files["QPTIFF"] = tiff_bytes(*pages, small, (tags(7, 6, 16) | akoya, [bytes(512)]))
    files["NDPI"] = ndpi_bytes((jpeg | {271: _text("Hamamatsu"), 65420: (4, [1])}, tile))
    return files


def _of_stated_kinds() -> dict[str, bytes]:
    """TIFFs whose pages or values mean what something beside them says."""
    pages = [DEEP[..., i] for i in range(3)]
    names = ("actin", "DAPI", "tubulin")
    form, strips = tags(14, 12, 16), [[page.tobytes()] for page in pages]
    files = {"TIFF named pages": tiff_bytes(*((form | {285: _text(n)}, s) for n, s in zip(names, strips, strict=True)))}
    text = _text("ImageJ=1.54f\nimages=3\nslices=3\nunit=um\n")
    joined = b"".join(page.tobytes() for page in pages)
    files["ImageJ, one page for all"] = tiff_bytes((form | {270: text, 262: (3, [0])}, [joined]))
    uuids = [f'<TiffData FirstC="{c}"><UUID FileName="{c}.tif">{c}</UUID></TiffData>' for c in range(2)]
    pixels = '<Pixels DimensionOrder="XYZCT" Type="uint16" SizeX="14" SizeY="12" SizeZ="1" SizeC="2" SizeT="1">'
    xml = f'<OME UUID="1"><Image>{pixels}{"".join(uuids)}</Pixels></Image></OME>'
    files["OME, one of a set"] = tiff_bytes((form | {270: _text(xml)}, strips[0]))
    empty = tags(14, 12, 16, t278=(4, [6]), t273=(4, [8, 0]), t279=(4, [168, 0]))
    files["TIFF empty strip"] = tiff_bytes((empty, [DEEP[:6, :, 0].tobytes()]))
    return files


def _by_vendors() -> dict[str, bytes]:
    deep, at = np.ascontiguousarray(DEEP[..., 0]), {"X": 0, "Y": 0}
    apart = deep.view(np.uint8).reshape(-1, 2).T.tobytes()
    packers = {
        "": (0, lambda p: p.tobytes()),
        " LZW": (2, lambda p: imagecodecs.lzw_encode(p.tobytes())),
        " JPEG XR": (4, imagecodecs.jpegxr_encode),
        " zstd": (5, lambda p: imagecodecs.zstd_encode(p.tobytes())),
        " zstd, bytes apart": (6, lambda p: b"\3\1\1" + imagecodecs.zstd_encode(apart)),
    }
    files = {f"CZI{name}": czi_bytes([(at, deep)], "", pack, scheme) for name, (scheme, pack) in packers.items()}
    files["CZI JPEG, colour"] = czi_bytes([(at, RGB)], "", lambda p: _packed(p, "JPEG"), 1)
    tiles = [({"X": 8 * i, "Y": 0, "M": i, "S": s, "C": 0}, deep[:, :8]) for s in range(2) for i in range(2)]
    scaling = '<Distance Id="X"><Value>2.5e-7</Value></Distance><Distance Id="Y"><Value>2.5e-7</Value></Distance>'
    about = f"<ImageDocument><Metadata><Scaling><Items>{scaling}</Items></Scaling></Metadata></ImageDocument>"
    files["CZI of scenes and tiles"] = czi_bytes(tiles, about)
    files["LIF"] = lif_bytes({"cells": STACK, "overview": STACK[:1, :1, :1]})
    files["ND2"] = nd2_bytes(STACK[:, :2], ("DAPI", "GFP"))
    return files


def _by_zarr() -> dict[str, bytes]:
    """OME-Zarr of both layouts, in several compressions."""
    axes = [{"name": axis, "type": "space" if axis in "zyx" else "time", "unit": "micrometer"} for axis in "tzyx"]
    scale = {"type": "scale", "scale": [1.0, 1.0, 0.5, 0.5]}
    scales = [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": [scale]}]}]
    files = {}
    for format, compressors in ((2, (None, numcodecs.Blosc(), numcodecs.Zlib())), (3, (None, "auto"))):
        for compressor in compressors:
            with tempfile.TemporaryDirectory() as name:
                root = zarr.open_group(name, mode="w", zarr_format=format)
                root.create_array("0", data=STACK[:, :, 0], chunks=(1, 1, 8, 8), compressors=compressor)
                about = {"multiscales": scales}
                root.attrs.update(about if format == 2 else {"ome": about | {"version": "0.5"}})
                files[f"OME-Zarr {format}, {compressor}"] = packed(Path(name))
    return files


def _packed(pixels: np.ndarray, format: str, **options) -> bytes:
    return _saved(Image.fromarray(pixels), format, options)


def _text(text: str) -> tuple[int, list[int]]:
    return 2, list(text.encode() + b"\0")


def _by_pillow() -> dict[str, bytes]:
    image, grey = Image.fromarray(RGB), Image.fromarray(RGB[..., 0])
    exif = image.getexif()
    exif[274] = 6
    frames = {"save_all": True, "append_images": [Image.fromarray(RGB[::-1])], "duration": 50}
    files = {
        "PNG": (image, "PNG", {}),
        "PNG palette": (image.quantize(16), "PNG", {"transparency": 3}),
        "PNG 1 bit": (grey.convert("1"), "PNG", {}),
        "PNG alpha, EXIF": (image.convert("RGBA"), "PNG", {"exif": exif}),
        "APNG": (image, "PNG", frames),
        "JPEG": (image, "JPEG", {"exif": exif, "comment": b"cells"}),
        "JPEG progressive": (image, "JPEG", {"progressive": True}),
        "JPEG CMYK": (image.convert("CMYK"), "JPEG", {}),
        "JPEG grey": (grey, "JPEG", {}),
        "BMP": (image, "BMP", {}),
        "BMP palette": (image.quantize(16), "BMP", {}),
        "BMP 1 bit": (grey.convert("1"), "BMP", {}),
        "WebP": (image, "WEBP", {"lossless": True, "exif": exif}),
        "WebP lossy, alpha": (image.convert("RGBA"), "WEBP", {"quality": 50}),
        "WebP animated": (image, "WEBP", frames),
        "GIF": (image, "GIF", {}),
        "GIF animated": (image, "GIF", frames),
    }
    for compression in ("raw", "tiff_lzw", "packbits", "tiff_adobe_deflate", "zstd", "jpeg", "lzma"):
        files[f"TIFF {compression}"] = (image, "TIFF", {"compression": compression})
    files["TIFF CMYK"] = (image.convert("CMYK"), "TIFF", {})
    files["TIFF palette"] = (image.quantize(16), "TIFF", {})
    files["TIFF 1 bit, fax"] = (grey.convert("1"), "TIFF", {"compression": "group4"})
    data = {name: _saved(image, format, options) for name, (image, format, options) in files.items()}
    data |= {f"PNG 16 bit x{n}": png_bytes(DEEP[..., :n]) for n in (1, 2, 3, 4)}
    return data


def _saved(image: Image.Image, format: str, options: dict) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def _by_tifffile() -> dict[str, bytes]:
    planar = np.moveaxis(DEEP, -1, 0)
    files: dict[str, tuple[np.ndarray, dict]] = {
        "ImageJ": (STACK, {"imagej": True, "metadata": {"axes": "TZCYX"}}),
        "OME": (STACK, {"ome": True, "metadata": {"axes": "TZCYX", "Channel": {"Name": ["actin", "DAPI"]}}}),
        "shaped": (STACK[0, :, 0], {"metadata": {"axes": "ZYX"}}),
        "channels last": (DEEP[..., :2], {"compression": "zlib"}),
        "slices with labels": (STACK[0, :, 0], {"imagej": True, "metadata": {"axes": "ZYX", "Labels": list("abc")}}),
        "pages": (STACK[0, :, 0], {"photometric": "minisblack", "metadata": None}),
        "BigTIFF": (DEEP, {"bigtiff": True, "byteorder": ">", "photometric": "rgb", "extrasamples": ["unassalpha"]}),
        "tiles": (planar, {"photometric": "minisblack", "planarconfig": "separate", "tile": (16, 16)}),
        "strips": (RGB, {"photometric": "rgb", "compression": "zlib", "predictor": 2, "rowsperstrip": 5}),
        "inverted": (RGB[..., 0], {"photometric": "miniswhite"}),
        "resolution": (RGB[..., 0], {"resolution": (4000, 4000), "resolutionunit": "CENTIMETER"}),
    }
    for dtype in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"):
        files[dtype] = (DEEP[..., 0].astype(dtype), {})
    data = {}
    for name, (pixels, options) in files.items():
        file = io.BytesIO()
        tifffile.imwrite(file, pixels, **options)
        data[f"TIFF {name}"] = file.getvalue()
    block = DEEP[..., :1].astype("f4")
    form = tags(14, 12, 32, t339=(3, [3]), t259=(3, [8]), t317=(3, [3]))
    data["TIFF float predictor"] = tiff_bytes((form, [zlib.compress(float_predicted(block))]))
    data["TIFF thumbnail"] = tiff_bytes((tags(14, 12), [bytes(168)]), (tags(7, 6, t254=(4, [1])), [bytes(42)]))
    return data
