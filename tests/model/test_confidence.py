"""What the confidence is computed from, against the plain way to compute it."""

import numpy as np
import pytest

from nuclei_models.analysis.measurements import measure
from nuclei_models.model.confidence import agreement, measured
from nuclei_models.model.sums import shape_sums


@pytest.mark.parametrize("kind", [np.int32, np.uint16, np.int64])
def test_agreement_is_the_highest_iou(kind):
    random = np.random.default_rng(0)
    labels, other = (np.kron(random.integers(0, 9, (8, 8)), np.ones((5, 7))).astype(kind) for _ in range(2))
    other = np.roll(other, (2, 3), (0, 1))
    plain = [
        max(
            ((labels == i) & (other == j)).sum() / ((labels == i) | (other == j)).sum()
            for j in range(1, other.max() + 1)
        )
        for i in range(1, labels.max() + 1)
    ]
    assert np.array_equal(agreement(labels, other), plain)


def test_nothing_agrees_with_nothing():
    none, one = np.zeros((4, 5), np.int32), np.ones((4, 5), np.int32)
    assert agreement(none, one).shape == (0,)
    assert agreement(one, none).tolist() == [0]


def test_sums_that_are_known_change_nothing():
    random = np.random.default_rng(1)
    labels = np.kron(np.arange(1, 26).reshape(5, 5) * (random.random((5, 5)) > 0.3), np.ones((6, 6))).astype(np.int32)
    labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)
    probability, shape = random.random(labels.shape), shape_sums(labels)
    given = labels, probability, probability**2, 1.0
    assert np.array_equal(measured(*given, shape), measured(*given))
    for name, column in measure(labels, probability, shape=shape).items():
        assert np.array_equal(column, measure(labels, probability)[name]), name


def test_surroundings_are_the_same_for_every_type_of_number():
    random = np.random.default_rng(2)
    labels = np.pad(np.kron(random.integers(0, 4, (6, 6)), np.ones((7, 5))).astype(np.int64), 9)
    probability = random.random(labels.shape)
    first, *others = (measured(labels.astype(kind), probability, None, 4.0) for kind in (np.int64, np.int32, np.uint16))
    assert all(np.array_equal(first, other) for other in others)
