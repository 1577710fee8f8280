"""Label image and measurements -> the bytes of files that ImageJ, QuPath, napari and spreadsheets open.

Nothing is written here; whoever calls decides where the bytes go. Coordinates in files follow ImageJ and QuPath: the
first pixel reaches from 0 to 1.
"""

import io
import json
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import roifile
import tifffile
from PIL import Image
from scipy import ndimage
from skimage.measure import find_contours

from .overlay import colour_labels

MAX_16_BIT = 65535


@dataclass(frozen=True)
class Outline:
    """The edge of a nucleus, as closed rings (n, 2) of x, y with the first point repeated at the end, pixels.

    Attributes:
        label: Its number.
        ring: The outer edge.
        holes: The inner edges, if any.
    """

    label: int
    ring: np.ndarray
    holes: tuple[np.ndarray, ...]

    def moved(self, label: int, x: int, y: int) -> "Outline":
        """The same under another number, so many pixels to the right and down."""
        by = np.array([x, y])
        return Outline(label, self.ring + by, tuple(hole + by for hole in self.holes))


def label_tiff(labels: np.ndarray, pixel_size: tuple[float, float] | None = None) -> bytes:
    """Label image as TIFF: 16 bit, or 32 bit where there are more nuclei than 16 bits can number.

    The 16-bit file is ImageJ's kind: it holds the range to be shown, so that it doesn't look black there.

    Args:
        labels: (H, W), integers; 0 is background.
        pixel_size: Height and width of a pixel in micrometres, for the file's resolution.
    """
    top = int(labels.max(initial=0))
    file = io.BytesIO()
    resolution = None if pixel_size is None else (1 / pixel_size[1], 1 / pixel_size[0])
    if top <= MAX_16_BIT:
        shown: dict = {"axes": "YX", "min": 0, "max": max(top, 1)}
        if resolution:
            shown["unit"] = "um"
        tifffile.imwrite(
            file, labels.astype(np.uint16), imagej=True, resolution=resolution, metadata=shown, compression="zlib"
        )
    else:
        per_cm = None if resolution is None else (10_000 * resolution[0], 10_000 * resolution[1])
        unit = "NONE" if per_cm is None else "CENTIMETER"
        tifffile.imwrite(
            file, labels.astype(np.uint32), resolution=per_cm, resolutionunit=unit, metadata=None, compression="zlib"
        )
    return file.getvalue()


def png(picture: np.ndarray) -> bytes:
    """(H, W) or (H, W, 3) uint8 -> PNG."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "png")
    return file.getvalue()


def coloured_png(labels: np.ndarray) -> bytes:
    """Label image as a picture: every nucleus in a colour, black background."""
    return png(colour_labels(labels))


def outlines(labels: np.ndarray) -> Iterator[Outline]:
    """The outline of every nucleus, halfway between its edge pixels and their neighbours; rings don't cross themselves.

    Args:
        labels: (H, W), integers. Of a nucleus in several parts only the largest is outlined.
    """
    for label, box in enumerate(ndimage.find_objects(labels), 1):
        if box is None:
            continue
        origin = np.array([box[1].start, box[0].start]) - 0.5  # padded by one pixel; pixel centres are at .5
        rings = [c[:, ::-1] + origin for c in find_contours(np.pad(labels[box] == label, 1).astype(np.float32), 0.5)]
        outer = max(rings, key=lambda ring: abs(_area(ring)))
        holes = tuple(r for r in rings if r is not outer and _area(r) * _area(outer) < 0 and _holds(outer, r))
        yield Outline(label, _straightened(outer), tuple(_straightened(r) for r in holes))


def roi_zip(labels: np.ndarray, name: str = "nucleus") -> bytes:
    """ImageJ's RoiSet.zip, one polygon a nucleus, for its ROI manager. Holes are not in it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for outline in outlines(labels):
            title = f"{name}-{outline.label:05d}"
            roi = roifile.ImagejRoi.frompoints(outline.ring[:-1], name=title)
            roi.roitype = roifile.ROI_TYPE.POLYGON
            archive.writestr(f"{title}.roi", roi.tobytes())
    return file.getvalue()


def geojson(labels: np.ndarray, table: Mapping[str, np.ndarray] | None = None, name: str = "Nucleus") -> bytes:
    """Detections for QuPath (File > Import objects), pixels.

    Args:
        labels: (H, W), integers.
        table: Measurements, from `measure` of the same labels; they become QuPath's.
        name: Of the classification.
    """
    columns = {k: v for k, v in (table or {}).items() if k != "label"}
    row_of = {int(label): i for i, label in enumerate(table["label"])} if table else {}
    features = []
    for outline in outlines(labels):
        i = row_of.get(outline.label)
        measured = None if i is None else {key: float(column[i]) for key, column in columns.items()}
        features.append(feature(outline, measured, name))
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


def feature(outline: Outline, measured: Mapping[str, float] | None, name: str) -> dict:
    """One nucleus of `geojson`."""
    properties: dict = {
        "objectType": "detection",
        "name": str(outline.label),
        "classification": {"name": name, "color": [86, 180, 233]},
    }
    if measured is not None:
        properties["measurements"] = {key: round(value, 6) for key, value in measured.items()}
    rings = [np.round(ring, 2).tolist() for ring in (outline.ring, *outline.holes)]
    geometry = {"type": "Polygon", "coordinates": rings}
    return {"type": "Feature", "id": _uuid(name, outline), "geometry": geometry, "properties": properties}


def readme(facts: Mapping[str, Mapping[str, object]]) -> bytes:
    """README.txt: headings, each with lines of "name: value"; `None` is written as "-".

    Args:
        facts: By heading, what is to be known to repeat the result.
    """
    lines = ["Nuclei found by nuclei-models", ""]
    for heading, values in facts.items():
        lines += [heading, "-" * len(heading)]
        lines += [f"{name}: {'-' if value is None else value}" for name, value in values.items()]
        lines.append("")
    return "\n".join(lines).encode()


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Files by name -> one zip."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def _area(ring: np.ndarray) -> float:
    """Signed area of a closed ring, by the shoelace formula."""
    x, y = ring.T
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2)


def _holds(outer: np.ndarray, inner: np.ndarray) -> bool:
    """Whether a ring's box lies within another's: of a nucleus in one part, every other ring is a hole of it."""
    return bool((inner.min(0) >= outer.min(0)).all() and (inner.max(0) <= outer.max(0)).all())


def _straightened(ring: np.ndarray) -> np.ndarray:
    """A closed ring without the points that lie on a straight line between their neighbours."""
    points = ring[:-1]
    before, after = points - np.roll(points, 1, 0), np.roll(points, -1, 0) - points
    turns = np.abs(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]) > 1e-9
    points = points[turns]
    return np.vstack([points, points[:1]])


def _uuid(name: str, outline: Outline) -> str:
    """QuPath wants an id in the form of a UUID; the same nucleus gets the same."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{name} {outline.label} {outline.ring.tolist()}"))
