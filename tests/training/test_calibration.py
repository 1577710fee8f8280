"""What was fitted for one network's answers, fitted anew for another's: it becomes right, or is kept or left out."""

import re

import numpy as np
import pytest
import torch

from nuclei_models import NucleiImageProcessor, UNet, UNetConfig
from nuclei_models.model.confidence import FEATURES, confidence
from nuclei_models.model.scale import perceive
from nuclei_models.training import calibration
from nuclei_models.training.calibration import ENOUGH_NUCLEI, Judged, fit_confidence, fit_looks
from nuclei_models.training.example import draw
from nuclei_models.training.samples import Sample

SAMPLES = [Sample(str(i), *draw(i, 64, 4)) for i in range(6)]
N = 17  # features of a look
LOOKS = {
    "mean": " ".join(["0"] * N),
    "std": " ".join(["1"] * N),
    "hidden": " ".join(["0.1"] * N),
    "hidden_bias": "0.5",
    "out": "0.2 0.1",
    "out_bias": "0.3 -1.5",
}
ALONE = {
    "features": list(FEATURES),
    "mean": [0.0] * len(FEATURES),
    "std": [1.0] * len(FEATURES),
    "weights": [1.0, *[0.0] * (len(FEATURES) - 1)],
    "bias": 0.0,
}


@pytest.fixture
def processor() -> NucleiImageProcessor:
    models = {"alone": ALONE, "agreement": ALONE}
    return NucleiImageProcessor(channel_names=["nucleus"], look_estimator=LOOKS, confidence_model=models)


def looks_that_are(off: float, times: float, spread: float = 0.2) -> list[tuple[float, float]]:
    """Of 300: octaves that they are off, by a Laplace distribution `times` as wide as they claim."""
    return [(off + x, spread) for x in np.random.default_rng(0).laplace(0, spread * times, 300)]


def test_what_a_look_tells_is_moved_and_spread(processor, monkeypatch):
    monkeypatch.setattr(calibration, "_looks", lambda *given: (looks_that_are(-0.4, 2.5), 6))
    fitted, (said,) = fit_looks(None, processor, SAMPLES, 9)
    features = np.random.default_rng(0).normal(size=N).astype(np.float32)
    before, after = (perceive(features, p.look_estimator) for p in (processor, fitted))
    assert after.log2 - before.log2 == pytest.approx(0.4, abs=0.08)
    assert after.spread / before.spread == pytest.approx(2.5, rel=0.15)
    assert "fitted on 6 images" in said and ": +0." in said and processor.look_estimator is LOOKS


@pytest.mark.parametrize(
    ("told", "images", "sentence"),
    [
        (looks_that_are(0.0, 1.0), 6, "as right as what could be fitted"),
        (looks_that_are(-0.4, 2.5), 4, r"looked at 4 image\(s\), too few"),
        ([], 0, "too few"),
    ],
)
def test_what_a_look_tells_is_kept_and_that_is_said(processor, monkeypatch, told, images, sentence):
    monkeypatch.setattr(calibration, "_looks", lambda *given: (told, images))
    fitted, (said,) = fit_looks(None, processor, SAMPLES, 9)
    assert fitted is processor and "is kept" in said
    assert re.search(sentence, said)


def test_it_looks_at_every_image_of_known_diameter_while_there_is_time(processor):
    model = UNet(UNetConfig(channels=[2, 4], padding="same", num_labels=1)).eval()
    empty = Sample("empty", SAMPLES[0].image, SAMPLES[0].labels * 0)
    told, images = calibration._looks(model, processor, [*SAMPLES[:2], empty], 60)
    assert images == 2 and len(told) == 6
    assert all(np.isfinite(off) and spread > 0 for off, spread in told)
    assert calibration._looks(model, processor, SAMPLES, -1) == ([], 0)


def test_a_diameter_that_is_set_needs_no_looks(processor):
    processor.diameter = 20.0
    assert fit_looks(None, processor, SAMPLES, 9) == (processor, [])


def nuclei(n: int, odds: float, seed: int = 0) -> Judged:
    """Nuclei of which the old confidence says 0.5 to 0.98, right with `odds` less than it says."""
    rng = np.random.default_rng(seed)
    rows = np.zeros((n, len(FEATURES)))
    rows[:, 0] = rng.uniform(0, 4, n)
    return Judged(rows, rng.random(n) < 1 / (1 + np.exp(-(rows[:, 0] - odds))))


def test_confidences_become_the_share_that_is_right(processor):
    judged = [nuclei(300, 2.0, 1), Judged(np.zeros((0, 1)), np.zeros(0, bool)), nuclei(300, 2.0, 2)]
    fitted, said = fit_confidence(processor, judged)
    others = nuclei(4000, 2.0, 3)
    before, after = (confidence(m["alone"], others.rows) for m in (processor.confidence_model, fitted.confidence_model))
    assert before.mean() - others.right.mean() > 0.25
    assert after.mean() == pytest.approx(others.right.mean(), abs=0.04)
    sure = after > np.median(after)
    assert after[sure].mean() == pytest.approx(others.right[sure].mean(), abs=0.06)
    assert list(fitted.confidence_model) == ["alone"], "that of two networks was of another pair"
    assert "600 nuclei found on held-out images" in said


def test_where_all_are_right_confidences_are_high_and_no_more(processor):
    fitted, _ = fit_confidence(processor, [nuclei(300, -40.0)])
    after = confidence(fitted.confidence_model["alone"], nuclei(300, 0.0, 3).rows)
    assert 0.75 < after.min() < after.max() < 1 and after.mean() > 0.95


@pytest.mark.parametrize("judged", [[], [nuclei(ENOUGH_NUCLEI - 1, 2.0)]])
def test_too_few_nuclei_leave_none(processor, judged):
    fitted, said = fit_confidence(processor, judged)
    assert fitted.confidence_model is None and "Nuclei get no confidence" in said
    assert processor.confidence_model is not None


def test_nuclei_are_judged_by_the_truth(processor):
    sample = SAMPLES[0]
    maps = processor.maps(torch.zeros(1, 64, 64))
    half = sample.labels.copy()
    half[32:] = 0  # found in the upper half only
    found = Judged.of([half], [maps], [sample])
    assert found.rows.shape == (len(np.unique(half)) - 1, len(FEATURES)) and found.right.any()
    unlabelled = Sample("u", sample.image, np.where(half > 0, -1, 0).astype(np.int32))
    assert len(Judged.of([half], [maps], [unlabelled]).right) == 0
