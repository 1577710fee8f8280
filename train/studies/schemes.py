"""What a network may be taught of nuclei, and how its maps become nuclei again: the ways that are compared.

Every scheme has the loss of `nuclei_models/model/losses.py` for its exclusive classes and its distance; centre votes
add their own. The published networks use `border and distance`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from skimage import measure
from skimage.segmentation import watershed

from nuclei_models.model.instances import find_instances
from nuclei_models.model.losses import class_count, segmentation_loss
from nuclei_models.model.targets import make_targets

OFFSET_UNIT = 16.0  # pixels at the network's scale to an offset of 1
THRESHOLDS = (0.4, 0.5, 0.6, 0.7, 0.8)
MIN_AREA = 20  # pixels, as bundled

Decode = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Scheme:
    """One way.

    Attributes:
        names: The network's channels. `offset_y`, `offset_x` come last, where there are any.
        decode: (maps (C, H, W) float32, zoom, *setting) -> labels (H, W) int32; zoom is the image's size by the
            network's.
        settings: What is tried on validation.
    """

    names: tuple[str, ...]
    decode: Decode
    settings: Sequence[tuple[float, ...]]

    @property
    def plain(self) -> list[str]:
        """The channels that the published networks' loss knows."""
        return [n for n in self.names if not n.startswith("offset")]

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """(H, W) integers -> (C, H, W) float32."""
        maps = make_targets(labels, self.plain)
        return np.concatenate([maps, centre_offsets(labels)]) if len(self.plain) < len(self.names) else maps

    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) both -> a scalar."""
        n = len(self.plain)
        loss = segmentation_loss(logits[:, :n], targets[:, :n].contiguous(), self.plain)
        if n < len(self.names):
            inside = (1 - targets[:, :1]).expand(-1, 2, -1, -1)
            miss = F.smooth_l1_loss(logits[:, n:].float(), targets[:, n:], beta=0.1, reduction="none")
            loss = loss + (miss * inside).sum() / inside.sum().clamp(min=1)
        return loss

    def maps(self, logits: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
        """Logits (C, H', W') -> maps (C, *size): classes and distance in [0, 1], offsets as they are."""
        n, plain = class_count(self.plain), len(self.plain)
        parts = [logits[:n].softmax(0), logits[n:plain].sigmoid(), logits[plain:]]
        maps = torch.cat(parts)[None]
        return F.interpolate(maps, size=size, mode="bilinear", antialias=True)[0].numpy()


def centre_offsets(labels: np.ndarray) -> np.ndarray:
    """From each nucleus pixel to its nucleus's centre of mass, in units of `OFFSET_UNIT`: (2, H, W) y, x float32."""
    labels = measure.label(labels, connectivity=1)  # where a crop mirrors the image's edge, a number stands twice
    index = np.arange(1, labels.max() + 1)
    centre = np.zeros((len(index) + 1, 2), np.float32)
    if len(index):
        centre[1:] = ndimage.center_of_mass(labels > 0, labels, index)
    at = np.indices(labels.shape).astype(np.float32)
    return np.where(labels > 0, (centre[labels].transpose(2, 0, 1) - at) / OFFSET_UNIT, 0).astype(np.float32)


def parts(maps: np.ndarray, zoom: float, threshold: float) -> np.ndarray:
    """The mask's connected parts."""
    return find_instances(1 - maps[0], None, threshold, 0.5, MIN_AREA)


def from_inside(maps: np.ndarray, zoom: float, threshold: float, separation: float, sigma: float) -> np.ndarray:
    """Cores are where the smoothed inside class is likely: the mask without the borders between touching nuclei."""
    return find_instances(1 - maps[0], ndimage.gaussian_filter(maps[1], sigma * zoom), threshold, separation, MIN_AREA)


def from_distance(maps: np.ndarray, zoom: float, threshold: float, separation: float, sigma: float) -> np.ndarray:
    """Cores are where the smoothed distance channel, the last, is high: the published way."""
    return find_instances(1 - maps[0], ndimage.gaussian_filter(maps[-1], sigma * zoom), threshold, separation, MIN_AREA)


def from_votes(maps: np.ndarray, zoom: float, threshold: float, sigma: float) -> np.ndarray:
    """Every mask pixel votes for its centre; the peaks of the votes are the nuclei, grown over the mask.

    A pixel belongs to the part of the vote map that it votes for, as in EmbedSeg and the Bowl's second place.
    """
    mask = 1 - maps[0] > threshold
    y, x = np.nonzero(mask)
    if len(y) == 0:
        return np.zeros(mask.shape, np.int32)
    to = np.stack([y, x]) + maps[-2:, y, x] * OFFSET_UNIT * zoom
    to = np.clip(np.rint(to), 0, np.array(mask.shape)[:, None] - 1).astype(int)
    votes = np.zeros(mask.shape, np.float32)
    np.add.at(votes, (to[0], to[1]), 1)
    votes = ndimage.gaussian_filter(votes, sigma * zoom)
    peaks = (votes == ndimage.maximum_filter(votes, int(2 * sigma * zoom) * 2 + 1)) & (votes > 0.02 * votes.max())
    basins = watershed(-votes, ndimage.label(peaks, np.ones((3, 3)))[0], mask=votes > 1e-3)
    labels = np.zeros(mask.shape, np.int32)
    labels[y, x] = basins[to[0], to[1]]
    area = np.bincount(labels.ravel())
    keep = area >= MIN_AREA
    keep[0] = False
    return (np.cumsum(keep) * keep)[labels].astype(np.int32)


CORES = list(product(THRESHOLDS[1:], (0.3, 0.4, 0.5, 0.6), (0.0, 1.0, 2.0)))  # sigma as below
VOTES = list(product(THRESHOLDS, (1.5, 2.5, 4.0)))  # sigma, pixels at the network's scale
OFFSETS = ("offset_y", "offset_x")
SCHEMES = {
    "mask": Scheme(("background", "nucleus"), parts, [(t,) for t in THRESHOLDS]),
    "border": Scheme(("background", "nucleus", "border"), from_inside, CORES),
    "distance": Scheme(("background", "nucleus", "distance"), from_distance, CORES),
    "border and distance": Scheme(("background", "nucleus", "border", "distance"), from_distance, CORES),
    "centre votes": Scheme(("background", "nucleus", *OFFSETS), from_votes, VOTES),
    "border and centre votes": Scheme(("background", "nucleus", "border", *OFFSETS), from_votes, VOTES),
}
