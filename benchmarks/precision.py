"""What lower precision costs in quality, on a list of images with truth.

    python -m benchmarks.precision --split validation

prints, for each bundled network, the figures in float32 and bfloat16, and how many pixels differ from float32. They are
kept in precision.json for docs/speed.md.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from nuclei_models.analysis import metrics
from nuclei_models.inference.bundled import TITLES
from nuclei_models.inference.runtime import has_bfloat16
from nuclei_models.inference.segmentation import segment
from nuclei_models.training.packed import load_packed
from nuclei_models.training.samples import Sample
from train.data import read_split
from train.evaluation.results import ImageResult, summarise

from .own import network

FILE = Path(__file__).resolve().parent / "precision.json"
FIGURES = ("nucleus_iou", "bowl_map", "f1", "panoptic_quality")


def in_precision(key: str, precision: str, samples: list[Sample]) -> list[np.ndarray]:
    """Label images of the samples."""
    model, processor = network(key)
    return [segment(s.image, model, processor, precision=precision).labels for s in tqdm(samples, desc=precision)]


def compare(samples: list[Sample], labels: list[np.ndarray], reference: list[np.ndarray]) -> dict[str, float]:
    """Figures against the truth, and against the float32 label images."""
    results = [ImageResult.compare(s.labels, found) for s, found in zip(samples, labels, strict=True)]
    figures = {k: v for k, v in summarise(results).items() if k in FIGURES}
    pixels = sum(found.size for found in labels)
    pairs = list(zip(reference, labels, strict=True))
    figures["pixels_differ"] = sum(int(((a > 0) != (b > 0)).sum()) for a, b in pairs) / pixels
    matched = [metrics.match(metrics.iou_matrix(a, b), 0.9) for a, b in pairs]
    figures["nuclei"] = sum(int(a.max(initial=0)) for a in reference)
    figures["nuclei_same"] = sum(m.tp for m in matched)
    return figures


def table(found: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        "| network | in | nucleus IoU | Bowl mAP | F1 at .5 | PQ | pixels that differ | nuclei that are the same |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for key, precisions in found["networks"].items():
        for precision, f in precisions.items():
            figures = " | ".join(f"{f[name]:.4f}" for name in FIGURES)
            same = f"{f['pixels_differ']:.4%} | {f['nuclei_same']:,} of {f['nuclei']:,}"
            lines.append(f"| {TITLES[key]} | {precision} | {figures} | {same} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", default="validation", help="list in train/splits/")
    parser.add_argument("--data", default="data/dsb2018", help="packed folder, see train.data")
    parser.add_argument("--out", type=Path, default=FILE)
    args = parser.parse_args()
    samples = load_packed(args.data, read_split(args.split))
    precisions = ["float32", *(["bfloat16"] if has_bfloat16(torch.device("cpu")) else [])]
    found: dict[str, Any] = {"split": args.split, "images": len(samples), "networks": {}}
    for key in TITLES:
        labels = {precision: in_precision(key, precision, samples) for precision in precisions}
        found["networks"][key] = {p: compare(samples, labels[p], labels["float32"]) for p in precisions}
    args.out.write_text(json.dumps(found, indent=1) + "\n")
    print(table(found))


if __name__ == "__main__":
    main()
