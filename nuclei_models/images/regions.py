"""Regions that a person drew on an image: ImageJ's ROIs, QuPath's GeoJSON, a mask or a label image -> numbered pixels.

A pixel of several regions belongs to the first of them, in the file's order.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from .label_images import label_pixels, to_labels
from .outlines import REGIONS, Area, inside, read_geojson, read_rois
from .reader import SUPPORTED_EXTENSIONS, display_name, inspect
from .series import MAX_PIXELS, ImageError
from .source import Source

_ROIS, _GEOJSON = (".roi", ".zip"), (".geojson", ".json")
WINDOW = 4096  # pixels, of a mask that is read to see which numbers it has
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

    @property
    def areas(self) -> np.ndarray:
        """Pixels outside of all, and of each: (1 + n,)."""
        return np.bincount(self.labels.ravel(), minlength=len(self.names) + 1)


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


class RegionReader(Protocol):
    """The regions of one image, window by window: of an image of any size.

    Attributes:
        names, file: As of `Regions`.
    """

    names: tuple[str, ...]
    file: str

    def read(self, rows: slice, cols: slice) -> np.ndarray:
        """(h, w), int32, as `Regions.labels`."""
        ...

    def told(self) -> tuple[str, ...]:
        """Sentences for the user, once all windows have been read. Raises ImageError if none has a region."""
        ...


def open_regions(path: Path, shape: tuple[int, int]) -> RegionReader:
    """Open a file of regions.

    Args:
        path: `.roi`, `.zip` of these, `.geojson` or `.json`; or a mask, where everything above 0 is one region, or a
            label image, where each number is one.
        shape: Height and width of the image.

    Raises:
        ImageError: It can't be read, or its size isn't the image's.
    """
    kind = path.suffix.lower()
    if kind not in _ROIS + _GEOJSON:
        return _Stored(path, shape)
    try:
        areas, notes = read_rois(path, "regions") if kind in _ROIS else read_geojson(path, REGIONS, "regions")
    except OSError as error:
        raise ImageError(f"{path.name}: It can't be read ({error.strerror}).") from error
    return _Drawn([area for area in areas if area.rings], shape, path.name, notes)


def read_regions(path: Path, shape: tuple[int, int]) -> Regions:
    """Read regions. Arguments as of `open_regions`.

    Raises:
        ImageError: It can't be read, its size isn't the image's, or no region lies in the image.
    """
    reader = open_regions(path, shape)
    labels = reader.read(slice(0, shape[0]), slice(0, shape[1]))
    return Regions(labels, reader.names, reader.told(), path.name)


def regions_of(regions: Path, image: Path, shape: tuple[int, int]) -> Regions:
    """The regions of an image, by `region_files`; none, and a note, where it has no file.

    Raises:
        ImageError: As `read_regions`; or several files could be meant.
    """
    path = region_file(regions, image)
    if path is None:
        return Regions(np.zeros(shape, np.int32), (), (no_regions(regions, image),))
    return read_regions(path, shape)


def no_regions(regions: Path, image: Path) -> str:
    """A sentence for the user of an image of which there is no file in a folder of regions."""
    return f"No regions: the folder {regions.name} has no file called {image.stem}."


def region_file(regions: Path, image: Path) -> Path | None:
    """The one of `region_files`. Raises ImageError where there are several."""
    files = region_files(regions, image)
    if len(files) > 1:
        names = ", ".join(path.name for path in files)
        raise ImageError(f"{display_name(image)}: Several files could hold its regions: {names}. Keep one of them.")
    return files[0] if files else None


class _Drawn:
    """Regions from outlines."""

    def __init__(self, areas: list[Area], shape: tuple[int, int], file: str, notes: list[str]):
        self.names, self.file = tuple(_unique([area.name for area in areas])), file
        self._areas, self._shape, self._notes = areas, shape, notes
        self._seen, self._shared = set[int](), set[int]()
        corners = [np.concatenate(area.rings) for area in areas]
        self._low = np.array([c.min(0) for c in corners]).reshape(-1, 2)  # x, y
        self._high = np.array([c.max(0) for c in corners]).reshape(-1, 2)
        if not self._near((0, 0), shape[::-1]):
            raise self._elsewhere()
        beyond = (self._low < -1).any(1) | (self._high > np.array(shape[::-1]) + 1).any(1)
        self._beyond = set(np.flatnonzero(beyond).tolist())

    def _near(self, start: tuple[int, int], stop: tuple[int, int]) -> list[int]:
        """Which areas may reach into a box, from x, y to x, y."""
        return np.flatnonzero((self._low < stop).all(1) & (self._high > start).all(1)).tolist()

    def read(self, rows: slice, cols: slice) -> np.ndarray:
        labels = np.zeros((rows.stop - rows.start, cols.stop - cols.start), np.int32)
        for i in self._near((cols.start, rows.start), (cols.stop, rows.stop)):
            rings = [ring - (cols.start, rows.start) for ring in self._areas[i].rings]
            if (found := inside(rings, labels.shape)) is None:
                continue
            box, pixels = found
            self._seen.add(i)
            if (labels[box][pixels] > 0).any():
                self._shared.add(i)
            labels[box][pixels & (labels[box] == 0)] = i + 1
        return labels

    def told(self) -> tuple[str, ...]:
        if not self._seen:
            raise self._elsewhere()
        size, notes = _size(self._shape), list(self._notes)
        for some, text in (
            (set(range(len(self._areas))) - self._seen, "no pixel in the image"),
            (self._beyond & self._seen, f"parts outside the image, which is {size}"),
            (self._shared, "pixels of earlier regions: a nucleus there counts in the first one"),
        ):
            if some:
                titles = [self.names[i] for i in sorted(some)]
                listed = ", ".join(titles[:5]) + (f" and {len(titles) - 5} more" if len(titles) > 5 else "")
                notes.append(f"{self.file}: Regions with {text}: {listed}.")
        return tuple(notes)

    def _elsewhere(self) -> ImageError:
        return ImageError(
            f"{self.file}: None of its {len(self._areas)} regions lies in the image, which is {_size(self._shape)}: it "
            f"belongs to another image, or is in micrometres."
        )


def _size(shape: tuple[int, int]) -> str:
    return f"{shape[0]} x {shape[1]} pixels (height x width)"


class _Stored:
    """Regions from a mask or a label image."""

    def __init__(self, path: Path, shape: tuple[int, int]):
        self.file = path.name
        info = inspect(path)
        planes = {axis: n for axis, n in info.sizes.items() if n > 1}
        if planes:
            many = " x ".join(f"{n} {axis}" for axis, n in planes.items())
            raise ImageError(
                f"{path.name}: It has {many} planes, expected one mask or label image. Save the one to use."
            )
        if (info.height, info.width) != shape:
            turned = " It may be turned by 90 degrees." if (info.width, info.height) == shape else ""
            raise ImageError(
                f"{path.name}: These regions are {info.height} x {info.width} pixels (height x width), but the image "
                f"is {shape[0]} x {shape[1]}.{turned} Give the regions at the size of the image."
            )
        self._notes: list[str] = []
        if info.height * info.width <= MAX_PIXELS:
            pixels, self._notes = label_pixels(path, "region")
            self._window: Callable[[slice, slice], np.ndarray] = lambda rows, cols: pixels[rows, cols]
        else:
            self._window = Source(path).read
        values = set[float]()
        for window in _windows(shape):
            part = self._window(*window)
            to_labels(part, path.name, "region")  # which raises an error for what are no numbers of regions
            values |= set(np.unique(part).tolist()) - {0}
        if not values:
            raise ImageError(
                f"{path.name}: It has no region: all of its pixels are 0. Give a mask with regions above 0."
            )
        self._values = np.array(sorted(values))
        self.names = ("1",) if len(values) == 1 else tuple(str(int(value)) for value in self._values)

    def read(self, rows: slice, cols: slice) -> np.ndarray:
        pixels = self._window(rows, cols)
        return np.where(pixels > 0, np.searchsorted(self._values, pixels) + 1, 0).astype(np.int32)

    def told(self) -> tuple[str, ...]:
        return tuple(self._notes)


def _windows(shape: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    for top in range(0, shape[0], WINDOW):
        for left in range(0, shape[1], WINDOW):
            yield slice(top, min(top + WINDOW, shape[0])), slice(left, min(left + WINDOW, shape[1]))


def _unique(names: list[str]) -> list[str]:
    """Each once: "tumour", "tumour (2)"; where there is none, its number."""
    found: list[str] = []
    for number, name in enumerate(names, 1):
        base = "".join(c if c.isprintable() else " " for c in name).strip() or str(number)
        options = (base if n == 1 else f"{base} ({n})" for n in range(1, len(names) + 2))
        found.append(next(option for option in options if option not in found))
    return found
