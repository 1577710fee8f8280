"""Zeiss CZI, Leica LIF and Nikon ND2 -> images, by czifile, liffile and nd2, which are an extra.

Only the sandbox opens these: see `sandbox.py`.
"""

import itertools
import math
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import imagecodecs
import numpy as np

from .series import MAX_PIXELS, ImageError, Series, check_size
from .units import plausible

KINDS = {b"ZISRAWFILE": "CZI", b"\x70\0\0\0": "LIF", b"\xda\xce\xbe\x0a": "ND2"}  # by their first bytes
EXTENSIONS = (".czi", ".lif", ".nd2")
_NEEDED = {"CZI": "czifile", "LIF": "liffile", "ND2": "nd2"}
_MAX_XML = 32_000_000

Plane = Callable[[slice, slice], np.ndarray]


def open_vendor(path: Path, kind: str, which: int) -> tuple[list[str], Series | None]:
    """The header of a file of one of the `KINDS`, as the readers of the other formats. Raises ImageError without the
    package that it needs."""
    try:
        module = __import__(_NEEDED[kind])
    except ImportError as error:
        raise ImageError(
            f'It is a {kind} file, which needs more packages: pip install "nuclei-models[vendor]", or pip install '
            f"{_NEEDED[kind]}. Or open it in Fiji (File > Import > Bio-Formats) and save it as TIFF."
        ) from error
    images = list({"CZI": _czi, "LIF": _lif, "ND2": _nd2}[kind](module, path))
    if not images:
        raise ImageError(f"It is a {kind} file without an image.")
    return [label for label, _ in images], images[which][1]() if which < len(images) else None


def _series(
    kind: str,
    label: str,
    sizes: dict[str, int],
    dtype: np.dtype,
    plane: Callable[[int, int, int], Plane],
    names: list[str],
    pixel: tuple[float, float] | None,
    left_out: dict[str, int],
) -> Series:
    height, width, n, is_rgb = sizes["Y"], sizes["X"], sizes.get("C", 1), sizes.get("S", 1) >= 3
    if np.dtype(dtype).kind not in "uif":
        raise ImageError(f"Its pixels are of type {dtype}, expected integers or reals.")

    def decode(t: int, z: int, c: int, max_pixels: int) -> tuple[np.ndarray, list[str]]:
        check_size(width, height, np.dtype(dtype).itemsize * (3 if is_rgb else 1), max_pixels)
        return plane(t, z, c)(slice(0, height), slice(0, width)), []

    return Series(
        format=kind,
        label=label,
        width=width,
        height=height,
        dtype=np.dtype(dtype).newbyteorder("="),
        is_rgb=is_rgb,
        sizes={"T": sizes.get("T", 1), "Z": sizes.get("Z", 1), "C": n},
        channel_names=tuple(names) if len(names) == n and any(names) else (),
        pixel_size=pixel,
        notes=tuple(
            f"{n} positions along its axis {axis}: the first is used." for axis, n in left_out.items() if n > 1
        ),
        decode=decode,
        window=plane,
    )


def _cut(frame: Callable[[], np.ndarray], is_rgb: bool) -> Plane:
    """Windows of a plane that can only be read whole."""
    whole = lru_cache(maxsize=1)(lambda: frame()[..., :3] if is_rgb else frame())
    return lambda rows, cols: np.ascontiguousarray(whole()[rows, cols])


# Zeiss


def _czi(czifile: Any, path: Path) -> Iterator[tuple[str, Callable[[], Series]]]:
    """One image a scene, put together from tiles of the finest level."""
    file = czifile.CziFile(str(path), multifile=False)
    xml = file.metadata() or "<none/>"
    root = ElementTree.fromstring(xml if len(xml) < _MAX_XML and "<!" not in xml else "<none/>")
    scenes: dict[int, list[tuple[dict[str, int], Any]]] = {}
    for entry in file.subblock_directory:
        at = {dim.dimension: dim for dim in entry.dimension_entries}
        if all(at[a].stored_size == at[a].size for a in "XY"):  # else of a pyramid
            start = {name: int(dim.start) for name, dim in at.items()}
            scenes.setdefault(start.get("S", 0), []).append((start, entry))
    for scene, tiles in sorted(scenes.items()):
        yield f"scene {scene + 1}", lambda tiles=tiles, scene=scene: _czi_scene(f"scene {scene + 1}", tiles, root)  # type: ignore[misc]


