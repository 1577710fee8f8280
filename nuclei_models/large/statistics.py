"""What is known of a whole image before any part of it is segmented: its range of values and its nuclei's diameter.

Both are found once, by reading the image window by window, so that all parts are normalised and rescaled alike.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np

from ..images.source import Source
from ..inference.scale import Step, find_diameter
from ..inference.stains import alone, find_stain, stains_of
from ..inference.tiling import predict_logits
from ..model.diameter import MAX_SIDE
from ..model.intensity import intensity_range, normalise, sample_step, to_rgb
from ..model.layers import NucleiNetwork
from ..model.processing import NucleiProcessing
from ..model.scale import Diameter
from ..model.windows import Window


def streamed_range(
    source: Source, low: float, high: float, step: Step | None = None
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """`intensity_range` and `stains_of` of an image that is never held whole: of the same pixels, and so the same.

    Args:
        low, high: Percentiles.

    Returns:
        `bottom` and `span`, each (3,) float32, and the stains.
    """
    every = sample_step(*source.shape)
    rows_of_windows = []
    plan = list(_windows(source.shape))
    for done, (y, xs) in enumerate(plan, 1):
        top = -y.start % every
        # copied, so that a row of windows isn't held whole for the few pixels taken from it
        parts = [source.read(y, x)[top::every, -x.start % every :: every].copy() for x in xs]
        rows_of_windows.append(np.concatenate(parts, axis=1))
        if step:
            step(done, len(plan))
    sample = np.concatenate(rows_of_windows)
    rows_of_windows.clear()
    sample = to_rgb(sample)
    return *intensity_range(sample, low, high), stains_of(sample)


def streamed_diameter(
    source: Source,
    model: NucleiNetwork,
    processor: NucleiProcessing,
    bottom: np.ndarray,
    span: np.ndarray,
    given: float | None = None,
    step: Step | None = None,
    stain: int | None = None,
) -> Diameter:
    """Typical nuclear diameter of an image that is never held whole, found as `inference.scale.find_diameter` does.

    Args:
        bottom, span: Of the whole image, see `intensity_range`.
        stain: See `streamed_stain`.
        given: Pixels, what the user says.
    """

    read = partial(normalised, source, bottom, span, stain)
    run = partial(predict_logits, model)
    return find_diameter(read, source.shape, run, processor, given, source.pixel_size, step)[0]


def streamed_stain(
    source: Source,
    model: NucleiNetwork,
    processor: NucleiProcessing,
    bottom: np.ndarray,
    span: np.ndarray,
    stains: tuple[int, ...],
) -> int | None:
    """The stain that is shown to the network alone, found as `inference.stains.find_stain` does."""
    read, run = partial(normalised, source, bottom, span, None), partial(predict_logits, model)
    return find_stain(read, source.shape, stains, run, processor)


def normalised(source: Source, bottom: np.ndarray, span: np.ndarray, stain: int | None, window: Window) -> np.ndarray:
    """A window of an image as the network is to see it, before it is rescaled: (h, w, 3), float32."""
    return alone(normalise(to_rgb(source.read(*window)), bottom, span), stain)


def _windows(shape: tuple[int, int]) -> Iterator[tuple[slice, list[slice]]]:
    """The image, each pixel once: rows of windows from top to bottom, the windows of a row from left to right."""
    for y in range(0, shape[0], MAX_SIDE):
        yield _window(y, shape[0]), [_window(x, shape[1]) for x in range(0, shape[1], MAX_SIDE)]


def _window(start: int, length: int) -> slice:
    return slice(start, min(start + MAX_SIDE, length))
