"""Bilinear rescaling by windows: any window of the rescaled image, from no more of the image than it needs.

The same arithmetic as `torch.nn.functional.interpolate(mode="bilinear", antialias=True)`, which the processor applies
to images in memory: a triangle, widened where the image shrinks, so that a pixel of the result is a mean over a few
whose weights depend on its place in the whole image and not on the window. Places are float32 numbers, as they are
there: far from the first pixel they are rounded, by a 250th of a pixel at 100,000, and both must be rounded alike.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from ..model.windows import Window


@dataclass(frozen=True)
class Axis:
    """Rows, or columns, of an image rescaled from `n_in` to `n_out` pixels."""

    n_in: int
    n_out: int

    def needed(self, out: slice) -> slice:
        """The pixels of the image that a window of the result depends on."""
        index, weight = self._taps(out)
        used = index[weight > 0]
        return slice(int(used.min()), int(used.max()) + 1)

    def apply(self, x: torch.Tensor, dim: int, out: slice) -> torch.Tensor:
        """Rescale along a dimension.

        Args:
            x: float32, of which dimension `dim` holds the pixels `needed(out)`.

        Returns:
            The same with that dimension of length `out.stop - out.start`. Bit for bit the same for any window.
        """
        index, weight = self._taps(out)
        first = self.needed(out).start
        shape = [-1 if d == dim % x.ndim else 1 for d in range(x.ndim)]
        total = None
        for i, w in zip(index, weight, strict=True):
            at = torch.from_numpy((i - first).clip(0, x.shape[dim] - 1))
            part = x.index_select(dim, at).mul_(torch.from_numpy(w.astype(np.float32)).view(shape))
            total = part if total is None else total.add_(part)
        assert total is not None
        return total

    def _taps(self, out: slice) -> tuple[np.ndarray, np.ndarray]:
        """For each of n pixels of the result k pixels of the image, (k, n), and weights, float64, which sum to 1."""
        ratio = np.float32(self.n_in) / np.float32(self.n_out)
        radius = max(ratio, np.float32(1))
        centre = ratio * (np.arange(out.start, out.stop).astype(np.float32) + np.float32(0.5))
        first = np.floor(centre - radius + 0.5).astype(np.int64)
        index = first + np.arange(math.ceil(radius) * 2 + 1)[:, None]
        weight = np.maximum(1 - np.abs((index + 0.5 - centre) / radius), 0)
        weight[(index < 0) | (index >= self.n_in)] = 0
        return index, weight / weight.sum(0)


def rescale(x: torch.Tensor, axes: tuple[Axis, Axis], window: Window) -> torch.Tensor:
    """(C, h, w) float32, the pixels that the window needs -> (C, *window). An axis that keeps its length is left."""
    for dim, axis, out in zip((2, 1), axes[::-1], window[::-1], strict=True):
        x = x if axis.n_in == axis.n_out else axis.apply(x, dim, out)
    return x
