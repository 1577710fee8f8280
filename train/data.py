"""Images with their truth, as people have them -> a small packed folder, which training and evaluation read.

    python -m train.data --source stage1_train.zip stage1_test.zip --truth stage1_solution.csv --out data/dsb2018
    python -m train.data --source bsst265.zip --out data/bsst265
    python -m train.data --source mnfinder.zip --ignored micronuclei --out data/mnfinder

A source is a zip or a folder of one of two kinds, at any depth:

- `images/<name>.*` with `labels/<name>.*`, label images with one number a nucleus;
- the 2018 Data Science Bowl: `<id>/images/<id>.png`, whose truth is either `<id>/masks/*.png`, one a nucleus, or the
  rows of the run-length CSV (ImageId, EncodedPixels).

The packed folder has `images/<id>.png` (8 bit, or 16 bit and grey) and `labels/<id>.png` (16 bit).
"""

import argparse
import csv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import numpy as np
from tqdm import tqdm

from nuclei_models.training.packed import Source, by_stem, join_masks, pack, plain_pixels, read_pairs
from nuclei_models.training.samples import DataError, Sample

SPLITS = Path(__file__).parent / "splits"


def read_bowl(path: str | Path, truth_csv: str | Path | None = None) -> Iterator[Sample]:
    """Every image of a zip or folder with its truth, in order of id.

    Args:
        path: Zip or folder.
        truth_csv: Run-length truth. Where it has an id it is used; other images need mask files.

    Raises:
        DataError: Names the file that is missing, truncated, empty, or of another size than its image.
    """
    source = Source(path)
    runs = read_runs(truth_csv) if truth_csv else {}
    folders: dict[str, dict[str, list[str]]] = {}
    for name in source.names:
        parts = PurePosixPath(name).parts
        if len(parts) >= 3 and parts[-2] in ("images", "masks") and parts[-1].lower().endswith(".png"):
            folders.setdefault("/".join(parts[:-2]), {"images": [], "masks": []})[parts[-2]].append(name)
    if not folders:
        raise DataError(f"{source.path} holds no <id>/images/<id>.png.")
    for folder in sorted(folders, key=lambda f: PurePosixPath(f).name):
        image_id, files = PurePosixPath(folder).name, folders[folder]
        if len(files["images"]) != 1:
            raise DataError(f"{source.path}: {folder}/images/ holds {len(files['images'])} PNGs, expected one.")
        if not files["masks"] and image_id not in runs:
            raise DataError(
                f"{source.path}: {image_id} has neither {folder}/masks/*.png nor a row in "
                f"{truth_csv if truth_csv else 'a run-length CSV (none was given)'}."
            )
        image = plain_pixels(source.read(files["images"][0]))
        if image_id in runs:
            labels = decode_runs(runs[image_id], image.shape[:2], f"{truth_csv}, image {image_id}")
        else:
            labels = join_masks(source, files["masks"], image.shape[:2])
        yield Sample(image_id, image, labels)


def read_runs(path: str | Path) -> dict[str, list[str]]:
    """The run-length CSV: id -> one string of runs a nucleus. Raises DataError on other columns."""
    with Path(path).open(newline="") as file:
        reader = csv.DictReader(file)
        if not {"ImageId", "EncodedPixels"} <= set(reader.fieldnames or []):
            raise DataError(f"{path} has columns {reader.fieldnames}, expected at least ImageId and EncodedPixels.")
        runs: dict[str, list[str]] = {}
        for row in reader:
            nuclei = runs.setdefault(row["ImageId"], [])
            if row["EncodedPixels"].strip():
                nuclei.append(row["EncodedPixels"])
    return runs


def decode_runs(nuclei: list[str], shape: tuple[int, ...], where: str) -> np.ndarray:
    """Run-length codes, "start length start length ..", 1-based and column-major -> (H, W) int32 labels."""
    flat = np.zeros(shape[0] * shape[1], np.int32)
    for number, code in enumerate(nuclei, 1):
        try:
            runs = np.array(code.split(), dtype=np.int64).reshape(-1, 2)
        except ValueError as error:
            raise DataError(f"{where}: nucleus {number} is not pairs of start and length: {code[:40]!r}") from error
        if (runs < 1).any() or (runs.sum(1) - 1 > flat.size).any():
            raise DataError(f"{where}: nucleus {number} lies outside the image of {shape} (height, width).")
        for start, length in runs:
            flat[start - 1 : start - 1 + length] = number
    return flat.reshape(shape[1], shape[0]).T.copy()


def read_split(name: str) -> list[str]:
    """The ids of a list: train, validation, stage1_test, stardist_test, or the path of a .txt file of your own."""
    return list(read_strata(name))


def read_strata(name: str) -> dict[str, str]:
    """id -> stratum ("modality-HxW", or "" where none is given), in the list's order. See `train.make_splits`."""
    path = Path(name) if name.endswith(".txt") else SPLITS / f"{name}.txt"
    if not path.is_file():
        raise DataError(f"No split {name!r}: there are {sorted(p.stem for p in SPLITS.glob('*.txt'))}.")
    lines = [line.split() for line in path.read_text().splitlines() if line.strip()]
    return {words[0]: words[1] if len(words) > 1 else "" for words in lines}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", nargs="+", required=True, help="zips or folders")
    parser.add_argument("--truth", help="run-length CSV, for images without mask files")
    parser.add_argument("--ignored", help="name of a third folder: what its images mark is left out of the loss")
    parser.add_argument("--specks", type=int, default=0, help="labels of fewer pixels are left out of the loss")
    parser.add_argument("--out", type=Path, required=True, help="folder to pack to")
    args = parser.parse_args()
    with ThreadPoolExecutor() as pool:
        for path in args.source:
            paired = by_stem(Source(path), "labels")
            samples = read_pairs(path, args.ignored, args.specks) if paired else read_bowl(path, args.truth)
            done = [pool.submit(pack, sample, args.out) for sample in tqdm(samples, desc=Path(path).name, unit="image")]
            for future in done:
                future.result()


if __name__ == "__main__":
    main()
