"""Which nuclei are kept, and how many are left out for what."""

import numpy as np
import pytest
from skimage.draw import disk

from nuclei_models import Filters, apply_filters, measure
from nuclei_models.analysis.filters import told


@pytest.fixture
def labels() -> np.ndarray:
    """1 at the edge, 2 small, 3 large, 4 long, 5 as it should be."""
    found = np.zeros((100, 100), np.int32)
    for number, (y, x, radius) in enumerate([(4, 30, 6), (20, 60, 2), (60, 70, 18)], 1):
        found[disk((y, x), radius, shape=found.shape)] = number
    found[40:70, 10:13] = 4
    found[disk((85, 30), 6)] = 5
    return found


@pytest.mark.parametrize(
    ("filters", "kept", "left_out"),
    [
        (Filters(), [1, 2, 3, 4, 5], {}),
        (Filters(exclude_edge=True), [2, 3, 4, 5], {"exclude_edge": 1}),
        (Filters(smallest=20), [1, 3, 4, 5], {"smallest": 1}),
        (Filters(largest=500), [1, 2, 4, 5], {"largest": 1}),
        (Filters(min_roundness=0.6), [1, 2, 3, 5], {"min_roundness": 1}),
        (Filters(min_confidence=0.35), [3, 4, 5], {"min_confidence": 2}),
        (Filters(True, 20, 500, 0.6, 0.35), [5], {"exclude_edge": 1, "smallest": 1, "largest": 1, "min_roundness": 1}),
    ],
)
def test_each_counts_for_the_first_reason(labels, filters, kept, left_out):
    table = measure(labels, confidence=np.array([0.1, 0.3, 0.5, 0.7, 0.9]))
    found = apply_filters(labels, table, filters)
    assert found.left_out == left_out and bool(filters) == (len(kept) < 5)
    expected = np.zeros_like(labels)
    for number, old in enumerate(kept, 1):
        expected[labels == old] = number
    assert np.array_equal(found.labels, expected)
    again = measure(found.labels, confidence=found.table["confidence"])
    for name, column in again.items():
        assert np.array_equal(column, found.table[name]), name


def test_areas_are_in_micrometres_where_the_pixel_size_is_known(labels):
    table = measure(labels, pixel_size=(0.5, 0.5))
    assert apply_filters(labels, table, Filters(smallest=20)).left_out == {
        "smallest": int((table["area_px"] < 80).sum())
    }


def test_it_is_told_in_a_sentence():
    assert told({}) == ""
    assert told({"exclude_edge": 3, "largest": 1}) == ("4 nuclei are left out: 3 touch the image's edge, 1 are larger.")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"smallest": -1}, "from 0"),
        ({"min_roundness": 2}, "0 to 1"),
        ({"smallest": 9, "largest": 5}, "above largest=5"),
    ],
)
def test_senseless_limits(options, words):
    with pytest.raises(ValueError, match=words):
        Filters(**options)


def test_no_confidence_to_filter_by(labels):
    with pytest.raises(ValueError, match="no confidence was fitted"):
        apply_filters(labels, measure(labels), Filters(min_confidence=0.5))
