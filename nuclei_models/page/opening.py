"""A file that a visitor chose -> the image to show and to segment, and what can be chosen in it."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..images.reader import ImageError, MicroscopyImage, inspect, read
from .examples import Example
from .inputs import note_of, too_large
from .limits import MAX_PIXELS
from .opened import Picture, Source

ALL_COLOURS = "all colours"


@dataclass(frozen=True)
class Choices:
    """What can be chosen in a file.

    Attributes:
        series: A label for each of its images.
        channels: A label and a number for each channel; of a colour image, each of its colours, and -1 for all.
        planes, times: How many Z planes and time points.
        channel, z, t: Which are shown, from 0.
    """

    series: tuple[str, ...]
    channels: tuple[tuple[str, int], ...]
    planes: int
    times: int
    channel: int
    z: int
    t: int

    def at(self, picture: Picture) -> "Choices":
        """With the plane chosen that a picture is of."""
        channel = picture.channels[0] if len(picture.channels) == 1 else self.channel
        return replace(self, z=picture.plane.get("Z", self.z), t=picture.plane.get("T", self.t), channel=channel)


def open_picture(source: Source, examples: list[Example]) -> tuple[Picture, Choices]:
    """Read the plane that is shown first. Raises ImageError, with a message for people."""
    info = inspect(source.path, source.series)
    if why := too_large(info):
        raise ImageError(why)
    image = read(source.path, series=source.series, max_pixels=MAX_PIXELS)
    truth = examples[source.example].truth() if source.example is not None else None
    channels = [(name, i) for i, name in enumerate(info.channel_choices)]
    choices = Choices(
        series=info.series,
        channels=((ALL_COLOURS, -1), *channels) if info.is_rgb else tuple(channels),
        planes=info.sizes["Z"],
        times=info.sizes["T"],
        channel=-1 if info.is_rgb else image.channels[0],
        z=image.plane["Z"],
        t=image.plane["T"],
    )
    if truth is not None and truth.shape != image.pixels.shape[:2]:
        truth = None
    source = replace(source, sizes=info.sizes | {"C": len(choices.channels)})
    return replace(_picture(image, source, truth), is_default=True), choices


def open_plane(source: Source, channel: int, z: int, t: int) -> Picture:
    """Read another plane, numbered from 0. Raises ImageError."""
    given = {"C": channel, "Z": z, "T": t}
    chosen = {axis: number for axis, number in given.items() if source.sizes.get(axis, 1) > 1 and number >= 0}
    image = read(
        source.path,
        series=source.series,
        channel=chosen.get("C"),
        z=chosen.get("Z"),
        t=chosen.get("T"),
        max_pixels=MAX_PIXELS,
    )
    return _picture(image, source)


def _picture(image: MicroscopyImage, source: Source, truth: np.ndarray | None = None) -> Picture:
    return Picture(
        Path(image.name).stem,
        image.pixels,
        image.pixel_size,
        note_of(image),
        truth,
        source,
        image.plane,
        image.channels,
        image.notes,
    )
