"""Samples -> what the Trainer asks for, by number: item i is a function of the seed and i alone."""

import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from torch.utils.data import Dataset, get_worker_info

from ..model.image_processing_nuclei import NucleiImageProcessor
from ..model.intensity import normalise
from ..model.maps import resize
from ..model.targets import UNLABELLED, make_targets, split_apart
from .augment import AugmentConfig, Crops
from .likeness import stratum
from .samples import Sample, laboratory


class TrainingCrops(Dataset):
    """`length` random crops; rare kinds of image come more often.

    Each laboratory (what stands before the slash of an id) gets its share of the crops; within it a stratum weighs as
    the root of its size.

    Args:
        samples: What the crops are cut from.
        processor: Normalises; its channel names say which targets there are.
        augment: See `augment.py`.
        length: How many crops.
        seed: Crop i is a function of this and i alone.
        shares: Laboratory -> its share; `None` when all samples are of one.
    """

    def __init__(
        self,
        samples: list[Sample],
        processor: NucleiImageProcessor,
        augment: AugmentConfig,
        length: int,
        seed: int,
        shares: dict[str, float] | None = None,
    ):
        self.crops = [Crops(s) for s in samples]
        self.weight = weights([s.id for s in samples], [stratum(s.image) for s in samples], shares)
        self.processor, self.augment, self.length, self.seed = processor, augment, length, seed
        self.make_targets: Callable[[np.ndarray], np.ndarray] = partial(
            make_targets, names=list(processor.channel_names)
        )

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng([self.seed, i])
        crops = self.crops[rng.choice(len(self.crops), p=self.weight)]
        image, labels = crops.draw(rng, self.augment)
        return to_item(image, self.make_targets(labels), self.processor)

    def __getitems__(self, numbers: list[int]) -> list[dict[str, torch.Tensor]]:
        """The crops of a batch. While a step waits for them no core has anything else to do, so all cores draw."""
        threads = min(len(numbers), _cores())
        if threads < 2 or get_worker_info() is not None:  # a loader's processes are the parallelism
            return [self[i] for i in numbers]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self.__getitem__, numbers))


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def weights(ids: list[str], strata: list[str], shares: dict[str, float] | None) -> np.ndarray:
    """How often each image is drawn, summing to 1, see `TrainingCrops`.

    Raises:
        ValueError: A laboratory among the ids has no share, or a share has no image.
    """
    laboratories = np.array(["" if shares is None else laboratory(i) for i in ids])
    shares = {"": 1.0} if shares is None else shares
    if set(shares) != set(laboratories.tolist()):
        raise ValueError(
            f"Shares are given for {sorted(shares)}, but the images are of {sorted(set(laboratories.tolist()))}: "
            "give each laboratory of the training list its share."
        )
    kinds = [f"{lab}/{s}" for lab, s in zip(laboratories, strata, strict=True)]
    count = Counter(kinds)
    weight = np.array([count[k] ** -0.5 for k in kinds])
    for name, share in shares.items():
        weight[laboratories == name] *= share / weight[laboratories == name].sum()
    return weight / weight.sum()


def to_item(image: np.ndarray, targets: np.ndarray, processor: NucleiImageProcessor) -> dict[str, torch.Tensor]:
    """(H, W, 3) normalised to 0 .. 1 and (C, H, W) -> `pixel_values` (3, H, W) and `labels` (C, H, W), float32."""
    return {"pixel_values": torch.from_numpy(processor.standardise(image)), "labels": torch.from_numpy(targets)}


def collate(items: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Stack items; channels last, which is faster on CPU and GPU alike."""
    batch = {key: torch.stack([item[key] for item in items]) for key in items[0] if key != "pixel_values"}
    pixels = [item["pixel_values"] for item in items]
    batch["pixel_values"] = torch.empty((len(pixels), *pixels[0].shape), memory_format=torch.channels_last)
    return batch | {"pixel_values": torch.stack(pixels, out=batch["pixel_values"])}


def validation_item(
    sample: Sample, processor: NucleiImageProcessor, size: int
) -> tuple[dict[str, torch.Tensor], np.ndarray]:
    """The centre of an image, at the scale that its true nuclei ask for: (item, labels (size, size) int32)."""
    crops = Crops(sample)
    scale = processor.scale_for(crops.diameter or None)
    pixels = torch.from_numpy(normalise(crops.rgb, *crops.range).transpose(2, 0, 1).copy())
    numbers = torch.from_numpy(sample.labels)[None, None].float()
    shape = [max(1, round(n * scale)) for n in sample.labels.shape]
    numbers = torch.nn.functional.interpolate(numbers, size=shape, mode="nearest-exact")[0, 0]
    image = _centre(resize(pixels, shape).numpy().transpose(1, 2, 0), size)
    labels = _centre(numbers.numpy().astype(np.int32), size)
    if min(shape) < size:  # mirrored on: what lies apart is another nucleus
        labels = split_apart(labels)
    item = to_item(image, make_targets(labels, list(processor.channel_names)), processor)
    return item, np.where(labels == UNLABELLED, 0, labels)


def _centre(x: np.ndarray, size: int) -> np.ndarray:
    """The central size x size pixels; a smaller image is mirrored on."""
    missing = [max(0, size - n) for n in x.shape[:2]]
    x = np.pad(x, [(0, missing[0]), (0, missing[1])] + [(0, 0)] * (x.ndim - 2), mode="symmetric")
    top, left = ((n - size) // 2 for n in x.shape[:2])
    return x[top : top + size, left : left + size]
