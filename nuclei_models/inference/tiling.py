"""Image -> logits, by tiles that together give what the whole image would."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from ..model.layers import NucleiNetwork
from ..model.windows import Window
from .runtime import Runtime

Progress = Callable[[int, int], None]  # called with (parts done, parts in all)

TILE = 1024  # pixels a side, for a network that needs memory for all of its input at once
PARTS = 20  # to a tile, for the progress
STRIP = 4096  # pixels, the width of the strips in which a wide image goes through a network that doesn't


class Tile(NamedTuple):
    """A tile, rows and columns: what is kept (`core`) and what the network sees for it (`window`)."""

    core: Window
    window: Window


def tiles(size: tuple[int, int], tile: int | tuple[int, int], margin: int, stride: int) -> Iterator[Tile]:
    """Cut an image into cores of `tile` pixels, each seen with `margin` pixels of its surroundings.

    Windows start at multiples of `stride`, so that every tile sees the whole image's pooling grid, and end at the
    image's edge, so that the network treats the edge the same way.

    Args:
        size: Height and width of the image.
        tile, margin: Pixels; rounded up to multiples of the stride. Height and width of a tile, or one for both.
        stride: Pixels of the image to a pixel of the network's bottleneck.
    """
    height, width = (tile, tile) if isinstance(tile, int) else tile
    height, width, margin = (-(-n // stride) * stride for n in (max(height, 1), max(width, 1), margin))

    def cut(length: int, core: int) -> list[tuple[slice, slice]]:
        starts = range(0, length, core)
        return [
            (slice(a, min(a + core, length)), slice(max(a - margin, 0), min(a + core + margin, length))) for a in starts
        ]

    for core_y, window_y in cut(size[0], height):
        for core_x, window_x in cut(size[1], width):
            yield Tile((core_y, core_x), (window_y, window_x))


@torch.inference_mode()
def predict_logits(
    model: NucleiNetwork,
    pixel_values: np.ndarray,
    tile: int | None = None,
    progress: Progress | None = None,
    precision: str = "auto",
) -> torch.Tensor:
    """Logits of a whole image.

    Args:
        model: It runs in evaluation mode and is left in its own. A U-Net with `padding="valid"` gives logits smaller
            than the image and is refused.
        pixel_values: (3, H, W), float32, from `NucleiImageProcessor.prepare`.
        tile: Pixels; the network sees about tile x tile at once, and of an image that is narrower a longer part.
            `None`: as memory has it.
        progress: Called at first, now and then, and in the end. To cancel, raise from it.
        precision: "auto", "float32" or "bfloat16"; see `Runtime`.

    Returns:
        (num_labels, H, W), float32, on the CPU. Equal to those of the whole image at once, to the precision.

    Raises:
        ValueError: The model loses the edge, or the precision isn't available here.
    """
    if getattr(model.config, "padding", "same") == "valid":
        raise ValueError('This U-Net has padding="valid" and loses the edge: set model.config.padding = "mirror".')
    runtime = Runtime(model, precision)
    size = pixel_values.shape[1:]
    plan = list(tiles(size, _tile_size(size, tile, runtime), model.context + model.stride, model.stride))
    x = torch.from_numpy(pixel_values)[None]
    logits = torch.empty(model.num_labels, *size)

    def report(tiles_done: int, rows: int, of: int) -> None:
        if progress:
            progress(PARTS * tiles_done + PARTS * rows // of, PARTS * len(plan))

    report(0, 0, 1)
    for done, (core, window) in enumerate(plan):
        out = runtime(x[(..., *window)], partial(report, done))[0]
        rows, columns = (slice(c.start - w.start, c.stop - w.start) for c, w in zip(core, window, strict=True))
        logits[(..., *core)] = out[..., rows, columns]
        report(done + 1, 0, 1)
    return logits


def _tile_size(size: tuple[int, int], tile: int | None, runtime: Runtime) -> tuple[int, int]:
    if tile is None and runtime.streamed:
        return size[0], -(-size[1] // -(-size[1] // STRIP))  # strips of one width
    tile = tile or TILE
    if max(size) <= tile:
        return size
    narrow = min(tile, max(min(size), runtime.model.stride))  # a network sees no less than its stride
    long = tile * tile // narrow
    return (long, narrow) if size[0] > size[1] else (narrow, long)
