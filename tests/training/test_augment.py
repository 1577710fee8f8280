"""Training crops: labels go where the pixels go, and every dress keeps its shape."""

from dataclasses import replace

import numpy as np
import pytest
from skimage import measure

from nuclei_models.training.augment import AugmentConfig, Crops, dress, median_diameter, paste, stained
from nuclei_models.training.samples import Sample

PLAIN = AugmentConfig(elastic=0, to_grey=0, invert=0, tint=0, stain=0, hed_jitter=0, channel_shuffle=0, gain=0,
                      offset=0, gamma=0, shade=0, blur=0, noise=0)  # fmt: skip


def discs(seed: int = 0, side: int = 160) -> Sample:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    labels = np.zeros((side, side), np.int32)
    for number, (cy, cx) in enumerate(rng.integers(8, side - 8, (12, 2)), 1):
        labels[np.hypot(y - cy, x - cx) < 8] = number
    return Sample("discs", ((labels > 0) * 200).astype(np.uint8), labels)


@pytest.mark.parametrize("config", [PLAIN, replace(PLAIN, elastic=1.0), replace(PLAIN, paste=1.0)], ids=str)
def test_labels_stay_on_their_pixels(config):
    crops = Crops(discs())
    for seed in range(5):
        image, labels = crops.draw(np.random.default_rng(seed), config)
        assert image.shape == (160, 160, 3) and labels.shape == (160, 160)
        assert np.mean((image[..., 0] > 0.5) != (labels > 0)) < 0.02


@pytest.mark.parametrize("wanted", [12.0, 40.0])
def test_nuclei_get_the_wanted_diameter(wanted):
    config = replace(PLAIN, min_diameter=wanted, max_diameter=wanted, crop_size=256)
    _, labels = Crops(discs()).draw(np.random.default_rng(0), config)
    labels = measure.label(labels, connectivity=1)  # the mirrored edge repeats numbers
    inner = np.setdiff1d(labels, np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    assert median_diameter(labels * np.isin(labels, inner)) == pytest.approx(wanted, rel=0.15)


def test_pasted_nuclei_cover_what_was_there():
    image, labels = np.zeros((40, 40, 3), np.float32), np.zeros((40, 40), np.int32)
    labels[5:25, 5:25] = 1
    other, other_labels = np.ones_like(image), np.zeros_like(labels)
    other_labels[15:35, 15:35] = 1
    new, numbers = paste(image, labels, other, other_labels, np.random.default_rng(0))
    assert set(np.unique(numbers)) == {0, 1, 2}
    assert (numbers[15:35, 15:35] == 2).all() and (numbers[5:14, 5:25] == 1).all()
    assert (new[18:32, 18:32] > 0.99).all() and (new[:12, :12] < 0.01).all()


def test_nothing_to_paste():
    image, labels = np.zeros((8, 8, 3), np.float32), np.ones((8, 8), np.int32)
    new, numbers = paste(image, labels, image + 1, np.zeros_like(labels), np.random.default_rng(0))
    assert np.array_equal(new, image) and np.array_equal(numbers, labels)


def test_a_stained_dress_makes_nuclei_dark():
    image = np.zeros((64, 64, 3), np.float32)
    image[20:40, 20:40] = 1
    for seed in range(5):
        section = stained(image, np.random.default_rng(seed))
        assert section[20:40, 20:40].mean() < section[:16].mean() - 0.1
        assert section.min() >= 0 and section.max() <= 1.2


COLOUR = np.random.default_rng(0).uniform(0.1, 0.9, (32, 32, 3)).astype(np.float32)
GREY = np.repeat(COLOUR[..., :1], 3, axis=2)


class TestDress:
    """Each dress does what it is called, and nothing else."""

    def test_none(self):
        for image, is_colour in ((COLOUR, True), (GREY, False)):
            assert np.array_equal(dress(image, np.random.default_rng(0), PLAIN, is_colour), image)

    def test_inverted(self):
        out = dress(GREY, np.random.default_rng(0), replace(PLAIN, invert=1.0), is_colour=False)
        assert np.allclose(out, 1 - GREY)

    def test_shuffled_channels_are_the_same_channels(self):
        config, seen = replace(PLAIN, channel_shuffle=1.0), set()
        for seed in range(20):
            out = dress(COLOUR, np.random.default_rng(seed), config, is_colour=True)
            seen.add(tuple(next(c for c in range(3) if np.array_equal(out[..., k], COLOUR[..., c])) for k in range(3)))
        assert len(seen) > 3 and all(sorted(order) == [0, 1, 2] for order in seen)

    def test_grey_is_a_mixture_of_the_channels(self):
        out = dress(COLOUR, np.random.default_rng(0), replace(PLAIN, to_grey=1.0), is_colour=True)
        assert np.array_equal(out[..., 0], out[..., 1]) and np.array_equal(out[..., 0], out[..., 2])
        mix = np.linalg.lstsq(COLOUR.reshape(-1, 3), out[..., 0].ravel(), rcond=None)[0]
        assert mix.min() > 0 and mix.sum() == pytest.approx(1, abs=1e-4)

    def test_a_tint_is_a_factor_for_each_channel(self):
        out = dress(GREY, np.random.default_rng(0), replace(PLAIN, tint=1.0), is_colour=False)
        factors = out / GREY
        assert np.allclose(factors, factors[0, 0], atol=1e-4) and factors[0, 0].sum() == pytest.approx(1.5, abs=1e-3)
        assert np.ptp(factors[0, 0]) > 0.05

    def test_other_stains_keep_light_and_dark_apart(self):
        image = np.full((32, 32, 3), 0.9, np.float32)
        image[8:24, 8:24] = (0.5, 0.3, 0.6)
        for seed in range(10):
            out = dress(image, np.random.default_rng(seed), replace(PLAIN, hed_jitter=1.0), is_colour=True)
            assert out.shape == image.shape and np.isfinite(out).all() and not np.allclose(out, image, atol=1e-3)
            assert out[8:24, 8:24].mean() < out[:8].mean() - 0.1
