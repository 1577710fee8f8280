"""Who is held out: groups and near-duplicates stay on one side, few images are cross-validated."""

import numpy as np
import pytest

from nuclei_models.training.example import draw
from nuclei_models.training.samples import DataError, Sample
from nuclei_models.training.split import split, split_given


def samples(n: int, name: str = "p{}_f{}") -> list[Sample]:
    return [Sample(name.format(i // 3, i), *draw(i, 48, 3)) for i in range(n)]


def noisy(sample: Sample, seed: int) -> Sample:
    noise = np.random.default_rng(seed).integers(0, 8, sample.image.shape)
    return Sample(
        f"twin{seed}", np.clip(np.rot90(sample.image + noise), 0, 255).astype(np.uint8), np.rot90(sample.labels)
    )


def test_a_fifth_is_held_out_and_nothing_lies_on_both_sides():
    found = split(samples(20))
    (fold,) = found.folds
    assert len(fold.held_out) == 4 and set(fold.train) | set(fold.held_out) == set(range(20))
    assert not set(fold.train) & set(fold.held_out)
    assert found == split(samples(20)) and found != split(samples(20), seed=1)
    assert found.how == "4 of 20 images are held out, drawn at random."


@pytest.mark.parametrize("n, folds", [(2, 2), (3, 3), (9, 3)])
def test_few_images_are_each_held_out_once(n, folds):
    found = split(samples(n))
    assert len(found.folds) == folds and "Cross-validated" in found.how
    assert sorted(i for fold in found.folds for i in fold.held_out) == list(range(n))


def test_groups_stay_on_one_side():
    images = samples(30)
    (fold,) = split(images, r"^(p\d+)_").folds
    sides = [{images[i].id.split("_")[0] for i in side} for side in (fold.train, fold.held_out)]
    assert sides[1] and not sides[0] & sides[1]
    with pytest.raises(DataError, match=r"finds nothing in 30 name\(s\), the first is p0_f0"):
        split(images, "slide")
    with pytest.raises(DataError, match="no regular expression"):
        split(images, "(")
    assert len(split(images[:3], r"^(p\d+)_").folds) == 0


def test_near_duplicates_stay_on_one_side_and_are_told():
    images = samples(12)
    images += [noisy(images[0], 1), noisy(images[0], 2)]
    found = split(images)
    for fold in found.folds:
        for side in (fold.train, fold.held_out):
            assert len({0, 12, 13} & set(side)) in (0, 3)
    assert "p0_f0, twin1, twin2" in found.notes[0]


def test_images_that_are_all_alike_cant_be_split():
    first = samples(1)[0]
    found = split([first, *(noisy(first, seed) for seed in range(5))])
    assert found.folds == () and "All 6 images are near-duplicates" in found.how


def test_one_image_is_too_few():
    with pytest.raises(DataError, match="at least two"):
        split(samples(1))


def test_a_given_part_is_held_out_and_its_twins_are_not_trained_on():
    images = samples(6)
    found = split_given(images, [noisy(images[2], 0)])
    assert found.folds[0].held_out == (6,) and found.folds[0].train == (0, 1, 3, 4, 5)
    assert "p0_f2" in found.notes[0]
    with pytest.raises(DataError, match="nothing is left"):
        split_given(images[:1], [noisy(images[0], 0)])
