"""Crops of a batch: drawn by all cores at once, and the same as one by one."""

import threading

import numpy as np
import torch

from nuclei_models import NucleiImageProcessor
from nuclei_models.training import dataset
from nuclei_models.training.augment import AugmentConfig
from nuclei_models.training.samples import Sample


def crops() -> dataset.TrainingCrops:
    labels = np.zeros((48, 48), np.int32)
    labels[8:20, 10:22], labels[24:40, 20:40] = 1, 2
    image = (labels * 60 + np.random.default_rng(0).integers(0, 40, labels.shape)).astype(np.uint8)
    processor = NucleiImageProcessor(channel_names=["background", "nucleus", "border", "distance"])
    return dataset.TrainingCrops([Sample("one", image, labels)], processor, AugmentConfig(crop_size=32), 100, 7)


def test_a_batch_is_what_its_crops_are(monkeypatch):
    monkeypatch.setattr(dataset, "_cores", lambda: 3)
    made = crops()
    for together, alone in zip(made.__getitems__([5, 2, 9, 4]), (made[i] for i in (5, 2, 9, 4)), strict=True):
        assert together.keys() == alone.keys()
        assert all(torch.equal(together[key], alone[key]) for key in alone)


def test_cores_draw_at_the_same_time(monkeypatch):
    meeting = threading.Barrier(2)
    monkeypatch.setattr(dataset, "_cores", lambda: 2)
    monkeypatch.setattr(dataset.TrainingCrops, "__getitem__", lambda self, i: (meeting.wait(timeout=120), i)[1])
    assert crops().__getitems__([1, 2, 3, 4]) == [1, 2, 3, 4]
    monkeypatch.setattr(dataset, "get_worker_info", lambda: "in a loader's process")
    monkeypatch.setattr(dataset.TrainingCrops, "__getitem__", lambda self, i: threading.get_ident())
    assert set(crops().__getitems__([1, 2])) == {threading.get_ident()}


def test_a_batch_lies_with_its_channels_last():
    made = crops()
    items = [made[i] for i in range(3)]
    batch = dataset.collate(items)
    assert batch["pixel_values"].is_contiguous(memory_format=torch.channels_last)
    assert all(batch[key].equal(torch.stack([item[key] for item in items])) for key in items[0])
