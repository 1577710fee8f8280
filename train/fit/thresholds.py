"""Fit what comes before and after the network on the validation list, and save it with the weights.

    python -m train.fit.thresholds --weights weights/unet-nuclei weights/unetpp-nuclei

First the range of nuclear diameters that images are rescaled to, with a few thresholds each; in the range that is kept
threshold, separation and the smoothing of the distance map together; and with the best of these the smallest areas.
What gives the best mean of Bowl mAP and nucleus IoU (by image) is kept: nuclei told apart, with the right outlines. Of
ranges as good as the best the one is kept in which the network sees the fewest pixels, for time goes with them. All
that was tried goes to `thresholds.json` beside the weights.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from nuclei_models.inference.loading import load
from nuclei_models.inference.segmentation import nuclear_diameter
from nuclei_models.inference.tiling import predict_logits
from nuclei_models.model.image_processing_nuclei import NucleiImageProcessor
from nuclei_models.model.instances import find_instances
from nuclei_models.model.maps import Maps
from nuclei_models.model.modeling_nuclei import NucleiPreTrainedModel
from nuclei_models.training.measuring import scores
from nuclei_models.training.samples import Sample
from train.evaluation.lists import samples_of
from train.fit.bundle import save_processor

RANGES = ((16.0, 36.0), (16.0, 24.0), (20.0, 28.0), (24.0, 24.0), (28.0, 28.0))  # pixels at the network's scale
AS_GOOD = 0.002  # of the score, less than seeds differ by
COARSE = (0.6, 0.7), (0.4, 0.5, 0.6), 2.0  # thresholds, separations and smoothing that the ranges are judged with
THRESHOLDS = (0.5, 0.6, 0.65, 0.7, 0.75)
SEPARATIONS = (0.3, 0.4, 0.5, 0.6, 0.7)
SIGMAS = (0.0, 1.0, 2.0)  # pixels at the network's scale
MIN_AREAS = (0, 10, 20, 30, 40, 50, 60)  # pixels at the network's scale, where a nucleus has some 200 to 600

Setting = dict[str, float]


def judge(samples: list[Sample], maps: list[Maps], settings: list[Setting]) -> list[dict[str, float]]:
    """What each setting of a processor gives: Bowl mAP, AP at .5 and nucleus IoU, means by image, and the score, which
    is the mean of the first and the last."""
    with Pool(initializer=_give, initargs=(list(zip(samples, maps, strict=True)),)) as pool:
        return list(tqdm(pool.imap(_judged, settings), total=len(settings), unit="setting"))


_given: list[tuple[Sample, Maps]] = []  # what a process of `judge` judges on


def _give(given: list[tuple[Sample, Maps]]) -> None:
    _given[:] = given


def _judged(setting: Setting) -> Setting:
    rows = []
    for sample, m in _given:
        smallest = setting["min_area"] * m.pixel_area
        found = find_instances(m.probability, m.distance, setting["threshold"], setting["separation"], smallest)
        rows.append(scores(sample, found))
    names = {"bowl_map": "bowl_map", "ap_50": "ap_50", "nucleus_iou": "iou", "score": "score"}
    return setting | {k: round(float(np.mean([row[v] for row in rows])), 4) for k, v in names.items()}


def fit(
    samples: list[Sample],
    predict: Callable[[Sample], torch.Tensor],
    processor: NucleiImageProcessor,
    ranges: Sequence[tuple[float, float]] = RANGES,
) -> list[dict[str, float]]:
    """All that was tried, what is kept first; its settings are set in the processor.

    Args:
        predict: A sample's logits, (C, H', W'), of the image as the processor prepares it.
        ranges: Least and greatest nuclear diameter, pixels at the network's scale.
    """
    logits: dict[tuple[float, float], list[torch.Tensor]] = {}
    report: list[dict[str, float]] = []

    def range_of(row: dict[str, float]) -> tuple[float, float]:
        return row["min_diameter"], row["max_diameter"]

    def attempt(within: tuple[float, float], sigma: float, settings: list[Setting]) -> None:
        processor.min_diameter, processor.max_diameter = within
        processor.distance_sigma = sigma
        if within not in logits:
            logits[within] = [predict(s) for s in tqdm(samples, desc=f"{within[0]:g} to {within[1]:g}", unit="image")]
        maps = [processor.maps(x, s.labels.shape) for x, s in zip(logits[within], samples, strict=True)]
        first = {"min_diameter": within[0], "max_diameter": within[1], "distance_sigma": sigma}
        new = [s for s in settings if not any((first | s).items() <= row.items() for row in report)]
        report.extend(first | row for row in judge(samples, maps, new))
        report.sort(key=lambda row: (range_of(row) != within, -row["score"]))

    for within in ranges:
        attempt(within, COARSE[2], pairs(COARSE[0], COARSE[1]))
    least = max(row["score"] for row in report) - AS_GOOD
    good = {range_of(row) for row in report if row["score"] >= least}
    kept = min(good, key=lambda within: sum(x[0].numel() for x in logits[within]))
    for sigma in SIGMAS:
        attempt(kept, sigma, pairs(THRESHOLDS, SEPARATIONS))
    cut = {name: report[0][name] for name in ("threshold", "separation")}
    attempt(kept, report[0]["distance_sigma"], [cut | {"min_area": float(area)} for area in MIN_AREAS if area])
    for name in ("min_diameter", "max_diameter", "distance_sigma", "threshold", "separation", "min_area"):
        setattr(processor, name, report[0][name])
    return report


def pairs(thresholds: Sequence[float], separations: Sequence[float]) -> list[Setting]:
    """Each with each, nothing dropped for its size."""
    return [{"threshold": t, "separation": s, "min_area": 0.0} for t, s in product(thresholds, separations)]


def predicted(model: NucleiPreTrainedModel, processor: NucleiImageProcessor, sample: Sample) -> torch.Tensor:
    """Logits (C, H', W') of a sample, at the diameter that is found."""
    assumed = nuclear_diameter(sample.image, model, processor)
    return predict_logits(model, processor.prepare(sample.image, assumed.pixels))


def centre(sample: Sample, side: int) -> Sample:
    """The central part of a sample, of at most `side` pixels a side."""
    top, left = (max(n - side, 0) // 2 for n in sample.labels.shape)
    window = slice(top, top + side), slice(left, left + side)
    return Sample(sample.id, sample.image[window], sample.labels[window])


def _range(text: str) -> tuple[float, float]:
    least, greatest = map(float, text.split(":"))
    return least, greatest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", nargs="+", required=True, help="folders whose preprocessor_config.json is written")
    parser.add_argument("--data", default="data", help="folder of the packed folders, see train.data")
    parser.add_argument("--split", default="five_validation")
    parser.add_argument("--side", type=int, default=640, help="pixels: of larger images the centre")
    parser.add_argument(
        "--ranges",
        nargs="+",
        type=_range,
        default=RANGES,
        metavar="LEAST:GREATEST",
        help="of nuclear diameters at the network's scale, pixels, that are tried",
    )
    args = parser.parse_args()
    samples = [centre(sample, args.side) for sample in samples_of(args.data, args.split)[0]]
    for folder in map(Path, args.weights):
        model, processor = load(folder)
        report = fit(samples, partial(predicted, model, processor), processor, args.ranges)
        save_processor(processor, folder)
        (folder / "thresholds.json").write_text(json.dumps(report, indent=1) + "\n")
        print(f"{folder.name}: {report[0]}")


if __name__ == "__main__":
    main()
