"""Label images: read as numbers of nuclei, and paired by their names."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from .reader import SUPPORTED_EXTENSIONS, MicroscopyImage, display_name, planes, read
from .series import MAX_PIXELS, ImageError

_ENDING = re.compile(r"_labels$")
_AS_NUMBERS = "Save the label image itself, one number a {}, as TIFF or PNG (docs/your-own-images.md says how)."


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


def label_pixels(
    path: Path, what: str = "nucleus", z: int | None = None, t: int | None = None
) -> tuple[np.ndarray, list[str]]:
    """The numbers in a label image or mask, (H, W), of whatever kind of file, and sentences about what was taken.

    Args:
        what: What has a number, for what is said.
        z, t: Plane of a stack; see `read`.

    Raises:
        ImageError: It can't be read, or its colours are no numbers.
    """
    image = read(path, z=z, t=t)
    as_numbers = _AS_NUMBERS.format(what)
    if image.format == "JPEG":
        raise ImageError(f"{path.name}: It is a JPEG, which changes the numbers in a label image. {as_numbers}")
    if image.pixels.ndim == 2:
        return image.pixels, []
    if (indices := _palette_indices(path)) is not None:
        return indices, [f"{path.name}: The numbers of its palette's colours are taken for the numbers in it."]
    if (image.pixels == image.pixels[..., :1]).all():
        return image.pixels[..., 0], []
    raise ImageError(
        f"{path.name}: It is a colour picture of labels ({_colours(image)} colours), expected numbers. {as_numbers}"
    )


def _colours(image: MicroscopyImage) -> int:
    return len(np.unique(image.pixels.reshape(-1, image.pixels.shape[2]), axis=0))


def _palette_indices(path: Path) -> np.ndarray | None:
    """What an image with a palette stores, which its colours don't tell."""
    try:
        with Image.open(path) as image:
            return np.asarray(image) if image.mode == "P" else None
    except (OSError, SyntaxError, ValueError):
        return None


def to_labels(pixels: np.ndarray, name: str, what: str = "nucleus") -> np.ndarray:
    """The pixels of a label image -> (H, W) int64, as `read_labels`; `name` is the file's, `what` has a number.

    Raises:
        ImageError: The values are no nuclei's numbers.
    """
    if pixels.ndim != 2:
        raise ImageError(f"{name}: It has {pixels.shape[2]} colours, expected a label image: one number a pixel.")
    if pixels.dtype.kind == "f" and not (np.isfinite(pixels).all() and (pixels == np.round(pixels)).all()):
        raise ImageError(f"{name}: Its values aren't whole, expected a label image: one number a {what}.")
    if pixels.min() < 0:
        raise ImageError(f"{name}: It has values below 0, expected a label image: one number a {what}.")
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
