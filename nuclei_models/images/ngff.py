"""OME-Zarr (NGFF 0.1 to 0.5, Zarr 2 and 3): a folder of chunks -> images with time points, Z planes and channels.

Of a pyramid the first, finest level is read. A Zarr array without NGFF's description is read if it is a plane.
"""

import math
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from .series import ImageError, Series, check_size
from .units import MICROMETRES, plausible

MAX_CHUNK = 1 << 30  # bytes, unpacked
AT_ONCE = 64 << 20  # bytes of chunks that are unpacked side by side
MARKS = ("zarr.json", ".zgroup", ".zarray")  # a folder that has one of these is Zarr
_UNITS = MICROMETRES | {"micrometer": 1.0, "nanometer": 1e-3, "millimeter": 1e3, "meter": 1e6, "angstrom": 1e-4}
_RGB = (["r", "g", "b"], ["red", "green", "blue"])
_NO_NAME = re.compile(r"(channel)?[ :_-]*\d*", re.IGNORECASE)


def is_zarr(path: Path) -> bool:
    """Whether this is a folder of Zarr's."""
    return any((path / mark).is_file() for mark in MARKS)


def open_zarr(path: Path, which: int) -> tuple[list[str], Series | None]:
    """The header of an OME-Zarr.

    Args:
        which: Which of its images, where it holds several (bioformats2raw's layout).

    Returns:
        The label of each image, and the one asked for, or `None` if there are fewer.

    Raises:
        ImageError: No zarr package here, or an image that isn't read.
    """
    try:
        import zarr
    except ImportError as error:
        raise ImageError('It is a Zarr folder, which needs one more package: pip install "zarr>=3.1".') from error
    node = zarr.open(path, mode="r")
    if isinstance(node, zarr.Array):
        series = _series(node, _names_for(node), {}, {})
        return [series.label], series if which == 0 else None
    about = _about(node)
    if "plate" in about:
        raise ImageError("It is a plate of many images: give one of them, as in plate.zarr/A/1/0.")
    if "multiscales" in about:
        images = [node]
    else:
        groups = dict(node.groups())
        images = [groups[str(i)] for i in range(len(groups)) if str(i) in groups]
        images = [image for image in images if "multiscales" in _about(image)]
    if not images:
        raise ImageError(
            'It is a Zarr folder without an image: its attributes lack "multiscales". Give the image in it.'
        )
    labels = [str(_about(image)["multiscales"][0].get("name") or f"image {i}") for i, image in enumerate(images)]
    if which >= len(images):
        return labels, None
    about = _about(images[which])
    scales = about["multiscales"][0]
    finest = scales["datasets"][0]
    array = images[which][finest["path"]]
    if not isinstance(array, zarr.Array):
        raise ImageError(f"Its finest level {finest['path']!r} is no array: it is damaged. Export it again.")
    return labels, _series(array, _axes(scales, array.ndim), about, {"scales": scales, "finest": finest})


def few_chunks(array: Any) -> AbstractContextManager[Any]:
    """Within it Zarr packs and unpacks only so many of an array's chunks side by side as take `AT_ONCE` bytes, at least
    one. By itself it takes ten, of whatever size."""
    import zarr

    n = AT_ONCE // (math.prod(array.chunks) * array.dtype.itemsize)
    return zarr.config.set({"async.concurrency": min(max(n, 1), 10)})


def _about(group: Any) -> dict[str, Any]:
    """NGFF's attributes, which 0.5 puts one level down."""
    attributes = dict(group.attrs)
    inner = attributes.get("ome")
    return inner if isinstance(inner, dict) else attributes


def _axes(scales: dict[str, Any], n: int) -> list[dict[str, str]]:
    """Each with a name, lower case; 0.1 and 0.2 have all five, 0.3 only names."""
    axes = scales.get("axes") or list("tczyx")
    named = [{"name": axis} if isinstance(axis, str) else axis for axis in axes]
    names = [axis["name"].lower() for axis in named]
    if len(names) != n or len(set(names)) != n or names[-2:] != ["y", "x"] or not set(names) <= set("tczyx"):
        raise ImageError(f"Its {n} axes are {names}, expected some of t, c, z, and y, x last. Save it in that order.")
    return [axis | {"name": name} for axis, name in zip(named, names, strict=True)]


