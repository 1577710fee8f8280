"""How large are the nuclei of an image? Evidence of several kinds, put together, and how far it can be trusted.

A piece of evidence says where the base-2 logarithm of the diameter lies, and how widely it may err. There are three:

- the picture itself, before any network has seen it (`diameter.py`);
- a look through the network at an assumed diameter: what it finds there, how sure it is, and how well its own channels
  agree with each other tell how far the assumption is off (`look_features`);
- the pixel size that a file states: nuclei are some 4 to 25 micrometres across.

`Belief` multiplies them. Perceptrons with one hidden layer turn features into evidence; `train/fit/scale.py` fits them,
and their weights are saved in `preprocessor_config.json`.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy import ndimage

GRID = np.arange(1.0, 9.01, 1 / 32)  # base-2 logarithms of diameters: 2 to 512 pixels
OUTLIERS = 0.03  # share of the evidence that says nothing at all, whatever it claims
SMALLEST_UM, LARGEST_UM = 4.0, 25.0  # nuclei, from yeast and lymphocytes to large cultured cells
TRUSTED = 0.8  # a belief below this is doubtful


class Evidence(NamedTuple):
    """Where the base-2 logarithm of the diameter (pixels) lies, by a Laplace distribution of this spread."""

    log2: float
    spread: float


@dataclass
class Belief:
    """What is believed of an image's typical nuclear diameter.

    Args:
        pixel_size: Micrometres, where it is known.
    """

    pixel_size: float | None = None
    log_density: np.ndarray = field(init=False, repr=False)

    def __post_init__(self):
        self.log_density = np.zeros(len(GRID))
        if self.pixel_size:
            low, high = np.log2(SMALLEST_UM / self.pixel_size), np.log2(LARGEST_UM / self.pixel_size)
            beyond = np.maximum(low - GRID, 0) + np.maximum(GRID - high, 0)
            self.log_density -= np.minimum(beyond / 0.25, 4)  # a stated size may be wrong too

    def add(self, evidence: Evidence) -> None:
        """Take a piece of evidence into account."""
        laplace = np.exp(-np.abs(GRID - evidence.log2) / evidence.spread) / (2 * evidence.spread)
        self.log_density += np.log((1 - OUTLIERS) * laplace + OUTLIERS / (GRID[-1] - GRID[0]))

    @property
    def density(self) -> np.ndarray:
        """Probability of each point of `GRID`."""
        p = np.exp(self.log_density - self.log_density.max())
        return p / p.sum()

    @property
    def diameter(self) -> float:
        """Pixels: the middle of the factor 1.5 either way that holds most of the belief."""
        return float(2.0 ** GRID[int(np.argmax(self._within()))])

    @property
    def trust(self) -> float:
        """The probability that the diameter is right within a factor of 1.5."""
        return float(min(self._within().max(), 1.0))

    @property
    def is_doubtful(self) -> bool:
        return self.trust < TRUSTED

    def _within(self) -> np.ndarray:
        """For each point the belief that lies within a factor of 1.5; ties go to the middle of the belief."""
        half = round(np.log2(1.5) * 32)
        p = self.density
        mass = np.convolve(p, np.ones(2 * half + 1), mode="same")
        return mass + 1e-6 * ndimage.gaussian_filter1d(p, 8, mode="constant")


def look_features(
    normalised: np.ndarray, probability: np.ndarray, distance: np.ndarray | None, labels: np.ndarray, seen: float
) -> np.ndarray:
    """What a look through the network tells of the scale.

    Args:
        normalised: (H, W, 3) float32, the image as the network saw it, from `intensity.normalise` and rescaled.
        probability, distance: (H, W) float32, the network's maps at that size.
        labels: (H, W) int32, the nuclei cut from them.
        seen: The diameter that was assumed, in pixels of that size.

    Returns:
        (17,), float32.
    """
    grey = normalised.mean(2)
    inside = labels > 0
    area = np.bincount(labels.ravel())[1:]
    colour = float(np.abs(normalised - grey[..., None]).mean())
    share = float(inside.mean())
    surroundings = [np.log2(seen / 25), min(colour * 5, 2), float(grey.mean())]
    if not len(area):
        return np.array([*surroundings, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], np.float32)
    across = np.sqrt(4 * area / np.pi)
    by_size = np.argsort(area)
    heavy = across[by_size][np.searchsorted(np.cumsum(area[by_size]), area.sum() / 2)]  # half of the area is smaller
    typical = float(np.median(across))
    weights = area / area.sum()
    boxes = ndimage.find_objects(labels)
    extent = np.array(
        [a / ((b[0].stop - b[0].start) * (b[1].stop - b[1].start)) for a, b in zip(area, boxes, strict=True)]
    )
    certain = probability[inside]
    doubt = float((4 * probability * (1 - probability)).sum() / max(area.sum(), 1))
    own = ndimage.distance_transform_edt(inside & ~_edges(labels)) + inside
    numbers = np.arange(1, len(area) + 1)
    top = ndimage.maximum(own, labels, numbers)
    shape = own / np.maximum(np.concatenate([[1], top])[labels], 1e-6)
    if distance is None:
        peak, mismatch = 0.75, 0.1
    else:
        peak = float((ndimage.maximum(distance, labels, numbers) * weights).sum())
        mismatch = float(np.abs(distance - shape)[inside].mean())
    rise = float(grey[inside].mean() - grey[~inside].mean()) if share < 1 else 0.0
    texture = float(grey[inside].std()) / (abs(rise) + 0.05)
    return np.array(
        [
            *surroundings,
            np.log2(typical / seen),
            np.log2(heavy / seen),
            float(np.log2(across).std()),
            min(doubt, 3),
            float(certain.mean()),
            peak,
            mismatch * 3,
            1 - share,
            float((extent * weights).sum()),
            float((across < 0.5 * heavy).mean()),
            np.log1p(len(area)) / 3,
            rise,
            min(texture, 3),
            float((4 * certain * (1 - certain)).mean()),
        ],
        np.float32,
    )


def perceive(features: np.ndarray, weights: dict[str, str]) -> Evidence:
    """Features to evidence by the perceptron `weights`.

    Args:
        features: (F,), float32.
        weights: Numbers as text, blanks between: `mean` and `std` (F,) of the features; `hidden` (F * n,),
            `hidden_bias` (n,), `out` (n * 2,) and `out_bias` (2,), which give the base-2 logarithm and the natural
            logarithm of its spread.
    """
    w = {name: np.array(text.split(), np.float32) for name, text in weights.items()}
    x = np.clip((features - w["mean"]) / w["std"], -6, 6)
    hidden = np.maximum(x @ w["hidden"].reshape(len(x), -1) + w["hidden_bias"], 0)
    log2, log_spread = hidden @ w["out"].reshape(-1, 2) + w["out_bias"]
    return Evidence(float(log2), float(np.exp(np.clip(log_spread, -4, 2))))


def _edges(labels: np.ndarray) -> np.ndarray:
    """Pixels with another label to the right or below, (H, W) bool."""
    edges = np.zeros(labels.shape, bool)
    edges[:-1] |= labels[:-1] != labels[1:]
    edges[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    return edges
