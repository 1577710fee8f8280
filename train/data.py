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
import io
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image
from tqdm import tqdm

UNLABELLED = 2**16 - 1  # in a packed label image; -1 in a sample's
SPLITS = Path(__file__).parent / "splits"


class DataError(ValueError):
    """A file of the data set is missing, broken or not what it should be; the message names it."""


@dataclass(frozen=True)
class Sample:
    """An image with its truth.

    Attributes:
        id: The Bowl's ImageId, or laboratory/name.
        image: (H, W) grey or (H, W, 3) RGB, uint8; grey also uint16.
        labels: (H, W), int32; 0 is background, 1 .. n one number a nucleus, -1 what nobody labelled.
    """

    id: str
    image: np.ndarray
    labels: np.ndarray


class Source:
    """A zip or a folder, read the same way."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._zip: zipfile.ZipFile | None = None
        if self.path.is_dir():
            self.names = sorted(p.relative_to(self.path).as_posix() for p in self.path.rglob("*") if p.is_file())
        elif self.path.is_file():
            try:
                self._zip = zipfile.ZipFile(self.path)
            except zipfile.BadZipFile as error:
                raise DataError(f"{self.path} is not a whole zip file: {error}. Download it again.") from error
            self.names = sorted(n for n in self._zip.namelist() if not n.endswith("/"))
        else:
            raise DataError(f"{self.path} does not exist: give the Bowl's zip or the folder it was unpacked to.")

    def read(self, name: str) -> np.ndarray:
        """Pixels of one PNG. Raises DataError, naming the file, if it is truncated or no image."""
        try:
            data = self._zip.read(name) if self._zip else (self.path / name).read_bytes()
            with Image.open(io.BytesIO(data)) as image:
                return np.asarray(image)
        except (OSError, SyntaxError, ValueError, zipfile.BadZipFile) as error:
            raise DataError(f"{self.path}: {name} can't be read, it is truncated or no image ({error}).") from error


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


def read_pairs(path: str | Path, ignored: str | None = None, specks: int = 0) -> Iterator[Sample]:
    """Every image of a zip or folder of `images/ID.*` and `labels/ID.*`, in order of id.

    Args:
        path: Zip or folder; the two folders may lie at any depth.
        ignored: A third folder beside them: what its images mark (other than 0) is nobody's, as micronuclei are neither
            nuclei nor background.
        specks: Pixels; smaller labels are nobody's either.

    Raises:
        DataError: Names the image without labels, or of another size than they.
    """
    source = Source(path)
    images, labels, unknown = (by_stem(source, kind) for kind in ("images", "labels", ignored or ""))
    if not images:
        raise DataError(f"{source.path} holds no images/NAME.* with labels/NAME.*.")
    for stem in sorted(images):
        if stem not in labels:
            raise DataError(f"{source.path}: {images[stem]} has no labels/{stem}.*.")
        image, truth = plain_pixels(source.read(images[stem])), source.read(labels[stem]).astype(np.int32)
        if truth.shape != image.shape[:2]:
            raise DataError(f"{source.path}: {labels[stem]} is {truth.shape}, its image {image.shape[:2]}.")
        if specks:
            truth[(np.bincount(truth.ravel()) < specks)[truth]] = -1
        if stem in unknown:
            truth[(source.read(unknown[stem]) > 0) & (truth == 0)] = -1
        yield Sample(stem, image, truth)


def by_stem(source: Source, kind: str) -> dict[str, str]:
    """Name without folder and ending -> path in the source, of the files in folders called `kind`."""
    paths = [PurePosixPath(name) for name in source.names]
    return {p.stem: p.as_posix() for p in paths if p.parent.name == kind and not p.name.startswith(".")}


def plain_pixels(image: np.ndarray) -> np.ndarray:
    """Drop alpha, and a colour that is none: (H, W) or (H, W, 3), uint8."""
    if image.ndim == 2:
        return image if image.dtype == np.uint16 else image.astype(np.uint8)
    if image.shape[2] == 2:
        return image[..., 0]
    rgb = image[..., :3]
    return rgb[..., 0] if (rgb == rgb[..., :1]).all() else rgb


def join_masks(source: Source, names: list[str], shape: tuple[int, ...]) -> np.ndarray:
    """One mask file a nucleus -> a label image. A pixel of two masks belongs to the later."""
    labels = np.zeros(shape, np.int32)
    for number, name in enumerate(names, 1):
        pixels = source.read(name)
        mask = np.asarray(pixels.any(-1) if pixels.ndim == 3 else pixels > 0)
        if mask.shape != shape:
            raise DataError(f"{source.path}: {name} is {mask.shape}, its image is {shape} (height, width).")
        if not mask.any():
            raise DataError(f"{source.path}: {name} is an empty mask. Delete it or fetch it again.")
        labels[mask] = number
    return labels


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


def pack(sample: Sample, out: Path) -> None:
    """Write a sample as images/<id>.png and labels/<id>.png under `out`."""
    labels = np.where(sample.labels < 0, UNLABELLED, sample.labels).astype(np.uint16)
    for name, pixels in (("images", sample.image), ("labels", labels)):
        (out / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(out / name / f"{sample.id}.png", optimize=True)


def load_packed(folder: str | Path, ids: list[str]) -> list[Sample]:
    """Samples of a packed folder, in the order of `ids`; of "laboratory/name" in that folder's folder `laboratory`.

    Raises:
        DataError: One is not there.
    """
    missing = [i for i in ids if not (Path(folder) / packed_name("labels", i)).is_file()]
    if missing:
        raise DataError(
            f"{folder} lacks {len(missing)} of {len(ids)} images, the first {missing[0]}. "
            f"Make it with: python -m train.data --source ZIP_OR_FOLDER ... --truth CSV --out {folder}"
        )
    source = Source(folder)
    return [
        Sample(i, source.read(packed_name("images", i)), unpack(source.read(packed_name("labels", i)))) for i in ids
    ]


def packed_name(kind: str, image_id: str) -> str:
    """("labels", "tnbc/01_1") -> tnbc/labels/01_1.png; an id without a laboratory has no folder of its own."""
    place, _, name = image_id.rpartition("/")
    return f"{place}/{kind}/{name}.png" if place else f"{kind}/{name}.png"


def laboratory(image_id: str) -> str:
    """What stands before the slash of an id, "" where there is none."""
    return image_id.rpartition("/")[0]


def unpack(labels: np.ndarray) -> np.ndarray:
    """A packed label image, uint16 -> int32 with -1 for what nobody labelled."""
    labels = labels.astype(np.int32)
    labels[labels == UNLABELLED] = -1
    return labels


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
