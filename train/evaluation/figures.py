"""Pictures of results: image, true mask and what each network found, side by side."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from nuclei_models.analysis.metrics import bowl_map, count_mask, iou_matrix
from nuclei_models.model.intensity import to_rgb
from nuclei_models.output.overlay import draw_overlay
from nuclei_models.training.samples import Sample

CROP = 256  # pixels shown of each image, at most


def draw_comparison(
    samples: list[Sample], strata: dict[str, str], found: dict[str, dict[str, np.ndarray]], path: Path
) -> None:
    """Draw a row for each kind of image: the one on which the networks did as well as on half of that kind.

    Args:
        samples: Images with truth.
        strata: id -> stratum; what stands before the hyphen is the kind.
        found: network -> id -> (H, W) labels.
        path: Picture to write.
    """
    kinds: dict[str, list[Sample]] = {}
    for sample in samples:
        kinds.setdefault(strata[sample.id].partition("-")[0], []).append(sample)

    def quality(sample: Sample) -> float:
        return float(np.mean([bowl_map(iou_matrix(sample.labels, labels[sample.id])) for labels in found.values()]))

    rows = [sorted(members, key=quality)[len(members) // 2] for members in kinds.values()]
    columns = ["image", "true nuclei", *found]
    figure, axes = plt.subplots(
        len(rows), len(columns), figsize=(2.6 * len(columns), 2.75 * len(rows)), layout="constrained", squeeze=False
    )
    for row, (sample, line) in enumerate(zip(rows, axes, strict=True)):
        picture = to_rgb(sample.image)[:CROP, :CROP]
        labels = [None, sample.labels, *(f[sample.id] for f in found.values())]
        for column, (axis, title, shown) in enumerate(zip(line, columns, labels, strict=True)):
            axis.imshow(picture if shown is None else draw_overlay(picture, shown[:CROP, :CROP]))
            axis.set_xticks([])
            axis.set_yticks([])
            if column == 0:
                axis.set_ylabel(strata[sample.id].replace("-", ", "))
            elif column == 1:
                axis.set_xlabel(f"{sample.labels.max()} nuclei")
            elif shown is not None:
                iou = count_mask(sample.labels, shown).iou
                ap = bowl_map(iou_matrix(sample.labels, shown))
                axis.set_xlabel(f"{shown.max()} nuclei, IoU {iou:.2f}, Bowl mAP {ap:.2f}")
            if row == 0:
                axis.set_title(title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    plt.close(figure)
