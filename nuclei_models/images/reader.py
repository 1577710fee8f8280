"""Any image file -> native pixel values and what is known about them: the one reader of page, library and command line.

    image = read("cells.ome.tif")  # the middle Z plane, the first time point, the channel that is named for nuclei
    image.pixels, image.pixel_size, image.notes
    inspect("cells.ome.tif").sizes  # {"T": 5, "Z": 12, "C": 3}
    for image in planes("cells.ome.tif", t=0):  # every Z plane of the first time point
        ...

What a file is shows in its first bytes; its extension doesn't matter. Sizes are checked before anything is decoded.
"""

import operator
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL.Image import DecompressionBombError

from .bitmap import open_bitmap
from .kinds import SUPPORTED_EXTENSIONS, recognised
from .ngff import is_zarr, open_zarr
from .planes import ALL, Asked, Indices, Plane, channel_choices, several
from .sandbox import open_there
from .series import MAX_PIXELS, ImageError, Series, shown
from .tiff import NotHere, open_tiff
from .vendor import KINDS, open_vendor

__all__ = [
    "MAX_PIXELS",
    "SUPPORTED_EXTENSIONS",
    "ImageError",
    "ImageInfo",
    "MicroscopyImage",
    "inspect",
    "planes",
    "read",
]


@dataclass(frozen=True)
class ImageInfo:
    """What a file's header says, of one of its images.

    Attributes:
        name: The file's, fit to be shown.
        format: "TIFF", "OME-TIFF", "ImageJ TIFF", "OME-Zarr", "Zarr", "PNG", "JPEG", "BMP", "WebP" or "GIF".
        width, height: Pixels.
        dtype: Of `MicroscopyImage.pixels`.
        is_rgb: Whether a plane is (H, W, 3) colour.
        sizes: Numbers of time points, Z planes and channels, as in {"T": 1, "Z": 12, "C": 3}; "C" is 1 for RGB.
        channel_names: As many as channels, or none.
        pixel_size: (y, x) in micrometres, or `None`.
        channel_choices: A label for each channel that can be asked for: of a colour image its three colours.
        guessed: What the pages were taken for, "C", "Z" or "T", where the file doesn't say what they are; else "".
            Whatever `read` is asked for there, `z`, `t` or `channel`, means the pages.
        series: A label for each image of the file that is no plane of another; most files have one.
        notes: Sentences for the user.
    """

    name: str
    format: str
    width: int
    height: int
    dtype: np.dtype
    is_rgb: bool
    sizes: dict[str, int]
    channel_names: tuple[str, ...]
    channel_choices: tuple[str, ...]
    pixel_size: tuple[float, float] | None
    guessed: str
    series: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class MicroscopyImage:
    """One plane of a file.

    Attributes:
        pixels: (H, W), (H, W, 3) colour or (H, W, n) of n chosen channels, as stored but in native byte order: uint8,
            uint16, uint32, int16, float32, ..; 1-bit images are 0 and 255. Larger is brighter.
        name, format, sizes, pixel_size: As in `ImageInfo`.
        plane: Chosen "T" and "Z", from 0.
        channels: Chosen channels, from 0; (0, 1, 2) of colour.
        channel_names: Of the chosen channels, or none.
        notes: Sentences for the user: what was chosen for them, left out or converted.
    """

    pixels: np.ndarray
    name: str
    format: str
    sizes: dict[str, int]
    plane: dict[str, int]
    channels: tuple[int, ...]
    channel_names: tuple[str, ...]
    pixel_size: tuple[float, float] | None
    notes: tuple[str, ...]


def inspect(
    path: str | os.PathLike,
    series: int | None = None,
    z: Indices = None,
    t: Indices = None,
    channel: int | Sequence[int] | None = None,
) -> ImageInfo:
    """What is in an image file: its axes and sizes, from its header. Of any size.

    Args:
        series, z, t, channel: What `read` is going to be asked for. Where a file doesn't say what its pages are, that
            says it.

    Raises:
        ImageError: As in `read`.
    """
    asked = Asked(z, t, channel)
    with opened(path, series) as (name, labels, found):
        found = asked.settled(found)
        return ImageInfo(
            name=name,
            format=found.format,
            width=found.width,
            height=found.height,
            dtype=found.dtype,
            is_rgb=found.is_rgb,
            sizes=found.sizes,
            channel_names=found.channel_names,
            channel_choices=channel_choices(found),
            pixel_size=found.pixel_size,
            guessed=found.guessed,
            series=tuple(labels),
            notes=found.notes,
        )


def read(
    path: str | os.PathLike,
    z: int | None = None,
    t: int | None = None,
    channel: int | Sequence[int] | None = None,
    series: int | None = None,
    max_pixels: int = MAX_PIXELS,
    pixel_size: float | None = None,
) -> MicroscopyImage:
    """Read one plane of an image file.

    Args:
        z: Z plane, from 0. `None`: the middle one.
        t: Time point, from 0. `None`: the first.
        channel: Channel, or several, from 0. `None`: the one that is named for a nuclear stain, or else the first. The
            channels of a colour image are its colours, 0 red, 1 green and 2 blue; `None` are all three.
        series: Which of several images in the file, from 0. `None`: the first.
        max_pixels: Width times height above which an image is refused before it is decoded.
        pixel_size: Side of a pixel in micrometres, in place of what the file says.

    Raises:
        ImageError: No image that can be read, too large a one, or no such plane. The message is for people.
    """
    asked = Asked(None if z is None else operator.index(z), None if t is None else operator.index(t), channel)
    with opened(path, series) as (name, labels, found):
        found = asked.settled(found.with_pixel_size(pixel_size))
        return _image(name, labels, found, series, asked.one(found, max_pixels), max_pixels)


