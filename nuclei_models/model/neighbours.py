"""The four pixels beside each pixel of an image: above, left, right and below."""

import numpy as np


def beside(pixels: np.ndarray) -> np.ndarray:
    """Which pixels have one of these above, below, left or right. (H, W) bool to the same."""
    found = np.zeros_like(pixels)
    found[1:] |= pixels[:-1]
    found[:-1] |= pixels[1:]
    found[:, 1:] |= pixels[:, :-1]
    found[:, :-1] |= pixels[:, 1:]
    return found


def framed(at: np.ndarray, width: int) -> np.ndarray:
    """Positions in an image of this width, flat, to those in the image with a frame of one pixel around it."""
    return at + 2 * (at // width) + width + 3


def steps(width: int) -> tuple[int, int, int, int]:
    """How far away the four neighbours are in an image of this width with a frame, flat; in raster order."""
    return -width - 2, -1, 1, width + 2
