"""What the readers of the formats and `images.py` share: the error, the limits, and an image not yet decoded."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

MAX_PIXELS = 100_000_000  # of one plane; a larger one is refused before it is decoded
MAX_BYTES_PER_PIXEL = 12  # RGB float32; more is refused, for `MAX_PIXELS` doesn't count channels


class ImageError(ValueError):
    """A file that can't be used as an image. For people: says what was given, what was expected and what to do.

    The message names the file but never its folder. The library's own error, if any, is the `__cause__`.
    """


@dataclass(frozen=True)
class Series:
    """One image of a file, its header read and its pixels not.

    Attributes:
        format: "PNG", "OME-TIFF", ...
        label: Its name, or its size where it has none.
        width, height: Pixels, as `decode` gives them.
        dtype: Native byte order.
        is_rgb: Whether a plane is (H, W, 3) colour.
        sizes: Numbers of planes, "T", "Z" and "C"; colours of RGB are no channels, so "C" is 1 there.
        channel_names: As many as `sizes["C"]`, or none.
        pixel_size: (y, x) in micrometres, or `None`.
        notes: Sentences for the user.
        decode: (t, z, c, max_pixels) -> pixels, (H, W) or (H, W, 3), and more notes.
        window: (t, z, c) -> a reader of windows of that plane, (rows, columns) -> pixels; `None` where only the whole
            can be decoded.
        guessed: The axis that the file's pages were taken for, as it doesn't say what they are; else "".
    """

    format: str
    label: str
    width: int
    height: int
    dtype: np.dtype
    is_rgb: bool
    sizes: dict[str, int]
    channel_names: tuple[str, ...]
    pixel_size: tuple[float, float] | None
    notes: tuple[str, ...]
    decode: Callable[[int, int, int, int], tuple[np.ndarray, list[str]]]
    window: Callable[[int, int, int], Callable[[slice, slice], np.ndarray]] | None = None
    guessed: str = ""

    def fit_to_be_shown(self) -> "Series":
        """The same with names that are, whatever a file calls its parts."""
        names, label = tuple(map(shown, self.channel_names)), shown(self.label)
        same = names == self.channel_names and label == self.label
        return self if same else replace(self, channel_names=names, label=label)

    def with_pixel_size(self, side: float | None) -> "Series":
        """The same with square pixels of this side in micrometres, where one is given."""
        if side is None:
            return self
        notes = tuple(note for note in self.notes if "pixel size" not in note and "a pixel is along" not in note)
        return replace(self, pixel_size=(side, side), notes=notes)

    def with_pages_as(self, axis: str) -> "Series":
        """The same, with the pages of the guessed axis along one that is known: that one, or one of one position."""
        old, decode, window = self.guessed, self.decode, self.window
        notes = tuple(note for note in self.notes if "doesn't say what its" not in note)
        if axis == old:
            return replace(self, notes=notes, guessed="")

        def moved(t: int, z: int, c: int) -> tuple[int, int, int]:
            at = {"T": t, "Z": z, "C": c}
            at[old], at[axis] = at[axis], 0
            return at["T"], at["Z"], at["C"]

        return replace(
            self,
            sizes=self.sizes | {axis: self.sizes[old], old: 1},
            channel_names=(),
            notes=notes,
            decode=lambda t, z, c, max_pixels: decode(*moved(t, z, c), max_pixels),
            window=None if window is None else lambda t, z, c: window(*moved(t, z, c)),
            guessed="",
        )


def shown(text: str) -> str:
    """At most 80 characters, control characters replaced by U+FFFD."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return text if len(text) <= 80 else f"{text[:60]}…{text[-19:]}"


def check_size(width: int, height: int, bytes_per_pixel: float, max_pixels: int) -> None:
    """Raise an ImageError for a plane of no pixels or of more than `max_pixels`."""
    if width < 1 or height < 1:
        raise ImageError(f"It says that it is {width} x {height} pixels, expected at least 1 x 1. Export it again.")
    if width * height > max_pixels:
        raise ImageError(
            f"It is {width} x {height} = {_mega(width * height)} megapixels, at most {_mega(max_pixels)} are read. "
            f"Crop it or export it at a lower resolution."
        )
    if width * height * bytes_per_pixel > max_pixels * MAX_BYTES_PER_PIXEL:
        raise ImageError(
            f"It takes {_mega(int(width * height * bytes_per_pixel))} MB unpacked ({width} x {height} pixels of "
            f"{bytes_per_pixel:g} bytes), at most {_mega(max_pixels * MAX_BYTES_PER_PIXEL)} MB are read. "
            f"Crop it or export fewer channels."
        )


def _mega(count: int) -> str:
    return f"{count / 1e6:,.1f}" if count < 1e8 or count % 1_000_000 else f"{count // 1_000_000:,}"
