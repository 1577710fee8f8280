"""Label image -> measurements, one row a nucleus, with units in the column names; docs/measurements.md lists them.

Positions are as in ImageJ and QuPath, and in all our files: the image's first pixel reaches from 0 to 1, so its centre
is at 0.5.
"""

from collections.abc import Mapping

import numpy as np

from ..model.confidence import roundness
from ..model.members import Members
from ..model.sums import Sums, join, shape_sums
from .hulls import hull_areas
from .intensity import Planes, background_of, background_sample, intensity_columns, intensity_sums, planes_of

Table = dict[str, np.ndarray]

SMALLEST_NUCLEUS, LARGEST_NUCLEUS = 1.0, 200.0  # micrometres across; beyond, the pixel size is doubted


def measure(
    labels: np.ndarray,
    image: np.ndarray | None = None,
    pixel_size: tuple[float, float] | None = None,
    solidity: bool = True,
    *,
    channels: Planes | None = None,
    ring: float = 0,
    confidence: np.ndarray | None = None,
    shape: Sums | None = None,
) -> Table:
    """Measure every nucleus.

    Args:
        labels: (H, W), integers; 0 is background, 1 .. n one number a nucleus.
        image: What was segmented, (H, W), or (H, W, C) colours, native values; alpha is left out.
        pixel_size: Height and width of a pixel in micrometres.
        solidity: Whether to measure it; it takes a convex hull a nucleus, and so a good part of the time.
        channels: More channels to measure by name, (H, W) each, native values.
        ring: Width, pixels, of a ring around each nucleus in which all channels are measured, too; 0 is none.
        confidence: (n,), from `NucleiImageProcessor.confidence`.
        shape: `shape_sums` of the labels, where they are known.

    Returns:
        Columns of equal length, as docs/measurements.md lists them: `label`, `y_px`, `x_px` (centroid), `area_px`,
        `diameter_px`, `perimeter_px`, `eccentricity`, `roundness`, `solidity`, `touches_edge`; with an image
        `mean_intensity`, `min_intensity`, .. and the same of every channel and colour; with a pixel size `area_um2`,
        `diameter_um`; and `confidence`.

    Raises:
        ValueError: The shapes differ, or the ring's width is below 0.
    """
    planes = {} if image is None else planes_of(np.asarray(image), channels)
    wrong = {name: plane.shape for name, plane in planes.items() if plane.shape != labels.shape}
    if wrong:
        raise ValueError(f"Channels of shapes {wrong}: expected that of the label image, {labels.shape}.")
    if not 0 <= ring < 1000:
        raise ValueError(f"ring={ring}: expected its width in pixels, 0 to 1000.")
    n = int(labels.max(initial=0))
    members = Members(labels) if shape is None or solidity else None
    parts = [shape_sums(labels, members=members) if shape is None else shape]
    parts += intensity_sums(labels, planes, ring) if planes else ()
    background = background_of([background_sample(labels, planes, labels.shape)])
    table = columns(join(parts, n), list(planes), background, pixel_size)
    if solidity and members is not None:
        table["solidity"] = np.zeros(n)
        table["solidity"][members.label - 1] = members.add(np.ones(len(members.at))) / hull_areas(members.stretches())
    if confidence is not None:
        table["confidence"] = confidence
    there = table["area_px"] > 0  # numbers may be missing
    return {name: column[there] for name, column in table.items()} if not there.all() else table


def columns(
    sums: Mapping[str, np.ndarray],
    channels: list[str],
    background: Mapping[str, float],
    pixel_size: tuple[float, float] | None = None,
) -> Table:
    """The columns of `measure`, but for solidity and confidence, of the nuclei 1 .. n.

    Args:
        sums: Of `shape_sums` and `intensity_sums`, joined.
        channels: The names of the columns of `intensity_sums`.
        background: Of every channel.
    """
    moments, perimeter = sums["moments"], sums["perimeter"][:, 0]
    area = moments[:, 0]
    y, x, yy, xx, xy = (moments[:, 1:] / np.maximum(area, 1)[:, None]).T
    table = {
        "label": np.arange(1, len(area) + 1),
        "y_px": y,
        "x_px": x,
        "area_px": area,
        "diameter_px": np.sqrt(4 * area / np.pi),
        "perimeter_px": perimeter,
        "eccentricity": _eccentricity(yy - y**2, xx - x**2, xy - x * y),
        "roundness": roundness(area, perimeter),
        "touches_edge": sums["greatest_edge"][:, 0] > 0,
    }
    if pixel_size is not None:
        area_of_pixel = pixel_size[0] * pixel_size[1]
        table["area_um2"] = table["area_px"] * area_of_pixel
        table["diameter_um"] = table["diameter_px"] * np.sqrt(area_of_pixel)
    return table | (intensity_columns(sums, channels, background) if channels else {})


def _eccentricity(yy: np.ndarray, xx: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Of the ellipses with these second central moments, (n,) each: sqrt(1 - (minor axis / major axis)^2)."""
    half_sum, root = (yy + xx) / 2, np.sqrt(((yy - xx) / 2) ** 2 + xy**2)
    major, minor = half_sum + root, np.maximum(half_sum - root, 0)
    return np.sqrt(1 - np.divide(minor, major, out=np.ones_like(major), where=major > 1e-9))


def pixel_size_doubt(diameter: float | None, pixel_size: tuple[float, float] | None) -> str:
    """What a person is to be told of a pixel size by which nuclei come out as none are; "" where all is well.

    Args:
        diameter: Median of the nuclei found, pixels; `None` where there are none.
        pixel_size: Height and width of a pixel in micrometres, as the file states it.
    """
    if not diameter or pixel_size is None:
        return ""
    across = diameter * (pixel_size[0] * pixel_size[1]) ** 0.5
    if SMALLEST_NUCLEUS <= across <= LARGEST_NUCLEUS:
        return ""
    return (
        f"By a pixel size of {pixel_size[1]:.3g} µm the nuclei are {across:,.3g} µm across. The pixel size "
        f"is probably wrong, and with it every length and area in micrometres."
    )
