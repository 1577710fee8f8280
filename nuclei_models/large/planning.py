"""What is done to one large image, settled before its first block."""

from collections.abc import Callable
from pathlib import Path

from ..images.reader import ImageError
from ..images.source import Source
from ..inference.stains import stain_note
from ..jobs.mapper import Mapper
from ..jobs.settings import Settings, channel_of, network_of
from ..jobs.stamps import stamp
from ..model.maps import pixel_area
from .memory import block_size, by_default
from .sinks import Step
from .statistics import streamed_diameter, streamed_range, streamed_stain
from .workplace import Plan


def make_plan(
    path: Path,
    settings: Settings,
    mapper: Mapper,
    memory: int | None,
    block: int | None,
    largest_part: int,
    step: Callable[[str], Step],
) -> Plan:
    """The plan for an image: its range of values and nuclear diameter are found, window by window.

    Args:
        path, settings, mapper, memory, block, largest_part: See `segment_large`.
        step: The name of a step to what is called with how far it is, and of how much.

    Raises:
        ImageError: The image can't be read, or was changed meanwhile.
        ValueError: The network takes images of other than three channels.
    """
    as_planned = stamp(path)
    network = network_of(settings)
    model, processor = network.at(settings.level), network.processor
    channel, taken = channel_of(path, settings, network)
    source = Source(path, settings.z, settings.t, channel, settings.series, settings.pixel_size)
    if processor.num_channels != 3:
        raise ValueError(
            f"{network.source} takes images of {processor.num_channels} channels: images larger than memory are "
            f"segmented by networks of three alone."
        )
    low, high = processor.low_percentile, processor.high_percentile
    bottom, span, stains = streamed_range(source, low, high, step("range of values"))
    stain = streamed_stain(source, model, processor, bottom, span, stains)
    diameter = streamed_diameter(source, model, processor, bottom, span, settings.diameter, step("diameter"), stain)
    scale = processor.scale_for(diameter.pixels)
    if block is None:
        memory = memory or getattr(mapper, "memory", None) or by_default()
        n_bytes = source.dtype.itemsize * (3 if source.is_rgb else len(source.channels))
        least = 4 * getattr(mapper, "processes", 0)
        block = min(block_size(model, memory, source.shape, scale, n_bytes, least), largest_part // 16 * 16)
    seen = max(1, round(source.shape[0] * scale)), max(1, round(source.shape[1] * scale))
    *_, min_area = processor.cut_values(pixel_area(source.shape, seen), min_area=settings.min_area)
    plan = Plan(
        source=str(path),
        stamp=as_planned,
        settings=settings,
        shape=source.shape,
        seen=seen,
        bottom=tuple(float(n) for n in bottom),
        span=tuple(float(n) for n in span),
        diameter=diameter,
        channel=channel,
        stain=stain,
        taken=taken or stain_note(stain),
        min_area=min_area,
        block=block,
        largest_part=largest_part,
    )
    source.close()
    if stamp(path) != as_planned:
        raise ImageError(f"{source.name}: It was changed while it was read. Give the command again.")
    return plan
