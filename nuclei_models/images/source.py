"""An image file of any size -> its pixels, window by window, native values.

TIFF by its strips or tiles (`images/tiff_page.py`) and OME-Zarr by its chunks (`images/ngff.py`); other formats can
only be decoded whole, and are small enough for it. The readers are those of `images.read`: same checks, same meaning.
"""

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from .planes import Asked, several
from .reader import explained, opened
from .series import MAX_PIXELS, Series


class Source:
    """One plane of a file, open.

    Attributes:
        name: The file's, fit to be shown.
        shape: (height, width).
        dtype: Native byte order.
        is_rgb: Whether `read` gives (h, w, 3) colour.
        pixel_size: (y, x) in micrometres, or `None`.
        plane: Chosen "T" and "Z", from 0.
        channels: Chosen channels, from 0; two to four of them are colours of one picture, as in `images.read`.
        notes: Sentences for the user: what was chosen for them.

    Args:
        path: TIFF, OME-Zarr, PNG, ..
        z, t, channel, series, pixel_size: As in `images.read`.

    Raises:
        ImageError: As `images.read` does, but not for the size.
    """

    def __init__(
        self, path: str | os.PathLike, z=None, t=None, channel=None, series: int | None = None, pixel_size=None
    ):
        self.path, self._series = Path(path), series
        asked = Asked(z, t, channel)
        self._files = ExitStack()
        self.name, labels, found = self._files.enter_context(opened(path, series))
        with explained(self.name):
            found = asked.settled(found.with_pixel_size(pixel_size))
            plane = asked.one(found, MAX_PIXELS**2)
            self.shape = found.height, found.width
            self.dtype, self.pixel_size = found.dtype, found.pixel_size
            self.is_rgb = found.is_rgb and plane.parts[0][1] is None
            self.plane, self.channels = {"T": plane.t, "Z": plane.z}, plane.channels
            self.notes = (*([several(labels)] if len(labels) > 1 and series is None else []), *plane.notes)
            self._readers = [self._reader(found, plane.t, plane.z, *part) for part in plane.parts]

    def read(self, rows: slice, cols: slice) -> np.ndarray:
        """(h, w), (h, w, 3) colour or (h, w, n) of n chosen channels. The window lies within the image.

        Raises:
            ImageError: That part of the file is damaged, or of a kind that isn't read.
        """
        with explained(self.name):
            planes = [read(rows, cols) for read in self._readers]
        return np.stack(planes, axis=-1) if len(planes) > 1 else planes[0]

    def close(self) -> None:
        self._files.close()

    @staticmethod
    def _reader(found: Series, t: int, z: int, c: int, colour: int | None) -> Callable[[slice, slice], np.ndarray]:
        if found.window is not None:
            window = found.window(t, z, c)
        else:
            pixels = found.decode(t, z, c, MAX_PIXELS)[0]

            def window(rows: slice, cols: slice) -> np.ndarray:
                return pixels[rows, cols]

        return window if colour is None else lambda rows, cols: window(rows, cols)[..., colour]
