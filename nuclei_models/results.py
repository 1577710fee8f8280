"""One segmentation -> its result files and what is to be known to repeat it; the page and the command line share it."""

import platform
from collections.abc import Callable, Collection, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

import numpy as np

from . import export
from .display import to_display
from .network import Network
from .overlay import draw_overlay
from .version import __version__

README = "README.txt"
PACKAGES = ("torch", "transformers", "numpy", "scipy", "scikit-image", "tifffile")
FILES = {
    "labels.tif": "0 is background, every nucleus has its number; looks dark in viewers that don't stretch it",
    "coloured.png, overlay.png": "for the eye",
    "measurements.csv": "_px in pixels, _um in micrometres, _um2 in square micrometres; intensity as in the image",
    "rois.zip": "ImageJ: drag it onto the main window, or ROI Manager > More > Open",
    "qupath.geojson": "QuPath: File > Import objects from file",
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
) -> dict[str, bytes]:
    """The files of one segmentation.

    Args:
        labels: (H, W), int32; 0 is background, 1 .. n one number a nucleus.
        pixels: (H, W) or (H, W, C), native values, of the image.
        pixel_size: Height and width of a pixel in micrometres.
        network: "unet" or "unetpp", for the names of ROIs and of QuPath's class.
        table: Gives the measurements, see `measure`; called only for a kind that holds them.
        kinds: Keys of `KINDS`.

    Returns:
        Their contents by the ending of their names, in the order of `kinds`.
    """
    makers: dict[str, Callable[[], bytes]] = {
        "labels": lambda: export.label_tiff(labels, pixel_size),
        "coloured": lambda: export.coloured_png(labels),
        "overlay": lambda: export.png(draw_overlay(to_display(pixels), labels, filled=False)),
        "csv": lambda: export.table_csv(table()),
        "roi": lambda: export.roi_zip(labels, network),
        "geojson": lambda: export.geojson(labels, table(), f"Nucleus {network}"),
    }
    return {KINDS[kind].ending: makers[kind]() for kind in kinds}


def network_facts(
    network: Network,
    cut: tuple[float, float, float | None],
    diameter: float | None,
    tta: bool,
    level: int | None,
) -> dict[str, object]:
    """What is to be known of a network and its settings to repeat a result, for `export.readme`.

    Args:
        cut: Threshold, separation and minimum area as they are applied; `None` is the fitted minimum area.
        diameter, tta, level: As given.
    """
    own = f"{network.processor.min_area:g} as the network sees the image, rescaled to nuclei of its size"
    facts: dict[str, object] = {
        "model": network.source,
        "revision": network.revision or None,
        "SHA-256 of model.safetensors": network.sha256,
        "probability threshold": cut[0],
        "separation": cut[1],
        "minimum area, pixels": own if cut[2] is None else f"{cut[2]:.4g}",
        "nuclear diameter given, pixels": diameter or "automatic",
        "test-time augmentation": "yes" if tta else "no",
    }
    if network.levels:
        facts["pruning level"] = f"L{level or network.levels[-1]}" + ("" if level else " (whole)")
    return facts


def versions() -> dict[str, object]:
    """Of this package, Python and the packages that the result depends on; `None` where one isn't installed."""
    return {"nuclei-models": __version__, "Python": platform.python_version()} | {p: _version(p) for p in PACKAGES}


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
