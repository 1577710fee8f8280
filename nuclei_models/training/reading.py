"""A person's folder -> images with their truth, checked. Every problem is found before anything is trained."""

from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np

from ..images.reader import ImageError, read
from .augment import median_diameter
from .folders import Pair, find_pairs
from .samples import DataError, Sample
from .truths import BinaryMask, read_truth

SHOWN = 20  # problems in an error
SMALLEST_SIDE = 32  # pixels of an image
LARGEST_DIAMETER = 0.9  # of the image's shorter side, of the median nucleus
WORTH_A_NOTE = 50  # nuclei, from which on it is strange that none touches another


@dataclass
class Data:
    """Images with their truth.

    Attributes:
        samples: In the order of their ids.
        notes: Sentences about what was guessed, left out or looks wrong; each names its file.
        kinds: What the truth was made of, and of how many images.
        folder: The folder's name.
    """

    samples: list[Sample]
    notes: list[str] = field(default_factory=list)
    kinds: dict[str, int] = field(default_factory=dict)
    folder: str = ""

    @property
    def nuclei(self) -> int:
        return sum(count(sample) for sample in self.samples)

    def sha256(self) -> str:
        """Of all names, pixels and labels."""
        digest = sha256()
        for sample in self.samples:
            for array in (sample.image, sample.labels):
                digest.update(f"{sample.id} {array.shape} {array.dtype.str} ".encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def count(sample: Sample) -> int:
    """Nuclei of a sample."""
    return len(np.unique(sample.labels[sample.labels > 0]))


def read_folder(folder: str | Path, *, binary_masks: bool = False, channel: int | None = None) -> Data:
    """Read and check a folder, see `folders.py` for what it may hold.

    Args:
        binary_masks: Take the connected parts of masks of all nuclei for the nuclei. Without it such a mask is refused,
            with how many nuclei that would make.
        channel: Of images with several, from 0; by default the one that is named for a nuclear stain, or the first.

    Raises:
        DataError: Something can't be trained on. The message lists every file that it found wrong, and what to do.
    """
    found = find_pairs(folder)
    data = Data([], list(found.notes), dict(Counter(pair.kind for pair in found.pairs)), Path(folder).resolve().name)
    problems: list[str] = []
    masks: list[BinaryMask] = []
    for pair in found.pairs:
        try:
            sample, mask = _read(pair, channel, data.notes)
        except (DataError, ImageError) as error:
            problems.append(str(error))
            continue
        data.samples.append(sample)
        masks += [mask] if mask else []
    if masks:
        (data.notes if binary_masks else problems).append(_about_masks(masks, binary_masks))
    if problems:
        more = f"\n(and {len(problems) - SHOWN} more)" if len(problems) > SHOWN else ""
        raise DataError("\n".join(problems[:SHOWN]) + more)
    if not data.nuclei:
        raise DataError(f"{folder}: There is no nucleus in the truth of its {len(data.samples)} image(s).")
    data.notes += _strange(data.samples, bool(masks))
    return data


def _read(pair: Pair, channel: int | None, notes: list[str]) -> tuple[Sample, BinaryMask | None]:
    image = read(pair.image, channel=channel)
    pixels = image.pixels
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise DataError(f"{image.name}: It holds values that are not a number or infinite: mend it or leave it out.")
    height, width = pixels.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        raise DataError(f"{image.name}: It is {height} x {width} pixels, expected at least {SMALLEST_SIDE} a side.")
    if pixels.min() == pixels.max():
        raise DataError(f"{image.name}: All of its pixels are {pixels.flat[0]}: there is nothing to see in it.")
    notes += [f"{image.name}: {note}" for note in image.notes]
    truth = read_truth(pair, image)
    notes += truth.notes
    sample = Sample(pair.id, _plain(pixels), truth.labels, image.pixel_size)
    diameter = median_diameter(sample.labels)
    if not diameter:
        name = pair.truth[0].name
        notes.append(f"{name}: It has no nucleus. Leave the image out if it is only that nobody labelled it.")
    elif diameter > LARGEST_DIAMETER * min(height, width):
        notes.append(f"{pair.truth[0].name}: Its median nucleus is {diameter:.0f} pixels across, the image {height} x "
                     f"{width}: background may have been numbered as a nucleus.")  # fmt: skip
    return sample, truth.mask


def _plain(pixels: np.ndarray) -> np.ndarray:
    """A colour that is none becomes grey."""
    if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
        return np.ascontiguousarray(pixels[..., 0])
    return pixels


def _about_masks(masks: list[BinaryMask], taken: bool) -> str:
    """What is to be said of masks where label images are expected."""
    n = sum(mask.parts for mask in masks)
    listed = ", ".join(f"{m.name} ({m.values}: {m.parts} parts)" for m in masks[:5]) + (", .." if masks[5:] else "")
    one = "1 file is a mask" if len(masks) == 1 else f"{len(masks)} files are masks"
    if taken:
        return f"{one} of all nuclei; the connected parts count as nuclei, {n} in all: {listed}."
    return (
        f"{one} of all nuclei, expected label images, one number a nucleus: {listed}. Connected parts would make {n} "
        f"nuclei, in which nuclei that touch are one, and the network learns to join them. If none touch, give "
        f"--binary-masks (binary_masks=True); otherwise label them apart."
    )


def _strange(samples: list[Sample], is_told: bool) -> list[str]:
    """A note where no nucleus touches another, in many."""
    n = sum(count(sample) for sample in samples)
    if is_told or n < WORTH_A_NOTE or any(_touch(sample.labels) for sample in samples):
        return []
    return [
        f"None of the {n} nuclei touches another. If a threshold made the labels, nuclei that do touch have one "
        f"number, and the network learns to join them: cut them apart first."
    ]


def _touch(labels: np.ndarray) -> bool:
    """Whether two numbers lie beside each other, or at a corner."""
    neighbours = (
        (labels[1:], labels[:-1]),
        (labels[:, 1:], labels[:, :-1]),
        (labels[1:, 1:], labels[:-1, :-1]),
        (labels[1:, :-1], labels[:-1, 1:]),
    )
    return any(((a != b) & (a > 0) & (b > 0)).any() for a, b in neighbours)
