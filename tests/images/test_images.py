"""The reader of PNG, JPEG, BMP, WebP and GIF gives exact pixels; the display stretches for the eye only."""

import re

import numpy as np
import pytest
from PIL import Image

from nuclei_models.output.display import to_display
from tests.support.image_files import png_bytes
from tests.support.images import DEEP, GREY, RGB, H, Save, W, check

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
