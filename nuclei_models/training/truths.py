"""The truth of one image, of any kind -> label image, and what is to be said of it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from ..images.label_images import label_pixels, to_labels
from ..images.outlines import draw, read_geojson, read_rois
from ..images.reader import ImageError, MicroscopyImage, inspect
from .cellpose import read_masks
from .folders import CELLPOSE, GEOJSON, LABELS, PER_NUCLEUS, Pair
from .samples import DataError

FEW_VALUES, MANY_PARTS = 5, 4  # so few numbers, each on so many parts: classes, not nuclei
_AXES = {"T": "time point(s)", "Z": "Z plane(s)"}
_TOUCHING = np.ones((3, 3), bool)


@dataclass(frozen=True)
class BinaryMask:
    """A mask of all nuclei where a label image is expected, and how many connected parts it has."""

    name: str
    values: str
    parts: int


@dataclass
class Truth:
    """What the truth of an image comes to.

    Attributes:
        labels: (H, W), int32; 0 is background, 1 .. n one number a nucleus.
        notes: Sentences that name the file.
        mask: Set where the file is a mask of all nuclei; the labels are then its connected parts.
    """

    labels: np.ndarray
    notes: list[str]
    mask: BinaryMask | None = None


def read_truth(pair: Pair, image: MicroscopyImage) -> Truth:
    """Read the truth of an image.

    Args:
        image: As it was read; of a stack of labels the same plane is taken.

    Raises:
        DataError, ImageError: It can't be read or isn't one; the message names the file and says what to do.
    """
    first, shape = pair.truth[0], (image.pixels.shape[0], image.pixels.shape[1])
    if pair.kind == PER_NUCLEUS:
        return _per_nucleus(pair.truth, shape)
    if pair.kind == LABELS:
        place, said = _place(first, image)
        pixels, notes = label_pixels(first, z=place.get("z"), t=place.get("t"))
        notes += said
    elif pair.kind == CELLPOSE:
        pixels, notes = read_masks(first), []
    else:
        objects, notes = (read_geojson if pair.kind == GEOJSON else read_rois)(first)
        labels, more = draw([area.rings for area in objects], shape, first.name)
        return Truth(labels, notes + more)
    check_shape(pixels, shape, first.name, pair.image.name)
    return _numbered(pixels, first.name, notes)


def _place(path: Path, image: MicroscopyImage) -> tuple[dict[str, int], list[str]]:
    """Which plane of a label image is that of its image, and a sentence where it has but one."""
    asked = {axis.lower(): image.plane[axis] for axis in "TZ" if image.sizes[axis] > 1}
    if not asked:
        return {}, []
    sizes = inspect(path).sizes
    if max(sizes.values()) == 1:
        return {}, [f"{path.name}: It is a single plane, taken for the one of {image.name} that is used."]
    sizes = inspect(path, **asked).sizes
    if any(sizes[axis] != image.sizes[axis] for axis in "TZ"):
        have, want = (" and ".join(f"{s[a]} {_AXES[a]}" for a in "TZ") for s in (sizes, image.sizes))
        raise DataError(
            f"{path.name}: It has {have}, but its image {image.name} {want}: save the plane that was labelled, or all."
        )
    return asked, []


def check_shape(pixels: np.ndarray, shape: tuple[int, int], name: str, image: str) -> None:
    """Raise a DataError with both sizes unless the truth has its image's."""
    if pixels.shape == shape:
        return
    if pixels.ndim != 2:
        raise DataError(
            f"{name}: It has the shape {pixels.shape}, expected one plane of {shape[0]} x {shape[1]} pixels (height x "
            f"width) as {image} has: save the plane that belongs to the image."
        )
    turned = " It may be turned by 90 degrees." if pixels.shape == shape[::-1] else ""
    raise DataError(
        f"{name}: It is {pixels.shape[0]} x {pixels.shape[1]} pixels (height x width), but its image {image} is "
        f"{shape[0]} x {shape[1]}.{turned} Give the truth at the size of the image."
    )


def _numbered(pixels: np.ndarray, name: str, notes: list[str]) -> Truth:
    """Label image or mask, told apart."""
    labels = to_labels(pixels, name).astype(np.int32)
    top = int(labels.max(initial=0))
    if not 1 <= top <= FEW_VALUES:
        return Truth(labels, notes + _scattered(labels, name))
    parts, n = ndimage.label(labels > 0, _TOUCHING)
    if top == 1 and n > 1:
        mask = BinaryMask(name, f"0 and {pixels.max():g}", n)
        return Truth(parts.astype(np.int32), notes, mask)
    apart = [ndimage.label(labels == number, _TOUCHING)[1] for number in range(1, top + 1)]
    if top > 1 and min(apart) >= MANY_PARTS:
        raise DataError(
            f"{name}: It has {top} numbers on {sum(apart)} parts: they seem to be classes of pixels, expected one "
            f"number a nucleus. Give a mask of the nuclei alone, with --binary-masks, or a label image."
        )
    return Truth(labels, notes + _scattered(labels, name))


def _scattered(labels: np.ndarray, name: str) -> list[str]:
    """A note where many nuclei lie in several parts."""
    top = int(labels.max(initial=0))
    parts = sum(ndimage.label(labels[box] == i, _TOUCHING)[1] > 1 for i, box in _boxes(labels))
    if parts <= max(1, 0.1 * top):
        return []
    return [f"{name}: {parts} of {top} nuclei lie in several parts: numbers may have been given twice."]


def _boxes(labels: np.ndarray):
    return ((i, box) for i, box in enumerate(ndimage.find_objects(labels), 1) if box is not None)


def _per_nucleus(files: tuple[Path, ...], shape: tuple[int, int]) -> Truth:
    """One mask file a nucleus; a pixel of two masks belongs to the later. A single file may be a label image."""
    if len(files) == 1:
        pixels, notes = label_pixels(files[0])
        check_shape(pixels, shape, files[0].name, "of the folder beside")
        truth = _numbered(pixels, files[0].name, notes)
        n = int(truth.labels.max(initial=0))
        if n > 1 and truth.mask is None:
            where = f"{files[0].parent.parent.name}/masks/{files[0].name}"
            truth.notes.append(f"{where}: It is one label image of {n} nuclei, not a mask of one nucleus.")
        return truth
    labels = np.zeros(shape, np.int32)
    empty, number = [], 0
    for path in files:
        pixels, _ = label_pixels(path)
        check_shape(pixels, shape, path.name, "of the folder beside")
        if len(np.unique(pixels[pixels > 0])) > 1:
            raise DataError(
                f"{path.name}: It has several numbers, but it is one of {len(files)} files in masks/, where each is a "
                f"mask of one nucleus: give one label image alone, or masks."
            )
        number += bool(pixels.any())
        empty += [] if pixels.any() else [path.name]
        labels[pixels > 0] = number
    notes = [f"{len(empty)} empty mask(s) are left out: {', '.join(empty[:5])}."] if empty else []
    hidden = number - len(np.unique(labels[labels > 0]))
    if hidden:
        notes.append(f"{files[0].parent.parent.name}/masks: {hidden} mask(s) lie wholly under others.")
    return Truth(to_labels(labels, files[0].name).astype(np.int32), notes)


__all__ = ["BinaryMask", "ImageError", "Truth", "read_truth"]
