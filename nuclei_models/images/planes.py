"""Which plane and channels of an image are read: those asked for, or those that a person would look at first."""

import operator
import re
from collections.abc import Sequence

import numpy as np

from .series import MAX_BYTES_PER_PIXEL, ImageError, Series

_NUCLEAR = re.compile(r"dapi|hoechst|h3+42|draq|nucle|dna|h2[ab]|syto|to-?pro|propidium", re.IGNORECASE)


class Asked:
    """What a user asks for.

    Args:
        z: Z plane, from 0. `None`: the middle one.
        t: Time point, from 0. `None`: the first.
        channel: Channel, or several, from 0. `None`: the one that is named for a nuclear stain, or else the first.
    """

    def __init__(self, z: int | None = None, t: int | None = None, channel: int | Sequence[int] | None = None):
        self.z, self.t = (None if i is None else operator.index(i) for i in (z, t))
        self.channels = (
            None if channel is None else [operator.index(c) for c in np.atleast_1d(np.asarray(channel)).tolist()]
        )

    def of(self, found: Series, max_pixels: int) -> tuple[int, int, list[int], list[str]]:
        """What this comes to for an image.

        Args:
            max_pixels: Of a plane; channels that together take far more are refused.

        Returns:
            Time point, Z plane, channels, and sentences for the user, the image's own first.

        Raises:
            ImageError: There is no such plane.
        """
        notes = list(found.notes)
        n_t, n_z = found.sizes["T"], found.sizes["Z"]
        t = _chosen(self.t, n_t, 0, "time points", "time point", notes)
        z = _chosen(self.z, n_z, n_z // 2, "Z planes", "plane", notes)
        return t, z, _channels(self.channels, found, max_pixels, notes), notes


def several(labels: list[str]) -> str:
    """A sentence for the user of a file with several images."""
    return f"{len(labels)} images of different kinds in this file: the first ({labels[0]}) is used."


def _chosen(index: int | None, n: int, default: int, plural: str, singular: str, notes: list[str]) -> int:
    if index is None:
        if n > 1:
            notes.append(f"{n} {plural}: {singular} {default + 1} is used.")
        return default
    if not 0 <= index < n:
        raise ImageError(f"{singular.capitalize()} number {index} was asked for, it has {n}: give 0 to {n - 1}.")
    return index


def _channels(channels: list[int] | None, found: Series, max_pixels: int, notes: list[str]) -> list[int]:
    n, names = found.sizes["C"], found.channel_names
    if channels is None:
        named = next((c for c, name in enumerate(names) if _NUCLEAR.search(name)), None)
        if n > 1:
            listed = f" ({', '.join(name or 'unnamed' for name in names[:8])})" if any(names) else ""
            why = "" if named is None else ", for its name"
            notes.append(f"{n} channels{listed}: channel {(named or 0) + 1} is used{why}.")
        return [named or 0]
    if not channels or not all(0 <= c < n for c in channels):
        raise ImageError(f"Channels {channels} were asked for, it has {n}: give one or more of 0 to {n - 1}.")
    if len(channels) > 1 and found.is_rgb:
        raise ImageError(f"Channels {channels} were asked for, it is an RGB image and has none to choose from.")
    n_bytes = len(channels) * found.width * found.height * found.dtype.itemsize
    if n_bytes > max_pixels * MAX_BYTES_PER_PIXEL:
        raise ImageError(f"{len(channels)} channels of it take {n_bytes / 1e6:,.0f} MB. Ask for fewer.")
    return channels
