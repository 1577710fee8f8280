"""A person's folder -> which file is the truth of which image. Nothing is decoded here.

What is understood, at any depth and mixed:

- `images/x.tif` with `labels/x.*` or `masks/x.*` (other names of such folders: see `IMAGES` and `TRUTH`);
- `x.tif` beside `x_labels.tif`, `x_masks.tif`, `x_cp_masks.png`, `x_seg.npy`, `x_rois.zip`, `x.roi`, `x.geojson`, and
  `x_tif_labels.tif`, `x_unet_labels.tif`, .. as the command line and the page write them, also in another folder;
- the 2018 Data Science Bowl's `<id>/images/<id>.png` with `<id>/masks/*.png`, one file a nucleus.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..images.reader import SUPPORTED_EXTENSIONS
from .samples import DataError

IMAGES = ("images", "image", "imgs", "img", "raw")
TRUTH = ("labels", "label", "masks", "mask", "truth", "ground_truth", "groundtruth", "gt", "annotations", "rois")
LABELS, PER_NUCLEUS, CELLPOSE, ROIS, GEOJSON = "labels", "a mask a nucleus", "Cellpose", "ImageJ ROIs", "GeoJSON"
_ENDINGS = {".npy": CELLPOSE, ".zip": ROIS, ".roi": ROIS, ".geojson": GEOJSON, ".json": GEOJSON}
_MARK = re.compile(r"[_-](cp_masks|masks?|labels?|seg|rois?|roiset|qupath|gt|ground_truth)$", re.I)
_NETWORK = re.compile(r"_(unet|unetpp)$")  # the page's files: x_unetpp_labels.tif
_DERIVED = re.compile(r"_(overlay|coloured|flows|cp_output|outlines|cp_outlines|probabilities)$", re.I)
ZARR = ".zarr"
EXPECTED = (
    "expected images/ with labels/ or masks/ of the same names, or x.tif beside x_labels.tif, x_masks.tif, x_seg.npy, "
    "x_rois.zip or x.geojson, or the Bowl's <id>/images and <id>/masks"
)


@dataclass(frozen=True)
class Pair:
    """An image and the file, or files, of its truth.

    Attributes:
        id: The image's path in the folder, without its ending where no other image has the same.
        kind: `LABELS`, `PER_NUCLEUS`, `CELLPOSE`, `ROIS` or `GEOJSON`.
    """

    id: str
    image: Path
    truth: tuple[Path, ...]
    kind: str


@dataclass
class Found:
    """What a folder holds: the pairs, in order of their ids, and sentences about what is left out."""

    pairs: list[Pair]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Truth:
    path: Path
    kind: str
    keys: tuple[str, ...]  # stems of images that it may belong to
    is_marked: bool  # its own name says that it is truth


def find_pairs(folder: str | Path) -> Found:
    """Pair the images of a folder with their truth.

    Raises:
        DataError: There is no such folder, or no pair in it.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise DataError(f"{root} is no folder: give the folder that holds the images and their truth.")
    images, truths = _sort(root)
    by_place: dict[Path, dict[str, list[_Truth]]] = defaultdict(lambda: defaultdict(list))
    anywhere: dict[str, list[_Truth]] = defaultdict(list)
    for truth in truths:
        for key in truth.keys:
            by_place[truth.path.parent][key.casefold()].append(truth)
            if truth.is_marked:
                anywhere[key.casefold()].append(truth)
    found, lonely = Found([]), []
    used: set[Path] = set()
    several: dict[str, list[Path]] = defaultdict(list)
    for image in images:
        several[image.relative_to(root).with_suffix("").as_posix()].append(image)
    for image in images:
        plain = image.relative_to(root).with_suffix("").as_posix()
        name = plain if len(several[plain]) == 1 else image.relative_to(root).as_posix()
        pair = _bowl(image, root) or _pair(image, name, root, by_place, anywhere, found.notes)
        if pair is None:
            lonely.append(image)
            continue
        used.update(pair.truth)
        found.pairs.append(pair)
    if not found.pairs:
        raise DataError(
            f"{root} holds {len(images)} image(s) and {len(truths)} file(s) of truth, but no image with its truth: "
            f"{EXPECTED}."
        )
    taken = {(pair.image.parent, pair.image.stem) for pair in found.pairs}
    orphans = [t.path for t in truths if t.path not in used and not any((t.path.parent, k) in taken for k in t.keys)]
    found.notes += _left_out(root, lonely, "image(s) without truth are left out")
    found.notes += _left_out(root, orphans, "file(s) of truth belong to no image and are left out")
    found.pairs.sort(key=lambda pair: pair.id)
    return found


