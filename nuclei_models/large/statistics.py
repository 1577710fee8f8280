"""What is known of a whole image before any part of it is segmented: its range of values and its nuclei's diameter.

Both are found once, by reading the image window by window, so that all parts are normalised and rescaled alike.
"""

from collections.abc import Callable, Iterator

import numpy as np

from ..images.source import Source
from ..model.diameter import MAX_SIDE, estimate, scale_features, starts
from ..model.image_processing_nuclei import NucleiImageProcessor
from ..model.intensity import intensity_range, normalise, sample_step, to_rgb

WINDOWS = 15  # that the diameter is estimated from, at most

Step = Callable[[int, int], None]  # called with (windows read, windows in all)


def streamed_range(source: Source, low: float, high: float, step: Step | None = None) -> tuple[np.ndarray, np.ndarray]:
    """`intensity_range` of an image that is never held whole: of the same pixels, and so the same.

    Args:
        low, high: Percentiles.

    Returns:
        `bottom` and `span`, each (3,) float32.
    """
    every = sample_step(*source.shape)
    rows_of_windows = []
    plan = list(_windows(source.shape))
    for done, (y, xs) in enumerate(plan, 1):
        top = -y.start % every
        # copied, lest a row of windows be held whole for the pixels taken of it
        parts = [source.read(y, x)[top::every, -x.start % every :: every].copy() for x in xs]
        rows_of_windows.append(np.concatenate(parts, axis=1))
        if step:
            step(done, len(plan))
    sample = np.concatenate(rows_of_windows)
    rows_of_windows.clear()
    return intensity_range(to_rgb(sample), low, high)


def streamed_diameter(
    source: Source, processor: NucleiImageProcessor, bottom: np.ndarray, span: np.ndarray, step: Step | None = None
) -> float | None:
    """Typical nuclear diameter in pixels, or `None` where this processor can't tell.

    Of all windows of MAX_SIDE pixels the quarter that varies most is taken, of these at most 15 evenly spread over the
    image, and of their estimates the median: the emptiest tell nothing, and a fold or a pen's mark is outvoted. Of an
    image of up to four windows it is the one that varies most, as in `NucleiImageProcessor.estimate_diameter`.

    Args:
        bottom, span: Of the whole image, see `intensity_range`.
    """
    if processor.diameter_estimator is None:
        return None
    height, width = source.shape
    windows = [(_window(y, height), _window(x, width)) for y in starts(height) for x in starts(width)]
    busy = []
    for done, (y, x) in enumerate(windows, 1):
        busy.append(float(normalise(to_rgb(source.read(y, x))[::4, ::4], bottom, span).std()))
        if step:
            step(done, len(windows))
    quarter = np.sort(np.argsort(-np.array(busy), kind="stable")[: -(-len(windows) // 4)])
    chosen = quarter[np.linspace(0, len(quarter) - 1, min(WINDOWS, len(quarter))).round().astype(int)]
    found = []
    for i in chosen:
        normalised = normalise(to_rgb(source.read(*windows[i])), bottom, span)
        found.append(estimate(scale_features(normalised), processor.diameter_estimator))
    return float(np.median(found))


def _windows(shape: tuple[int, int]) -> Iterator[tuple[slice, list[slice]]]:
    """The image, each pixel once: rows of windows from top to bottom, the windows of a row from left to right."""
    for y in range(0, shape[0], MAX_SIDE):
        yield _window(y, shape[0]), [_window(x, shape[1]) for x in range(0, shape[1], MAX_SIDE)]


def _window(start: int, length: int) -> slice:
    return slice(start, min(start + MAX_SIDE, length))
