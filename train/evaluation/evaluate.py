"""Measure networks on a list of images, as a user would run them: file to label image, nothing known but the picture.

    python -m train.evaluation.evaluate --model weights/unet-nuclei weights/unetpp-nuclei \\
        --split stage1_test stardist_test

prints a table and writes `evaluation.json` beside the weights (or to --out, for a model from the Hub) and, with
--figure, a picture of image, true mask and each network's nuclei. The file carries the SHA-256 of the weights it
belongs to.
"""

import argparse
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from nuclei_models.analysis import metrics
from nuclei_models.inference.loading import load, parse_model_id
from nuclei_models.inference.segmentation import segment
from nuclei_models.model.repository import Repository, sha256
from nuclei_models.training.packed import load_packed
from nuclei_models.training.samples import Sample
from train.data import read_split, read_strata
from train.evaluation.figures import draw_comparison

COLUMNS = {  # of the tables of results: heading -> figure
    "nucleus IoU": lambda f: f["nucleus_iou"],
    "two-class mean IoU": lambda f: f["mean_iou"],
    "Dice": lambda f: f["dice"],
    "AP at .5": lambda f: f["ap"]["0.5"],
    "AP .5 to .9": lambda f: f["ap_5_to_9"],
    "Bowl mAP": lambda f: f["bowl_map"],
    "F1 at .5": lambda f: f["f1"],
    "PQ": lambda f: f["panoptic_quality"],
}
AP_THRESHOLDS = metrics.BOWL_THRESHOLDS
COLOUR = ("purple", "white", "pink")


@dataclass(frozen=True)
class ImageResult:
    """One image: its mask's pixels and its nuclei's matchings at IoU .5 .. .95 (reached, and for the Bowl exceeded)."""

    mask: metrics.MaskCounts
    matchings: tuple[metrics.Matching, ...]
    bowl_map: float

    @classmethod
    def compare(cls, true: np.ndarray, found: np.ndarray) -> "ImageResult":
        iou = metrics.iou_matrix(true, found)
        matchings = tuple(metrics.match(iou, t) for t in AP_THRESHOLDS)
        return cls(metrics.count_mask(true, found), matchings, metrics.bowl_map(iou))


def summarise(results: list[ImageResult]) -> dict[str, Any]:
    """Figures of a list of images. "by image" is the mean of the images' figures, "pooled" that of all their pixels or
    nuclei together."""

    def mean(values) -> float:
        return round(float(np.mean(list(values))), 4)

    pooled_mask = sum((r.mask for r in results[1:]), results[0].mask)
    pooled = [sum((r.matchings[k] for r in results[1:]), results[0].matchings[k]) for k in range(len(AP_THRESHOLDS))]
    ap = {str(t): mean(r.matchings[k].ap for r in results) for k, t in enumerate(AP_THRESHOLDS)}
    return {
        "images": len(results),
        "nuclei": pooled[0].tp + pooled[0].fn,
        "nucleus_iou": mean(r.mask.iou for r in results),
        "mean_iou": mean(r.mask.mean_iou for r in results),
        "dice": mean(r.mask.dice for r in results),
        "bowl_map": mean(r.bowl_map for r in results),
        "ap": ap,
        "ap_5_to_9": mean(ap[t] for t in ("0.5", "0.6", "0.7", "0.8", "0.9")),
        "f1": mean(r.matchings[0].f1 for r in results),
        "panoptic_quality": mean(r.matchings[0].panoptic_quality for r in results),
        "pooled": {
            "nucleus_iou": round(pooled_mask.iou, 4),
            "mean_iou": round(pooled_mask.mean_iou, 4),
            "dice": round(pooled_mask.dice, 4),
            "ap": {str(m.threshold): round(m.ap, 4) for m in pooled},
            "f1": round(pooled[0].f1, 4),
            "panoptic_quality": round(pooled[0].panoptic_quality, 4),
        },
    }


