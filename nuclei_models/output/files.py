"""One segmentation -> its result files; the page and the command line share it."""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import numpy as np

from . import export
from .display import to_display
from .overlay import draw_overlay
from .tables import table_csv

README = "README.txt"
FILES = {
    "labels.tif": "0 is background, every nucleus has its number; looks dark in viewers that don't stretch it",
    "coloured.png, overlay.png": "for the eye",
    "measurements.csv": "_px in pixels, _um in micrometres, _um2 in square micrometres; intensity as in the image; "
    "docs/measurements.md lists the columns",
    "rois.zip": "ImageJ: drag it onto the main window, or ROI Manager > More > Open",
    "qupath.geojson": "QuPath: File > Import objects from file",
    "mended": "1 in the table and in QuPath, and in the names of ROIs: nuclei that a person added or changed",
    "positions": "in all files as in ImageJ and QuPath: x to the right, y down, in pixels from the image's upper left "
    "corner; the centre of the first pixel is at 0.5, 0.5",
}

Table = Mapping[str, np.ndarray]


class Kind(NamedTuple):
    """A file of results: how its name ends, and what it is called."""

    ending: str
    title: str


KINDS = {
    "labels": Kind("labels.tif", "Labels (TIFF)"),
    "coloured": Kind("coloured.png", "Coloured labels (PNG)"),
    "overlay": Kind("overlay.png", "Overlay (PNG)"),
    "csv": Kind("measurements.csv", "Measurements (CSV)"),
    "roi": Kind("rois.zip", "ImageJ ROIs (zip)"),
    "geojson": Kind("qupath.geojson", "QuPath (GeoJSON)"),
}


def make_files(
    labels: np.ndarray,
    pixels: np.ndarray,
    pixel_size: tuple[float, float] | None,
    network: str,
    table: Callable[[], Table],
    kinds: Collection[str] = tuple(KINDS),
    decimal: str = ".",
    mended: Collection[int] = (),
) -> dict[str, bytes]:
    """The files of one segmentation.

    Args:
        labels: (H, W), int32; 0 is background, any other number a nucleus.
        pixels: (H, W) or (H, W, C), native values, of the image.
        pixel_size: Height and width of a pixel in micrometres.
        network: "unet" or "unetpp", for the names of ROIs and of QuPath's class.
        table: Gives the measurements, see `measure`; called only for a kind that holds them.
        kinds: Keys of `KINDS`.
        decimal: See `tables.table_csv`.
        mended: Numbers of nuclei that a person added or changed; their ROIs' names say so.

    Returns:
        Their contents by the ending of their names, in the order of `kinds`.
    """
    makers: dict[str, Callable[[], bytes]] = {
        "labels": lambda: export.label_tiff(labels, pixel_size),
        "coloured": lambda: export.coloured_png(labels),
        "overlay": lambda: export.png(draw_overlay(to_display(pixels), labels, filled=False)),
        "csv": lambda: table_csv(table(), decimal),
        "roi": lambda: export.roi_zip(labels, network, mended),
        "geojson": lambda: export.geojson(labels, table(), f"Nucleus {network}"),
    }
    return {KINDS[kind].ending: makers[kind]() for kind in kinds}
