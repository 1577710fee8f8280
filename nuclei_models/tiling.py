"""Image -> logits, by tiles that together give what the whole image would."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch

from .modeling_nuclei import NucleiPreTrainedModel

Progress = Callable[[int, int], None]  # called with (tiles done, tiles in all)


class Tile(NamedTuple):
    """A tile, rows and columns: what is kept (`core`) and what the network sees for it (`window`)."""

    core: tuple[slice, slice]
    window: tuple[slice, slice]


def tiles(size: tuple[int, int], tile: int, margin: int, stride: int) -> Iterator[Tile]:
    """Cut an image into cores of `tile` pixels, each seen with `margin` pixels of its surroundings.

    Windows start at multiples of `stride`, so that every tile sees the whole image's pooling grid, and end at the
    image's edge, so that the network treats the edge the same way.

    Args:
        size: Height and width of the image.
        tile, margin: Pixels; rounded up to multiples of the stride.
        stride: Pixels of the image to a pixel of the network's bottleneck.
    """
    tile, margin = (-(-n // stride) * stride for n in (max(tile, 1), margin))

    def cut(length: int) -> list[tuple[slice, slice]]:
        starts = range(0, length, tile)
        return [
            (slice(a, min(a + tile, length)), slice(max(a - margin, 0), min(a + tile + margin, length))) for a in starts
        ]

    for core_y, window_y in cut(size[0]):
        for core_x, window_x in cut(size[1]):
            yield Tile((core_y, core_x), (window_y, window_x))


@torch.inference_mode()
def predict_logits(
    model: NucleiPreTrainedModel, pixel_values: np.ndarray, tile: int = 1024, progress: Progress | None = None
) -> torch.Tensor:
    """Logits of a whole image.

    Args:
        model: In evaluation mode. A U-Net with `padding="valid"` gives logits smaller than the image and is refused.
        pixel_values: (3, H, W), float32, from `NucleiImageProcessor.prepare`.
        tile: Pixels; an image no larger than this in either direction is seen at once.
        progress: Called before the first tile and after each. To cancel, raise from it.

    Returns:
        (num_labels, H, W), float32, on the CPU. Equal to those of the whole image at once, to float tolerance.

    Raises:
        ValueError: The model loses the edge.
    """
    if getattr(model.config, "padding", "same") == "valid":
        raise ValueError('This U-Net has padding="valid" and loses the edge: set model.config.padding = "mirror".')
    size = pixel_values.shape[1:]
    whole = max(size) <= tile
    plan = list(tiles(size, max(size) if whole else tile, model.context + model.stride, model.stride))
    x = torch.from_numpy(pixel_values)[None]
    logits = torch.empty(model.num_labels, *size)
    if progress:
        progress(0, len(plan))
    for done, (core, window) in enumerate(plan, 1):
        part = x[(..., *window)].to(model.device, model.dtype)
        out = model(part.contiguous(memory_format=torch.channels_last)).logits[0]
        inner = tuple(slice(c.start - w.start, c.stop - w.start) for c, w in zip(core, window, strict=True))
        logits[(..., *core)] = out[(..., *inner)].float().cpu()
        if progress:
            progress(done, len(plan))
    return logits
