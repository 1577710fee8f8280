"""Two label images, or two folders of them -> how many nuclei they share, and how good one is if the other is true."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from . import agreement, metrics
from .agreement import Kind
from .formats.types import MAX_PIXELS
from .images import SUPPORTED_EXTENSIONS, ImageError, display_name, read

_ENDING = re.compile(r"_labels$")
Figures = dict[str, float]


def read_labels(path: Path) -> np.ndarray:
    """A label image: (H, W) int64; 0 is background, 1 .. n one number a nucleus, without gaps.

    Raises:
        ImageError: It can't be read, or its values are no nuclei's numbers.
    """
    image = read(path, max_pixels=MAX_PIXELS)
    pixels = image.pixels
    if pixels.ndim != 2:
        raise ImageError(f"{image.name}: It has {pixels.shape[2]} colours, expected a label image: one number a pixel.")
    if pixels.dtype.kind == "f" and not (np.isfinite(pixels).all() and (pixels == np.round(pixels)).all()):
        raise ImageError(f"{image.name}: Its values aren't whole, expected a label image: one number a nucleus.")
    if pixels.min() < 0:
        raise ImageError(f"{image.name}: It has values below 0, expected a label image: one number a nucleus.")
    numbers, labels = np.unique(pixels, return_inverse=True)
    return labels.reshape(pixels.shape) + int(numbers[0] != 0)


def compare(a: np.ndarray, b: np.ndarray, threshold: float = 0.5) -> Figures:
    """Compare two label images.

    Args:
        a, b: (H, W), integers; 0 is background, 1 .. n one number a nucleus, without gaps. `a` is taken for the truth.
        threshold: IoU from which two nuclei are the same, for the counts and F1; at least 0.5.

    Returns:
        Nuclei in each (`a`, `b`), in both, in one only, and split (`split_a`: whole in b or part of several); `iou`
        and `dice` of the masks, `ap_50` .. `ap_95`, their mean over .5 .. .9, `bowl_map`, `f1`, and `pq`, which is at
        .5; see `metrics`.

    Raises:
        ValueError: The shapes differ, or the threshold is below 0.5.
    """
    shared = agreement.compare(a, b, threshold)
    mask, iou = metrics.count_mask(a, b), metrics.iou_matrix(a, b)
    at = {t: metrics.match(iou, t) for t in metrics.BOWL_THRESHOLDS}
    counts = {"a": len(shared.a) - 1, "b": len(shared.b) - 1, "both": shared.count(Kind.BOTH)[0]}
    for name, kind in (("only", Kind.ONLY), ("split", Kind.SPLIT)):
        counts |= {f"{name}_{side}": n for side, n in zip("ab", shared.count(kind), strict=True)}
    figures = {"iou": mask.iou, "dice": mask.dice}
    figures |= {f"ap_{round(100 * t)}": m.ap for t, m in at.items()}
    figures["ap_50_to_90"] = float(np.mean([at[t].ap for t in (0.5, 0.6, 0.7, 0.8, 0.9)]))
    figures |= {"bowl_map": metrics.bowl_map(iou), "f1": metrics.match(iou, threshold).f1}
    figures["pq"] = at[0.5].panoptic_quality
    return counts | {name: round(value, 6) for name, value in figures.items()}


def summarise(rows: Sequence[Figures]) -> Figures:
    """Sums of the counts and means of the figures of several comparisons."""
    return {
        name: sum(row[name] for row in rows) if isinstance(value, int) else float(np.mean([row[name] for row in rows]))
        for name, value in rows[0].items()
    }


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
