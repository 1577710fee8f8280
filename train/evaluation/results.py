"""Label images found, and the true ones -> the figures of a list, and tables of them."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from nuclei_models.analysis import metrics

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
        """Of a true label image, in which -1 is what nobody labelled: there nothing counts, and the one found."""
        true, found = np.where(true < 0, 0, true), np.where(true < 0, 0, found)
        iou = metrics.iou_matrix(true, found)
        matchings = tuple(metrics.match(iou, t) for t in AP_THRESHOLDS)
        return cls(metrics.count_mask(true, found), matchings, metrics.bowl_map(iou))


def of_list(results: dict[str, ImageResult], strata: dict[str, str]) -> dict[str, Any]:
    """Figures of a list of images by id; of its colour images by themselves where there are others; of each image."""
    figures = summarise(list(results.values()))
    colour = [result for i, result in results.items() if strata[i].startswith(COLOUR)]
    if colour and len(colour) < len(results):
        figures["colour"] = summarise(colour)
    figures["by_image"] = {
        i: {"bowl_map": round(r.bowl_map, 4), "nucleus_iou": round(r.mask.iou, 4)} for i, r in results.items()
    }
    return figures


def summarise(results: list[ImageResult]) -> dict[str, Any]:
    """ "by image" is the mean of the images' figures, "pooled" that of all their pixels or
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
