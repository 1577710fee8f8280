"""What the tests of the reader share: pictures, a fixture that saves them, and two checks."""

import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nuclei_models.images.reader import ImageError, MicroscopyImage, inspect, read
from nuclei_models.images.source import Source

RNG = np.random.default_rng(0)
H, W = 37, 51
RGB = RNG.integers(0, 256, (H, W, 3)).astype(np.uint8)
GREY = RGB[..., 0]
DEEP = RNG.integers(0, 65536, (H, W, 4)).astype(np.uint16)
STACK = RNG.integers(0, 65536, (2, 3, 4, 20, 22)).astype(np.uint16)  # T, Z, C, Y, X

Save = Callable[..., Path]


def check(path: Path, expected: np.ndarray, **options) -> MicroscopyImage:
    """Read a file; its values, their type and what its header says must be as expected."""
    image = read(path, **options)
    assert image.pixels.dtype == expected.dtype and image.pixels.dtype.isnative
    np.testing.assert_array_equal(image.pixels, expected)
    info = inspect(path, series=options.get("series", 0))
    assert (info.height, info.width) == expected.shape[:2]
    assert info.dtype == expected.dtype
    if "channel" not in options:
        assert info.is_rgb == (expected.ndim == 3)
    assert (info.name, info.sizes, info.format) == (image.name, image.sizes, image.format)
    check_windows(path, expected, **options)
    return image


def check_windows(path: Path, expected: np.ndarray, **options) -> None:
    """Any window must be the whole's."""
    source = Source(path, **options)
    assert source.shape == expected.shape[:2] and source.dtype == expected.dtype
    for _ in range(4):
        rows, cols = (slice(*sorted(RNG.choice(n + 1, 2, replace=False))) for n in source.shape)
        np.testing.assert_array_equal(source.read(rows, cols), expected[rows, cols])
    source.close()


def fails(path: Path, *words: str, **options) -> str:
    """Reading must fail soon, in little memory, with a message that has the words and no folder."""
    started = time.process_time()
    tracemalloc.start()
    with pytest.raises(ImageError) as caught:
        read(path, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    message = str(caught.value)
    assert time.process_time() - started < 4 and peak < 60e6
    assert str(path.parent) not in message and len(message) < 500
    assert message.endswith((".", "!")) and message.count(". ") + message.count(": ") >= 1
    for word in words:
        assert word in message, message
    return message
