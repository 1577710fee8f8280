"""Fit what comes after the network on the validation list, and save it with the weights.

    python -m train.fit_thresholds --weights weights/unet-nuclei weights/unetpp-nuclei

The network runs once an image; then threshold, separation and the smoothing of the distance map are tried together, and
smallest areas with the best of them. That with the best mean of Bowl mAP and nucleus IoU (by image) is kept, so that
nuclei are told apart and their outlines are right; all go to `thresholds.json` beside the weights.
"""

import argparse
import json
from itertools import product
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from nuclei_models.hub import load
from nuclei_models.image_processing_nuclei import Maps, NucleiImageProcessor
from nuclei_models.instances import find_instances
from nuclei_models.metrics import bowl_map, count_mask, iou_matrix, match
from nuclei_models.tiling import predict_logits
from train.bundle import save_processor
from train.data import Sample, load_packed, read_split

THRESHOLDS = (0.5, 0.6, 0.65, 0.7, 0.75)
SEPARATIONS = (0.3, 0.4, 0.5, 0.6, 0.7)
SIGMAS = (0.0, 1.0, 2.0)  # pixels at the network's scale
MIN_AREAS = (0, 10, 20)  # pixels; no more, because a nucleus 5 pixels across has 20

Setting = dict[str, float]


def judge(samples: list[Sample], maps: list[Maps], settings: list[Setting]) -> list[dict[str, float]]:
    """What each setting of `find_instances` gives: Bowl mAP, AP at .5 and nucleus IoU, means by image, and the score,
    which is the mean of the first and the last."""
    report = []
    for setting in tqdm(settings, unit="setting"):
        found = [find_instances(m.probability, m.distance, **setting) for m in maps]
        pairs = [iou_matrix(s.labels, f) for s, f in zip(samples, found, strict=True)]
        ap = np.mean([bowl_map(pair) for pair in pairs])
        iou = np.mean([count_mask(s.labels, f).iou for s, f in zip(samples, found, strict=True)])
        at_half = np.mean([match(pair, 0.5).ap for pair in pairs])
        figures = {"bowl_map": ap, "ap_50": at_half, "nucleus_iou": iou, "score": (ap + iou) / 2}
        report.append(setting | {k: round(float(v), 4) for k, v in figures.items()})
    return report


def fit(samples: list[Sample], logits: list[torch.Tensor], processor: NucleiImageProcessor) -> list[dict[str, float]]:
    """All that was tried, the best first; its settings are set in the processor.

    Args:
        logits: Of each sample, (C, H', W').
    """

    def tried(sigma: float, settings: list[Setting]) -> list[dict[str, float]]:
        processor.distance_sigma = sigma
        maps = [processor.maps(x, s.labels.shape) for x, s in zip(logits, samples, strict=True)]
        return [{"distance_sigma": sigma, **r} for r in judge(samples, maps, settings)]

    def best(report: list[dict[str, float]]) -> list[dict[str, float]]:
        return sorted(report, key=lambda r: -r["score"])

    pairs = [{"threshold": t, "separation": s, "min_area": 0.0} for t, s in product(THRESHOLDS, SEPARATIONS)]
    report = best([r for sigma in SIGMAS for r in tried(sigma, pairs)])
    first = {name: report[0][name] for name in ("threshold", "separation")}
    areas = [first | {"min_area": float(area)} for area in MIN_AREAS if area]
    report = best(report + tried(report[0]["distance_sigma"], areas))
    for name in ("distance_sigma", "threshold", "separation", "min_area"):
        setattr(processor, name, report[0][name])
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", nargs="+", required=True, help="folders whose preprocessor_config.json is written")
    parser.add_argument("--data", default="data/dsb2018", help="packed folder, see train.data")
    parser.add_argument("--split", default="validation")
    args = parser.parse_args()
    samples = load_packed(args.data, read_split(args.split))
    for folder in map(Path, args.weights):
        model, processor = load(folder)
        logits = [
            predict_logits(model, processor.prepare(s.image)) for s in tqdm(samples, desc=folder.name, unit="image")
        ]
        report = fit(samples, logits, processor)
        save_processor(processor, folder)
        (folder / "thresholds.json").write_text(json.dumps(report, indent=1) + "\n")
        print(f"{folder.name}: {report[0]}")


if __name__ == "__main__":
    main()
