"""The studies: targets lead back to their nuclei, and no threshold is judged on what it was chosen on."""

import json

import numpy as np
import pytest
import torch

from nuclei_models import NucleiImageProcessor, UNet, UNetConfig
from nuclei_models.training.samples import DataError, Sample
from train.studies import inference, own_images
from train.studies.attempts import figures
from train.studies.inference import rescaled
from train.studies.protocol96 import SIDE, bend, split, squeeze
from train.studies.report import attempts, table
from train.studies.schemes import SCHEMES, centre_offsets
from train.studies.small import cross_fit, judge


def touching_discs() -> np.ndarray:
    """(48, 64) int32: two discs that touch, and one alone."""
    y, x = np.mgrid[:48, :64]
    labels = np.zeros((48, 64), np.int32)
    for number, (cy, cx, r) in enumerate(((20, 16, 10), (20, 36, 10), (36, 54, 7)), 1):
        labels[np.hypot(y - cy, x - cx) <= r] = number
    return labels


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("zoom", [1.0, 2.0])
def test_a_schemes_targets_decode_to_their_nuclei(name, zoom):
    scheme, labels = SCHEMES[name], touching_discs()
    maps = torch.from_numpy(scheme.targets(labels))[None]
    size = tuple(int(n * zoom) for n in labels.shape)
    maps = torch.nn.functional.interpolate(maps, size=size, mode="nearest")[0].numpy()
    truth = np.kron(labels, np.ones((int(zoom),) * 2, np.int32))
    best = max(judge(truth, scheme.decode(maps, zoom, *setting))["ap_50"] for setting in scheme.settings)
    assert best == 1.0 if name != "mask" else best < 1.0  # a mask alone can't tell touching nuclei apart


@pytest.mark.parametrize("name", SCHEMES)
def test_the_loss_is_least_at_the_targets(name):
    scheme, labels = SCHEMES[name], touching_discs()
    targets = torch.from_numpy(scheme.targets(labels))[None]
    n = len(scheme.plain)
    right = torch.cat([20 * (targets[:, :n] - 0.5), targets[:, n:]], 1)
    if "distance" in scheme.names:
        right[:, n - 1] = torch.logit(targets[:, n - 1].clamp(1e-4, 1 - 1e-4))
    assert scheme.loss(right, targets) < 0.05 < scheme.loss(torch.zeros_like(right), targets)


def test_offsets_point_to_the_centre():
    labels = np.zeros((9, 9), np.int32)
    labels[2:7, 2:7] = 3
    y, x = centre_offsets(labels)
    assert y[2, 4] == -y[6, 4] == 2 / 16 and x[4, 4] == y[4, 4] == 0 and x[0, 0] == 0


def test_each_half_is_judged_with_the_other_halfs_setting():
    labels = touching_discs()
    samples = [Sample(str(i), labels, labels) for i in range(4)]

    def decode(i: int, setting: tuple) -> np.ndarray:  # setting 0 is right for even images, 1 for odd ones
        return labels if setting[0] == i % 2 else np.zeros_like(labels)

    figures, settings = cross_fit(samples, [(0,), (1,)], decode)
    assert settings == [(1,), (0,)]
    assert all(f["bowl_map"] == 0 for f in figures)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_image_and_truth_are_rescaled_together(scale):
    labels = touching_discs()
    sample = Sample("a", (labels > 0).astype(np.uint8) * 200, labels)
    other = rescaled(sample, scale)
    assert other.labels.shape == other.image.shape[:2] == tuple(int(n * scale) for n in labels.shape)
    assert set(np.unique(other.labels)) == set(np.unique(labels))
    assert np.mean((other.image[..., 0] > 100) != (other.labels > 0)) < 0.03


def test_image_and_mask_are_bent_together():
    mask = np.zeros((SIDE, SIDE), bool)
    mask[30:50, 20:70] = True
    for seed in range(8):
        image, moved = bend(np.repeat(mask[..., None], 3, -1).astype(np.float32), mask, np.random.default_rng(seed))
        assert image.shape == (SIDE, SIDE, 3) and 400 < moved.sum() < 2000
        assert np.mean((image[..., 0] > 0.5) != moved) < 0.02


