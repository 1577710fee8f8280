"""An image of one channel is seen three times and worked on once, with the result of three channels."""

import numpy as np
import pytest
from scipy import ndimage

from nuclei_models.model.diameter import scale_features
from nuclei_models.model.gaussian import gaussian
from nuclei_models.model.intensity import intensity_range, is_grey, normalise, to_rgb
from nuclei_models.model.processing import NucleiProcessing


@pytest.fixture(params=["uint8", "uint16", "float32"])
def image(request) -> np.ndarray:
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.normal(size=(61, 83)), 2)
    values = (200 * (smooth - smooth.min()) / np.ptp(smooth)).astype(request.param)
    if values.dtype.kind == "f":
        values[3, 4:9] = np.nan, np.inf, -np.inf, 1e30, -1e30
    return values


def test_what_is_grey():
    grey = np.zeros((3, 4), np.uint8)
    assert is_grey(to_rgb(grey)) and not is_grey(grey[..., None]) and not is_grey(np.dstack([grey] * 3))


def test_all_of_it_is_that_of_three_channels(image):
    grey, three = to_rgb(image), np.dstack([image] * 3)
    ranges = intensity_range(grey), intensity_range(three)
    np.testing.assert_array_equal(*ranges)
    one, other = normalise(grey, *ranges[0]), normalise(three, *ranges[1])
    assert is_grey(one) and one.dtype == np.float32
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(scale_features(one), scale_features(other))
    for scale in (1.0, 0.37, 1.3):
        seen, expected = (NucleiProcessing().rescale(x, scale) for x in (one, other))
        assert seen.flags.c_contiguous and seen.flags.writeable
        np.testing.assert_array_equal(seen, expected)


def test_channels_of_their_own_ranges_are_worked_on_apart(image):
    grey, bottom, span = to_rgb(image), np.float32([0, 1, 2]), np.float32([9, 8, 7])
    np.testing.assert_array_equal(normalise(grey, bottom, span), normalise(np.dstack([image] * 3), bottom, span))
    processing = NucleiProcessing()
    processing.image_mean = [0.1, 0.2, 0.3]
    one = normalise(grey, *intensity_range(grey))
    np.testing.assert_array_equal(processing.rescale(one, 0.7), processing.rescale(np.array(one), 0.7))


@pytest.mark.parametrize("shape", [(1, 9), (40, 7), (520, 513)])
def test_a_gaussian_is_that_of_scipy(shape):
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    expected = ndimage.gaussian_filter(x, 1.7, mode="mirror", truncate=3)
    np.testing.assert_array_equal(gaussian(x, 1.7, "mirror", 3), expected)
