"""Copy the example images of the page and the tests out of the validation and test lists: `examples/`.

    python -m train.release.examples --data data

Each gets `<name>.png`, `<name>_labels.png` (16 bit, the true nuclei) and an entry in `examples.json`. They are CC0
(BBBC038 and BSST265), but for "histology-kidney", which is CC BY 4.0 (NuInsSeg: Mahbod et al., Scientific Data 11:295,
2024). Large ones are cut down to their most populated part of at most 512 pixels a side.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

from nuclei_models.model.instances import drop_small
from nuclei_models.training.packed import load_packed
from nuclei_models.training.samples import laboratory
from train.data import read_strata
from train.evaluation.lists import BOWL, LISTS

SIDE = 512  # pixels
CHOSEN = {  # name: (beginning of the id, title)
    "fluorescence-small": ("0a849e", "Fluorescence, small nuclei"),
    "fluorescence-dense": ("432f36", "Fluorescence, dense"),
    "fluorescence-clustered": ("9ebcfa", "Fluorescence, clustered"),
    "fluorescence-sharp": ("347702", "Fluorescence, well apart"),
    "fluorescence-dim": ("7d40ea", "Fluorescence, large and dim"),
    "fluorescence-tissue": ("a984e7", "Fluorescence, muscle tissue"),
    "fluorescence-huge": ("c90179", "Fluorescence, huge nuclei"),
    "purple-large": ("6d327a", "Purple stain, large nuclei"),
    "purple-small": ("136000", "Purple stain, small nuclei"),
    "white-ground": ("7773ac", "Stained on a white ground"),
    "tissue-pale": ("9f17ae", "Stained tissue, pale ground"),
    "histology-pink": ("0f1f89", "Haematoxylin and eosin"),
    "brightfield": ("76a372", "Bright-field"),
    "fluorescence-speckled": ("bsst265/otherspecimen_0", "Fluorescence, large and speckled"),
    "histology-kidney": ("nuinsseg/human_kidney_01", "Haematoxylin and eosin, kidney"),
}
SIDES = {"fluorescence-speckled": 896}  # pixels, where SIDE shows too few nuclei


def find(prefix: str) -> tuple[str, str, str]:
    """(id, split, stratum) of the one held-out image whose id begins so."""
    hits = [
        (image_id, split, stratum)
        for split in ("validation", *LISTS)
        for image_id, stratum in read_strata(split).items()
        if image_id.startswith(prefix)
    ]
    if len(hits) != 1:
        raise SystemExit(f"{len(hits)} held-out images begin with {prefix}, expected one.")
    return hits[0]


def most_populated(labels: np.ndarray, side: int) -> tuple[slice, slice]:
    """The window of at most `side` pixels a side with most nucleus pixels."""
    height, width = (min(n, side) for n in labels.shape)
    starts = [
        (y, x) for y in range(0, labels.shape[0] - height + 1, 32) for x in range(0, labels.shape[1] - width + 1, 32)
    ]
    y, x = max(starts, key=lambda s: np.count_nonzero(labels[s[0] : s[0] + height, s[1] : s[1] + width]))
    return slice(y, y + height), slice(x, x + width)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the packed folders, see train.data")
    parser.add_argument("--out", type=Path, default=Path("examples"))
    args = parser.parse_args()
    args.out.mkdir(exist_ok=True)
    entries = []
    for name, (prefix, title) in CHOSEN.items():
        image_id, split, stratum = find(prefix)
        sample = load_packed(args.data if laboratory(image_id) else args.data / BOWL, [image_id])[0]
        window = most_populated(sample.labels, SIDES.get(name, SIDE))
        labels = drop_small(sample.labels[window], 1)
        Image.fromarray(np.ascontiguousarray(sample.image[window])).save(args.out / f"{name}.png", optimize=True)
        Image.fromarray(labels.astype(np.uint16)).save(args.out / f"{name}_labels.png", optimize=True)
        entries.append(
            {"name": name, "title": title, "modality": stratum.split("-")[0], "split": split, "id": image_id}
        )
    (args.out / "examples.json").write_text(json.dumps(entries, indent=1) + "\n")


if __name__ == "__main__":
    main()