def _czi_scene(label: str, tiles: list[tuple[dict[str, int], Any]], root: ElementTree.Element) -> Series:
    def span(axis: str) -> tuple[int, int]:
        ends = [(start.get(axis, 0), start.get(axis, 0) + _size(entry, axis)) for start, entry in tiles]
        return min(s for s, _ in ends), max(e for _, e in ends)

    first = {axis: span(axis)[0] for axis in "TZCYX"}
    sizes = {axis: span(axis)[1] - first[axis] for axis in "TZCYX"}
    dtype = np.dtype(tiles[0][1].dtype)
    sizes["S"] = dtype.shape[0] if dtype.shape else 1
    others = {axis for start, _ in tiles for axis in start} - set("TZCYXSM")
    where: dict[tuple[int, ...], list[tuple[dict[str, int], Any]]] = {}
    for start, entry in sorted(tiles, key=lambda tile: tile[0].get("M", 0)):
        if not any(start[axis] for axis in others & start.keys()):
            where.setdefault(tuple(start.get(axis, 0) - first[axis] for axis in "TZC"), []).append((start, entry))

    @lru_cache(maxsize=8)
    def tile(entry: Any) -> np.ndarray:
        return _czi_pixels(entry)

    def plane(t: int, z: int, c: int) -> Plane:
        def read(rows: slice, cols: slice) -> np.ndarray:
            depth = (3,) if sizes["S"] > 1 else ()
            out = np.zeros((rows.stop - rows.start, cols.stop - cols.start, *depth), dtype.base)
            for start, entry in where.get((t, z, c), []):
                y, x = start["Y"] - first["Y"], start["X"] - first["X"]
                top, bottom = max(rows.start, y), min(rows.stop, y + _size(entry, "Y"))
                left, right = max(cols.start, x), min(cols.stop, x + _size(entry, "X"))
                if top < bottom and left < right:
                    part = tile(entry)[top - y : bottom - y, left - x : right - x]
                    out[top - rows.start : bottom - rows.start, left - cols.start : right - cols.start] = part
            return out

        return read

    channels = root.findall(".//Dimensions/Channels/Channel")
    names = [channel.get("Name") or channel.findtext("Fluor") or "" for channel in channels]
    metres = [float(root.findtext(f".//Scaling/Items/Distance[@Id='{a}']/Value") or 0) * 1e6 for a in "YX"]
    extra = {axis: len({start.get(axis, 0) for start, _ in tiles}) for axis in sorted(others)}
    return _series("CZI", label, sizes, dtype.base, plane, names, plausible(*metres), extra)


def _size(entry: Any, axis: str) -> int:
    return next((int(dim.size) for dim in entry.dimension_entries if dim.dimension == axis), 1)


