"""A TIFF page's samples -> what they mean: grey, colour or a channel."""

from typing import Any, BinaryIO

import numpy as np
from PIL import Image
from tifffile import TiffPage

from .series import ImageError
from .tiff_page import PageWindows
from .tiff_walk import DAMAGED


class PageReader(PageWindows):
    """Reads a page, or windows of it.

    Attributes:
        height, width, dtype, is_rgb: Of what `read` gives.
        kind: "grey", "rgb", "cmyk", "palette" or "channels".
        n_channels: Channels to choose from; 1 for colour.

    Args:
        as_stored: Whether a palette only colours a grey image for the eye, and white as zero only shows it inverted, as
            in ImageJ.

    Raises:
        ImageError: It is no image of numbers, or its colours are of a kind that isn't read.
    """

    def __init__(self, page: TiffPage, file: BinaryIO, size: int, shift: int = 0, as_stored: bool = False):
        super().__init__(page, file, size, shift)
        self.as_stored = as_stored
        extra = tuple(page.extrasamples or ())
        self.kind, self.alpha = _kind(int(page.photometric), self.samples, extra)
        self.palette = self._palette() if self.kind == "palette" else None
        self.n_channels = self.samples - self.alpha if self.kind == "channels" else 1
        self.is_rgb = self.kind in ("rgb", "cmyk") or (self.palette is not None and self.palette.ndim == 2)
        plain = self.palette is None and self.stored.kind != "b"
        self.dtype = self.stored if plain else np.dtype(np.uint8)

    def read(self, rows: slice, cols: slice, channel: int = 0) -> tuple[np.ndarray, list[str]]:
        """(h, w) of a channel or (h, w, 3) colour, and sentences for the user. Raises ImageError as `stored_window`."""
        samples, notes = self.stored_window(rows, cols, channel if self.kind == "channels" else None), list[str]()
        if self.alpha and self.kind != "channels":
            if (samples[..., -1] != self._top()).any():
                notes.append("It has transparent parts: the transparency is ignored.")
            samples = samples[..., :-1]
        if self.kind == "rgb":
            if (more := samples.shape[2] - 3) > 0:
                notes.append(f"It has {more} more channels beside red, green and blue: they are ignored.")
            return _numbers(samples[..., :3]), notes
        if self.kind == "cmyk":
            if samples.dtype != np.uint8:
                raise ImageError(f"Its colours are CMYK of type {samples.dtype}, expected 8-bit. Save it as RGB.")
            image = Image.fromarray(np.ascontiguousarray(samples[..., :4]), "CMYK")
            return np.asarray(image.convert("RGB")), ["Its CMYK colours were converted to RGB."]
        grey = samples[..., 0]
        if self.palette is not None:
            return self.palette[grey.astype(np.uint16)], notes
        if self.kind == "palette":
            notes.append("Its colour table only colours grey values for the eye: the values beneath are used.")
        if self.page.photometric == 0 and grey.dtype.kind in "ub":
            if self.as_stored:
                notes.append("Its lookup table shows 0 as white: the values beneath are used as they are.")
            else:
                grey = ~grey if grey.dtype.kind == "b" else self._top() - grey
                notes.append("It is stored with 0 as white: it was inverted.")
        return _numbers(grey), notes

    def _palette(self) -> np.ndarray | None:
        """The colours of a palette: (n, 3) or, if all are grey, (n,), uint8. `None` where the palette only colours the
        stored values for the eye: ImageJ's lookup table, or any that rises in all colours."""
        table = np.asarray([] if self.page.colormap is None else self.page.colormap)
        if self.stored.kind not in "ub" or table.size != 3 << min(self.page.bitspersample, 17):
            expected = 3 << min(self.page.bitspersample, 16)
            raise ImageError(f"Its palette has {table.size} numbers, expected {expected}. {DAMAGED}")
        colours = table.reshape(3, -1).T.astype(np.uint16)
        if self.as_stored or (np.diff(colours.astype(np.int32), axis=0) >= 0).all():
            return None
        colours = (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8)
        return colours[:, 0] if (colours == colours[:, :1]).all() else colours

    def _top(self) -> Any:
        """The highest value of a sample; 1 for reals."""
        kind, value = self.stored.kind, self.stored.type
        return value(1) if kind in "bf" else value((1 << self.page.bitspersample - (kind == "i")) - 1)


def _numbers(pixels: np.ndarray) -> np.ndarray:
    """Of single bits 0 and 255."""
    return pixels * np.uint8(255) if pixels.dtype.kind == "b" else pixels


def _kind(photometric: int, samples: int, extra: tuple[int, ...]) -> tuple[str, bool]:
    """What the samples of a pixel mean, and whether the last of them is opacity."""
    if photometric == 3 and samples == 1:
        return "palette", False
    if photometric in (2, 6) and samples >= 3:
        return "rgb", samples > 3 and (1 in extra or 2 in extra)
    if photometric == 5 and samples >= 4:
        return "cmyk", False
    if photometric in (0, 1, 2, 3, 4, 5):
        alpha = samples > 1 and bool(extra) and extra[-1] in (1, 2)
        return ("grey" if samples - alpha == 1 else "channels"), alpha
    raise ImageError(
        f"Its colours are stored as TIFF photometric interpretation {photometric}, expected grey, RGB, CMYK or a "
        f"palette. Open it in Fiji, set Image > Type > RGB Color and save it as TIFF."
    )
