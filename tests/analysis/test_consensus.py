"""What two label images agree on, on pictures small enough to check by eye."""

import numpy as np
import pytest

from nuclei_models.analysis.agreement import Agreement, Kind
from nuclei_models.analysis.consensus import agreed, sureness


def test_the_surer_outline_of_each_pair_is_taken():
    a, b = np.zeros((2, 6, 20), np.int32)
    a[1:5, 1:5], b[1:5, 1:6] = 1, 7  # both have it
    a[1:5, 8:12], b[1:5, 8:11] = 2, 3  # likewise
    a[1:5, 14:18] = 3  # only the first
    found = agreed(a, b, np.array([0, 0.6, 0.9, 1]), np.array([0, 0, 0, 0.8, 0, 0, 0, 0.7]))
    wanted = np.zeros_like(a)
    wanted[1:5, 1:6], wanted[1:5, 8:12] = 1, 2
    assert np.array_equal(found, wanted)
    assert found.dtype == np.int32


def test_half_is_not_enough():
    a, b = np.zeros((2, 4, 9), np.int32)
    a[1:3, 0:3], b[1:3, 1:4] = 1, 1  # IoU .5
    assert agreed(a, b, np.ones(2), np.ones(2)).max() == 0
    assert agreed(a, a, np.ones(2), np.ones(2)).max() == 1
    with pytest.raises(ValueError, match="threshold"):
        agreed(a, b, np.ones(2), np.ones(2), 0.4)


def test_overlapping_outlines_go_to_the_surer_and_nothing_is_left_in_pieces():
    a, b = np.zeros((2, 3, 12), np.int32)
    a[:, 0:6], b[:, 0:5] = 1, 1
    a[:, 6:12], b[1, 2:12], b[:, 5:12] = 2, 2, 2
    b[:, 0:5] = 1
    b[1, 2:5] = 2  # the second's 2 reaches into 1, and cuts it nearly in two
    b[:, 2] = 2
    found = agreed(a, b, np.array([0, 0.9, 0.1]), np.array([0, 0.1, 0.95]))
    assert (found[:, 2] != 1).all() and found.max() == 2
    assert np.count_nonzero(found == 2) == np.count_nonzero(b == 2)
    assert not np.any(found[:, 0:2] == 1) or not np.any(found[:, 3:6] == 1)


def test_sureness_is_the_mean_probability():
    labels = np.array([[0, 1, 1], [3, 3, 0]])
    probability = np.array([[0.1, 0.5, 0.7], [1, 0.8, 0.2]])
    assert sureness(labels, probability) == pytest.approx([0, 0.6, 0, 0.9])


def test_gaps_in_the_numbers_are_no_nuclei():
    assert Agreement(np.array([0, 1, 0, 1], np.uint8), np.array([0, 1, 1], np.uint8)).score == 1
    assert Agreement(np.array([0, Kind.ONLY, 0], np.uint8), np.array([0], np.uint8)).score == 0
