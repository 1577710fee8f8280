"""A network on images whose truth is known -> what it finds, and figures by image as `nuclei compare` gives them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..analysis.comparison import Figures, compare, summarise
from ..inference.segmentation import predict
from ..model.image_processing_nuclei import Maps, NucleiImageProcessor
from ..model.modeling_nuclei import NucleiPreTrainedModel
from .samples import Sample

Report = Callable[[int, int], None]  # images done, images in all


@dataclass(frozen=True)
class Outcome:
    """An image: what was found, (H, W) int32, and how good it is, see `analysis.comparison.compare`, with `score`, the
    mean of the Bowl's mAP and of the nucleus IoU."""

    labels: np.ndarray
    figures: Figures


class Rates(NamedTuple):
    """Seconds that a pixel takes: through the network, and to be cut into nuclei and compared."""

    network: float
    cut: float

    @property
    def whole(self) -> float:
        return self.network + self.cut


def outcome(sample: Sample, found: np.ndarray) -> Outcome:
    """Compare with the truth; what lies where nobody labelled doesn't count."""
    true = np.maximum(sample.labels, 0)
    found = np.where(sample.labels < 0, 0, found)
    figures = compare(_without_gaps(true), _without_gaps(found))
    return Outcome(found.astype(np.int32), figures | {"score": (figures["bowl_map"] + figures["iou"]) / 2})


def mean(outcomes: Sequence[Outcome]) -> Figures:
    """Figures of several images: sums of the counts, means of the rest."""
    return {name: round(value, 4) for name, value in summarise([one.figures for one in outcomes]).items()}


def predict_all(
    model: NucleiPreTrainedModel,
    processor: NucleiImageProcessor,
    samples: Sequence[Sample],
    report: Report | None = None,
) -> list[Maps]:
    """Maps of each image, as anybody who has nothing but its file gets them."""
    maps = []
    for n, sample in enumerate(samples):
        maps.append(predict(sample.image, model, processor, pixel_size=sample.pixel_size))
        if report:
            report(n + 1, len(samples))
    return maps


def measure(
    model: NucleiPreTrainedModel,
    processor: NucleiImageProcessor,
    samples: Sequence[Sample],
    report: Report | None = None,
) -> dict[str, Outcome]:
    """Segment and compare every image, by its id."""
    maps = predict_all(model, processor, samples, report)
    return {s.id: outcome(s, processor.instances(m)) for s, m in zip(samples, maps, strict=True)}


def affordable(
    model: NucleiPreTrainedModel,
    processor: NucleiImageProcessor,
    samples: Sequence[Sample],
    seconds: float,
    least: int = 2,
    seed: int = 0,
) -> tuple[list[Sample], Rates]:
    """As many images as can be measured in a time, drawn at random, and at least so many; and what a pixel takes."""
    smallest = min(samples, key=lambda s: s.labels.size)
    for _ in range(2):  # the first makes the network ready
        start = time.perf_counter()
        maps = predict(smallest.image, model, processor, pixel_size=smallest.pixel_size)
        predicted = time.perf_counter()
        outcome(smallest, processor.instances(maps))
        cut = time.perf_counter()
    rates = Rates((predicted - start) / smallest.labels.size, (cut - predicted) / smallest.labels.size)
    chosen: list[int] = []
    spent = 0.0
    for i in np.random.default_rng(seed).permutation(len(samples)):
        spent += rates.whole * samples[i].labels.size
        if spent > seconds and len(chosen) >= least:
            break
        chosen.append(int(i))
    return [samples[i] for i in sorted(chosen)], rates


def _without_gaps(labels: np.ndarray) -> np.ndarray:
    numbers, dense = np.unique(labels, return_inverse=True)
    return dense.reshape(labels.shape) + int(numbers[0] != 0)
