"""Maps: smoothed as scipy does it."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from nuclei_models.model.maps import smooth


@pytest.mark.parametrize("shape", [(1, 1), (5, 64), (64, 3), (512, 520)])  # the last is for several threads
def test_smoothing_is_scipys_to_the_bit(shape):
    x = np.random.default_rng(0).random(shape, np.float32)
    found = smooth(torch.from_numpy(x), 2.0).numpy()
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, ndimage.gaussian_filter(x, 2.0, mode="nearest", truncate=4.0))
