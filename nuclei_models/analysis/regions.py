"""Measurements and regions -> the region of each nucleus, and how many nuclei each region has."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..images.regions import Regions

OUTSIDE = "(outside)"  # in the list of regions: all pixels that are in none


def region_column(table: Mapping[str, np.ndarray], regions: Regions) -> np.ndarray:
    """The name of the region that holds each nucleus's centroid, "" where none does: (n,) of texts.

    Args:
        table: From `measure`, of the same image.
    """
    height, width = regions.labels.shape
    y = np.clip(np.floor(table["y_px"]).astype(int), 0, height - 1)  # the first pixel reaches from 0 to 1
    x = np.clip(np.floor(table["x_px"]).astype(int), 0, width - 1)
    return np.array(["", *regions.names])[regions.labels[y, x]]


def count_in_regions(
    table: Mapping[str, np.ndarray],
    regions: Regions,
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
    areas = np.bincount(regions.labels.ravel(), minlength=len(regions.names) + 1) * planes
    found = []
    for number, name in [*enumerate(regions.names, 1), (0, "")]:
        nuclei, area = int((table["region"] == name).sum()), int(areas[number])
        um2 = None if pixel_size is None else area * pixel_size[0] * pixel_size[1]
        one: dict[str, Any] = {"region": name or OUTSIDE, "nuclei": nuclei, "area_px": area, "area_um2": um2}
        one["nuclei_per_mm2"] = nuclei / um2 * 1e6 if um2 else None
        one["nuclei_per_megapixel"] = nuclei / area * 1e6 if area else None
        found.append(one)
    return found
