"""Pictures of results: image, true mask and what each network found, side by side.

    python -m train.evaluation.figures --weights weights/unet-nuclei weights/unetpp-nuclei --out docs/results.png

draws, of each kind of image on the test lists, the one on which the networks did as well as on half of that kind, by
the Bowl mAP on record in `evaluation.json`.
"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from nuclei_models.analysis.metrics import bowl_map, count_mask, iou_matrix
from nuclei_models.inference.bundled import TITLES, key_of
from nuclei_models.inference.loading import load
from nuclei_models.inference.segmentation import segment
from nuclei_models.model.intensity import to_rgb
from nuclei_models.output.overlay import draw_overlay
from nuclei_models.training.samples import Sample
from train.data import read_strata
from train.evaluation.lists import samples_by_id

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


def typical(lists: list[dict[str, dict]], strata: dict[str, str]) -> list[str]:
    """Of each kind of image, the id of the one of middle quality: see `draw_comparison`.

    Args:
        lists: Of each network, "lists" of its evaluation.json.
        strata: id -> stratum.
    """
    quality: dict[str, float] = {}
    for network in lists:
        for figures in network.values():
            for image_id, row in figures["by_image"].items():
                quality[image_id] = quality.get(image_id, 0.0) + row["bowl_map"]
    kinds: dict[str, list[str]] = {}
    for image_id in quality:
        kinds.setdefault(strata[image_id].partition("-")[0], []).append(image_id)
    return [sorted(ids, key=quality.__getitem__)[len(ids) // 2] for ids in kinds.values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", nargs="+", type=Path, required=True, help="folders with evaluation.json")
    parser.add_argument("--data", default="data", help="folder of the packed folders, see train.data")
    parser.add_argument("--out", type=Path, required=True, help="picture to write")
    args = parser.parse_args()
    lists = [json.loads((folder / "evaluation.json").read_text())["lists"] for folder in args.weights]
    strata = {image_id: stratum for name in lists[0] for image_id, stratum in read_strata(name).items()}
    samples = samples_by_id(args.data, typical(lists, strata))
    found: dict[str, dict[str, np.ndarray]] = {}
    for folder in args.weights:
        model, processor = load(folder)
        found[TITLES[key_of(model.config.model_type)]] = {
            s.id: segment(s.image, model, processor).labels for s in samples
        }
    draw_comparison(samples, strata, found, args.out)


if __name__ == "__main__":
    main()
