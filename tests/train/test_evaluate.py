"""Evaluation: its sums, and that the bundled files belong together."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nuclei_models.analysis.metrics import count_mask
from nuclei_models.inference.loading import load
from nuclei_models.inference.segmentation import Segmentation, median_diameter, segment
from nuclei_models.model.repository import sha256
from nuclei_models.training.samples import Sample
from train.evaluation.baseline import otsu_watershed
from train.evaluation.evaluate import evaluate, weights_hash
from train.evaluation.lists import LISTS
from train.evaluation.results import ImageResult, of_list, summarise, table
from train.release import readme

ROOT = Path(__file__).parents[2]
# nucleus IoU and Bowl mAP of the examples, and the IoU of the worst, which each network still reaches
FLOORS = {
    "unet-nuclei": (0.81, 0.51, 0.6),
    "unetpp-nuclei": (0.81, 0.50, 0.585),
    "unet-small-nuclei": (0.80, 0.485, 0.53),
}
BUNDLED = [ROOT / "weights" / name for name in readme.NETWORKS]


def squares(*corners: tuple[int, int]) -> np.ndarray:
    labels = np.zeros((20, 20), np.int32)
    for number, (y, x) in enumerate(corners, 1):
        labels[y : y + 4, x : x + 4] = number
    return labels


def test_means_by_image_and_pooled():
    right = ImageResult.compare(squares((0, 0)), squares((0, 0)))
    half = ImageResult.compare(squares((0, 0), (8, 8), (8, 14)), squares((0, 0)))
    figures = summarise([right, half])
    assert figures["nuclei"] == 4
    assert figures["nucleus_iou"] == pytest.approx((1 + 1 / 3) / 2, abs=1e-4)
    assert figures["pooled"]["nucleus_iou"] == pytest.approx(32 / 64, abs=1e-4)
    assert figures["ap"]["0.5"] == pytest.approx((1 + 1 / 3) / 2, abs=1e-4)
    assert figures["pooled"]["ap"]["0.5"] == pytest.approx(2 / 4, abs=1e-4)
    assert figures["bowl_map"] == figures["ap_5_to_9"] == figures["ap"]["0.95"]


@pytest.fixture(scope="module", params=BUNDLED, ids=lambda f: f.name)
def folder(request) -> Path:
    return request.param


@pytest.fixture(scope="module")
def examples(folder) -> list[tuple[dict, np.ndarray, Segmentation]]:
    """Each example's entry, its true nuclei and those that the network finds with default settings."""
    model, processor = load(folder)
    done = []
    for entry in json.loads((ROOT / "examples/examples.json").read_text()):
        image, truth = (np.asarray(Image.open(ROOT / f"examples/{entry['name']}{end}.png")) for end in ("", "_labels"))
        done.append((entry, truth.astype(np.int32), segment(image, model, processor)))
    return done


class TestBundledWeights:
    def test_the_evaluation_is_of_these_weights(self, folder):
        evaluation = json.loads((folder / "evaluation.json").read_text())
        assert evaluation["weights_sha256"] == sha256(folder / "model.safetensors") == weights_hash(str(folder))
        assert [evaluation["lists"][n]["images"] for n in ("stage1_test", "stardist_test")] == [65, 49]

    def test_the_evaluation_used_the_settings_that_are_saved(self, folder):
        settings = json.loads((folder / "evaluation.json").read_text())["settings"]
        _, processor = load(folder)
        assert settings == {k: getattr(processor, k) for k in settings}

    def test_the_examples_figures_come_again(self, folder, examples):
        """Whole test images among the examples give the figures that the evaluation has on record."""
        lists = json.loads((folder / "evaluation.json").read_text())["lists"]
        again = 0
        for entry, truth, found in examples:
            recorded = lists.get(entry["split"], {}).get("by_image", {}).get(entry["id"])
            if recorded is None or max(truth.shape) > 400:  # validation images, and parts of larger ones
                continue
            assert count_mask(truth, found.labels).iou == pytest.approx(recorded["nucleus_iou"], abs=0.002)
            again += 1
        assert again >= 3

    def test_touching_nuclei_and_masks_are_found_in_every_modality(self, folder, examples):
        strata = {entry["name"]: entry["modality"] for entry, _, _ in examples}
        results = {entry["name"]: ImageResult.compare(truth, found.labels) for entry, truth, found in examples}
        figures = of_list(results, strata)
        iou, bowl, worst = FLOORS[folder.name]
        assert figures["nucleus_iou"] > iou and figures["bowl_map"] > bowl
        assert min(f["nucleus_iou"] for f in figures["by_image"].values()) > worst

    def test_the_diameter_of_every_example_is_right_or_doubtful(self, examples):
        wrong = []
        for entry, truth, found in examples:
            diameter, true = found.maps.diameter, median_diameter(truth)
            if not 1 / 1.5 <= diameter.pixels / true <= 1.5 and not diameter.is_doubtful:
                wrong.append(f"{entry['name']}: {diameter.pixels:.0f} for {true:.0f}")
        assert len(wrong) <= 1, wrong  # fluorescence-huge has a median of fragments


def test_every_sample_is_segmented_and_compared():
    model, processor = load("unet-nuclei")
    truth = np.asarray(Image.open(ROOT / "examples/fluorescence-small_labels.png")).astype(np.int32)
    image = np.asarray(Image.open(ROOT / "examples/fluorescence-small.png"))
    figures, found = evaluate(model, processor, [Sample("small", image, truth)], {"small": "fluorescence"})
    assert np.array_equal(found["small"], segment(image, model, processor).labels)
    assert figures["by_image"]["small"]["nucleus_iou"] == pytest.approx(count_mask(truth, found["small"]).iou, abs=1e-3)


def test_readme_has_the_measured_figures():
    assert len(readme.written()) == 3
    for path, text in readme.written().items():
        assert text == path.read_text(), f"{path} is out of date: python -m train.release.readme"


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 150


def test_table_has_a_row_a_list_and_network():
    rows = table({f.name: json.loads((f / "evaluation.json").read_text()) for f in BUNDLED}).splitlines()
    assert len(rows) == 2 + (len(LISTS) + 1) * len(BUNDLED)  # and the colour images of stage1_test


def test_what_nobody_labelled_counts_for_nothing():
    true = squares((0, 0), (8, 8))
    true[8:12, 8:12] = -1
    found = squares((0, 0), (8, 8))
    assert ImageResult.compare(true, found).bowl_map == 1
    assert ImageResult.compare(true, squares((0, 0))).mask.iou == 1


class TestBaseline:
    def test_bright_discs_are_found_and_cut_apart(self):
        y, x = np.mgrid[:80, :80]
        image = 20 + 200 * ((np.hypot(y - 30, x - 28) < 12) | (np.hypot(y - 30, x - 49) < 12))
        assert otsu_watershed(image.astype(np.uint8)).max() == 2

    def test_dark_nuclei_on_a_bright_ground(self):
        image = np.full((60, 60), 230, np.uint8)
        image[20:40, 20:40] = 60
        labels = otsu_watershed(image)
        assert labels.max() == 1 and labels[30, 30] == 1 and labels[0, 0] == 0

    def test_haematoxylin_in_a_section(self):
        image = np.full((60, 60, 3), (235, 180, 210), np.uint8)  # eosin
        image[20:40, 20:40] = (90, 60, 140)
        labels = otsu_watershed(image)
        assert labels.max() == 1 and labels[30, 30] == 1 and labels[5, 5] == 0

    def test_a_blank_image_has_none(self):
        assert otsu_watershed(np.full((20, 20), 7, np.uint8)).max() == 0