def _czi_pixels(entry: Any) -> np.ndarray:
    """A tile: (h, w) or (h, w, 3) RGB."""
    dtype, height, width = np.dtype(entry.dtype), _size(entry, "Y"), _size(entry, "X")
    samples = dtype.shape[0] if dtype.shape else 1
    check_size(width, height, dtype.itemsize, MAX_PIXELS)
    data, n_bytes = entry.data_segment().data(raw=True), height * width * dtype.itemsize
    if entry.compression in (1, 4):
        pixels = imagecodecs.jpeg8_decode(data) if entry.compression == 1 else imagecodecs.jpegxr_decode(data)
        return pixels.reshape(height, width, -1)[..., :3] if samples > 1 else pixels.reshape(height, width)
    if entry.compression == 2:
        data = imagecodecs.lzw_decode(data, out=n_bytes)
    elif entry.compression in (5, 6):
        header = data[0] if entry.compression == 6 else 0
        high_low = header == 3 and data[2] & 1
        data = imagecodecs.zstd_decode(data[header:], out=n_bytes)
        if high_low:  # all low bytes, then all high ones
            data = np.frombuffer(data, np.uint8).reshape(2, -1).T.tobytes()
    elif entry.compression:
        raise ImageError(f"Its pixels are compressed by a scheme {entry.compression} that isn't read here.")
    pixels = np.frombuffer(data, dtype.base, height * width * samples).reshape(height, width, samples)
    return pixels[..., 2::-1] if samples > 1 else pixels[..., 0]  # BGR


# Leica


def _lif(liffile: Any, path: Path) -> Iterator[tuple[str, Callable[[], Series]]]:
    file = liffile.LifFile(str(path))
    for number, image in enumerate(file.images):
        if {"Y", "X"} <= set(image.sizes):
            yield str(image.name or f"image {number + 1}"), lambda image=image: _lif_image(image)  # type: ignore[misc]


def _lif_image(image: Any) -> Series:
    sizes = dict(image.sizes)
    check_size(sizes["X"], sizes["Y"], image.dtype.itemsize, MAX_PIXELS)

    def plane(t: int, z: int, c: int) -> Plane:
        at = {axis: i for axis, i in (("T", t), ("Z", z), ("C", c)) if axis in sizes}
        return _cut(lambda: np.asarray(image.frame(**at)), sizes.get("S", 1) >= 3)

    steps = [np.diff(image.coords[a][:2])[0] * 1e6 if a in image.coords and sizes[a] > 1 else 0.0 for a in "YX"]
    extra = {axis: n for axis, n in sizes.items() if axis not in "TZCYXS"}
    return _series("LIF", image.name, sizes, image.dtype, plane, [], plausible(*map(float, steps)), extra)


# Nikon


def _nd2(nd2: Any, path: Path) -> Iterator[tuple[str, Callable[[], Series]]]:
    """One image a position."""
    file = nd2.ND2File(str(path))
    for position in range(file.sizes.get("P", 1)):
        yield f"position {position + 1}", lambda position=position: _nd2_position(file, position)  # type: ignore[misc]


def _nd2_position(file: Any, position: int) -> Series:
    sizes = dict(file.sizes)
    check_size(sizes["X"], sizes["Y"], file.dtype.itemsize, MAX_PIXELS)
    loops = [axis for axis in sizes if axis not in "CYXS"]
    if math.prod(sizes[axis] for axis in loops) > 10_000_000:
        raise ImageError("It states more planes than are read.")
    places = itertools.product(*(range(sizes[axis]) for axis in loops))
    numbers = {place: number for number, place in enumerate(places)}

    def plane(t: int, z: int, c: int) -> Plane:
        at = {"T": t, "Z": z, "P": position}
        frame = numbers[tuple(at.get(axis, 0) for axis in loops)]

        def pixels() -> np.ndarray:
            stored = np.asarray(file.read_frame(frame))
            return stored[c] if sizes.get("C", 1) > 1 and stored.ndim > 2 else stored

        return _cut(pixels, sizes.get("S", 1) >= 3)

    channels = file.metadata.channels or []
    names = [re.sub(r"\s+", " ", str(channel.channel.name)) for channel in channels]
    volume = channels[0].volume if channels else None
    x, y = volume.axesCalibration[:2] if volume and all(volume.axesCalibrated[:2]) else (0.0, 0.0)
    extra = {axis: n for axis, n in sizes.items() if axis not in "TZCYXSP"}
    size = plausible(float(y), float(x))
    return _series("ND2", f"position {position + 1}", sizes, file.dtype, plane, names, size, extra)
