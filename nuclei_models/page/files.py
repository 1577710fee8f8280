"""State -> the files that are downloaded, by name."""

import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from .. import export
from ..display import to_display
from ..overlay import draw_overlay
from ..version import __version__
from .networks import Network, Networks
from .state import Analysis, Cut

# what a button says, by the ending of the file that it gives
KINDS = {
    "labels.tif": "Labels (TIFF)",
    "coloured.png": "Coloured labels (PNG)",
    "overlay.png": "Overlay (PNG)",
    "measurements.csv": "Measurements (CSV)",
    "rois.zip": "ImageJ ROIs (zip)",
    "qupath.geojson": "QuPath (GeoJSON)",
}
README = "README.txt"
PACKAGES = ("torch", "transformers", "numpy", "scipy", "scikit-image", "tifffile")


def make_file(analysis: Analysis, network: str, cut: Cut, kind: str) -> tuple[str, bytes]:
    """One file of one network.

    Args:
        network: "unet" or "unetpp".
        kind: A key of `KINDS`.

    Returns:
        Its name and contents.
    """
    labels, picture = analysis.labels(network, cut), analysis.picture

    def table() -> dict[str, np.ndarray]:
        return analysis.table(network, cut, solidity=True)

    makers: dict[str, Callable[[], bytes]] = {
        "labels.tif": lambda: export.label_tiff(labels, picture.pixel_size),
        "coloured.png": lambda: export.coloured_png(labels),
        "overlay.png": lambda: export.png(draw_overlay(to_display(picture.pixels), labels, filled=False)),
        "measurements.csv": lambda: export.table_csv(table()),
        "rois.zip": lambda: export.roi_zip(labels, network),
        "qupath.geojson": lambda: export.geojson(labels, table(), f"Nucleus {network}"),
    }
    return f"{picture.name}_{network}_{kind}", makers[kind]()


def make_readme(analysis: Analysis, networks: Networks, cut: Cut) -> bytes:
    """README.txt: what is to be known to repeat the result."""
    picture = analysis.picture
    size = picture.pixel_size
    facts: dict[str, dict[str, object]] = {
        "Image": {
            "name": picture.name,
            "what was read": picture.about,
            "pixel size (y, x), micrometres": None if size is None else f"{size[0]:g}, {size[1]:g}",
        }
    }
    for key in analysis.maps:
        facts[networks[key].title] = _network_facts(analysis, networks[key], cut)
    facts["Versions"] = {"nuclei-models": __version__, "Python": platform.python_version()}
    facts["Versions"] |= {package: _version(package) for package in PACKAGES}
    facts["Files"] = {
        "labels.tif": "0 is background, every nucleus has its number; looks dark in viewers that don't stretch it",
        "coloured.png, overlay.png": "for the eye",
        "measurements.csv": "_px in pixels, _um in micrometres, _um2 in square micrometres; intensity as in the image",
        "rois.zip": "ImageJ: drag it onto the main window, or ROI Manager > More > Open",
        "qupath.geojson": "QuPath: File > Import objects from file",
    }
    return export.readme(facts)


def _network_facts(analysis: Analysis, network: Network, cut: Cut) -> dict[str, object]:
    threshold, separation, min_area = cut.values(network.processor)
    settings = analysis.settings
    facts: dict[str, object] = {
        "model": network.source,
        "revision": network.revision or None,
        "SHA-256 of model.safetensors": network.sha256,
        "nuclei": int(analysis.labels(network.key, cut).max(initial=0)),
        "probability threshold": threshold,
        "separation": separation,
        "minimum area, pixels": min_area,
        "nuclear diameter given, pixels": settings.diameter or "automatic",
        "nuclear diameter assumed, pixels": analysis.diameters.get(network.key),
        "test-time augmentation": "yes" if settings.tta else "no",
    }
    if network.levels:
        facts["pruning level"] = f"L{settings.level or network.levels[-1]}" + ("" if settings.level else " (whole)")
    return facts


def make_all(analysis: Analysis, networks: Networks, cut: Cut) -> tuple[str, bytes]:
    """Everything in one zip: its name and contents."""
    files = dict(make_file(analysis, key, cut, kind) for key in analysis.maps for kind in KINDS)
    files[README] = make_readme(analysis, networks, cut)
    return f"{analysis.picture.name}_nuclei.zip", export.zipped(files)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
