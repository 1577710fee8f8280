"""Fit the threshold, the separation and the smallest area on the validation list, and save them with the weights.

    python -m train.fit_thresholds --weights weights/unet-nuclei weights/unetpp-nuclei

The network runs once an image; then threshold and separation are tried together, and smallest areas with the best of
them. That with the best mean of Bowl mAP and nucleus IoU (by image) is kept, so that nuclei are told apart
and their outlines are right; all go to `thresholds.json` beside the weights.
"""

import argparse
import json
from itertools import product
from pathlib import Path

import numpy as np
from tqdm import tqdm

from nuclei_models.hub import load
from nuclei_models.image_processing_nuclei import Maps
from nuclei_models.instances import find_instances
from nuclei_models.metrics import bowl_map, count_mask, iou_matrix
from nuclei_models.segment import predict
from train.bundle import save_processor
from train.data import Sample, load_packed, read_split

THRESHOLDS = (0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75)
SEPARATIONS = (0.3, 0.4, 0.5, 0.6, 0.7)
MIN_AREAS = (0, 10, 20)  # pixels; no more, because a nucleus 5 pixels across has 20


def judge(samples: list[Sample], maps: list[Maps], settings: list[tuple]) -> list[dict[str, float]]:
    """Bowl mAP, nucleus IoU (means by image) and their mean, the score, of each (threshold, separation, min_area)."""
    report = []
    for setting in tqdm(settings, unit="setting"):
        found = [find_instances(*m, *setting) for m in maps]
        ap = np.mean([bowl_map(iou_matrix(s.labels, f)) for s, f in zip(samples, found, strict=True)])
        iou = np.mean([count_mask(s.labels, f).iou for s, f in zip(samples, found, strict=True)])
        figures = {"bowl_map": ap, "nucleus_iou": iou, "score": (ap + iou) / 2}
        names = ("threshold", "separation", "min_area")
        report.append(dict(zip(names, setting, strict=True)) | {k: round(float(v), 4) for k, v in figures.items()})
    return sorted(report, key=lambda r: -r["score"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", nargs="+", required=True, help="folders whose preprocessor_config.json is written")
    parser.add_argument("--data", default="data/dsb2018", help="packed folder, see train.data")
    parser.add_argument("--split", default="validation")
    args = parser.parse_args()
    samples = load_packed(args.data, read_split(args.split))
    for folder in map(Path, args.weights):
        model, processor = load(folder)
        maps = [predict(s.image, model, processor) for s in tqdm(samples, desc=folder.name, unit="image")]
        report = judge(samples, maps, [(t, s, 0) for t, s in product(THRESHOLDS, SEPARATIONS)])
        best = report[0]
        areas = judge(samples, maps, [(best["threshold"], best["separation"], a) for a in MIN_AREAS if a])
        report = sorted([*report, *areas], key=lambda r: -r["score"])
        best = report[0]
        processor.threshold, processor.separation = best["threshold"], best["separation"]
        processor.min_area = float(best["min_area"])
        save_processor(processor, folder)
        (folder / "thresholds.json").write_text(json.dumps(report, indent=1) + "\n")
        print(f"{folder.name}: {best}")


if __name__ == "__main__":
    main()
