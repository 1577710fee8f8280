"""A network on images whose truth is known -> what it finds, and figures by image as `nuclei compare` gives them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..analysis.comparison import Figures, compare, summarise
from ..analysis.metrics import bowl_map, count_mask, iou_matrix, match
from ..inference.segmentation import predict
from ..model.image_processing_nuclei import NucleiImageProcessor
from ..model.maps import Maps
from ..model.modeling_nuclei import NucleiPreTrainedModel
from .samples import Sample

READY = 64  # pixels a side, of the part of an image that is segmented before time is taken
Report = Callable[[int, int], None]  # images done, images in all


@dataclass(frozen=True)
class Outcome:
    """What was found in an image, and how good it is.

    Attributes:
        labels: (H, W) int32.
        figures: See `analysis.comparison.compare`, with `score`, the mean of the Bowl's mAP and of the nucleus IoU.
        assumed: Nuclear diameter, pixels, by which the image was rescaled; `None`: it was not.
    """

    labels: np.ndarray
    figures: Figures
    assumed: float | None = None


class Rates(NamedTuple):
    """Seconds that a pixel takes: through the network, and to be cut into nuclei and compared."""

    network: float
    cut: float

    @property
    def whole(self) -> float:
        return self.network + self.cut


def known(sample: Sample, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The true labels and those found, (H, W) each, without what lies where nobody labelled: it doesn't count."""
    return np.maximum(sample.labels, 0), np.where(sample.labels < 0, 0, found)


def scores(sample: Sample, found: np.ndarray) -> Figures:
    """Those of an outcome's figures that settings are chosen by, and no others, which take longer."""
    true, found = known(sample, found)
    iou = iou_matrix(true, found)
    figures = {"bowl_map": bowl_map(iou), "ap_50": match(iou, 0.5).ap, "iou": count_mask(true, found).iou}
    return figures | {"score": (figures["bowl_map"] + figures["iou"]) / 2}


def outcome(sample: Sample, found: np.ndarray, assumed: float | None = None) -> Outcome:
    """Compare with the truth."""
    true, found = known(sample, found)
    figures = compare(_without_gaps(true), _without_gaps(found))
    figures = figures | {"score": (figures["bowl_map"] + figures["iou"]) / 2}
    return Outcome(found.astype(np.int32), figures, assumed)


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
    return cut_all(processor, samples, predict_all(model, processor, samples, report))


def cut_all(processor: NucleiImageProcessor, samples: Sequence[Sample], maps: Sequence[Maps]) -> dict[str, Outcome]:
    """Cut the maps of images into nuclei and compare them, by the images' ids."""
    return {s.id: outcome(s, processor.instances(m), m.diameter.pixels) for s, m in zip(samples, maps, strict=True)}


def timed(
    model: NucleiPreTrainedModel, processor: NucleiImageProcessor, sample: Sample
) -> tuple[dict[str, Outcome], Rates]:
    """`measure` of one image, and what a pixel of it takes."""
    ready = sample.image[:READY, :READY]  # what is done once for a network is no part of it
    predict(ready, model, processor)
    start = time.perf_counter()
    maps = predict_all(model, processor, [sample])
    predicted = time.perf_counter()
    found = cut_all(processor, [sample], maps)
    pixels = sample.labels.size
    return found, Rates((predicted - start) / pixels, (time.perf_counter() - predicted) / pixels)


def affordable(samples: Sequence[Sample], rates: Rates, seconds: float, least: int = 2, seed: int = 0) -> list[Sample]:
    """As many images as can be measured in a time, drawn at random, and at least so many."""
    chosen: list[int] = []
    spent = 0.0
    for i in np.random.default_rng(seed).permutation(len(samples)):
        spent += rates.whole * samples[i].labels.size
        if spent > seconds and len(chosen) >= least:
            break
        chosen.append(int(i))
    return [samples[i] for i in sorted(chosen)]


def _without_gaps(labels: np.ndarray) -> np.ndarray:
    numbers, dense = np.unique(labels, return_inverse=True)
    return dense.reshape(labels.shape) + int(numbers[0] != 0)
