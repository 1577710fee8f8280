"""An image with its truth, and what is said of one that can't be used."""

from dataclasses import dataclass

import numpy as np


class DataError(ValueError):
    """A file of the data set is missing, broken or not what it should be; the message names it."""


@dataclass(frozen=True)
class Sample:
    """An image with its truth.

    Attributes:
        id: The Bowl's ImageId, or laboratory/name.
        image: (H, W) grey or (H, W, 3) RGB; uint8 or uint16 in a packed folder, of any type in a person's own.
        labels: (H, W), int32; 0 is background, 1 .. n one number a nucleus, -1 what nobody labelled.
        pixel_size: Height and width of a pixel in micrometres, where the file states them.
    """

    id: str
    image: np.ndarray
    labels: np.ndarray
    pixel_size: tuple[float, float] | None = None


def laboratory(image_id: str) -> str:
    """What stands before the slash of an id, "" where there is none."""
    return image_id.rpartition("/")[0]
