"""A person's folder -> which file is the truth of which image. Nothing is decoded here.

What is understood, at any depth and mixed:

- `images/x.tif` with `labels/x.*` or `masks/x.*` (other names of such folders: see `IMAGES` and `TRUTH`);
- `x.tif` beside `x_labels.tif`, `x_masks.tif`, `x_cp_masks.png`, `x_seg.npy`, `x_rois.zip`, `x.roi`, `x.geojson`, and
  `x_tif_labels.tif`, `x_unet_labels.tif`, .. as the command line and the page write them, also in another folder: of
  several images of one name, each takes the truth whose folders are named as its own;
- the 2018 Data Science Bowl's `<id>/images/<id>.png` with `<id>/masks/*.png`, one file a nucleus.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from ..images.reader import SUPPORTED_EXTENSIONS
from .samples import DataError

IMAGES = ("images", "image", "imgs", "img", "raw")
TRUTH = ("labels", "label", "masks", "mask", "truth", "ground_truth", "groundtruth", "gt", "annotations", "rois")
LABELS, PER_NUCLEUS, CELLPOSE, ROIS, GEOJSON = "labels", "a mask a nucleus", "Cellpose", "ImageJ ROIs", "GeoJSON"
_ENDINGS = {".npy": CELLPOSE, ".zip": ROIS, ".roi": ROIS, ".geojson": GEOJSON, ".json": GEOJSON}
_MARK = re.compile(r"[_-](cp_masks|masks?|labels?|seg|rois?|roiset|qupath|gt|ground_truth)$", re.I)
_NETWORK = re.compile(r"_(unet|unetpp|unet-small|own\d+|both)$")  # the page's files: x_unetpp_labels.tif
_PICTURE = re.compile(r"[_-](img|image|raw)$", re.I)  # Cellpose's 000_img.png with 000_masks.png
_FORMAT = re.compile(r"\.(ome|nd2|czi|lif)$", re.I)  # within a stem: x.ome.tif
_DERIVED = re.compile(r"_(overlay|coloured|flows|cp_output|outlines|cp_outlines|probabilities)$", re.I)
ZARR = ".zarr"
AT_ONCE = 60.0  # seconds: files that were written together
_Files = tuple[tuple[Path, ...], str]  # of the truth of an image, and their kind
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
    found = Found([])
    taken = _near(images, truths, root, found.notes)
    taken |= _from_elsewhere([i for i in images if i not in taken], truths, taken, root, found.notes)
    if not taken:
        raise DataError(
            f"{root} holds {_some(images, 'image')} and {_some([t.path for t in truths], 'file')} of truth, but no "
            f"image with its truth: {EXPECTED}."
        )
    names = _names(images, root)
    found.pairs = sorted((Pair(names[i], i, *truth) for i, truth in taken.items()), key=lambda pair: pair.id)
    used = {path for pair in found.pairs for path in pair.truth}
    keys = {key for pair in found.pairs for key in _asked(pair.image)}
    orphans = [t.path for t in truths if t.path not in used and not keys & {key.casefold() for key in t.keys}]
    orphans = [path for path in orphans if path.suffix.lower() != ".json"]  # which may be anything
    found.notes += _left_out(root, [i for i in images if i not in taken], "image(s) without truth are left out")
    found.notes += _left_out(root, orphans, "file(s) of truth belong to no image and are left out")
    return found


def _names(images: list[Path], root: Path) -> dict[Path, str]:
    """Ids: the path in the folder, without its ending where no other image has the same."""
    plain = {image: image.relative_to(root).with_suffix("").as_posix() for image in images}
    several = Counter(plain.values())
    names = {i: name if several[name] == 1 else i.relative_to(root).as_posix() for i, name in plain.items()}
    return names | {i: _bowl_name(i, root) for i in images if _bowl(i, root)}


def _sort(root: Path) -> tuple[list[Path], list[_Truth]]:
    """Files -> images and truths."""
    images, truths = [], []
    files = list(_files(root))
    stems = {(path.parent, _stem(path)) for path in files}
    for path in files:
        inside = {part.casefold() for part in path.relative_to(root).parts[:-1]}
        ending, stem = path.suffix.lower(), _stem(path)
        kind = _ENDINGS.get(ending) or (LABELS if ending in (*SUPPORTED_EXTENSIONS, ZARR) else None)
        if kind is None or _DERIVED.search(stem) or (kind == CELLPOSE and not stem.endswith("_seg")):
            continue
        marked = _MARK.search(stem)
        if marked and marked[1].lower() == "seg" and kind != CELLPOSE:
            marked = None  # x_seg.tif is an image like any other
        in_images = path.parent.name.casefold() in IMAGES
        if marked and in_images and kind == LABELS and (path.parent, _MARK.sub("", stem)) not in stems:
            marked = None  # images/x_label.tif, with labels/x_label.tif
        if kind == LABELS and not marked and (in_images or not inside & set(TRUTH)):
            images.append(path)
            continue
        truths.append(_Truth(path, kind, _keys(stem), bool(marked) or kind != LABELS))
    return images, truths


def _stem(path: Path) -> str:
    """The name without its ending, of x.ome.tif without both."""
    return _FORMAT.sub("", path.stem)


def _keys(stem: str) -> tuple[str, ...]:
    base = _MARK.sub("", stem)
    return tuple(dict.fromkeys([stem, base, _NETWORK.sub("", base)]))


def _files(root: Path) -> Iterator[Path]:
    seen = set()  # links are followed, and may lead in a circle
    for at, folders, names in os.walk(root, followlinks=True):
        here = Path(at)
        if (identity := here.resolve()) in seen:
            folders[:] = []
            continue
        seen.add(identity)
        yield from (here / name for name in sorted(names) if not name.startswith("."))
        yield from (here / name for name in sorted(folders) if name.endswith(ZARR))
        folders[:] = sorted(f for f in folders if not f.startswith((".", "__MACOSX")) and not f.endswith(ZARR))


def _asked(image: Path) -> list[str]:
    """The keys by which an image's truth may be found."""
    names = (_stem(image), image.stem, f"{image.stem}_{image.suffix[1:]}", image.name, _PICTURE.sub("", _stem(image)))
    return list(dict.fromkeys(name.casefold() for name in names))