def _names_for(array: Any) -> list[dict[str, str]]:
    if array.ndim < 2 or math.prod(array.shape[:-2]) != 1:
        raise ImageError(
            f"It is a Zarr array of shape {array.shape} without names for its axes: save it as OME-Zarr, or as a plane."
        )
    return [{"name": name} for name in "tczyx"[-array.ndim :]]


def _series(array: Any, axes: list[dict[str, str]], about: dict[str, Any], level: dict[str, Any]) -> Series:
    if array.dtype.kind not in "buif":
        raise ImageError(f"Its pixels are of type {array.dtype}, expected integers or reals. Save it as 16-bit.")
    if math.prod(array.chunks) * array.dtype.itemsize > MAX_CHUNK:
        raise ImageError(
            f"Its chunks are of shape {array.chunks}, more than {MAX_CHUNK >> 30} GB. Save it in smaller ones."
        )
    names = [axis["name"] for axis in axes]
    length = dict(zip(names, array.shape, strict=True))
    if 0 in array.shape:
        raise ImageError(f"It is of shape {array.shape} and has no pixels. Export it again.")
    channels = [c if isinstance(c, dict) else {} for c in (about.get("omero") or {}).get("channels") or []]
    channel_names = tuple(str(c.get("label") or "") for c in channels)
    is_rgb = _is_rgb(array.dtype, length.get("c", 1), channel_names, [str(c.get("color") or "") for c in channels])
    if is_rgb or len(channel_names) != length.get("c", 1) or not any(channel_names):
        channel_names = ()

    def window(t: int, z: int, c: int) -> Callable[[slice, slice], np.ndarray]:
        at: dict[str, int | slice] = {"t": t, "z": z, "c": slice(None) if is_rgb else c}
        lead = tuple(at[name] for name in names[:-2])

        def read(rows: slice, cols: slice) -> np.ndarray:
            with few_chunks(array):
                pixels = np.asarray(array[(*lead, rows, cols)])
            pixels = pixels.astype(np.uint8) * np.uint8(255) if pixels.dtype == bool else pixels
            pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
            return np.moveaxis(pixels, 0, -1) if is_rgb else pixels

        return read

    def decode(t: int, z: int, c: int, max_pixels: int) -> tuple[np.ndarray, list[str]]:
        check_size(length["x"], length["y"], array.dtype.itemsize * (3 if is_rgb else 1), max_pixels)
        return window(t, z, c)(slice(0, length["y"]), slice(0, length["x"])), []

    return Series(
        format="OME-Zarr" if level else "Zarr",
        label=str((level.get("scales") or {}).get("name") or "unnamed"),
        width=length["x"],
        height=length["y"],
        dtype=np.dtype(np.uint8) if array.dtype == bool else array.dtype.newbyteorder("="),
        is_rgb=is_rgb,
        sizes={"T": length.get("t", 1), "Z": length.get("z", 1), "C": 1 if is_rgb else length.get("c", 1)},
        channel_names=channel_names,
        pixel_size=_pixel_size(axes, level),
        notes=(),
        decode=decode,
        window=window,
    )


def _is_rgb(dtype: np.dtype, n: int, names: tuple[str, ...], colours: list[str]) -> bool:
    """Whether three channels are the colours of one picture: they are called so, or have no names but the colours."""
    if n != 3 or dtype != np.uint8:
        return False
    if not all(_NO_NAME.fullmatch(name) for name in names):
        return [name.lower() for name in names] in _RGB
    return [colour.upper()[:6] for colour in colours] == ["FF0000", "00FF00", "0000FF"]


def _pixel_size(axes: list[dict[str, str]], level: dict[str, Any]) -> tuple[float, float] | None:
    """In micrometres, where the axes have a unit of length."""
    size = [1.0, 1.0]
    for holder in level.values():
        for step in holder.get("coordinateTransformations") or []:
            if step.get("type") == "scale" and len(step.get("scale") or []) == len(axes):
                size = [n * float(factor) for n, factor in zip(size, step["scale"][-2:], strict=True)]
    units = [_UNITS.get(axis.get("unit") or "") for axis in axes[-2:]]
    if units[0] is None or units[1] is None:
        return None
    return plausible(size[0] * units[0], size[1] * units[1])
