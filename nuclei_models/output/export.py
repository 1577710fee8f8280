"""Label image and measurements -> the bytes of files that ImageJ, QuPath, napari and spreadsheets open.

Whoever calls decides where the bytes go. Positions in files are as in ImageJ and QuPath, and as in `measure`: the first
pixel reaches from 0 to 1.
"""

import io
import json
import uuid
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

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
        parts: Of each of its parts, the largest first, the outer edge, and then the inner edges, if any.
    """

    label: int
    parts: tuple[tuple[np.ndarray, ...], ...]

    @property
    def ring(self) -> np.ndarray:
        """The outer edge of the largest part."""
        return self.parts[0][0]

    def moved(self, label: int, x: int, y: int, times: int = 1) -> "Outline":
        """The same under another number, so many times as large, and then so many pixels to the right and down."""
        by = np.array([x, y])
        return Outline(label, tuple(tuple(ring * times + by for ring in part) for part in self.parts))


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
    Image.fromarray(picture).save(file, "png", compress_level=3)  # a third of the default's time, and no larger
    return file.getvalue()


def coloured_png(labels: np.ndarray) -> bytes:
    """Label image as a picture: every nucleus in a colour, black background."""
    return png(colour_labels(labels))


def outlines(labels: np.ndarray) -> Iterator[Outline]:
    """The outline of every nucleus, halfway between its edge pixels and their neighbours; rings don't cross themselves.

    Args:
        labels: (H, W), integers.
    """
    for label, box in enumerate(ndimage.find_objects(labels), 1):
        if box is None:
            continue
        origin = np.array([box[1].start, box[0].start]) - 0.5  # padded by one pixel; pixel centres are at .5
        mask = np.pad(labels[box] == label, 1)
        rings = [_straightened(c[:, ::-1] + origin) for c in find_contours(mask.astype(np.float32), 0.5)]
        rings.sort(key=lambda ring: -abs(_area(ring)))
        around = [ring for ring in rings if _area(ring) * _area(rings[0]) > 0]
        holes: list[list[np.ndarray]] = [[] for _ in around]
        for ring in rings:
            if _area(ring) * _area(rings[0]) < 0:  # a hole, of the smallest part around it
                holes[max(i for i, outer in enumerate(around) if _holds(outer, ring))].append(ring)
        yield Outline(label, tuple((outer, *inner) for outer, inner in zip(around, holes, strict=True)))


def roi_zip(labels: np.ndarray, name: str = "nucleus", mended: Collection[int] = ()) -> bytes:
    """ImageJ's RoiSet.zip, one polygon a nucleus, for its ROI manager. Holes are not in it, and a nucleus in several
    parts has a polygon each. The names of nuclei whose numbers are in `mended` end in "-mended"."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for outline in outlines(labels):
            add_rois(archive, [outline], name, ending="-mended" if outline.label in mended else "")
    return file.getvalue()


def write_roi_zip(
    file: IO[bytes], found: Iterable[Outline], name: str, z: int | None = None, t: int | None = None
) -> None:
    """The same of any outlines.

    Args:
        z, t: Plane and time point that they belong to, from 0, in a stack.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        add_rois(archive, found, name, z, t)


def add_rois(
    archive: zipfile.ZipFile,
    found: Iterable[Outline],
    name: str,
    z: int | None = None,
    t: int | None = None,
    ending: str = "",
) -> None:
    """Add outlines to a zip of ROIs, whose names get this ending; see `write_roi_zip`."""
    for outline in found:
        for i, (ring, *_) in enumerate(outline.parts, 1):
            title = f"{name}-{outline.label:05d}" + (f"-{i}" if i > 1 else "") + ending
            roi = roifile.ImagejRoi.frompoints(ring[:-1], name=title, z=z, t=t)
            roi.roitype = roifile.ROI_TYPE.POLYGON
            archive.writestr(f"{title}.roi", roi.tobytes())


def geojson(labels: np.ndarray, table: Mapping[str, np.ndarray] | None = None, name: str = "Nucleus") -> bytes:
    """Detections for QuPath (File > Import objects), one a nucleus, pixels.

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
        measured = None if i is None else {key: column[i] for key, column in columns.items()}
        features.append(feature(outline, measured, name))
    return json.dumps({"type": "FeatureCollection", "features": features}, allow_nan=False).encode()


def feature(outline: Outline, measured: Mapping[str, Any] | None, name: str) -> dict:
    """One nucleus of `geojson`. What isn't a finite number is left out: JSON and QuPath know none."""
    properties: dict = {
        "objectType": "detection",
        "name": str(outline.label),
        "classification": {"name": name, "color": [86, 180, 233]},
    }
    if measured is not None:
        texts = {key: str(value) for key, value in measured.items() if isinstance(value, str)}
        numbers = {key: float(value) for key, value in measured.items() if key not in texts and np.isfinite(value)}
        properties["measurements"] = {key: round(value, 6) for key, value in numbers.items()}
        if texts:
            properties["metadata"] = texts  # QuPath's place for them
    parts = [[np.round(ring, 2).tolist() for ring in part] for part in outline.parts]
    geometry = {"type": "Polygon", "coordinates": parts[0]}
    if len(parts) > 1:
        geometry = {"type": "MultiPolygon", "coordinates": parts}
    return {"type": "Feature", "id": _uuid(name, outline), "geometry": geometry, "properties": properties}


def readme(facts: Mapping[str, Mapping[str, object]]) -> bytes:
    """README.txt: headings, each with lines of "name: value"; `None` is written as "-".

    Args:
        facts: By heading, what is to be known to repeat the result.
    """
    lines = ["Nuclei found by nuclei-models", ""]
    for heading, values in facts.items():
        lines += [heading, "-" * len(heading)]
        lines += [_one_line(f"{name}: {'-' if value is None else value}") for name, value in values.items()]
        lines.append("")
    return "\n".join(lines).encode(errors="backslashreplace")


def _one_line(text: str) -> str:
    """Text as it is, but that a file's own words can't break the line or turn it round."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


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
    """Whether a ring's box lies within another's."""
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
