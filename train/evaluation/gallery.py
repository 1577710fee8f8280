"""The best, the median and the worst images of a test list for each network, as pictures.

    python -m train.evaluation.gallery --weights weights/unet-nuclei weights/unetpp-nuclei

Images are ranked by the Bowl mAP on record in `evaluation.json` and segmented again. Pictures go to `docs/gallery/`,
the page to `docs/gallery.md`.
"""

import argparse
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from nuclei_models.analysis.metrics import bowl_map, count_mask, iou_matrix
from nuclei_models.inference.loading import load
from nuclei_models.inference.segmentation import segment
from nuclei_models.output.display import to_display
from nuclei_models.output.overlay import draw_overlay
from nuclei_models.training.samples import Sample
from train.data import read_strata
from train.evaluation.lists import samples_by_id

OUT = Path("docs/gallery")
PAGE = Path("docs/gallery.md")
EACH = 3  # images of each of best, median and worst

HEAD = """# The best, the median and the worst

For each network the three best, the three middle and the three worst images of each test list, by the Bowl mAP on
record in the weights' `evaluation.json`: nothing is picked by hand. True nuclei and those found are drawn in, each in a
colour of its own; the figures are those of the picture shown. Written by `python -m train.evaluation.gallery`.
"""


def ranked(by_image: dict[str, dict[str, float]]) -> dict[str, list[str]]:
    """Ids of the best, the middle and the worst images."""
    ids = sorted(by_image, key=lambda i: (-by_image[i]["bowl_map"], i))
    middle = (len(ids) - EACH) // 2
    return {"best": ids[:EACH], "median": ids[middle : middle + EACH], "worst": ids[-EACH:]}


def draw(rows: list[tuple[str, Sample, np.ndarray]], strata: dict[str, str], path: Path) -> None:
    """A row an image: as it is, true nuclei, nuclei found.

    Args:
        rows: What it is, the sample and the labels found.
        strata: id -> stratum.
        path: Picture to write.
    """
    figure, axes = plt.subplots(len(rows), 3, figsize=(8.4, 2.9 * len(rows)), layout="constrained")
    for line, (what, sample, found) in zip(axes, rows, strict=True):
        picture = to_display(sample.image)
        ap, iou = bowl_map(iou_matrix(sample.labels, found)), count_mask(sample.labels, found).iou
        captions = (
            f"{strata[sample.id].replace('-', ', ')}",
            f"{sample.labels.max()} true nuclei",
            f"{found.max()} found, Bowl mAP {ap:.2f}, IoU {iou:.2f}",
        )
        for axis, labels, caption in zip(line, (None, sample.labels, found), captions, strict=True):
            axis.imshow(picture if labels is None else draw_overlay(picture, labels), cmap="gray")
            axis.set(xticks=[], yticks=[], xlabel=caption)
        line[0].set_ylabel(what)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, pil_kwargs={"quality": 80})
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", nargs="+", required=True, help="folders with evaluation.json")
    parser.add_argument("--data", default="data", help="folder of the packed folders, see train.data")
    args = parser.parse_args()
    text = HEAD
    for folder in map(Path, args.weights):
        model, processor = load(folder)
        text += f"\n## {type(model).__name__.replace('PlusPlus', '++').replace('UNet', 'U-Net')}\n"
        for name, figures in json.loads((folder / "evaluation.json").read_text())["lists"].items():
            rows = []
            for what, ids in ranked(figures["by_image"]).items():
                for sample in samples_by_id(args.data, ids):
                    rows.append((what, sample, segment(sample.image, model, processor).labels))
            picture = OUT / f"{folder.name}-{name}.jpg"
            draw(rows, read_strata(name), picture)
            text += f"\n{name}:\n\n![Best, median and worst images of {name}]({picture.relative_to(PAGE.parent)})\n"
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
