"""What a network says of an image, as maps, and how maps and images are brought to another size."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from .gaussian import gaussian
from .scale import Diameter


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
    return torch.from_numpy(gaussian(x.cpu().numpy(), sigma, "nearest", 4.0)).to(x.device)


def resize(x: torch.Tensor, size: list[int]) -> torch.Tensor:
    """(C, H, W) float -> (C, *size), bilinear, smoothed first when it shrinks."""
    if size[1] == 1 < size[0]:  # torch repeats the first row in a result that is one pixel wide
        return resize(x.transpose(1, 2), size[::-1]).transpose(1, 2)
    return F.interpolate(x[None], size=size, mode="bilinear", align_corners=False, antialias=True)[0]
