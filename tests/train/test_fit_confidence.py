"""The confidence of nuclei: its features, its fit, and that what it says is what happens."""

import json

import numpy as np
import pytest
from scipy import ndimage

from nuclei_models import NucleiImageProcessor
from nuclei_models.model.confidence import AGREEMENT, FEATURES, agreement, confidence, features, measured
from nuclei_models.model.maps import Maps
from nuclei_models.model.sums import Sums, join, map_sums, shape_sums
from nuclei_models.training.packed import pack
from nuclei_models.training.samples import Sample
from tests.support.large import blobs, seeing
from train.fit import confidence as command
from train.fit import confidence_documents as documents
from train.fit import confidence_fit as forms
from train.fit.least_confidence import best_least


def nuclei(n: int, seed: int, bent: float = 0.0) -> forms.Nuclei:
    """Nuclei of three organs, whose chance to be right follows from two of their features."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, len(FEATURES) + 1))
    odds = 1.5 * rows[:, 0] - rows[:, 8] + 1 + bent
    image = np.arange(n) // 20
    organs = np.array([f"laboratory/{organ}" for organ in "abc"])[image % 3]
    return forms.Nuclei(rows, rng.random(n) < 1 / (1 + np.exp(-odds)), image, np.arange(n) % 20 + 1, organs)


def test_the_fit_is_calibrated_on_what_it_never_saw():
    model = forms.fit(nuclei(4000, 0), FEATURES)
    others = nuclei(4000, 1)
    report = forms.reliability(confidence(model, others.rows[:, : len(FEATURES)]), others.right)
    assert report["expected_calibration_error"] < 0.03 and report["nuclei"] == 4000
    shifted = nuclei(4000, 2, bent=-2)
    report = forms.reliability(confidence(model, shifted.rows[:, : len(FEATURES)]), shifted.right)
    assert report["expected_calibration_error"] > 0.2


def test_reliability_counts_what_is_right():
    report = forms.reliability(np.array([0.05, 0.15, 0.15, 1.0]), np.array([False, True, False, True]))
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
    blocks = ("least", "confidence", "organs", "unseen", "hardest", "others")
    document.write_text("".join(f"<!-- {name} -->\nold\n<!-- end -->\n" for name in blocks))
    monkeypatch.setattr(documents, "DOCUMENT", document)
    monkeypatch.setattr(documents, "PICTURE", tmp_path / "confidence.svg")
    lists = ("--fit", tmp_path / "fit.txt", "--test", tmp_path / "test.txt")
    arguments = ("x", "--weights", *folders, "--data", tmp_path / "data", *lists)
    monkeypatch.setattr("sys.argv", [str(a) for a in arguments])
    command.main()
    monkeypatch.setattr("sys.argv", ["x", "--weights", *map(str, folders)])
    documents.main()
    report = json.loads((folders[0] / "confidence.json").read_text())
    assert set(report["held out"]) == {"alone", AGREEMENT}
    assert "old" not in document.read_text() and document.read_text().count("| test |") == 4
    assert (tmp_path / "confidence.svg").read_text().startswith("<?xml")
    tried = {row["least"]: row["score"] for row in report["least confidence"]}
    assert "| **every nucleus counts the same** |" in documents.attempts_table({"a": report}, ("test",))
    assert report["kinds"]["test"].keys() == {"/fluorescence"}
    processor = NucleiImageProcessor.from_pretrained(folders[0])
    assert tried[processor.least_confidence] == max(tried.values())
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


def test_a_laboratory_of_many_nuclei_counts_for_less_than_them_all():
    group = np.array(["big/a"] * 60 + ["big/b"] * 30 + ["small/a"] * 10)
    shares = {evenness: forms.weights(group, evenness)[90:].sum() / 100 for evenness in (0.0, 0.5, 1.0)}
    assert shares == pytest.approx({0.0: 0.1, 0.5: 0.25, 1.0: 0.5})


def test_kinds_of_images_are_told_apart():
    dark, stained = np.zeros((4, 4), np.uint8), np.full((4, 4, 3), (240, 230, 240), np.uint8)
    names = {"nuinsseg/human_brain_01": stained, "dsb2018/00": dark, "dsb2018/01": stained}
    kinds = [forms.kind_of(Sample(name, image, np.zeros((4, 4), np.int32))) for name, image in names.items()]
    assert kinds == ["nuinsseg/human brain", "dsb2018/fluorescence", "dsb2018/bright field"]


def test_unseen_kinds_are_judged_without_them():
    found = nuclei(900, 0)
    last = found.kind == "laboratory/c"
    found.right[last] = False  # an organ of which all is wrong, which no other tells
    seen = forms.left_out(found, FEATURES, found.image % 5)
    others = nuclei(900, 1, bent=-2)
    (row,) = forms.attempts(found, FEATURES, {"others": others}, forms.FORMS[:1])
    judged = forms.left_out(found, FEATURES, found.kind)[last]
    assert row["kinds"]["laboratory/c"] == pytest.approx(judged.mean(), abs=1e-3)
    assert row["kinds"]["laboratory/c"] > seen[last].mean() + 0.1
    assert row["mean"] == pytest.approx(np.mean(list(row["kinds"].values())), abs=1e-4)
    said = confidence(forms.fit(found, FEATURES), others.rows[:, : len(FEATURES)])
    expected = forms.reliability(said, others.right)["expected_calibration_error"]
    assert row["held out"]["others"] == expected > 0
    (alone,) = forms.attempts(found.of(found.kind == "laboratory/a"), FEATURES, {}, forms.FORMS[:1])
    assert alone["mean"] is None and alone["held out"] == {}


def test_the_image_and_the_spread_of_kinds_change_a_confidence():
    found, contrast = nuclei(600, 0), FEATURES.index("contrast")
    found.rows[:, contrast] += 3.0 * (found.image % 2)
    found.right[:] = found.image % 2 == 0  # all is wrong where the contrast of the image is high
    plain, hard = (forms.left_out(found, FEATURES, found.image % 5, form) for form in (forms.FORMS[0], forms.FORMS[3]))
    assert ((hard - found.right) ** 2).mean() < 0.5 * ((plain - found.right) ** 2).mean()
    spread = forms.Form("spread", spread=2.0)
    near, far = (forms.left_out(found, FEATURES, found.image % 5, form) for form in (forms.FORMS[0], spread))
    odds = [np.log(one / (1 - one)) for one in (near, far)]
    assert odds[1] == pytest.approx(odds[0] / np.sqrt(1 + np.pi / 2), rel=1e-2, abs=1e-2)


def test_none_where_it_was_not_fitted_and_an_error_for_other_features():
    labels, maps = maps_of()
    assert NucleiImageProcessor().confidence(maps, labels) is None
    with pytest.raises(ValueError, match="Fit it again"):
        confidence({"features": ["luck"], "mean": [0], "std": [1], "weights": [1], "bias": 0}, np.zeros((1, 1)))


def test_the_least_confidence_is_the_one_that_serves_the_whole_best():
    truth = np.zeros((40, 60), np.int32)
    found = np.zeros_like(truth)
    for n in range(6):  # three of six are right
        box = slice(5, 15) if n % 2 else slice(22, 32), slice(2 + 9 * n, 10 + 9 * n)
        found[box] = n + 1
        if n < 3:
            truth[box] = n + 1
    sure = np.array([0.9, 0.8, 0.32, 0.28, 0.1, 0.02])
    least, tried = best_least([Sample("a", truth.astype(np.uint8), truth)], [found], [sure])
    assert least == 0.3  # of 0.3 and others that drop the three wrong ones alone, the lowest
    by_limit = {row["least"]: row for row in tried}
    assert by_limit[0.0]["dropped"] == 0 and by_limit[0.3]["dropped"] == 3 and by_limit[0.35]["dropped"] == 4
    assert by_limit[0.3]["bowl_map"] == 1 > by_limit[0.35]["bowl_map"] > by_limit[0.0]["bowl_map"]


def test_nuclei_that_nobody_labelled_are_not_dropped_in_the_fit():
    found = np.array([[1, 1, 2, 2, 3, 3]], np.int32)
    kind = np.array(["", ""])
    some = forms.Nuclei(np.zeros((2, 1)), np.array([True, False]), np.array([0, 0]), np.array([1, 3]), kind, [found])
    assert [sure.tolist() for sure in command.by_image(some, np.array([0.7, 0.1]))] == [[0.7, 1.0, 0.1]]


def test_the_table_of_attempts_has_the_worst_of_the_lists_and_no_network_that_was_not_tried():
    forms_ = ("every nucleus counts the same", "another")
    rows = [
        {"form": f, "mean": m, "held out": {"a": a, "b": 0.02}}
        for f, m, a in zip(forms_, (0.05, 0.04), (0.01, 0.03), strict=True)
    ]
    reports = {"one": {"attempts": {"alone": rows, AGREEMENT: rows}}, "old": {}}
    assert documents.attempts_table(reports, ("a", "b")).splitlines()[2:] == [
        "| **every nucleus counts the same** | 0.020 | 0.020 |",
        "| another | 0.030 | 0.030 |",
    ]
    assert documents.attempts_table(reports).splitlines()[::3] == [
        "| the fit | one | one, with agreement |",
        "| another | 0.040 | 0.040 |",
    ]
    assert documents.attempts_table(reports, ("c",)).splitlines()[0] == "| the fit |  |"


def test_the_table_of_kinds_says_what_was_said_and_what_is_right():
    found = nuclei(60, 0)
    found.right[:] = found.kind == "laboratory/a"
    report = {"kinds": {"list": forms.by_kind(np.full(60, 0.75), found)}}
    lines = documents.kinds_table({"one": report, "old": {}}, "list").splitlines()
    assert lines[0] == "| images | one |"
    assert lines[2:] == [
        "| a | 20 nuclei, 75.0% said, 100.0% right, error 0.250 |",
        "| b | 20 nuclei, 75.0% said, 0.0% right, error 0.750 |",
        "| c | 20 nuclei, 75.0% said, 0.0% right, error 0.750 |",
    ]


def test_the_error_of_lists_together_is_that_of_their_nuclei():
    rng = np.random.default_rng(0)
    sure = rng.uniform(0, 1, 900)
    right = rng.random(900) < np.where(np.arange(900) < 300, sure / 2, np.sqrt(sure))  # one list too high, one too low
    whole = forms.reliability(sure, right)
    parts = [forms.reliability(sure[some], right[some]) for some in (slice(0, 300), slice(300, 900))]
    found = documents.together(parts)
    assert found["nuclei"] == 900 and found["right"] == pytest.approx(whole["right"], abs=1e-3)
    assert found["expected_calibration_error"] == pytest.approx(whole["expected_calibration_error"], abs=1e-3)
    assert found["expected_calibration_error"] < max(part["expected_calibration_error"] for part in parts)