def test_table_gives_the_range_of_seeds(tmp_path):
    for seed, value in enumerate((0.4, 0.5)):
        figures = dict.fromkeys(("nucleus_iou", "dice", "ap_50", "bowl_map"), value)
        record = {"name": "a", "seed": seed, "figures": {"all": figures, "colour": figures, "other": figures}}
        (tmp_path / f"a-{seed}.json").write_text(json.dumps(record))
    assert "| a | 2 | 0.450 (0.400 to 0.500) |" in table(tmp_path)


def test_weights_that_have_seen_a_laboratory_show_nothing_of_it(tmp_path):
    (tmp_path / "training.json").write_text('{"data": [{"set": "dsb2018"}], "initial": {"data": [{"set": "tnbc"}]}}')
    own_images.refuse_seen(str(tmp_path), ["nuinsseg"])
    with pytest.raises(DataError, match="was trained on images of tnbc"):
        own_images.refuse_seen(str(tmp_path), ["nuinsseg", "tnbc"])
    (tmp_path / "training.json").unlink()
    with pytest.raises(DataError, match=r"has no training\.json that names"):
        own_images.refuse_seen(str(tmp_path), ["nuinsseg"])


def test_the_table_of_own_images(tmp_path):
    record = {"laboratory": "tnbc", "model": "unet", "images": 5, "minutes": 10.0, "threads": 2, "kept": "trained"}
    record |= {"seed": 0, "tests": 7, "start": {"bowl_map": 0.1, "iou": 0.2}, "result": {"bowl_map": 0.3, "iou": 0.4}}
    (tmp_path / "a.json").write_text(json.dumps(record))
    assert "| tnbc | unet | 5 | 10, 2 | trained | 7 | 0.100 | 0.300 | 0.200 | 0.400 |" in own_images.table(tmp_path)


def test_the_96_protocols_parts_are_disjoint_and_whole():
    ids = [f"id{i}" for i in range(100)]
    parts = split(ids)
    assert [len(parts[name]) for name in ("train", "validation", "test")] == [70, 10, 20]
    assert sorted(i for part in parts.values() for i in part) == sorted(ids)
    assert parts == split(ids[::-1])  # whatever order they come in


def test_an_image_is_squeezed_with_its_mask():
    labels = touching_discs()
    image, mask = squeeze(Sample("a", ((labels > 0) * 255).astype(np.uint8), labels))
    assert image.shape == (96, 96, 3) and mask.shape == (96, 96)
    assert np.mean((image[..., 0] > 0.5) != mask) < 0.02


def test_what_was_attempted(tmp_path):
    test_list = {"bowl_map": 0.4, "nucleus_iou": 0.7, "dice": 0.8, "colour": {"bowl_map": 0.2}, "ap": {"0.5": 0.9}}
    lists = dict.fromkeys(("stage1_test", "stardist_test"), test_list | {"ap_5_to_9": 0.6})
    found = figures({"lists": lists}, {"bowl_map": 0.55})
    (tmp_path / "1.json").write_text(json.dumps({"what": "longer", "commit": "", "figures": {"U-Net": found}}))
    assert "| 1. longer | U-Net | 0.550 | 0.400 | 0.700 | 0.800 | 0.200 | 0.900 | 0.600 |" in attempts(tmp_path)


def test_a_rescaled_image_counts_as_what_it_was(tmp_path, monkeypatch):
    labels = touching_discs()
    grey = (labels > 0).astype(np.uint8) * 200
    pink = np.where(labels[..., None] > 0, [120, 60, 160], [230, 170, 210]).astype(np.uint8)
    network = UNet(UNetConfig(channels=[4, 6], padding="same", id2label=dict(enumerate(SCHEMES["mask"].names))))
    processor = NucleiImageProcessor(channel_names=["background", "nucleus"])
    monkeypatch.setattr(inference, "load", lambda _: (network, processor))
    monkeypatch.setattr(inference, "load_packed", lambda *_: [Sample("a", grey, labels), Sample("b", pink, labels)])
    monkeypatch.setattr(inference, "SCALES", (2.0,))
    inference.scale("weights", tmp_path)
    records = [json.loads(file.read_text()) for file in tmp_path.glob("*.json")]
    ways = ("diameter estimated", "diameter true", "not rescaled")
    assert {r["name"] for r in records} == {f"U-Net, x2, {way}" for way in ways}
    assert all(np.isfinite(r["figures"][part]["dice"]) for r in records for part in ("all", "colour", "other"))
