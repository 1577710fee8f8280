"""Make the lists of the images of five laboratories in `train/splits/`.

    python -m train.make_laboratory_splits --data data --bsst265 bsst265/image_description.csv

`data` holds the packed folders dsb2018, bsst265, mnfinder, nuinsseg and tnbc (see `train.data`). Images that share an
organ, a patient or an experiment stay on one side. Each line is laboratory/name and its stratum.

- Tests, one list a laboratory: BSST265's own test images, TNBC's patients 10 and 11, six organs of NuInsSeg, and the
  one image of MNFinder whose experiment is nowhere else.
- five_validation: the Bowl's validation list, and of each other laboratory what `VALIDATION` names.
- five_train: the rest.
"""

import argparse
import csv
from pathlib import Path

from nuclei_models.training.likeness import stratum
from nuclei_models.training.packed import load_packed
from train.data import SPLITS, read_strata

BOWL = "dsb2018"
# by how a name with a dot after it begins
TEST = {
    "mnfinder": ("test_2022",),
    "nuinsseg": (
        "human_bladder", "human_kidney", "human_melanoma", "human_spleen", "mouse_heart", "mouse_thymus",
    ),
    "tnbc": ("10_", "11_"),
}  # fmt: skip
VALIDATION = {
    "bsst265": (
        "Ganglioneuroblastoma_0.", "Ganglioneuroblastoma_1.", "Neuroblastoma_1.", "Neuroblastoma_10.",
        "normal_1.", "normal_10.", "normal_20.", "normal_30.",
    ),
    "mnfinder": ("validation_", "training_2022-03-18"),
    "nuinsseg": ("human_brain", "human_tonsile", "mouse_femur"),
    "tnbc": ("09_",),
}  # fmt: skip


def side(laboratory: str, name: str, bsst265_tests: set[str]) -> str:
    """test, validation or train."""
    if name in bsst265_tests if laboratory == "bsst265" else name.startswith(TEST[laboratory]):
        return "test"
    return "validation" if f"{name}.".startswith(VALIDATION[laboratory]) else "train"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the packed folders")
    parser.add_argument("--bsst265", type=Path, required=True, help="the set's image_description.csv")
    args = parser.parse_args()
    with args.bsst265.open() as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    bsst265_tests = {row["Image_Name"] for row in rows if row["Train-/Testset split"] == "test"}

    lists = {
        "five_train": [f"{BOWL}/{i} {s}" for i, s in read_strata("train").items()],
        "five_validation": [f"{BOWL}/{i} {s}" for i, s in read_strata("validation").items()],
    }
    for name in sorted({*TEST, *VALIDATION}):
        ids = sorted(f"{name}/{p.stem}" for p in (args.data / name / "labels").glob("*.png"))
        for sample in load_packed(args.data, ids):
            part = side(name, sample.id.partition("/")[2], bsst265_tests)
            key = f"{name}_test" if part == "test" else f"five_{part}"
            lists.setdefault(key, []).append(f"{sample.id} {stratum(sample.image)}")
    for name, lines in lists.items():
        (SPLITS / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
        print(f"{name}: {len(lines)}")


if __name__ == "__main__":
    main()
