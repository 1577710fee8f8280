"""The size of a TIFF's pixel: a maker's own entry, ImageJ's unit, or a resolution that a microscope may have."""

import re
from typing import Any

from tifffile import TiffFile, TiffPage

from .ome import MICROMETRES, plausible

COARSEST = 10.0  # micrometres; a coarser resolution in inches or centimetres is a printer's or a screen's
_UNITS = {2: 25400.0, 3: 10000.0}  # inch and centimetre, in micrometres

Size = tuple[float, float] | None


def pixel_size(tiff: TiffFile, page: TiffPage, format: str) -> tuple[Size, tuple[str, ...]]:
    """(y, x) in micrometres or `None`, and what is to be said of it.

    Args:
        format: As in `Plan`.
    """
    if format == "SVS" and (mpp := re.search(r"\bMPP ?= ?(\d+\.?\d*)", page.description[:10_000])):
        return plausible(float(mpp[1]), float(mpp[1])), ()
    if format == "LSM" and (lsm := tiff.lsm_metadata):
        return plausible(lsm.get("VoxelSizeY", 0) * 1e6, lsm.get("VoxelSizeX", 0) * 1e6), ()
    said = (tiff.imagej_metadata or {}) if format == "ImageJ TIFF" else {}
    unit = str(said.get("unit", "")).replace("\\u00B5", "µ").strip()
    length = MICROMETRES.get(unit) if unit else _UNITS.get(int(page.tags.valueof(296, 2) or 0))
    y, x = (_ratio(page.tags.valueof(tag)) for tag in (283, 282))
    if not (x and y and length):
        return None, ()
    size = plausible(length / y, length / x)
    if size is None or length not in _UNITS.values() or max(size) <= COARSEST:
        return size, ()
    per = f"{x:.4g} pixels per {'inch' if length == _UNITS[2] else 'cm'}"
    note = f"Its resolution of {per} is a printer's or a screen's: it is not taken for a pixel size."
    return None, (note,) if unit else ()


def _ratio(value: Any) -> float:
    """A rational as tifffile gives it; 0 where it is none."""
    if not isinstance(value, tuple) or len(value) != 2 or not value[1]:
        return 0.0
    return max(value[0] / value[1], 0.0)