def _near(images: list[Path], truths: list[_Truth], root: Path, notes: list[str]) -> dict[Path, _Files]:
    """The truth of each image that has one beside it, or in a folder beside its own."""
    by_place: dict[Path, dict[str, list[_Truth]]] = defaultdict(lambda: defaultdict(list))
    for truth in truths:
        for key in truth.keys:
            by_place[truth.path.parent][key.casefold()].append(truth)
    taken = {}
    stems = {(image.parent, _stem(image).casefold()) for image in images if not _PICTURE.search(_stem(image))}
    for image in images:
        if whole := _bowl(image, root):
            taken[image] = whole, PER_NUCLEUS
            continue
        places = [p for p in (image.parent, *_truth_folders(image, root)) if p in by_place]
        keys = _asked(image)
        if (image.parent, keys[-1]) in stems:  # x_img.tif, where there is an x.tif
            keys = keys[:-1]
        candidates = [t for place in places for key in keys for t in by_place[place].get(key, [])]
        if candidates := [t for t in dict.fromkeys(candidates) if t.path != image]:
            taken[image] = _best(image, candidates, root, notes)
    return taken


def _from_elsewhere(
    images: list[Path], truths: list[_Truth], taken: Mapping[Path, _Files], root: Path, notes: list[str]
) -> dict[Path, _Files]:
    """The truth of images from any other folder: that whose folders are named as the image's, from the last on.

    What is another image's truth is left to it, and what might be that of several images is left out.
    """
    used = {path for files, _ in taken.values() for path in files}
    anywhere: dict[str, list[_Truth]] = defaultdict(list)
    for truth in truths:
        for key in truth.keys if truth.is_marked and truth.path not in used else ():
            anywhere[key.casefold()].append(truth)
    claims: dict[Path, tuple[int, list[_Truth]]] = {}
    for image in images:
        far = {t: _kinship(image, t.path, root) for key in _asked(image) for t in anywhere.get(key, [])}
        if far:
            most = max(far.values())
            claims[image] = most, [t for t, kinship in far.items() if kinship == most]
    found, disputed = {}, []
    for image, (kinship, candidates) in claims.items():
        rivals = [c for i, c in claims.items() if i != image and any(t in c[1] for t in candidates)]
        if all(kinship > other for other, _ in rivals):
            found[image] = _best(image, candidates, root, notes)
        elif all(kinship >= other for other, _ in rivals):
            disputed.append(image)
    notes += _left_out(
        root, disputed, "image(s) are left out, because the truth found may be another's: put it beside its image"
    )
    return found


