"""What a visitor opened: the file, and the image as it was read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256

import numpy as np


@dataclass(frozen=True)
class Source:
    """A file that a visitor chose, and which image in it.

    Attributes:
        path: On the server.
        series: Which of several images in the file.
        example: Its number, if it is one of the page's examples.
        sizes: Numbers of time points "T", Z planes "Z" and channels "C" to choose from, once they are known.
    """

    path: str
    series: int = 0
    example: int | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        return 0


@dataclass(frozen=True)
class Picture:
    """An image as read.

    Attributes:
        name: The file's name without its suffix, for the names of results.
        pixels: (H, W) or (H, W, C), native values.
        pixel_size: (y, x) in micrometres as the file says, or `None`.
        about: Sentences: size, type, which plane is shown, and what was noted about the file. Plain text, some of it
            from the file: it must be escaped wherever it is shown.
        truth: (H, W) labels, of an example that has them.
        source: The file that it was read from.
        plane, channels, notes: As in `MicroscopyImage`.
        is_default: Whether the channel is the one that is shown first, rather than one that the visitor chose.
        surest: The channel in which each network is surest of the nuclei, by its key, once it was looked for.
    """

    name: str
    pixels: np.ndarray
    pixel_size: tuple[float, float] | None = None
    about: tuple[str, ...] = ()
    truth: np.ndarray | None = None
    source: Source | None = None
    plane: Mapping[str, int] = field(default_factory=dict)
    channels: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    is_default: bool = False
    surest: dict[str, int | None] = field(default_factory=dict, repr=False, compare=False)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @cached_property
    def fingerprint(self) -> str:
        """Names the pixels: the same image has the same in every session."""
        about = f"{self.pixels.shape} {self.pixels.dtype.str}".encode()
        return sha256(about + np.ascontiguousarray(self.pixels).tobytes()).hexdigest()[:32]

    @property
    def nbytes(self) -> int:
        return self.pixels.nbytes + (0 if self.truth is None else self.truth.nbytes)
