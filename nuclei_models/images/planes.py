"""Which plane and channels of an image are read: those asked for, or those that a person would look at first."""

import operator
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .series import MAX_BYTES_PER_PIXEL, ImageError, Series

ALL = "all"
COLOURS = ("red", "green", "blue")
if TYPE_CHECKING:
    from .reader import ImageInfo

NUCLEAR = re.compile(r"dapi|hoechst|h3+42|draq|nucle|dna|h2[ab]|syto|to-?pro|propidium", re.IGNORECASE)

Indices = int | Sequence[int] | slice | str | None  # of planes: one, several, "all", or `None` for the default


@dataclass(frozen=True)
class Plane:
    """One plane of an image, to be read.

    Attributes:
        t, z: Time point and Z plane.
        channels: Chosen channels; of a colour image colours, all three where no channel was asked for.
        parts: For each array that is read: which channel of the file, and which of its colours or `None` for all.
        notes: Sentences for the user, the image's own first.
    """

    t: int
    z: int
    channels: tuple[int, ...]
    parts: tuple[tuple[int, int | None], ...]
    notes: tuple[str, ...]


class Asked:
    """What a user asks for, all counted from 0.

    Args:
        z: Z plane. `None`: the middle one.
        t: Time point. `None`: the first.
        channel: Channel, or several. `None`: the one that is named for a nuclear stain, or else the first. The channels
            of a colour image are its colours; `None` are all three.
    """

    def __init__(self, z: Indices = None, t: Indices = None, channel: int | Sequence[int] | None = None):
        self.z, self.t = _indices(z), _indices(t)
        self.channels = (
            None if channel is None else [operator.index(c) for c in np.atleast_1d(np.asarray(channel)).tolist()]
        )

    def settled(self, found: Series) -> Series:
        """Where a file doesn't say what its pages are, the one of `z`, `t` and `channel` that is asked for says it."""
        asked = {"Z": self.z, "T": self.t, "C": self.channels}
        axes = [axis for axis, what in asked.items() if what is not None and found.sizes[axis] == 1]
        if found.guessed and asked[found.guessed] is not None:
            return found.with_pages_as(found.guessed)
        if not found.guessed or len(axes) != 1 or (found.is_rgb and axes == ["C"]):
            return found
        return found.with_pages_as(axes[0])

    def one(self, found: Series, max_pixels: int) -> Plane:
        """The first plane that this comes to. Errors as `every`."""
        return next(self.every(found, max_pixels))

    def every(self, found: Series, max_pixels: int) -> Iterator[Plane]:
        """All planes that this comes to, time point by time point and of each from the first Z plane to the last.

        Args:
            max_pixels: Of a plane; channels that together take far more are refused.

        Raises:
            ImageError: There is no such plane.
        """
        notes = list(found.notes)
        n_t, n_z = found.sizes["T"], found.sizes["Z"]
        times = _chosen(self.t, n_t, 0, "time points", "time point", notes)
        planes = _chosen(self.z, n_z, n_z // 2, "Z planes", "plane", notes)
        channels = _channels(self.channels, found, max_pixels, notes)
        parts: list[tuple[int, int | None]]
        if not found.is_rgb:
            parts = [(c, None) for c in channels]
        elif self.channels is None:
            parts = [(channels[0] // len(COLOURS), None)]
        else:
            parts = [divmod(c, len(COLOURS)) for c in channels]
        return (Plane(t, z, tuple(channels), tuple(parts), tuple(notes)) for t in times for z in planes)


def other_channels(info: "ImageInfo", chosen: Collection[int]) -> dict[int, str]:
    """The channels of an image, or the colours, that were not chosen: by number, each with a name that no other has."""
    names: dict[int, str] = {}
    for c in range(len(info.channel_choices)):
        name = info.channel_names[c].strip() if c < len(info.channel_names) and not info.is_rgb else ""
        name = info.channel_choices[c] if info.is_rgb else name or f"channel {c}"
        name = "".join(letter for letter in name if letter.isprintable())
        names[c] = f"{name} (channel {c})" if name in names.values() else name
    return {c: name for c, name in names.items() if c not in chosen}


def several(labels: list[str]) -> str:
    """A sentence for the user of a file with several images."""
    return f"{len(labels)} images of different kinds in this file: the first ({labels[0]}) is used."


def channel_choices(found: Series) -> tuple[str, ...]:
    """A name for each channel that can be asked for; the colours of a colour image."""
    n = found.sizes["C"]
    if not found.is_rgb:
        names = found.channel_names or ("",) * n
        return tuple(f"{c + 1}: {name}" if name else f"{c + 1}" for c, name in enumerate(names))
    return tuple(f"{colour}{f' of image {c + 1}' if n > 1 else ''}" for c in range(n) for colour in COLOURS)


def _indices(asked: Indices) -> list[int] | slice | None:
    if asked is None or isinstance(asked, slice):
        return asked
    if isinstance(asked, str):
        if asked == ALL:
            return slice(None)
        raise TypeError(f"{asked!r} was asked for, expected a number, several, a slice, {ALL!r} or None.")
    given: Iterable[int] = [asked] if isinstance(asked, int | np.integer) else asked
    return [operator.index(i) for i in given]


def _chosen(
    asked: list[int] | slice | None, n: int, default: int, plural: str, singular: str, notes: list[str]
) -> list[int]:
    if asked is None:
        if n > 1:
            notes.append(f"{n} {plural}: {singular} {default + 1} is used.")
        return [default]
    indices = list(range(n))[asked] if isinstance(asked, slice) else asked
    if not indices:
        raise ImageError(f"No {singular} was asked for, it has {n}: give one or more of 0 to {n - 1}.")
    wrong = next((i for i in indices if not 0 <= i < n), None)
    if wrong is not None:
        raise ImageError(f"{singular.capitalize()} number {wrong} was asked for, it has {n}: give 0 to {n - 1}.")
    return indices


def _channels(channels: list[int] | None, found: Series, max_pixels: int, notes: list[str]) -> list[int]:
    n, names = found.sizes["C"], found.channel_names
    if channels is None:
        named = next((c for c, name in enumerate(names) if NUCLEAR.search(name)), None)
        if n > 1:
            listed = f" ({', '.join(name or 'unnamed' for name in names[:8])})" if any(names) else ""
            why = "" if named is None else ", for its name"
            notes.append(f"{n} channels{listed}: channel {(named or 0) + 1} is used{why}.")
        chosen = named or 0
        return [3 * chosen, 3 * chosen + 1, 3 * chosen + 2] if found.is_rgb else [chosen]
    n *= len(COLOURS) if found.is_rgb else 1
    if not channels or not all(0 <= c < n for c in channels):
        colours = ", its colours are red, green and blue" if found.is_rgb else ""
        raise ImageError(f"Channels {channels} were asked for, it has {n}{colours}: give one or more of 0 to {n - 1}.")
    n_bytes = len(channels) * found.width * found.height * found.dtype.itemsize
    if n_bytes > max_pixels * MAX_BYTES_PER_PIXEL:
        raise ImageError(f"{len(channels)} channels of it take {n_bytes / 1e6:,.0f} MB. Ask for fewer.")
    return channels
