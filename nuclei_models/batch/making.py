"""One image, or all planes of a stack -> the contents of its results, and what is to be told of it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..analysis.figures import figures_of, saturated
from ..analysis.filters import Kept, apply_filters, told
from ..analysis.measurements import measure, pixel_size_doubt
from ..analysis.regions import region_column
from ..images.reader import MicroscopyImage
from ..images.regions import Regions, regions_of
from ..inference.network import Network
from ..inference.segmentation import Segmentation
from ..jobs.mapper import check
from ..jobs.regions import region_facts
from ..jobs.settings import Settings, channel_of
from ..output.files import make_files
from ..output.overlay import thumbnail
from .stacks import channels_of, images_of, make_stack_files, stacked

LARGE_PIXELS = 64_000_000  # of a plane


class Product(NamedTuple):
    """What was made of an image or a stack: files by their endings, facts, a small picture, and how many pixels."""

    files: dict[str, bytes]
    facts: dict[str, Any]
    picture: bytes
    pixels: int


def make(source: Path, settings: Settings, network: Network) -> Product:
    """Segment an image, or all planes of a stack.

    Raises:
        ImageError, ValueError, ..: This image can't be segmented.
        Unwanted: Nobody waits for it any more.
    """
    channel, taken = channel_of(source, settings, network)
    made = (_whole_stack if settings.is_stack else _one_image)(source, replace(settings, channel=channel), network)
    return made._replace(facts=made.facts | {"notes": [*filter(None, [taken]), *made.facts["notes"]]})


def _one_image(source: Path, settings: Settings, network: Network) -> Product:
    [image] = images_of(source, settings, LARGE_PIXELS)
    regions = _regions(source, settings, image)
    found, kept = _segmented(source, settings, image, network, regions)
    files = make_files(
        kept.labels,
        image.pixels,
        image.pixel_size,
        network.key,
        lambda: kept.table,
        settings.save,
        settings.decimal,
    )
    facts = facts_of(image, kept, found)
    facts |= region_facts(source, settings, kept.table, regions, image.pixel_size)
    facts["notes"] += regions.notes if regions else ()
    return Product(files, facts, thumbnail(image.pixels, kept.labels), kept.labels.size)


def _whole_stack(source: Path, settings: Settings, network: Network) -> Product:
    """Of all planes; the picture is of the one with the most nuclei."""
    kept, pixels, places, every = [], [], [], []
    regions: Regions | None = None
    keeps_pixels = {"overlay"} & set(settings.save)
    for image in images_of(source, settings, LARGE_PIXELS):
        regions = _regions(source, settings, image) if regions is None else regions
        found, one = _segmented(source, settings, image, network, regions)
        kept.append(one)
        every.append(facts_of(image, one, found))
        places.append((image.plane["T"], image.plane["Z"]))
        pixels.append(image.pixels if keeps_pixels else image.pixels[:0])
        if every[-1]["nuclei"] >= max(facts["nuclei"] for facts in every):
            picture = thumbnail(image.pixels, one.labels)
    stack = stacked(kept, places, settings)
    files = make_stack_files(stack, pixels, image.pixel_size, network.key, settings)
    left_out = sum((Counter(one.left_out) for one in kept), Counter())
    height, width = kept[0].labels.shape
    facts = every[len(every) // 2] | figures_of(stack.table, (height * len(kept), width), left_out)
    facts |= {"nuclei": stack.count, "planes": len(kept), "plane": {"T": settings.t, "Z": settings.z}}
    told_of = [f"{len(kept)} planes."]
    if settings.tracked:
        plural = "" if stack.divisions == 1 else "s"
        told_of.append(f"Nuclei were tracked: {stack.count:,} tracks, {stack.divisions:,} division{plural}.")
    facts["notes"] = [*told_of, *dict.fromkeys(note for one in every for note in one["notes"])]
    facts |= region_facts(source, settings, stack.table, regions, image.pixel_size, len(kept))
    facts["notes"] += regions.notes if regions else ()
    return Product(files, facts, picture, stack.labels.size)


def _regions(source: Path, settings: Settings, image: MicroscopyImage) -> Regions | None:
    """`None` where nobody asked for regions."""
    if settings.regions is None:
        return None
    height, width = image.pixels.shape[:2]
    return regions_of(Path(settings.regions), source, (height, width))


def _segmented(
    source: Path, settings: Settings, image: MicroscopyImage, network: Network, regions: Regions | None
) -> tuple[Segmentation, Kept]:
    """The nuclei of an image, and those that are kept, measured in every channel of the file."""
    found = network.segment(image.pixels, settings, settings, image.pixel_size, check)
    table = measure(
        found.labels,
        image.pixels,
        image.pixel_size,
        channels=channels_of(source, image, settings, LARGE_PIXELS),
        ring=settings.ring,
        confidence=network.processor.confidence(found.maps, found.labels),
    )
    if regions is not None:
        table["region"] = region_column(table, regions)
    return found, apply_filters(found.labels, table, settings.filters)


class Plane(Protocol):
    """What is told of the image that was segmented; see `MicroscopyImage`."""

    @property
    def pixels(self) -> np.ndarray: ...
    @property
    def pixel_size(self) -> tuple[float, float] | None: ...
    @property
    def plane(self) -> Mapping[str, int]: ...
    @property
    def channels(self) -> tuple[int, ...]: ...
    @property
    def notes(self) -> tuple[str, ...]: ...


def facts_of(image: Plane, kept: Kept, found: Segmentation) -> dict[str, Any]:
    """What summaries and reports tell of an image; can be written as JSON."""
    height, width = kept.labels.shape
    facts = figures_of(kept.table, (height, width), kept.left_out)
    doubts = found.note, found.doubt, pixel_size_doubt(facts["median_diameter_px"], image.pixel_size)
    return {
        "height": height,
        "width": width,
        **facts,
        "saturated": saturated(image.pixels),
        **found.maps.diameter.facts(),
        "pixel_size_um": image.pixel_size,
        "plane": image.plane,
        "channels": image.channels,
        "notes": [*image.notes, *filter(None, [*doubts, told(kept.left_out) if kept.left_out else ""])],
    }
