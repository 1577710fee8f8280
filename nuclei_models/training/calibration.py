"""What the processor says of a network's answers was fitted for the start's weights; fitted anew for others.

- What a look through the network tells of the nuclear diameter (`model/scale.py`): two numbers of it, by how much it is
  off and how far it errs, on images that are trained on.
- How sure one can be of a nucleus (`model/confidence.py`): again two numbers, on held-out images, for of those that it
  was trained on a network is surer than of others. Where there are too few nuclei, nothing is said any more.
"""

import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from skimage.segmentation import relabel_sequential

from ..analysis.metrics import iou_matrix
from ..inference.scale import Looks
from ..inference.tiling import predict_logits
from ..model.confidence import confidence, measured
from ..model.image_processing_nuclei import NucleiImageProcessor
from ..model.maps import Maps
from ..model.modeling_nuclei import NucleiPreTrainedModel
from . import processes
from .augment import median_diameter
from .samples import Sample

FACTORS = (1.0, 0.5, 2.0)  # of the true diameter, at which the network looks
ENOUGH_IMAGES = 5  # that it looked at
CLEARLY = 0.1  # of the mean log-likelihood of a look, before what it tells is changed
FURTHEST = 4.0  # times that a spread is changed, at most
ENOUGH_NUCLEI = 100  # found on held-out images
PENALTY = 3.0  # on what a confidence is changed by, as if some nuclei had said that it is right

Weights = Mapping[str, str]


class Judged(NamedTuple):
    """Nuclei that a network found: what the confidence is computed from, (n, F), and whether each is right, (n,)."""

    rows: np.ndarray
    right: np.ndarray

    @classmethod
    def of(cls, labels: Sequence[np.ndarray], maps: Sequence[Maps], samples: Sequence[Sample]) -> "Judged":
        """The nuclei of several images, but for those that lie mostly where nobody labelled."""
        labels = [relabel_sequential(one)[0] for one in labels]
        found = [
            (measured(one, m.probability, m.distance, m.pixel_area), partners(one, s.labels), ~unknown(one, s.labels))
            for one, m, s in zip(labels, maps, samples, strict=True)
        ]
        rows = [rows[known] for rows, _, known in found if len(rows)]
        right = [right[known] for rows, right, known in found if len(rows)]
        return cls(np.concatenate(rows), np.concatenate(right)) if rows else cls(np.zeros((0, 1)), np.zeros(0, bool))


judge = Judged.of


