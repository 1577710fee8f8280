"""Measurements and regions -> the region of each nucleus, and how many nuclei each region has."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..images.regions import RegionReader, Regions

OUTSIDE = "(outside)"  # in the list of regions: all pixels that are in none


class Places(NamedTuple):
    """What is counted of regions: their names, the pixels outside of all and of each, (1 + n,), and their file."""

    names: tuple[str, ...]
    areas: np.ndarray
    file: str
    notes: tuple[str, ...]


def region_column(table: Mapping[str, np.ndarray], regions: Regions) -> np.ndarray:
    """The name of the region that holds each nucleus's centroid, "" where none does: (n,) of texts.

    Args:
        table: From `measure`, of the same image.
    """
    return np.array(["", *regions.names])[regions.labels[_pixels_of(table, regions.labels.shape)]]


def region_column_by_windows(
    table: Mapping[str, np.ndarray], regions: RegionReader, windows: Iterable[tuple[slice, slice]]
) -> tuple[np.ndarray, Places]:
    """The same of an image of any size, and what `count_in_regions` takes.

    Args:
        windows: They cover the image, and don't overlap.
    """
    windows = list(windows)
    y, x = _pixels_of(table, (max(rows.stop for rows, _ in windows), max(cols.stop for _, cols in windows)))
    numbers, areas = np.zeros(len(y), int), np.zeros(len(regions.names) + 1, int)
    for rows, cols in windows:
        labels = regions.read(rows, cols)
        areas += np.bincount(labels.ravel(), minlength=len(areas))
        here = (rows.start <= y) & (y < rows.stop) & (cols.start <= x) & (x < cols.stop)
        numbers[here] = labels[y[here] - rows.start, x[here] - cols.start]
    return np.array(["", *regions.names])[numbers], Places(regions.names, areas, regions.file, regions.told())


def _pixels_of(table: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The pixel of each centroid, (row, column); the first pixel reaches from 0 to 1."""
    y, x = (np.clip(np.floor(table[f"{axis}_px"]).astype(int), 0, n - 1) for axis, n in zip("yx", shape, strict=True))
    return y, x


def count_in_regions(
    table: Mapping[str, np.ndarray],
    regions: Regions | Places,
    pixel_size: tuple[float, float] | None = None,
    planes: int = 1,
) -> list[dict[str, Any]]:
    """Nuclei, area and density of every region, and of what is outside; can be written as JSON.

    Args:
        table: With the column `region`, see `region_column`.
        pixel_size: Height and width of a pixel in micrometres.
        planes: Of how many planes the table is. Each has the regions, and their areas are added up.

    Returns:
        "region", "nuclei", "area_px", "area_um2", "nuclei_per_mm2" (`None` without a pixel size) and
        "nuclei_per_megapixel" of each, in order, the last `OUTSIDE`; densities are `None` where there is no area.
    """
    areas = regions.areas * planes
    found = []
    for number, name in [*enumerate(regions.names, 1), (0, "")]:
        nuclei, area = int((table["region"] == name).sum()), int(areas[number])
        um2 = None if pixel_size is None else area * pixel_size[0] * pixel_size[1]
        one: dict[str, Any] = {"region": name or OUTSIDE, "nuclei": nuclei, "area_px": area, "area_um2": um2}
        one["nuclei_per_mm2"] = nuclei / um2 * 1e6 if um2 else None
        one["nuclei_per_megapixel"] = nuclei / area * 1e6 if area else None
        found.append(one)
    return found
