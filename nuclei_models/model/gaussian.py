"""An image under a Gaussian, as scipy has it, by several threads."""

import numpy as np
from scipy import ndimage

from .threads import for_each, threads_for

GAP = 16  # pixels, a line of a cache


def gaussian(image: np.ndarray, sigma: float, mode: str, truncate: float) -> np.ndarray:
    """`ndimage.gaussian_filter` of an image (H, W), float32, to the bit: (H, W), float32.

    Args:
        sigma: Pixels.
        mode, truncate: See there.
    """
    copied, between, smoothed = _apart(image.shape), _apart(image.shape), np.empty(image.shape, np.float32)
    np.copyto(copied, image)
    for axis, given, result in ((0, copied, between), (1, between, smoothed)):
        lines = np.array_split(np.arange(image.shape[1 - axis]), threads_for(image.size))  # each apart from the others
        parts = [(slice(None),) * (1 - axis) + (slice(part[0], part[-1] + 1),) for part in lines if len(part)]

        def along(part: tuple, axis: int = axis, given: np.ndarray = given, result: np.ndarray = result) -> None:
            ndimage.gaussian_filter1d(given[part], sigma, axis, output=result[part], mode=mode, truncate=truncate)

        for_each(along, parts, image.size)
    return smoothed


def _apart(shape: tuple[int, ...]) -> np.ndarray:
    """An array (H, W), float32, to be filled, whose rows lie some pixels apart: at a distance of a power of two, as in
    an image of 1024 x 1024, the pixels of a column get into each other's way in the caches."""
    return np.empty((shape[0], shape[1] + GAP), np.float32)[:, : shape[1]]
