"""Images of several laboratories: pairs of images and label images, what nobody labelled, shares, mirrored crops."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from nuclei_models import NucleiImageProcessor
from nuclei_models.analysis.metrics import bowl_map, iou_matrix
from nuclei_models.model.losses import IGNORED, segmentation_loss
from nuclei_models.model.targets import UNLABELLED, make_targets, split_apart
from nuclei_models.training import packed
from nuclei_models.training.augment import AugmentConfig, Crops, dim_some, empty_corner
from nuclei_models.training.dataset import validation_item, weights
from nuclei_models.training.samples import DataError, Sample

NAMES = ["background", "nucleus", "border", "distance"]


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    truth = np.zeros((30, 40), np.uint16)
    truth[5:15, 5:15], truth[20, 20:23] = 1, 2  # the second is a speck
    micro = np.zeros((30, 40), np.uint8)
    micro[25:28, 30:33] = 1
    micro[6, 6] = 1  # within a nucleus: it stays nucleus
    write(tmp_path / "set/images/a.png", rng.integers(0, 60000, (30, 40)).astype(np.uint16))
    write(tmp_path / "set/labels/a.png", truth)
    write(tmp_path / "set/micronuclei/a.png", micro)
    return tmp_path / "set"


def test_pairs_are_read_with_what_nobody_labelled(folder):
    (sample,) = packed.read_pairs(folder, ignored="micronuclei", specks=12)
    assert sample.image.dtype == np.uint16
    assert (sample.labels[5:15, 5:15] == 1).all()
    assert (sample.labels[20, 20:23] == -1).all() and (sample.labels[25:28, 30:33] == -1).all()


def test_packing_keeps_depth_and_what_nobody_labelled(folder, tmp_path):
    (sample,) = packed.read_pairs(folder, ignored="micronuclei")
    packed.pack(sample, tmp_path / "packed/lab")
    (again,) = packed.load_packed(tmp_path / "packed", ["lab/a"])
    assert again.id == "lab/a" and again.image.dtype == np.uint16
    assert np.array_equal(again.labels, sample.labels)


def test_an_image_without_labels_is_named(folder):
    (folder / "labels/a.png").unlink()
    (folder / "labels").rmdir()
    with pytest.raises(DataError, match=r"images/a\.png has no labels/a"):
        list(packed.read_pairs(folder))


def test_labels_of_another_size_are_named(folder):
    write(folder / "labels/a.png", np.ones((3, 4), np.uint16))
    with pytest.raises(DataError, match=r"labels/a\.png is \(3, 4\), its image \(30, 40\)"):
        list(packed.read_pairs(folder))


def test_each_laboratory_gets_its_share_of_the_crops():
    ids, strata = ["a/1", "a/2", "a/3", "b/1"], ["x", "x", "y", "x"]
    weight = weights(ids, strata, {"a": 0.3, "b": 0.7})
    assert weight[3] == pytest.approx(0.7)
    assert weight[2] == pytest.approx(0.3 * 1 / (1 + 2 / 2**0.5))  # a stratum weighs as the root of its size
    with pytest.raises(ValueError, match="give each laboratory"):
        weights(ids, strata, {"a": 1.0})


def test_what_nobody_labelled_is_out_of_the_loss():
    labels = np.zeros((16, 16), np.int32)
    labels[2:7, 2:7], labels[10:13, 10:13] = 1, UNLABELLED
    targets = torch.from_numpy(make_targets(labels, NAMES))[None]
    assert (targets[0, :, 10:13, 10:13] == IGNORED).all()
    logits = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0), requires_grad=True)
    segmentation_loss(logits, targets, NAMES).backward()
    assert (logits.grad[0, :, 10:13, 10:13] == 0).all()
    assert logits.grad[0, :, 2:7, 2:7].abs().min() > 0


def test_parts_that_lie_apart_get_numbers_of_their_own():
    labels = np.array([[1, 1, 0, 1], [0, 0, 0, 1], [2, 0, -1, 0]], np.int32)
    assert np.array_equal(split_apart(labels), [[1, 1, 0, 2], [0, 0, 0, 2], [3, 0, -1, 0]])


@pytest.mark.parametrize("seed", range(4))
def test_a_perfect_answer_to_a_mirrored_validation_crop_is_perfect(seed):
    rng = np.random.default_rng(seed)
    labels = np.zeros((60, 70), np.int32)
    for n, (y, x) in enumerate(rng.integers(8, 50, (4, 2)), 1):
        labels[y : y + 7, x : x + 9] = n
    labels = split_apart(labels)
    sample = Sample("a", (labels > 0).astype(np.uint8) * 200, labels)
    _, truth = validation_item(sample, NucleiImageProcessor(min_diameter=1, max_diameter=500), 128)
    assert truth.max() > labels.max()  # mirrored on
    for n in range(1, truth.max() + 1):
        assert ndimage.label(truth == n, np.ones((3, 3)))[1] == 1
    assert bowl_map(iou_matrix(truth, truth)) == 1


def test_training_crops_number_apart_what_lies_apart():
    labels = np.zeros((40, 40), np.int32)
    labels[2:12, 2:12] = 1
    crops = Crops(Sample("a", (labels * 200).astype(np.uint8), labels))
    for seed in range(8):
        _, drawn = crops.draw(np.random.default_rng(seed), AugmentConfig(crop_size=96, max_diameter=14))
        for n in range(1, drawn.max() + 1):
            assert ndimage.label(drawn == n, np.ones((3, 3)))[1] == 1


def test_dimming_touches_some_nuclei_and_not_the_ground():
    labels = np.zeros((40, 40), np.int32)
    labels[5:15, 5:15], labels[20:30, 20:30] = 1, 2
    image = np.repeat(0.1 + 0.8 * (labels > 0)[..., None], 3, 2).astype(np.float32)
    dimmed = dim_some(image, labels, np.random.default_rng(0))
    centres = dimmed[10, 10, 0], dimmed[25, 25, 0]
    assert min(centres) < 0.75 and max(centres) == pytest.approx(0.9, abs=1e-3)
    assert dimmed[0, 39, 0] == pytest.approx(0.1)


def test_an_empty_corner_holds_no_nuclei():
    labels = np.arange(1, 1601, dtype=np.int32).reshape(40, 40)
    image = np.random.default_rng(1).random((40, 40, 3)).astype(np.float32)
    blank, left = empty_corner(image, labels, np.random.default_rng(0))
    assert 0 < (left == 0).mean() < 1
    assert np.unique(blank[left == 0]).size == 1
