"""Cutting maps into nuclei gives what the plain watershed of the whole image gives, part by part."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.segmentation import watershed

from nuclei_models.model import watershed as flooding
from nuclei_models.model.instances import closed_gaps, find_instances


@st.composite
def maps(draw, grey_levels: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Blurred noise, as two maps in 0 .. 1; of so few levels that most pixels tie, or all different."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    size = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    found = []
    for _ in range(2):
        noise = ndimage.gaussian_filter(rng.random(size), draw(st.sampled_from((0, 0.7, 2))))
        ranks = noise.ravel().argsort().argsort().reshape(size) / noise.size
        found.append((ranks if grey_levels is None else np.round(ranks * grey_levels) / grey_levels).astype(np.float32))
    return found[0], found[1]


def by_the_book(probability: np.ndarray, distance: np.ndarray, threshold: float, separation: float) -> np.ndarray:
    """One watershed of the whole image from its cores, and from whole parts without a core; holes filled one by one."""
    mask = probability > threshold
    parts, _ = ndimage.label(mask)
    cores, n_cores = ndimage.label(mask & (distance > separation))
    coreless = mask & ~np.isin(parts, parts[cores > 0])
    grown = watershed(-distance, np.where(coreless, parts + n_cores, cores), mask=mask)
    labels = np.unique(grown, return_inverse=True)[1].reshape(mask.shape) + int(mask.all())
    gaps, n_gaps = ndimage.label(~mask)
    for gap in range(1, n_gaps + 1):
        padded = np.pad(gaps == gap, 1)
        around = ndimage.binary_dilation(padded) & ~padded
        beside = np.unique(np.pad(labels, 1, constant_values=-1)[around])
        if len(beside) == 1 and beside[0] > 0:
            labels[gaps == gap] = beside[0]
    return labels


SETTINGS = st.sampled_from((0.2, 0.4, 0.6))


@settings(max_examples=150, deadline=None)
@given(maps(), SETTINGS, SETTINGS, st.sampled_from((1, 64, 2048)))
def test_it_is_the_watershed_of_the_whole_image(both, threshold, separation, strip):
    given_width, flooding.STRIP = flooding.STRIP, strip
    try:
        found = find_instances(*both, threshold, separation)
    finally:
        flooding.STRIP = given_width
    assert np.array_equal(found, by_the_book(*both, threshold, separation))
    assert found.dtype == np.int32


@settings(max_examples=100, deadline=None)
@given(maps(grey_levels=5), SETTINGS, SETTINGS)
def test_a_part_is_cut_the_same_when_it_is_alone(both, threshold, separation):
    """Even where pixels tie: so a large image gives the same nuclei in pieces."""
    probability, distance = both
    found = find_instances(probability, distance, threshold, separation)
    parts, _ = ndimage.label(probability > threshold)
    assert (found[parts > 0] > 0).all()
    for part, box in enumerate(ndimage.find_objects(parts), 1):
        inside = parts[box] == part
        alone = find_instances(np.where(inside, probability[box], 0), distance[box], threshold, separation)
        pairs = np.unique(np.stack([alone[inside], found[box][inside]]), axis=1)
        assert len(set(pairs[0])) == len(set(pairs[1])) == pairs.shape[1]


def test_holes_in_a_nucleus_are_filled_and_gaps_between_nuclei_are_not():
    image = [
        "aaaa.ccccc.",
        "a..a.c...c.",
        "a.aa.c.d.c.",
        "aaaa.c...c.",
        ".....ccccc.",
        "aaabbb..ee.",
        "a....b.e..e",
        "aaabbb..ee.",
    ]
    drawn = np.array([list(row) for row in image])
    distance = np.isin(drawn, list("acde")) * np.float32(0.2)
    for row, col in ((0, 0), (5, 0), (5, 5)):
        distance[row, col] = 0.9  # two cores in the ring of a and b
    labels = find_instances((drawn != ".").astype(np.float32), distance, 0.5, 0.5)
    assert (labels[1:3, 1:3] == labels[0, 0]).all()
    assert (labels[6, 1:5] == 0).all() and labels[5, 0] != labels[5, 5]  # between two
    assert (labels[1, 6:9] == 0).all() and labels[2, 7] not in (0, labels[0, 5])  # something in it
    assert (labels[6, 8:10] == 0).all()  # closed by corners alone, and by four nuclei
    image_edge = find_instances(np.array([[1, 1, 1], [1, 0, 1], [1, 0, 1]], np.float32))
    assert image_edge.tolist() == [[1, 1, 1], [1, 0, 1], [1, 0, 1]]


def test_cores_grow_to_where_the_distance_between_them_is_least():
    distance = np.tile(np.array([0, 0.3, 0.9, 0.5, 0.45, 0.2, 0.4, 0.9, 0.3, 0], np.float32), (3, 1))
    labels = find_instances(np.ones_like(distance), distance, 0.5, 0.6)
    assert labels[1].tolist() == [1, 1, 1, 1, 1, 1, 2, 2, 2, 2]  # 0.2 is reached from 0.45 first


@settings(max_examples=40, deadline=None)
@given(maps(), st.lists(SETTINGS, min_size=2, max_size=3), SETTINGS)
def test_maps_are_cut_the_same_at_every_threshold_when_their_ascent_is_known(both, thresholds, separation):
    ascent = flooding.Ascent(both[1])
    for threshold in thresholds:
        known = find_instances(*both, threshold, separation, ascent=ascent)
        assert np.array_equal(known, by_the_book(*both, threshold, separation))


@pytest.mark.parametrize("sigma", [0, 1, 3])
@pytest.mark.parametrize("size", [(60, 70), (1, 9), (9, 1), (2, 2)])
def test_closed_gaps_are_the_parts_off_the_edge(size, sigma):
    mask = ndimage.gaussian_filter(np.random.default_rng(sigma).normal(size=size), sigma) > -0.05
    for one in (mask, np.zeros(size, bool), np.ones(size, bool)):
        gaps, _ = ndimage.label(~one)
        at_edge = np.concatenate([gaps[0], gaps[-1], gaps[:, 0], gaps[:, -1]])
        expected = np.flatnonzero(~np.isin(gaps, [0, *at_edge]))
        at, part, above = closed_gaps(one)
        assert np.array_equal(at, expected)
        pairs = set(zip(part.tolist(), gaps.ravel()[at].tolist(), strict=True))
        assert len(pairs) == len(set(part.tolist())) == len(set(gaps.ravel()[at].tolist()))
        assert part.max(initial=-1) < max(above, 1)
