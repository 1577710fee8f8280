"""The packed folder, which training and evaluation read, and the sources that it is made of.

A packed folder has `images/<id>.png` (8 bit, or 16 bit and grey) and `labels/<id>.png` (16 bit). A source is a zip or a
folder.
"""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from .samples import DataError, Sample

UNLABELLED = 2**16 - 1  # in a packed label image; -1 in a sample's


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


def unpack(labels: np.ndarray) -> np.ndarray:
    """A packed label image, uint16 -> int32 with -1 for what nobody labelled."""
    labels = labels.astype(np.int32)
    labels[labels == UNLABELLED] = -1
    return labels