def evaluate(model, processor, samples: list[Sample], strata: dict[str, str], **options) -> tuple[dict, dict]:
    """Segment and compare every sample.

    Args:
        model, processor: From `hub.load`.
        samples: Images with truth.
        strata: id -> stratum, for the colour images' own figures.
        options: For `segment`.

    Returns:
        Figures of all and, where there are any, of the colour images; and the label images found, by id.
    """
    results, found = {}, {}
    for sample in tqdm(samples, desc=type(model).__name__, unit="image"):
        found[sample.id] = segment(sample.image, model, processor, **options).labels
        results[sample.id] = ImageResult.compare(sample.labels, found[sample.id])
    figures = summarise(list(results.values()))
    colour = [results[s.id] for s in samples if strata[s.id].startswith(COLOUR)]
    if colour and len(colour) < len(samples):
        figures["colour"] = summarise(colour)
    figures["by_image"] = {i: {"bowl_map": round(r.bowl_map, 4), "nucleus_iou": round(r.mask.iou, 4)}
                           for i, r in results.items()}  # fmt: skip
    return figures, found


def weights_hash(name: str) -> str:
    """SHA-256 of the weights of a folder or a Hub id."""
    source, revision = parse_model_id(name)
    weights = Repository(source, revision=revision).find("model.safetensors")
    if weights is None:
        raise SystemExit(f"{name} holds no model.safetensors.")
    return sha256(weights)


def table(evaluations: dict[str, dict], columns: Collection[str] = tuple(COLUMNS)) -> str:
    """The figures of {model: evaluation.json's content} as Markdown, those of these columns."""
    lines = ["| list | network | images | " + " | ".join(columns) + " |", "|---" * 3 + "|---:" * len(columns) + "|"]
    lists = {name: None for e in evaluations.values() for name in e["lists"]}
    for name in lists:
        for part in ("", "colour"):
            for model, evaluation in evaluations.items():
                figures = evaluation["lists"].get(name)
                figures = figures.get(part) if figures and part else figures
                if figures:
                    cells = [f"{COLUMNS[name](figures):.3f}" for name in columns]
                    label = f"{name}, colour" if part else name
                    lines.append(f"| {label} | {model} | {figures['images']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", required=True, help="folders or Hub ids (org/name@revision)")
    parser.add_argument("--split", nargs="+", default=["stage1_test", "stardist_test"], help="lists in train/splits/")
    parser.add_argument("--data", default="data/dsb2018", help="packed folder, see train.data")
    parser.add_argument("--out", type=Path, help="folder for <model>.json instead of beside the weights")
    parser.add_argument("--figure", type=Path, help="picture of the comparison to write")
    parser.add_argument("--diameter", type=float, help="nuclear diameter, pixels; default: as the processor says")
    parser.add_argument("--tta", action="store_true", help="test-time augmentation")
    args = parser.parse_args()

    options = {"diameter": args.diameter, "tta": args.tta}
    strata = {i: s for name in args.split for i, s in read_strata(name).items()}
    samples = {name: load_packed(args.data, read_split(name)) for name in args.split}
    evaluations: dict[str, dict] = {}
    found: dict[str, dict[str, np.ndarray]] = {}
    for name in args.model:
        model, processor = load(name)
        title = Path(name.partition("@")[0]).name
        lists, found[title] = {}, {}
        for split in args.split:
            lists[split], labels = evaluate(model, processor, samples[split], strata, **options)
            found[title] |= labels
        settings = {k: getattr(processor, k) for k in ("threshold", "separation", "min_area", "diameter")}
        evaluations[title] = {
            "weights_sha256": weights_hash(name),
            "settings": settings | {k: v for k, v in options.items() if v},
            "lists": lists,
        }
        beside = Path(name) / "evaluation.json"
        file = args.out / f"{title}.json" if args.out or not Path(name).is_dir() else beside
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(evaluations[title], indent=1) + "\n")
    print(table(evaluations))
    if args.figure:
        draw_comparison([s for split in samples.values() for s in split], strata, found, args.figure)


if __name__ == "__main__":
    main()
