"""The fit of what comes after the network: it finds what the maps ask for, and sets it."""

import numpy as np
import torch
from scipy import ndimage

from nuclei_models import NucleiImageProcessor
from nuclei_models.model.maps import smooth
from nuclei_models.training.samples import Sample
from train.fit.thresholds import fit


def noisy_logits(labels: np.ndarray, noise: float) -> torch.Tensor:
    """Logits (4, H, W) of a network that is sure of the mask but whose distance map is rough."""
    mask = labels > 0
    distance = np.zeros(labels.shape)
    for n in range(1, labels.max() + 1):
        own = ndimage.distance_transform_edt(labels == n)
        distance += own / own.max()
    rough = np.clip(distance + np.random.default_rng(0).normal(0, noise, labels.shape), 0.01, 0.99)
    classes = np.where(mask, 4.0, -4.0)
    maps = np.stack([-classes, classes, np.full(labels.shape, -9.0), np.log(rough / (1 - rough))])
    return torch.from_numpy(maps.astype(np.float32))


def discs() -> np.ndarray:
    y, x = np.mgrid[:80, :120]
    labels = np.zeros((80, 120), np.int32)
    for number, (cy, cx) in enumerate(((25, 25), (25, 52), (55, 90)), 1):
        labels[np.hypot(y - cy, x - cx) < 14] = number
    return labels


def test_a_rough_distance_map_is_smoothed():
    labels, processor = discs(), NucleiImageProcessor()
    sample = Sample("discs", (labels > 0).astype(np.uint8), labels)
    report = fit([sample], lambda _: noisy_logits(labels, 0.25), processor, ranges=((16.0, 36.0),))
    assert processor.distance_sigma > 0 and processor.distance_sigma == report[0]["distance_sigma"]
    assert (processor.threshold, processor.separation) == (report[0]["threshold"], report[0]["separation"])
    best = {sigma: max(r["score"] for r in report if r["distance_sigma"] == sigma) for sigma in (0.0, 1.0, 2.0)}
    assert report[0]["score"] == max(best.values()) > best[0.0] + 0.1


def test_the_range_of_diameters_that_does_best_is_kept():
    labels, processor = discs(), NucleiImageProcessor()
    sample = Sample("discs", (labels > 0).astype(np.uint8), labels)

    def predict(_: Sample) -> torch.Tensor:
        return noisy_logits(labels if processor.min_diameter == 20 else np.roll(labels, 5, 1), 0.0)

    report = fit([sample], predict, processor, ranges=((16.0, 36.0), (20.0, 28.0)))
    assert (processor.min_diameter, processor.max_diameter) == (20.0, 28.0)
    assert {row["min_diameter"] for row in report} == {16.0, 20.0} and report[0]["score"] > 0.95
    names = ("min_diameter", "distance_sigma", "threshold", "separation", "min_area")
    tried = [tuple(row[name] for name in names) for row in report]
    assert len(set(tried)) == len(tried)


def test_of_ranges_as_good_the_one_with_the_fewest_pixels_is_kept():
    labels, processor = discs(), NucleiImageProcessor()
    sample = Sample("discs", (labels > 0).astype(np.uint8), labels)

    nearly = labels.copy()
    nearly[24:27, 12] = 0

    def predict(_: Sample) -> torch.Tensor:
        large = processor.min_diameter == 24
        logits = noisy_logits(labels if large else nearly, 0.0)
        return logits.repeat_interleave(3, 1).repeat_interleave(3, 2) if large else logits

    report = fit([sample], predict, processor, ranges=((24.0, 24.0), (20.0, 28.0)))
    assert (processor.min_diameter, processor.max_diameter) == (20.0, 28.0)
    scores = {low: max(r["score"] for r in report if r["min_diameter"] == low) for low in (20.0, 24.0)}
    assert 0 < scores[24.0] - scores[20.0] < 0.002 and report[0]["min_diameter"] == 20


def test_smoothing_a_window_is_smoothing_the_whole():
    x = torch.from_numpy(np.random.default_rng(0).random((64, 64)).astype(np.float32))
    whole, part = smooth(x, 2.0), smooth(x[:40], 2.0)
    assert torch.equal(whole[:32], part[:32]) and not torch.equal(whole, x)
    assert torch.equal(smooth(x, 0), x)
