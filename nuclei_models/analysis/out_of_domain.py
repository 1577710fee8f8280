"""What both networks said of an image -> whether it looks like an image of nuclei at all.

On images like those they were trained on, the two networks draw sure, roundish nuclei of one size and mostly the same
ones. On a photograph, a page of text or a blank field they don't. `signals` measures that from what the page has
anyway, no network is run; a weighted sum of the signals, fitted by `train/fit/out_of_domain.py`, is compared with a
threshold. Its false alarms and misses are in `out_of_domain.json` and in docs/trust.md.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from ..model.maps import Maps
from .agreement import compare

FILE = Path(__file__).with_name("out_of_domain.json")
SIGNALS = ("agreement", "overlap", "doubt", "depth", "spread", "size", "cover", "fullness")
SHARES = ("agreement", "overlap", "doubt")
MAX_PIXELS = 1 << 20  # maps of more are looked at on a grid
NOTHING = "Neither network found a nucleus. If there should be some, try another channel or a lower threshold."
STRANGE = (
    "This doesn't look like an image of nuclei. What the networks found is unsure, or the two disagree, as on "
    "photographs, text or blank fields; they learned from fluorescence and bright-field images of nuclei. Don't count "
    "on these numbers."
)


def signals(maps: Sequence[Maps], labels: Sequence[np.ndarray], diameter: float | None = None) -> np.ndarray:
    """Measure two networks' answers.

    Args:
        maps: Of both networks, (H, W) each.
        labels: Of both networks, (H, W), integers, all that are cut with the fitted settings: what is then dropped for
            its low confidence tells most.
        diameter: The nuclear diameter that was assumed, pixels; `None` where it isn't known.

    Returns:
        (len(SIGNALS),), float64, finite: share of nuclei that both found; overlap of the probability maps; share of the
        foreground that is undecided; mean distance map in the foreground; spread of the nuclei's diameters, octaves;
        how far their median is from what was assumed, octaves; share of the image that is foreground; share of its
        bounding box that a nucleus fills.
    """
    step = max(1, round(np.sqrt(labels[0].size / MAX_PIXELS)))
    p = [np.asarray(m.probability[::step, ::step], np.float64) for m in maps]
    foreground = sum(float(q.sum()) for q in p)
    tiny = 1e-6 * p[0].size
    distances = [(m.distance[::step, ::step], q) for m, q in zip(maps, p, strict=True) if m.distance is not None]
    weight = sum(float(q.sum()) for _, q in distances)
    area, box = (np.concatenate(parts) for parts in zip(*map(_areas, labels), strict=True))
    octaves = np.log2(np.maximum(area, 1)) / 2 + np.log2(4 / np.pi) / 2  # of the diameter of a disc of that area
    return np.array(
        [
            compare(labels[0], labels[1]).score if len(area) else 0.0,
            np.minimum(*p).sum() / (np.maximum(*p).sum() + tiny),
            sum(float((q * (1 - q)).sum()) for q in p) / (foreground + tiny),
            sum(float((d * q).sum()) for d, q in distances) / (weight + tiny),
            octaves.std() if len(area) else 0.0,
            abs(np.median(octaves) - np.log2(diameter)) if len(area) and diameter else 0.0,
            foreground / (p[0].size * len(p)),
            (area / box).mean() if len(area) else 0.0,
        ]
    )


def stretched(measured: np.ndarray) -> np.ndarray:
    """Signals, (.., len(SIGNALS)), as they are weighed: shares that are mostly close to 0 or 1 as their log odds, and
    how far the size is off as its logarithm."""
    values = np.array(measured, np.float64)
    for name in SHARES:
        share = values[..., SIGNALS.index(name)].clip(0.01, 0.99)
        values[..., SIGNALS.index(name)] = np.log(share / (1 - share))
    size = SIGNALS.index("size")
    values[..., size] = np.log(values[..., size] + 0.1)
    return values


def _areas(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Area and bounding box's area of each nucleus, pixels, (n,) each."""
    boxes = [(b[0].stop - b[0].start) * (b[1].stop - b[1].start) for b in ndimage.find_objects(labels) if b]
    area = np.bincount(labels.ravel())[1:]
    return area[area > 0].astype(np.float64), np.array(boxes, np.float64)


@dataclass(frozen=True)
class Domain:
    """The fitted rule.

    Attributes:
        mean, std, weights: (len(SIGNALS),), to weigh the `stretched` signals by.
        bias: Added to the weighted sum.
        threshold: Of the sum; above it the image is called strange.
        networks: SHA-256 of the weights that the rule was fitted with.
        figures: False alarms and misses, by kind of image, as measured.
    """

    mean: np.ndarray
    std: np.ndarray
    weights: np.ndarray
    bias: float
    threshold: float
    networks: tuple[str, ...]
    figures: dict

    def strangeness(self, measured: np.ndarray) -> float:
        """Above `threshold`: strange. The log odds of being no image of nuclei among the images of the fit."""
        x = np.clip((stretched(measured) - self.mean) / self.std, -4, 4)
        return float(x @ self.weights + self.bias)

    def knows(self, networks: Collection[str]) -> bool:
        """Whether it was fitted with these networks, given by the SHA-256 of their weights."""
        return set(networks) == set(self.networks)


def read_domain(path: Path = FILE) -> Domain | None:
    """The rule as `train/fit/out_of_domain.py` wrote it; `None` if there is no such file."""
    if not path.is_file():
        return None
    said = json.loads(path.read_text())
    if said["signals"] != list(SIGNALS):
        raise ValueError(f"{path.name} is of signals {said['signals']}, expected {list(SIGNALS)}: fit it again.")
    mean, std, weights = (np.array(said[name], np.float64) for name in ("mean", "std", "weights"))
    return Domain(mean, std, weights, said["bias"], said["threshold"], tuple(said["networks"]), said["figures"])


def warning(
    domain: Domain | None, maps: Sequence[Maps], labels: Sequence[np.ndarray], diameter: float | None = None
) -> str | None:
    """A sentence for the user if the image is strange, or if nothing was found; else `None`.

    Args:
        domain: The rule, or `None` where there is none for these networks (see `Domain.knows`).
        maps, labels, diameter: See `signals`.
    """
    if not any(found.any() for found in labels):
        return NOTHING
    if domain is None or domain.strangeness(signals(maps, labels, diameter)) <= domain.threshold:
        return None
    return STRANGE
