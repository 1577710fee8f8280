"""TIFFs of every compression. What Pillow can pack is packed by Pillow, and put into a TIFF byte by byte."""

import io
import re
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from nuclei_models.images import ImageError, inspect, read, sandbox, vendor
from tests.support.image_files import tags, tiff_bytes
from tests.support.images import DEEP, GREY, RGB, Save, check, fails

BLOCK = RGB[:32, :48]


def packed(pixels: np.ndarray, format: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format, **options)
    return file.getvalue()


def tiles(pixels: np.ndarray, compression: int, pack, photometric: int = 1, **more: tuple) -> bytes:
    """Tiles of 16 x 16."""
    height, width = pixels.shape[:2]
    samples = 1 if pixels.ndim == 2 else pixels.shape[2]
    parts = [
        pack(np.ascontiguousarray(pixels[y : y + 16, x : x + 16]))
        for y in range(0, height, 16)
        for x in range(0, width, 16)
    ]
    kind = 3 if pixels.dtype.kind == "f" else 1
    form = tags(width, height, 8 * pixels.dtype.itemsize, samples, photometric, t259=(3, [compression]))
    form |= {322: (4, [16]), 323: (4, [16]), 339: (3, [kind] * samples)} | {int(k[1:]): v for k, v in more.items()}
    return tiff_bytes((form, parts))


@pytest.mark.parametrize("compression", [33005, 34712])
def test_jpeg_2000(save: Save, compression: int):
    for pixels in (BLOCK, GREY[:32, :48], DEEP[:32, :48, 0]):
        data = tiles(
            pixels,
            compression,
            lambda p: packed(p, "JPEG2000", irreversible=False, no_jp2=True),
            2 if pixels.ndim > 2 else 1,
        )
        check(save(data), pixels)


def test_aperios_jpeg_2000_of_ycbcr(save: Save):
    smooth = np.asarray(Image.fromarray(RGB).resize((4, 4)).resize((48, 32), Image.Resampling.BICUBIC))

    def pack(part: np.ndarray) -> bytes:
        ycc = np.asarray(Image.fromarray(part).convert("YCbCr"))
        return packed(ycc, "JPEG2000", irreversible=False, no_jp2=True, mct=0)

    assert np.abs(read(save(tiles(smooth, 33003, pack, 2))).pixels.astype(int) - smooth).max() <= 3


def test_webp(save: Save):
    check(save(tiles(BLOCK, 50001, lambda p: packed(p, "WEBP", lossless=True), 2)), BLOCK)


def test_fax(save: Save):
    mask = GREY > 99
    for method in ("group3", "group4", "tiff_ccitt"):
        check(save(Image.fromarray(mask), "a.tiff", compression=method), mask * np.uint8(255))


@pytest.mark.parametrize(
    ("compression", "pack", "kinds"),
    [
        (22610, lambda p: imagecodecs.jpegxr_encode(p, level=1.0), ("u1", "u2", "rgb")),
        (50002, lambda p: imagecodecs.jpegxl_encode(p, lossless=True), ("u1", "u2", "rgb")),
        (34887, lambda p: imagecodecs.lerc_encode(p), ("u1", "u2", "f4", "rgb")),
        (50000, lambda p: imagecodecs.zstd_encode(p.tobytes()), ("u1", "u2", "f4", "rgb")),
    ],
)
def test_packed_by_imagecodecs(save: Save, compression: int, pack, kinds: tuple[str, ...]):
    for kind in kinds:
        pixels = BLOCK if kind == "rgb" else DEEP[:32, :48, 0].astype(kind)
        check(save(tiles(pixels, compression, pack, 2 if kind == "rgb" else 1)), pixels)


@pytest.mark.parametrize(("more", "code"), [("deflate", 1), ("zstd", 2)])
def test_lerc_in_another_compression(save: Save, more: str, code: int):
    around = {"deflate": imagecodecs.zlib_encode, "zstd": imagecodecs.zstd_encode}[more]
    pixels = DEEP[:32, :48, 0]
    check(save(tiles(pixels, 34887, lambda p: around(imagecodecs.lerc_encode(p)), t50674=(4, [4, code]))), pixels)


def test_png_and_16_bit_jpeg_of_tifffiles(save: Save):
    check(save(DEEP[..., 0], compression="png"), DEEP[..., 0])


# in a process of its own


def test_rare_codecs_and_vendors_formats_run_in_a_process_of_their_own_with_limits(
    save: Save, monkeypatch: pytest.MonkeyPatch
):
    asked = []
    ask = sandbox._SANDBOX.ask
    monkeypatch.setattr(sandbox._SANDBOX, "ask", lambda **question: asked.append(question) or ask(**question))
    for name in ("tiff_lzw", "zstd", "jpeg", "tiff_adobe_deflate"):
        read(save(RGB, "a.tiff", compression=name))
    assert not asked
    read(save(tiles(BLOCK, 50001, lambda p: packed(p, "WEBP", lossless=True), 2), "webp.tif"))
    assert {Path(question["path"]).name for question in asked} == {"webp.tif"}
    for magic in vendor.KINDS:
        fails(save(magic, "vendor.bin"), "vendor.bin")
    assert len({question["path"] for question in asked}) == 2 and len(asked) >= 2 + len(vendor.KINDS)
    limits = Path(f"/proc/{sandbox._SANDBOX._process.pid}/limits")
    if limits.exists():
        said = dict(re.findall(r"^(Max [a-z ]+?) {2,}(\S+)", limits.read_text(), re.M))
        assert int(said["Max address space"]) < 2 * sandbox.MEMORY + 2**33 and said["Max file size"] == "0"


def test_a_picture_larger_than_its_tile(save: Save):
    huge = bytearray(packed(GREY[:16, :16], "JPEG2000", irreversible=False, no_jp2=True))
    huge[8:16] = struct.pack(">LL", 60_000, 60_000)
    fails(save(tiles(GREY[:16, :16], 34712, lambda p: bytes(huge))), "JPEG2000")


def test_a_process_that_breaks_down_is_replaced(save: Save, monkeypatch: pytest.MonkeyPatch):
    path = save(tiles(BLOCK, 50001, lambda p: packed(p, "WEBP", lossless=True), 2))
    read(path)
    sandbox._SANDBOX._process.kill()
    sandbox._SANDBOX._process.wait()
    check(path, BLOCK)
    monkeypatch.setattr(sandbox, "SECONDS", 0.0)
    with pytest.raises(ImageError, match="more memory or time than is allowed"):
        read(path)
    monkeypatch.undo()
    check(path, BLOCK)


def test_errors_from_there_are_sentences(save: Save, tmp_path: Path):
    fails(save(tiles(BLOCK, 50001, lambda p: b"no picture", 2), "broken.tif"), "broken.tif", "WEBP", "unpacked")
    path = save(tiles(BLOCK, 50001, lambda p: packed(p, "WEBP", lossless=True), 2))
    fails(path, "48 x 32", "megapixels", max_pixels=100)
    assert inspect(path).format == "TIFF"


def test_what_a_deflated_strip_has_beyond_its_rows(save: Save):

    rows = np.vstack([GREY, GREY])
    form = tags(*GREY.shape[::-1], t259=(3, [8]), t278=(4, [len(GREY)]))
    check(save(tiff_bytes((form, [zlib.compress(rows.tobytes())]))), GREY)
