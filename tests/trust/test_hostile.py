"""What the fuzzing campaign (tests/campaign) found, and what it must go on finding; files from strangers are in
test_images_broken.py."""

import io
import struct
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from nuclei_models.images.reader import read
from nuclei_models.model.image_processing_nuclei import NucleiImageProcessor
from nuclei_models.model.instances import find_instances
from nuclei_models.model.intensity import intensity_range, normalise, to_rgb
from tests.support.image_files import png_bytes, tags, tiff_bytes
from tests.support.images import DEEP, GREY, H, Save, W, fails


def test_a_png_chunk_that_says_it_has_gigabytes(save: Save):
    data = bytearray(png_bytes(DEEP[..., :1]))
    where = data.index(b"IDAT") - 4
    data[where : where + 4] = struct.pack(">L", 2**31)
    path = save(bytes(data), "cells.png")
    tracemalloc.start()
    np.testing.assert_array_equal(read(path).pixels, DEEP[..., 0])  # all of it is there
    assert tracemalloc.get_traced_memory()[1] < 60e6
    tracemalloc.stop()


def test_a_jpeg_smaller_than_its_strip_shows_nobodys_memory(save: Save):
    file = io.BytesIO()
    Image.fromarray(GREY).save(file, "JPEG")
    for width, height in ((4 * W, H), (W, 4 * H)):
        page = (tags(width, height, t259=(3, [7])), [file.getvalue()])
        fails(save(tiff_bytes(page)), f"of {width} x {height} pixels holds a JPEG of {W} x {H}")
    page = (tags(W, H, t259=(3, [7])), [file.getvalue()])
    assert read(save(tiff_bytes(page))).pixels.shape == (H, W)


@pytest.mark.parametrize("dtype", ["complex64", "object", "U3", "datetime64[s]"])
def test_arrays_without_numbers_are_refused(dtype: str):
    with pytest.raises(ValueError, match="expected integers or reals"):
        to_rgb(np.zeros((8, 8), dtype))


@pytest.mark.parametrize("values", [(-3e38, 3e38), (-1e300, 1e300), (0, np.finfo("f8").max), (5e-324, 1e-310)])
def test_numbers_at_the_ends_of_the_range(values: tuple[float, float]):
    rgb = to_rgb(np.random.default_rng(0).choice(values, (16, 16)))
    with np.errstate(all="raise", under="ignore"):
        x = normalise(rgb, *intensity_range(rgb))
    assert x.dtype == np.float32 and np.isfinite(x).all()


@pytest.mark.parametrize("diameter", [0, -1, 1e-6, 0.9, float("nan"), float("inf"), "24", [24]])
def test_a_diameter_that_is_none_is_refused(diameter):
    with pytest.raises(ValueError, match="at least 1"):
        NucleiImageProcessor().prepare(np.zeros((8, 8)), diameter)


@pytest.mark.parametrize("name", ["threshold", "separation", "min_area"])
@pytest.mark.parametrize("value", [-1, float("nan"), 1e300, "0.5", [1]])
def test_a_setting_out_of_range_is_refused(name: str, value):
    with pytest.raises(ValueError, match=f"{name}=.*expected a number from 0"):
        find_instances(np.zeros((8, 8), np.float32), **{name: value})
