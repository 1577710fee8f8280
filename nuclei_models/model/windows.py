"""Windows of an image: where they begin, and which of them has the most to see."""

import numpy as np

Window = tuple[slice, slice]


def starts(length: int, side: int, step: int | None = None) -> list[int]:
    """Where windows of `side` pixels begin: every `step` pixels, by default every `side`. The last ends where the image
    does, so that all are whole. An image smaller than `side` has one."""
    last = max(length - side, 0)
    return sorted({*range(0, last, max(step or side, 1)), last})


def windows(shape: tuple[int, ...], side: int, step: int | None = None) -> list[Window]:
    """The windows of at most `side` pixels a side that cover an image of height and width `shape[:2]`, row by row."""
    height, width = shape[:2]
    return [
        (slice(y, min(y + side, height)), slice(x, min(x + side, width)))
        for y in starts(height, side, step)
        for x in starts(width, side, step)
    ]


def contrast(image: np.ndarray, every: int) -> float:
    """How much an image (H, W, C) varies, over every few pixels: the standard deviation, summed over the channels."""
    return float(image[::every, ::every].std(axis=(0, 1)).sum())


def busiest(image: np.ndarray, side: int, step: int | None = None) -> Window:
    """The window of at most `side` pixels a side that varies most. An empty corner would say nothing.

    Args:
        image: (H, W, C).
    """
    found = windows(image.shape, side, step)
    if len(found) == 1:
        return found[0]
    return max(found, key=lambda window: contrast(image[window], max(1, side // 128)))


__all__ = ["Window", "busiest", "contrast", "starts", "windows"]
