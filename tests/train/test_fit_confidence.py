"""The confidence of nuclei: its features, its fit, and that what it says is what happens."""

import json

import numpy as np
import pytest
from scipy import ndimage

from nuclei_models import NucleiImageProcessor
from nuclei_models.model.confidence import AGREEMENT, FEATURES, agreement, confidence, features, measured
from nuclei_models.model.image_processing_nuclei import Maps
from nuclei_models.model.regions import Sums, join, map_sums, shape_sums
from nuclei_models.training.packed import pack
from nuclei_models.training.samples import Sample
from tests.support.large import blobs, seeing
from train.fit import confidence as command


def nuclei(n: int, seed: int, bent: float = 0.0) -> command.Nuclei:
    """Nuclei whose chance to be right follows from two of their features."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, len(FEATURES) + 1))
    odds = 1.5 * rows[:, 0] - rows[:, 8] + 1 + bent
    return command.Nuclei(rows, rng.random(n) < 1 / (1 + np.exp(-odds)), np.arange(n) // 20)


def test_the_fit_is_calibrated_on_what_it_never_saw():
    model = command.fit(nuclei(4000, 0), FEATURES)
    others = nuclei(4000, 1)
    report = command.reliability(confidence(model, others.rows[:, : len(FEATURES)]), others.right)
    assert report["expected_calibration_error"] < 0.03 and report["nuclei"] == 4000
    shifted = nuclei(4000, 2, bent=-2)
    report = command.reliability(confidence(model, shifted.rows[:, : len(FEATURES)]), shifted.right)
    assert report["expected_calibration_error"] > 0.2


def test_reliability_counts_what_is_right():
    report = command.reliability(np.array([0.05, 0.15, 0.15, 1.0]), np.array([False, True, False, True]))
    assert report["bins"] == [[1, 0.05, 0.0], [2, 0.15, 0.5], [1, 1.0, 1.0]]
    assert report["expected_calibration_error"] == pytest.approx((0.05 + 2 * 0.35) / 4)
    assert report["right"] == 0.5


def test_partners_and_what_nobody_labelled():
    true, found = np.zeros((30, 30), np.int32), np.zeros((30, 30), np.int32)
    true[2:8, 2:8], true[20:28, 2:10] = 3, -1
    found[2:8, 2:7], found[12:15, 12:15], found[21:27, 3:8] = 1, 2, 3
    assert command.partners(found, true).tolist() == [True, False, False]
    assert command.unknown(found, true).tolist() == [False, False, True]


def maps_of(shape=(60, 70)) -> tuple[np.ndarray, Maps]:
    rng = np.random.default_rng(0)
    labels = ndimage.label(ndimage.gaussian_filter(rng.normal(size=shape), 3) > 0.02)[0].astype(np.int32)
    p, d = (ndimage.gaussian_filter(rng.random(shape), 1).astype(np.float32) for _ in range(2))
    return labels, Maps(np.clip(p + 0.4 * (labels > 0), 0, 1), d)


def test_features_are_what_they_say():
    labels, maps = maps_of()
    rows = dict(zip(FEATURES, measured(labels, maps.probability, maps.distance, 1.0).T, strict=True))
    area = np.bincount(labels.ravel())[1:]
    numbers = np.arange(1, labels.max() + 1)
    assert rows["probability"] == pytest.approx(ndimage.mean(maps.probability, labels, numbers), rel=1e-5)
    assert rows["sure"] == pytest.approx(ndimage.mean(maps.probability > 0.9, labels, numbers))
    assert rows["distance"] == pytest.approx(ndimage.mean(maps.distance, labels, numbers), rel=1e-5)
    assert rows["peak"] == pytest.approx(ndimage.maximum(maps.distance, labels, numbers))
    assert rows["size"] == pytest.approx(np.log2(area))
    alone = 3
    near = ndimage.binary_dilation(labels == alone, iterations=2) & (labels == 0)
    mean = maps.probability[labels == alone].mean() - maps.probability[near].mean()
    assert rows["contrast"][alone - 1] == pytest.approx(mean, abs=0.1)  # pixels between two nuclei are one's


def test_features_of_parts_are_those_of_the_whole():
    labels, maps = maps_of()
    expected = measured(labels, maps.probability, maps.distance, 1.0)
    parts: list[Sums] = []
    for top in range(0, 60, 17):
        first = max(top - 5, 0)
        there, own = slice(first, top + 22), (slice(top - first, top - first + 17), slice(0, 70))
        parts.append(shape_sums(labels[there], own, (first, 0), labels.shape))
        parts += map_sums(labels[there], maps.probability[there], maps.distance[there], 2, own)
    np.testing.assert_allclose(features(join(parts, int(labels.max())), 1.0), expected, rtol=1e-9)


def test_agreement_is_the_best_iou():
    a, b = np.zeros((10, 20), np.int32), np.zeros((10, 20), np.int32)
    a[2:6, 2:6], a[2:6, 10:14] = 1, 2
    b[2:6, 3:6], b[2:6, 2] = 1, 2
    assert agreement(a, b).tolist() == [0.75, 0.0]
    assert agreement(a, np.zeros_like(b)).tolist() == [0, 0] and len(agreement(b * 0, a)) == 0


def test_the_command_fits_and_the_processor_keeps_it(tmp_path, monkeypatch, capsys):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        seeing(folder, confidence_model=None)
    ids = [f"{n:02}" for n in range(6)]
    for n, name in enumerate(ids):
        image = blobs((120, 140), seed=n)
        truth = ndimage.label(image > 1200)[0].astype(np.int32)
        pack(Sample(name, (image >> 5).clip(0, 255).astype(np.uint8), truth), tmp_path / "data")
    for name, some in (("fit", ids[:4]), ("test", ids[4:])):
        (tmp_path / f"{name}.txt").write_text("\n".join(some))
    document = tmp_path / "confidence.md"
    document.write_text("<!-- confidence -->\nold\n<!-- end -->\n")
    monkeypatch.setattr(command, "DOCUMENT", document)
    monkeypatch.setattr(command, "PICTURE", tmp_path / "confidence.svg")
    lists = ("--fit", tmp_path / "fit.txt", "--test", tmp_path / "test.txt")
    arguments = ("x", "--weights", *folders, "--data", tmp_path / "data", *lists, "--documents")
    monkeypatch.setattr("sys.argv", [str(a) for a in arguments])
    command.main()
    report = json.loads((folders[0] / "confidence.json").read_text())
    assert set(report["held out"]) == {"alone", AGREEMENT}
    assert "old" not in document.read_text() and document.read_text().count("| test |") == 4
    assert (tmp_path / "confidence.svg").read_text().startswith("<?xml")
    processor = NucleiImageProcessor.from_pretrained(folders[0])
    labels, maps = maps_of()
    sure = processor.confidence(maps, labels)
    assert sure.shape == (labels.max(),) and (sure >= 0).all() and (sure <= 1).all()
    both = processor.confidence(maps, labels, labels)
    assert np.array_equal(
        both,
        confidence(
            processor.confidence_model[AGREEMENT],
            np.column_stack([measured(labels, maps.probability, maps.distance, 1.0), np.ones(labels.max())]),
        ),
    )


def test_none_where_it_was_not_fitted_and_an_error_for_other_features():
    labels, maps = maps_of()
    assert NucleiImageProcessor().confidence(maps, labels) is None
    with pytest.raises(ValueError, match="Fit it again"):
        confidence({"features": ["luck"], "mean": [0], "std": [1], "weights": [1], "bias": 0}, np.zeros((1, 1)))
