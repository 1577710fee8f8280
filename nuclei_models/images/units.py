"""Lengths that files state, in micrometres."""

MICROMETRES = {"m": 1e6, "cm": 1e4, "mm": 1e3, "µm": 1.0, "μm": 1.0, "um": 1.0, "nm": 1e-3, "pm": 1e-6, "Å": 1e-4}
MICROMETRES |= {"in": 25400.0, "inch": 25400.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0, "micrometre": 1.0}
_PLAUSIBLE = (1e-4, 1e3)  # micrometres
Size = tuple[float, float] | None


def plausible(y: float, x: float) -> Size:
    """A pixel size in micrometres, if it may be one; `None` for 0, NaN, or one that no microscope has."""
    low, high = _PLAUSIBLE
    return (y, x) if low <= y <= high and low <= x <= high else None
