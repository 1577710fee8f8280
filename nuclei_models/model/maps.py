"""What a network says of an image, as maps, and how maps and images are brought to another size."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from .scale import Diameter
from .threads import for_each, threads_for

GAP = 16  # pixels, a line of a cache


class Maps(NamedTuple):
    """What a network says of an image, in [0, 1].

    Attributes:
        probability: (H, W), float32, of being nucleus.
        distance: (H, W), float32, normalised distance to the nucleus's edge, or `None` if the network has no such
            channel.
        pixel_area: Of a pixel that the network saw, in pixels of the image: 1 where it wasn't rescaled.
        diameter: The nuclear diameter that was assumed.
        stain: The channel of the image that the network was shown alone, where the image is a merge of several stains;
            `None` where it was shown all of it.
    """

    probability: np.ndarray
    distance: np.ndarray | None
    pixel_area: float = 1.0
    diameter: Diameter = Diameter()
    stain: int | None = None


def pixel_area(size: tuple[int, int], seen: tuple[int, int]) -> float:
    """Of a pixel that the network saw, in pixels of the image, from both sizes (height, width)."""
    return (size[0] * size[1]) / (seen[0] * seen[1])


def smooth(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """(H, W) float32 under a Gaussian, sigma in pixels, cut off at 4 sigma; beyond the edge its last pixel goes on."""
    if sigma == 0:
        return x
    plain = x.cpu().numpy()
    shape = plain.shape
    copied, between, smoothed = _apart(shape), _apart(shape), np.empty(shape, np.float32)
    np.copyto(copied, plain)
    for axis, given, result in ((0, copied, between), (1, between, smoothed)):
        lines = np.array_split(np.arange(plain.shape[1 - axis]), threads_for(plain.size))  # each apart from the others
        parts = [(slice(None),) * (1 - axis) + (slice(part[0], part[-1] + 1),) for part in lines if len(part)]

        def along(part: tuple, axis: int = axis, given: np.ndarray = given, result: np.ndarray = result) -> None:
            ndimage.gaussian_filter1d(given[part], sigma, axis, output=result[part], mode="nearest", truncate=4.0)

        for_each(along, parts, plain.size)
    return torch.from_numpy(smoothed).to(x.device)


def _apart(shape: tuple[int, ...]) -> np.ndarray:
    """An array (H, W), float32, to be filled, whose rows lie some pixels apart: at a distance of a power of two, as in
    an image of 1024 x 1024, the pixels of a column get into each other's way in the caches."""
    return np.empty((shape[0], shape[1] + GAP), np.float32)[:, : shape[1]]


def resize(x: torch.Tensor, size: list[int]) -> torch.Tensor:
    """(C, H, W) float -> (C, *size), bilinear, smoothed first when it shrinks."""
    if size[1] == 1 < size[0]:  # torch repeats the first row in a result that is one pixel wide
        return resize(x.transpose(1, 2), size[::-1]).transpose(1, 2)
    return F.interpolate(x[None], size=size, mode="bilinear", align_corners=False, antialias=True)[0]