def planes(
    path: str | os.PathLike,
    z: Indices = ALL,
    t: Indices = ALL,
    channel: int | Sequence[int] | None = None,
    series: int | None = None,
    max_pixels: int = MAX_PIXELS,
    pixel_size: float | None = None,
) -> Iterator[MicroscopyImage]:
    """Read planes of an image file one after the other: time point by time point, and of each from the first Z plane to
    the last. The file is opened once, and one plane is held at a time.

    Args:
        z, t: An index from 0, several, a slice, "all", or `None` for what `read` takes.
        channel, series, max_pixels, pixel_size: As in `read`.

    Raises:
        ImageError: As `read`; what is asked for is checked before the first plane is read.
    """
    asked = Asked(z, t, channel)
    with opened(path, series) as (name, labels, found):
        found = asked.settled(found.with_pixel_size(pixel_size))
        for plane in asked.every(found, max_pixels):
            yield _image(name, labels, found, series, plane, max_pixels)


def _image(
    name: str, labels: list[str], found: Series, series: int | None, plane: Plane, max_pixels: int
) -> MicroscopyImage:
    arrays: list[np.ndarray] = []
    more: list[str] = []
    for channel, colour in plane.parts:
        pixels, more = found.decode(plane.t, plane.z, channel, max_pixels)
        arrays.append(pixels if colour is None else pixels[..., colour].copy())
    pixels = np.stack(arrays, axis=-1) if len(arrays) > 1 else arrays[0]
    names = found.channel_names
    return MicroscopyImage(
        pixels=pixels,
        name=name,
        format=found.format,
        sizes=found.sizes,
        plane={"T": plane.t, "Z": plane.z},
        channels=plane.channels,
        channel_names=tuple(names[c] for c in plane.channels) if names and not found.is_rgb else (),
        pixel_size=found.pixel_size,
        notes=(
            *([several(labels)] if len(labels) > 1 and series is None else []),
            *plane.notes,
            *more,
            *_not_finite(pixels),
        ),
    )


def _not_finite(pixels: np.ndarray) -> list[str]:
    if pixels.dtype.kind != "f":
        return []
    n = pixels.size - int(np.count_nonzero(np.isfinite(pixels)))
    return [f"{n:,} of {pixels.size:,} values are not a number or infinite."] if n else []


# files and errors


@contextmanager
def opened(path: str | os.PathLike, series: int | None) -> Iterator[tuple[str, list[str], Series]]:
    """The name, all images' labels and the header of one: the first where `series` is `None`."""
    name, series, path = display_name(path), 0 if series is None else operator.index(series), Path(path)
    with explained(name), _open_file(path) as file:
        if file is None:
            labels, found = open_zarr(path, max(series, 0))
        else:
            labels, found = _opened(file, path, max(series, 0), trusted=False)
        if found is None or series < 0:
            raise ImageError(f"Series {series} was asked for, it has {len(labels)}: give 0 to {len(labels) - 1}.")
        yield name, [shown(label) for label in labels], found.fit_to_be_shown()


def open_trusted(path: Path, which: int) -> tuple[BinaryIO, list[str], Series | None]:
    """A file with all that can read it, in the sandbox: the open file, its images' labels and the header of one."""
    file = path.open("rb")
    return file, *_opened(file, path, which, trusted=True)


def _opened(file: BinaryIO, path: Path, which: int, trusted: bool) -> tuple[list[str], Series | None]:
    size = os.fstat(file.fileno()).st_size
    format = recognised(file, size)
    if format in KINDS.values():
        return open_vendor(path, format, which) if trusted else open_there(path, which)
    if format == "TIFF":
        try:
            return open_tiff(file, size, path.name, which, trusted)
        except NotHere:
            return open_there(path, which)
    bitmap = open_bitmap(file, format)
    return [bitmap.label], bitmap if which == 0 else None


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Around whatever reads an image: any error becomes an ImageError, which has the name."""
    try:
        with plain_words():
            yield
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error.__cause__


@contextmanager
def plain_words() -> Iterator[None]:
    """Any error becomes an ImageError for people."""
    try:
        yield
    except ImageError:
        raise
    except (MemoryError, DecompressionBombError) as error:
        raise ImageError("It is too large for the memory here. Crop it or give a smaller image.") from error
    except Exception as error:
        raise ImageError(
            "It can't be read: it is damaged, cut short or of a rare kind. Copy or download it again, or open it in "
            "Fiji and save it as TIFF."
        ) from error


def display_name(path: str | os.PathLike) -> str:
    """A file's name without folders, as `shown`: fit to name files by, too."""
    return shown(re.split(r"[\\/]", os.fsdecode(path).rstrip("\\/"))[-1])


def _open_file(path: Path) -> BinaryIO | nullcontext[None]:
    """The file, or of a Zarr folder nothing."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            if is_zarr(path):
                return nullcontext()
            raise ImageError("It is a folder, expected a file. Give one of the images in it.")
        if not stat.S_ISREG(mode):  # a pipe would be waited for, a device never end
            raise ImageError("It is a device or pipe, expected a file.")
        return path.open("rb")
    except FileNotFoundError as error:
        raise ImageError("There is no such file. Check its name and folder.") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        if isinstance(error, ImageError):
            raise
        raise ImageError("It can't be opened. Check its name and your permission to read it.") from error