def _sort(root: Path) -> tuple[list[Path], list[_Truth]]:
    """Files -> images and truths."""
    images, truths = [], []
    for path in _files(root):
        inside = {part.casefold() for part in path.relative_to(root).parts[:-1]}
        ending, stem = path.suffix.lower(), path.stem
        kind = _ENDINGS.get(ending) or (LABELS if ending in (*SUPPORTED_EXTENSIONS, ZARR) else None)
        if kind is None or _DERIVED.search(stem) or (kind == CELLPOSE and not stem.endswith("_seg")):
            continue
        marked = _MARK.search(stem)
        if marked and marked[1].lower() == "seg" and kind != CELLPOSE:
            marked = None  # x_seg.tif is an image like any other
        folder = path.parent.name.casefold()
        if kind == LABELS and not marked and (folder in IMAGES or not inside & set(TRUTH)):
            images.append(path)
            continue
        truths.append(_Truth(path, kind, _keys(stem), bool(marked) or kind != LABELS))
    return images, truths


def _keys(stem: str) -> tuple[str, ...]:
    base = _MARK.sub("", stem)
    return tuple(dict.fromkeys([stem, base, _NETWORK.sub("", base)]))


def _files(root: Path) -> Iterator[Path]:
    for at, folders, names in os.walk(root):
        here = Path(at)
        yield from (here / name for name in sorted(names) if not name.startswith("."))
        yield from (here / name for name in sorted(folders) if name.endswith(ZARR))
        folders[:] = sorted(f for f in folders if not f.startswith(".") and not f.endswith(ZARR))


def _pair(image: Path, name: str, root: Path, by_place, anywhere, notes: list[str]) -> Pair | None:
    """The image with the best truth that there is for it: beside it, in a folder beside its own, anywhere."""
    keys = [key.casefold() for key in (image.stem, f"{image.stem}_{image.suffix[1:]}", image.name)]
    places = [image.parent, *_truth_folders(image, root)]
    candidates = [t for place in places for key in keys if place in by_place for t in by_place[place].get(key, [])]
    candidates = candidates or [t for key in keys for t in anywhere.get(key, [])]
    candidates = [t for t in dict.fromkeys(candidates) if t.path != image]
    if not candidates:
        return None
    order = (LABELS, CELLPOSE, ROIS, GEOJSON)
    best = min(candidates, key=lambda t: order.index(t.kind))
    if len(candidates) > 1:
        others = ", ".join(t.path.name for t in candidates if t is not best)
        notes.append(f"{image.name}: {best.path.name} is taken for its truth, {others} is left.")
    return Pair(name, image, (best.path,), best.kind)


def _truth_folders(image: Path, root: Path) -> list[Path]:
    """Where the truth of an image may lie by the names of folders: a/images/b/x.tif has a/labels/b."""
    places = [image.parent / name for name in _named(image.parent)]
    for folder in (image.parent, *image.parent.parents):
        if folder == root.parent:
            break
        if folder.name.casefold() in IMAGES and folder != root:
            inside = image.parent.relative_to(folder)
            places += [folder.parent / name / inside for name in _named(folder.parent)]
    return places


def _named(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir() if path.name.casefold() in TRUTH)
    except OSError:
        return []


def _bowl(image: Path, root: Path) -> Pair | None:
    """The only image of `<id>/images` whose `<id>/masks` doesn't hold a file of its name."""
    folder = image.parent
    masks = folder.parent / "masks"
    if folder.name != "images" or folder == root or not masks.is_dir():
        return None
    beside = [p for p in folder.iterdir() if p.suffix.lower() in SUPPORTED_EXTENSIONS and not p.name.startswith(".")]
    files = sorted(p for p in masks.iterdir() if p.suffix.lower() in SUPPORTED_EXTENSIONS and p.name[0] != ".")
    if len(beside) != 1 or not files or any(image.stem in _keys(p.stem) for p in files):
        return None
    name = folder.parent.relative_to(root).as_posix()
    return Pair(folder.parent.name if name == "." else name, image, tuple(files), PER_NUCLEUS)


def _left_out(root: Path, paths: list[Path], what: str) -> list[str]:
    if not paths:
        return []
    listed = ", ".join(path.relative_to(root).as_posix() for path in paths[:5]) + (", .." if len(paths) > 5 else "")
    return [f"{len(paths)} {what}: {listed}."]
