"""Agreement of two label images."""

import numpy as np
import pytest

from nuclei_models.analysis.agreement import Kind, compare


def boxes(*rectangles: tuple[int, int, int, int], shape: tuple[int, int] = (40, 60)) -> np.ndarray:
    labels = np.zeros(shape, np.int32)
    for number, (top, left, bottom, right) in enumerate(rectangles, 1):
        labels[top:bottom, left:right] = number
    return labels


def test_a_nucleus_is_in_both_in_one_only_or_split():
    a = boxes((0, 0, 10, 10), (0, 20, 10, 40), (20, 0, 30, 10))
    b = boxes((1, 0, 11, 10), (0, 20, 10, 30), (0, 30, 10, 40), (20, 40, 30, 50))
    result = compare(a, b)
    assert result.a.tolist() == [0, Kind.BOTH, Kind.SPLIT, Kind.ONLY]
    assert result.b.tolist() == [0, Kind.BOTH, Kind.SPLIT, Kind.SPLIT, Kind.ONLY]
    assert result.count(Kind.SPLIT) == (1, 2)
    assert result.score == pytest.approx(2 / 7)


def test_it_is_the_same_from_the_other_side():
    random = np.random.default_rng(0)
    a, b = (np.kron(random.integers(0, 12, (6, 8)), np.ones((5, 5), int)).astype(np.int32) for _ in range(2))
    there, back = compare(a, b), compare(b, a)
    assert np.array_equal(there.a, back.b)
    assert np.array_equal(there.b, back.a)
    assert there.score == back.score


def test_a_speck_beside_its_nucleus_is_no_split():
    a, b = boxes((0, 0, 20, 20)), boxes((0, 0, 20, 19), (0, 19, 2, 20))
    result = compare(a, b)
    assert result.a[1] == Kind.BOTH
    assert result.b.tolist() == [0, Kind.BOTH, Kind.ONLY]


def test_equal_and_empty_images_agree():
    labels, empty = boxes((0, 0, 5, 5), (10, 10, 20, 20)), boxes()
    assert compare(labels, labels).score == 1
    assert compare(empty, empty).score == 1
    assert compare(labels, empty).score == 0


def test_numbers_that_are_missing_are_no_nuclei():
    labels = boxes((0, 0, 5, 5)) * 3
    assert compare(labels, labels).count(Kind.BOTH) == (1, 1)
    assert compare(labels, labels).count(Kind.NONE)[0] == 3


def test_errors_say_what_was_given():
    with pytest.raises(ValueError, match=r"\(40, 60\) and \(5, 5\)"):
        compare(boxes(), boxes(shape=(5, 5)))
    with pytest.raises(ValueError, match=r"threshold=0\.3"):
        compare(boxes(), boxes(), threshold=0.3)
