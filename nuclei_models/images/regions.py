"""Regions that a person drew on an image: ImageJ's ROIs, QuPath's GeoJSON, a mask or a label image -> numbered pixels.

A pixel of several regions belongs to the first of them, in the file's order.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .label_images import label_pixels, to_labels
from .outlines import REGIONS, Area, inside, read_geojson, read_rois
from .reader import SUPPORTED_EXTENSIONS, display_name, inspect
from .series import ImageError

_ROIS, _GEOJSON = (".roi", ".zip"), (".geojson", ".json")
ENDINGS = ("_regions", "_mask")  # of a file's name behind its image's


@dataclass(frozen=True)
class Regions:
    """The regions of one image.

    Attributes:
        labels: (H, W), int32; 0 is outside, k is the region `names[k - 1]`.
        names: As in the file, each once; where it has none, their numbers.
        notes: Sentences for the user.
        file: Name of the file, "" where there is none.
    """

    labels: np.ndarray
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    file: str = ""


def region_files(regions: Path, image: Path) -> list[Path]:
    """Which files hold the regions of an image: one; or none, or several, of which it can't be known.

    Args:
        regions: A file, for all images; or a folder with a file of the image's name, with or without the image's
            extension and one of `ENDINGS` behind it. Its folders are looked into first where they are called as the
            image's, so that "regions/day 1/a.roi" belongs to "images/day 1/a.tif". In a folder that holds the
            image, too, pictures count only with one of `ENDINGS`.
    """
    if regions.is_file():
        return [regions]
    parents = image.absolute().parts[1:-1]
    for start in range(len(parents) + 1):
        folder = regions.joinpath(*parents[start:])
        if folder.is_dir() and (found := _of_image(folder, image)):
            return found
    return []


def _of_image(folder: Path, image: Path) -> list[Path]:
    own = image.resolve().is_relative_to(folder.resolve())
    stems = {image.name, image.stem}
    named = {f"{stem}{ending}" for stem in stems for ending in ENDINGS}
    found = []
    for path in sorted(folder.iterdir()):
        name = path.name.lower()
        outlines, picture = name.endswith(_ROIS + _GEOJSON), name.endswith(SUPPORTED_EXTENSIONS)
        matches = path.stem in named or (path.stem in stems and (outlines or not own))
        if matches and (outlines or picture) and path.is_file():
            found.append(path)
    return found


def read_regions(path: Path, shape: tuple[int, int]) -> Regions:
    """Read regions.

    Args:
        path: `.roi`, `.zip` of these, `.geojson` or `.json`; or a mask, where everything above 0 is one region, or a
            label image, where each number is one.
        shape: Height and width of the image.

    Raises:
        ImageError: It can't be read, its size isn't the image's, or no region lies in the image.
    """
    kind = path.suffix.lower()
    if kind in _ROIS + _GEOJSON:
        try:
            areas, notes = read_rois(path, "regions") if kind in _ROIS else read_geojson(path, REGIONS, "regions")
            return _drawn([area for area in areas if area.rings], shape, path.name, notes)
        except OSError as error:
            raise ImageError(f"{path.name}: It can't be read ({error.strerror}).") from error
    planes = {axis: n for axis, n in inspect(path).sizes.items() if n > 1}
    if planes:
        many = " x ".join(f"{n} {axis}" for axis, n in planes.items())
        raise ImageError(f"{path.name}: It has {many} planes, expected one mask or label image. Save the one to use.")
    pixels, notes = label_pixels(path, "region")
    if pixels.shape != shape:
        turned = " It may be turned by 90 degrees." if pixels.shape == shape[::-1] else ""
        raise ImageError(
            f"{path.name}: These regions are {pixels.shape[0]} x {pixels.shape[1]} pixels (height x width), but the "
            f"image is {shape[0]} x {shape[1]}.{turned} Give the regions at the size of the image."
        )
    labels = to_labels(pixels, path.name, "region").astype(np.int32)
    values = [str(int(value)) for value in np.unique(pixels[labels > 0])]
    if not values:
        raise ImageError(f"{path.name}: It has no region: all of its pixels are 0. Give a mask with regions above 0.")
    names = ("1",) if len(values) == 1 else tuple(values)
    return Regions(labels, names, tuple(notes), path.name)


def regions_of(regions: Path, image: Path, shape: tuple[int, int]) -> Regions:
    """The regions of an image, by `region_files`; none, and a note, where it has no file.

    Raises:
        ImageError: As `read_regions`; or several files could be meant.
    """
    path = region_file(regions, image)
    if path is None:
        note = f"No regions: the folder {regions.name} has no file called {image.stem}."
        return Regions(np.zeros(shape, np.int32), (), (note,))
    return read_regions(path, shape)


def region_file(regions: Path, image: Path) -> Path | None:
    """The one of `region_files`. Raises ImageError where there are several."""
    files = region_files(regions, image)
    if len(files) > 1:
        names = ", ".join(path.name for path in files)
        raise ImageError(f"{display_name(image)}: Several files could hold its regions: {names}. Keep one of them.")
    return files[0] if files else None


def _drawn(areas: list[Area], shape: tuple[int, int], name: str, notes: list[str]) -> Regions:
    labels = np.zeros(shape, np.int32)
    names = _unique([area.name for area in areas])
    size = f"{shape[0]} x {shape[1]} pixels (height x width)"
    empty, shared, beyond = [], [], []
    for number, (title, area) in enumerate(zip(names, areas, strict=True), 1):
        corners = np.concatenate(area.rings)
        if (corners < -1).any() or (corners > np.array(shape[::-1]) + 1).any():
            beyond.append(title)
        if (found := inside(area.rings, shape)) is None:
            empty.append(title)
            continue
        box, pixels = found
        shared += [title] if (labels[box][pixels] > 0).any() else []
        labels[box][pixels & (labels[box] == 0)] = number
    if len(empty) == len(areas):
        raise ImageError(
            f"{name}: None of its {len(areas)} regions lies in the image, which is {size}: it belongs to another "
            f"image, or is in micrometres."
        )
    for some, text in (
        (empty, "no pixel in the image"),
        ([title for title in beyond if title not in empty], f"parts outside the image, which is {size}"),
        (shared, "pixels of earlier regions: a nucleus there counts in the first one"),
    ):
        if some:
            listed = ", ".join(some[:5]) + (f" and {len(some) - 5} more" if len(some) > 5 else "")
            notes = [*notes, f"{name}: Regions with {text}: {listed}."]
    return Regions(labels, tuple(names), tuple(notes), name)


def _unique(names: list[str]) -> list[str]:
    """Each once: "tumour", "tumour (2)"; where there is none, its number."""
    found: list[str] = []
    for number, name in enumerate(names, 1):
        base = "".join(c if c.isprintable() else " " for c in name).strip() or str(number)
        options = (base if n == 1 else f"{base} ({n})" for n in range(1, len(names) + 2))
        found.append(next(option for option in options if option not in found))
    return found
