"""Which regions belong to an image of a run, and what its record keeps of them."""

from pathlib import Path
from typing import Any

from ..analysis.measurements import Table
from ..analysis.regions import Places, count_in_regions
from ..images.regions import Regions, region_file
from .settings import Settings
from .stamps import hashed


def regions_digest(source: Path, settings: Settings) -> str:
    """SHA-256 of the file with an image's regions, "" where it has none.

    Raises:
        ImageError: Several files could be meant, or it can't be read.
    """
    path = None if settings.regions is None else region_file(Path(settings.regions), source)
    return "" if path is None else hashed(path)


def region_facts(
    source: Path,
    settings: Settings,
    table: Table,
    regions: Regions | Places | None,
    pixel_size: tuple[float, float] | None,
    planes: int = 1,
) -> dict[str, Any]:
    """What is told of the regions, where there are any. Arguments as of `count_in_regions`."""
    if regions is None:
        return {}
    counts = count_in_regions(table, regions, pixel_size, planes) if regions.names else []
    return {"regions": {"file": regions.file, "sha256": regions_digest(source, settings), "counts": counts}}