def _kinship(image: Path, truth: Path, root: Path) -> int:
    """How many folders are named alike, from the last on: 1 for pictures/day1/x.png and results/day1/x_labels.tif."""
    folders = (reversed(path.relative_to(root).parts[:-1]) for path in (image, truth))
    return len(list(takewhile(lambda names: names[0].casefold() == names[1].casefold(), zip(*folders, strict=False))))


def _best(image: Path, candidates: list[_Truth], root: Path, notes: list[str]) -> _Files:
    """Of several truths for one image that which was changed last, for it was corrected; of those of one moment that
    which says most. A note names the others."""
    order = (LABELS, CELLPOSE, ROIS, GEOJSON)
    changed = {t: t.path.stat().st_mtime for t in candidates}
    latest = [t for t in candidates if changed[t] > max(changed.values()) - AT_ONCE]
    best = min(latest, key=lambda t: order.index(t.kind))
    if len(candidates) > 1:
        names = [t.path.name for t in candidates]
        told = {t: t.path.name if len(set(names)) == len(names) else _told(t.path, root) for t in candidates}
        why = " (it was changed last)" if len(latest) < len(candidates) else ""
        others = ", ".join(told[t] for t in candidates if t is not best)
        notes.append(f"{_told(image, root)}: {told[best]} is taken for its truth{why}, and not {others}.")
    return (best.path,), best.kind


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


def _bowl(image: Path, root: Path) -> tuple[Path, ...]:
    """The masks of the only image of `<id>/images` whose `<id>/masks` doesn't hold a file of its name; else ()."""
    folder = image.parent
    masks = folder.parent / "masks"
    if folder.name != "images" or folder == root or not masks.is_dir():
        return ()
    beside = [p for p in folder.iterdir() if p.suffix.lower() in SUPPORTED_EXTENSIONS and not p.name.startswith(".")]
    files = sorted(p for p in masks.iterdir() if p.suffix.lower() in SUPPORTED_EXTENSIONS and p.name[0] != ".")
    if len(beside) != 1 or any(image.stem in _keys(p.stem) for p in files):
        return ()
    return tuple(files)


def _bowl_name(image: Path, root: Path) -> str:
    name = image.parent.parent.relative_to(root).as_posix()
    return image.parent.parent.name if name == "." else name


def _left_out(root: Path, paths: list[Path], what: str) -> list[str]:
    if not paths:
        return []
    listed = ", ".join(_told(path, root) for path in paths[:5]) + (", .." if len(paths) > 5 else "")
    return [f"{len(paths)} {what}: {listed}."]


def _some(paths: list[Path], what: str) -> str:
    """How many, and the first."""
    return f"{len(paths)} {what}(s)" + (f" ({paths[0].name}{', ..' if paths[1:] else ''})" if paths else "")


def _told(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
