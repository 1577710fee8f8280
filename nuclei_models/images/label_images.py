"""Label images: read as numbers of nuclei, and paired by their names."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from scipy import ndimage

from .reader import SUPPORTED_EXTENSIONS, display_name, planes, read
from .series import MAX_PIXELS, ImageError

_ENDING = re.compile(r"_labels$")


def read_labels(path: Path) -> np.ndarray:
    """A label image: (H, W) int64; 0 is background, 1 .. n one number a nucleus, without gaps.

    Raises:
        ImageError: It can't be read, or its values are no nuclei's numbers.
    """
    image = read(path, max_pixels=MAX_PIXELS)
    return to_labels(image.pixels, image.name)


def read_label_planes(path: Path) -> list[tuple[str, np.ndarray]]:
    """Every plane of a label image or stack, as `read_labels`, with its place: "" of an image, "t0 z2" of a stack.

    A plane whose nuclei all have one value, in several parts, is a mask: every part is a nucleus.

    Raises:
        ImageError: As `read_labels`.
    """
    found = []
    for image in planes(path, max_pixels=MAX_PIXELS):
        sizes = {axis: image.sizes[axis] for axis in "TZ" if image.sizes[axis] > 1}
        place = " ".join(f"{axis.lower()}{image.plane[axis]}" for axis in sizes)
        labels = to_labels(image.pixels, image.name)
        found.append((place, ndimage.label(labels)[0] if labels.max(initial=0) == 1 else labels))
    return found


def to_labels(pixels: np.ndarray, name: str) -> np.ndarray:
    """The pixels of a label image -> (H, W) int64, as `read_labels`; `name` is the file's.

    Raises:
        ImageError: The values are no nuclei's numbers.
    """
    if pixels.ndim != 2:
        raise ImageError(f"{name}: It has {pixels.shape[2]} colours, expected a label image: one number a pixel.")
    if pixels.dtype.kind == "f" and not (np.isfinite(pixels).all() and (pixels == np.round(pixels)).all()):
        raise ImageError(f"{name}: Its values aren't whole, expected a label image: one number a nucleus.")
    if pixels.min() < 0:
        raise ImageError(f"{name}: It has values below 0, expected a label image: one number a nucleus.")
    numbers, labels = np.unique(pixels, return_inverse=True)
    return labels.reshape(pixels.shape) + int(numbers[0] != 0)


def pair(a: Path, b: Path) -> tuple[dict[str, tuple[Path, Path]], list[str], list[str]]:
    """Label images that belong together: two files, or those of two folders that have the same path and name but for
    the extension and a "_labels".

    Returns:
        Pairs by name, and names that only one of the folders has.

    Raises:
        ImageError: One is a folder and the other isn't, or a folder holds no image.
    """
    if a.is_dir() != b.is_dir():
        raise ImageError(f"{display_name(a)} and {display_name(b)}: expected two files or two folders.")
    if not a.is_dir():
        return {display_name(b): (a, b)}, [], []
    in_a, in_b = _label_images(a), _label_images(b)
    shared = [name for name in in_a if name in in_b]
    only = [[name for name in one if name not in other] for one, other in ((in_a, in_b), (in_b, in_a))]
    return {name: (in_a[name], in_b[name]) for name in shared}, only[0], only[1]


def _label_images(folder: Path) -> Mapping[str, Path]:
    """By name. Where any is called "_labels", as in a folder of results, only those are label images."""
    files = list(_images(folder))
    labels = [path for path in files if _ENDING.search(path.stem)]
    if not files:
        raise ImageError(f"{display_name(folder)}: There is no image in this folder.")
    found: dict[str, Path] = {}
    for path in labels or files:
        name = path.relative_to(folder).with_name(_ENDING.sub("", path.stem) or path.stem).as_posix()
        if name in found:
            raise ImageError(f"{display_name(folder)}: {found[name].name} and {path.name} have one name, {name}.")
        found[name] = path
    return found


def _images(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.name.lower().endswith(SUPPORTED_EXTENSIONS) and path.is_file() and not hidden:
            yield path
