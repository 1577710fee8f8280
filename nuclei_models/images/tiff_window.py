"""A TIFF page, part of it -> pixels: only the strips or tiles that a window touches are read and unpacked.

A window becomes a smaller page, which holds some of the page's strips or tiles, and is read as any page is: what the
samples mean, and what is refused, is the same for the part and the whole.
"""

from dataclasses import replace

import numpy as np

from . import tiff
from .series import MAX_PIXELS, ImageError
from .tiff import Layout, Page
from .tiff_pixels import read_page

_PAIRS = ((tiff.TILE_OFFSETS, tiff.TILE_BYTE_COUNTS), (tiff.STRIP_OFFSETS, tiff.STRIP_BYTE_COUNTS))


class Part(Page):
    """A page with tags of its own."""

    __slots__ = ("_own",)

    def __init__(self, page: Page, own: dict[int, np.ndarray]):
        super().__init__(page.file, page.file_size, page.order, page.big, page._entries)
        self._own = own

    def values(self, tag: int) -> np.ndarray:
        return self._own[tag] if tag in self._own else super().values(tag)


class WindowReader:
    """Reads windows of one plane.

    Args:
        page, lay, sample, shift, palette_is_display: As `read_page` takes them.
    """

    def __init__(
        self, page: Page, lay: Layout, sample: int = 0, shift: int = 0, palette_is_display: bool = False
    ) -> None:
        self.page, self.lay = page, lay
        self.options = (sample, shift, palette_is_display)
        self.tags = next((pair for pair in _PAIRS if pair[0] in page), _PAIRS[1])
        self.offsets, self.counts = (page.values(tag) for tag in self.tags)
        self.last: tuple[int, int, np.ndarray] | None = None  # first and last strip, and their pixels

    def read(self, rows: slice, cols: slice) -> np.ndarray:
        """(h, w) or, for colour, (h, w, 3). The window lies within the page.

        Raises:
            ImageError: As `read_page`, or the strips are so large that a window can't be had without most of the page.
        """
        if self.lay.tile:
            return self._of_tiles(rows, cols, *self.lay.tile)
        if self.lay.compression == 1 and self.lay.bits in (8, 16, 32, 64):
            return self._of_rows(rows, cols)
        return self._of_strips(rows)[:, cols]

    def _of_tiles(self, rows: slice, cols: slice, high: int, wide: int) -> np.ndarray:
        top, left = rows.start // high, cols.start // wide
        down, across = -(-rows.stop // high) - top, -(-cols.stop // wide) - left
        n_down, n_across = self.lay.padded[0] // high, self.lay.padded[1] // wide
        grid = (top + np.arange(down))[:, None] * n_across + left + np.arange(across)
        size = min(down * high, self.lay.height - top * high), min(across * wide, self.lay.width - left * wide)
        pixels = self._read(grid.ravel(), n_down * n_across, replace(self.lay, height=size[0], width=size[1]))
        y, x = rows.start - top * high, cols.start - left * wide
        return pixels[y : y + rows.stop - rows.start, x : x + cols.stop - cols.start]

    def _of_rows(self, rows: slice, cols: slice) -> np.ndarray:
        """Uncompressed strips: each row of the window is taken for a strip."""
        lay, n = self.lay, -(-self.lay.height // self.lay.rows_per_strip)
        y = np.arange(rows.start, rows.stop)
        strip = self._segments(y // lay.rows_per_strip, n).reshape(-1, len(y))  # (planes, rows)
        pixel = lay.bits // 8 * lay.samples_together
        within = y % lay.rows_per_strip * lay.row_bytes(lay.width) + cols.start * pixel
        own = {tiff.STRIP_OFFSETS: (self.offsets[strip].astype(np.int64) + within).ravel()}
        part = replace(lay, height=len(y), width=cols.stop - cols.start, rows_per_strip=1)
        return read_page(Part(self.page, own), part, MAX_PIXELS, *self.options)[0]

    def _of_strips(self, rows: slice) -> np.ndarray:
        """The rows, whole. Strips are kept for the next window, which most often wants the same."""
        high = self.lay.rows_per_strip
        first, last = rows.start // high, -(-rows.stop // high)
        if self.last is None or not (self.last[0] <= first and last <= self.last[1]):
            height = min(last * high, self.lay.height) - first * high
            if height * self.lay.width > MAX_PIXELS:
                raise ImageError(
                    f"Its pixels are compressed in strips of {high:,} rows of {self.lay.width:,} pixels, so that no "
                    f"part of it can be read without {height * self.lay.width / 1e6:,.0f} megapixels: save it in tiles "
                    f"(QuPath: Export > OME-TIFF), or uncompressed."
                )
            n = -(-self.lay.height // high)
            self.last = None
            self.last = first, last, self._read(np.arange(first, last), n, replace(self.lay, height=height))
        start = self.last[0] * high
        return self.last[2][rows.start - start : rows.stop - start]

    def _read(self, chosen: np.ndarray, n: int, part: Layout) -> np.ndarray:
        """Some of the `n` strips or tiles of a plane, as a page of the layout `part`."""
        at = self._segments(chosen, n)
        own = {self.tags[0]: self.offsets[at]}
        if len(self.counts) == len(self.offsets):
            own[self.tags[1]] = self.counts[at]
        return read_page(Part(self.page, own), part, MAX_PIXELS, *self.options)[0]

    def _segments(self, chosen: np.ndarray, n: int) -> np.ndarray:
        """Strips or tiles of the first plane -> the same of each plane that is stored by itself."""
        planes = self.lay.samples if self.lay.planar else 1
        if len(self.offsets) < n * planes:
            raise ImageError(
                f"It is damaged: it lists {len(self.offsets)} of the {n * planes} strips or tiles that "
                f"{self.lay.width} x {self.lay.height} pixels take. Export it again."
            )
        return (np.arange(planes)[:, None] * n + chosen).ravel()