def partners(labels: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Which nuclei have a true one at an IoU of 0.5 or more: (n,), bool."""
    iou = iou_matrix(np.maximum(true, 0), labels)
    return (iou.toarray() >= 0.5).any(0) if iou.shape[0] else np.zeros(iou.shape[1], bool)


def unknown(labels: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Which nuclei lie mostly where nobody labelled: (n,), bool."""
    n = int(labels.max(initial=0)) + 1
    hidden = np.bincount(labels.ravel(), (true < 0).ravel(), n)
    return (hidden > 0.5 * np.bincount(labels.ravel(), minlength=n))[1:]


def fit_looks(
    model: NucleiPreTrainedModel,
    processor: NucleiImageProcessor,
    samples: Sequence[Sample],
    seconds: float,
) -> tuple[NucleiImageProcessor, list[str]]:
    """Fit what a look through a network tells of the nuclear diameter, by images of known diameter.

    Args:
        samples: Images that are trained on, of which it looks at as many as there is time for.

    Returns:
        The processor, a changed copy or itself; and a sentence, if there is something to say.
    """
    if processor.diameter is not None or processor.look_estimator is None:
        return processor, []
    told, images = processes.agreed(_looks(model, processor, samples, seconds))
    kept = "What looks through the network tell of the nuclear diameter was fitted for the start and is kept:"
    if images < ENOUGH_IMAGES:
        return processor, [f"{kept} the network looked at {images} image(s), too few (at least {ENOUGH_IMAGES})."]
    off, spread = np.array(told).T
    shift = _weighted_median(off, 1 / spread)
    factor = float(np.clip(np.median(np.abs(off - shift) / spread) / np.log(2), 1 / FURTHEST, FURTHEST))
    gain = _likelihood(off - shift, spread * factor) - _likelihood(off, spread)
    if gain < CLEARLY:
        return processor, [f"{kept} on {images} images it is as right as what could be fitted."]
    fitted = deepcopy(processor)
    setattr(fitted, "look_estimator", _changed(processor.look_estimator, shift, factor))  # noqa: B010
    return fitted, [
        f"What looks through the network tell of the nuclear diameter was fitted on {images} images that are trained "
        f"on: {-shift:+.2f} octaves, and a spread {factor:.2f} times as large."
    ]


def _looks(
    model: NucleiPreTrainedModel, processor: NucleiImageProcessor, samples: Sequence[Sample], seconds: float
) -> tuple[list[tuple[float, float]], int]:
    """By how many octaves each look is off, and the spread that it claims; and of how many images."""
    told: list[tuple[float, float]] = []
    images, end = 0, time.monotonic() + seconds
    for sample in samples:
        true = median_diameter(sample.labels)
        if not true or time.monotonic() > end:
            continue
        look = Looks(processor.normalised(sample.image), partial(predict_logits, model), processor, keep=False)
        for factor in FACTORS:
            evidence = look(max(true * factor, 1.0))
            told.append((evidence.log2 - float(np.log2(true)), evidence.spread))
        images += 1
    return told, images


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def _likelihood(off: np.ndarray, spread: np.ndarray) -> float:
    """Mean logarithm of the density of a Laplace distribution, the rare worthless looks bounded."""
    return float(np.mean(-np.minimum(np.abs(off) / spread, 5.0) - np.log(2 * spread)))


def _changed(weights: Weights, shift: float, factor: float) -> dict[str, str]:
    """A perceptron's weights (see `scale.perceive`) that tell `shift` octaves less, and a spread `factor` times as
    large where it tells one."""
    bias = np.array(weights["out_bias"].split(), float)
    bias[0] -= shift
    bias[1:] += np.log(factor)
    return {**weights, "out_bias": " ".join(f"{number:.4g}" for number in bias)}


def fit_confidence(processor: NucleiImageProcessor, judged: Sequence[Judged]) -> tuple[NucleiImageProcessor, str]:
    """Fit the confidence in a nucleus to what a network found on held-out images.

    Returns:
        A copy of the processor with the new confidence, or without one where there are too few nuclei; itself where it
        has none. And a sentence.
    """
    if processor.confidence_model is None:
        return processor, "No confidence was fitted."
    rows = [one.rows for one in judged if len(one.rows)]
    right = np.concatenate([np.zeros(0, bool), *(one.right for one in judged)])
    changed = deepcopy(processor)
    n, wrong = len(right), int((~right).sum())
    if n < ENOUGH_NUCLEI:
        setattr(changed, "confidence_model", None)  # noqa: B010
        return changed, (
            f"Nuclei get no confidence: that of the start isn't that of these weights, and {n} found on held-out "
            f"images are too few to fit it on (at least {ENOUGH_NUCLEI})."
        )
    alone = processor.confidence_model["alone"]
    before = np.clip(confidence(alone, np.concatenate(rows)), 1e-6, 1 - 1e-6)
    slope, bias = _platt(np.log(before / (1 - before)), right)
    weights = [float(f"{weight * slope:.5g}") for weight in alone["weights"]]
    fitted = {**alone, "weights": weights, "bias": float(f"{alone['bias'] * slope + bias:.5g}")}
    setattr(changed, "confidence_model", {"alone": fitted})  # noqa: B010
    return (
        changed,
        f"Confidence was fitted on {n} nuclei found on held-out images, of which {wrong} are wrong.",
    )


def _platt(odds: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """Slope and bias that make log odds those of being right, by logistic regression."""
    sign = np.where(right, 1.0, -1.0)

    def loss(w: np.ndarray) -> float:
        return float(np.logaddexp(0, -sign * (w[0] * odds + w[1])).sum() + PENALTY * ((w[0] - 1) ** 2 + w[1] ** 2))

    slope, bias = minimize(loss, np.array([1.0, 0.0]), method="L-BFGS-B", bounds=[(0.0, None), (None, None)]).x
    return float(slope), float(bias)
