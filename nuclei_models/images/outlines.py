"""Outlines -> label image: ImageJ's ROIs and QuPath's GeoJSON.

In both the first pixel reaches from 0 to 1: a pixel is inside where its centre, at .5, is.
"""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import roifile
from skimage.draw import polygon

from .series import ImageError

Rings = list[np.ndarray]  # closed rings of x, y; what an even number of them surrounds is outside
_AREAS = {"POLYGON", "RECT", "OVAL", "FREEHAND", "TRACED"}
SQUARE = 256  # pixels
NUCLEI, REGIONS = ("detection", "cell"), ("annotation",)  # QuPath's types of objects


class Area(NamedTuple):
    """An object of a file, and its name there, or ""."""

    name: str
    rings: Rings


def inside(rings: Rings, shape: tuple[int, int]) -> tuple[tuple[slice, slice], np.ndarray] | None:
    """The box of an object within an image, and which of the box's pixels are the object's; `None` where none is."""
    corners = np.concatenate(rings)
    low = np.maximum(np.floor(corners.min(0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(corners.max(0)).astype(int) + 1, shape[::-1])
    if (high <= low).any():
        return None
    found = np.zeros((high[1] - low[1], high[0] - low[0]), bool)
    for ring in rings:
        _turn_over(found, *(np.asarray(ring, float) - 0.5 - low).T)
    return ((slice(low[1], high[1]), slice(low[0], high[0])), found) if found.any() else None


def _turn_over(pixels: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    """Turn over the pixels within a ring, square by square: one that no edge comes near is wholly inside or outside."""
    ends = [(np.minimum(n, np.roll(n, -1)), np.maximum(n, np.roll(n, -1))) for n in (y, x)]
    for top in range(0, pixels.shape[0], SQUARE):
        for left in range(0, pixels.shape[1], SQUARE):
            part = pixels[top : top + SQUARE, left : left + SQUARE]
            near = np.ones(len(x), bool)
            for (low, high), start, n in zip(ends, (top, left), part.shape, strict=True):
                near &= (low <= start + n) & (high >= start - 1)
            if near.any():
                part[polygon(y - top, x - left, part.shape)] ^= True
            elif len(polygon(y - top, x - left, (1, 1))[0]):
                part ^= True


def draw(objects: list[Rings], shape: tuple[int, int], name: str) -> tuple[np.ndarray, list[str]]:
    """Number the objects 1 .. n in their order; a pixel of two is the later's.

    Args:
        objects: The rings of each.
        shape: Height and width of the image.
        name: The file's, for what is said.

    Returns:
        (H, W) int32 labels, and sentences about objects that are not in them.

    Raises:
        ImageError: Every object lies outside the image.
    """
    labels = np.zeros(shape, np.int32)
    outside = 0
    for number, rings in enumerate(objects, 1):
        if (found := inside(rings, shape)) is None:
            outside += 1
            continue
        box, pixels = found
        labels[box][pixels] = number
    if outside == len(objects) and objects:
        raise ImageError(
            f"{name}: None of its {len(objects)} outlines lies in the image, which is {shape[0]} x {shape[1]} pixels "
            "(height x width): it belongs to another image, or is in micrometres."
        )
    hidden = len(objects) - outside - len(np.unique(labels[labels > 0]))
    notes = [f"{name}: {outside} outline(s) outside the image or without a pixel are left out."] if outside else []
    notes += [f"{name}: {hidden} outline(s) lie wholly under others and are left out."] if hidden else []
    return labels, notes


def read_rois(path: Path, what: str = "nuclei") -> tuple[list[Area], list[str]]:
    """The areas of an ImageJ `.roi`, or of a zip of them, and sentences about what else is in it.

    Args:
        what: What the areas are, for what is said.

    Raises:
        ImageError: The file is damaged or holds no area.
    """
    try:
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as archive:
                names = [n for n in archive.namelist() if n.lower().endswith(".roi") and not n.startswith("__MACOSX")]
                rois = [roifile.ImagejRoi.frombytes(archive.read(name)) for name in names]
        else:
            rois = [roifile.ImagejRoi.frombytes(path.read_bytes())]
        areas = [roi for roi in rois if roi.roitype.name in _AREAS]
        objects = [Area(roi.name or "", _rings(roi)) for roi in areas]
    except Exception as error:  # of any type: what a damaged file comes to depends on where it is damaged
        raise ImageError(f"{path.name}: It holds no ImageJ ROIs that can be read ({error}). Save it again.") from error
    others = len(rois) - len(areas)
    notes = [f"{path.name}: {others} line(s) or point(s) are no {what} and are left out."] if others else []
    if not areas:
        raise ImageError(
            f"{path.name}: It holds no outline of an area. Draw the {what} as polygons, freehand or ovals."
        )
    return objects, notes


def _rings(roi: roifile.ImagejRoi) -> Rings:
    rings = roi.coordinates(multi=True)
    return [np.asarray(ring, float) for ring in rings if len(ring) > 2]


def read_geojson(path: Path, kinds: tuple[str, ...] = NUCLEI, what: str = "nuclei") -> tuple[list[Area], list[str]]:
    """The objects of QuPath's GeoJSON, and sentences about what else is in it. Of cells the nucleus is taken.

    Args:
        kinds: QuPath's types of the objects that are wanted. Where there are such, the others are left out; where
            there is none, all are taken.
        what: What the objects are, for what is said.

    Raises:
        ImageError: The file isn't GeoJSON or holds no polygon.
    """
    try:
        content = json.loads(path.read_bytes())
        features = content if isinstance(content, list) else content.get("features", [content])
        found = [(f.get("properties") or {}).get("objectType", "annotation") in kinds for f in features]
        chosen = [f for f, wanted in zip(features, found, strict=True) if wanted or not any(found)]
        objects = [Area(_name(f), rings) for f in chosen if (rings := list(_polygons(f)))]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ImageError(
            f"{path.name}: It isn't GeoJSON of objects ({error!r}). Export it from QuPath again."
        ) from error
    if not objects:
        raise ImageError(f"{path.name}: It holds no polygon. In QuPath: File > Export objects as GeoJSON.")
    left = len(features) - len(objects)
    return objects, [f"{path.name}: {left} object(s) that are no {what} are left out."] if left else []


def _name(feature: dict[str, Any]) -> str:
    """The object's name, or its class."""
    said = feature.get("properties") or {}
    kind = said.get("classification")
    return str(said.get("name") or (kind.get("name") if isinstance(kind, dict) else kind) or "")


def _polygons(feature: dict[str, Any]) -> Iterator[np.ndarray]:
    geometry = feature.get("nucleusGeometry") or feature["geometry"]
    kind, coordinates = geometry["type"], geometry.get("coordinates", [])
    polygons = coordinates if kind == "MultiPolygon" else [coordinates] if kind == "Polygon" else []
    for rings in polygons:
        for ring in rings:
            yield np.asarray(ring, float).reshape(len(ring), -1)[:, :2]
