"""How sure one can be of each nucleus: of nuclei with a confidence of 0.8, 80% have a true partner at an IoU of 0.5.

A logistic regression on what the network said of a nucleus and on its shape, fitted by `train/fit/confidence.py` on
validation images. All that it needs are sums over pixels (`sums.py`), so large images get the same confidences.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .members import Members
from .sums import Sums, join, map_sums, shape_sums

FEATURES = (
    "probability",
    "sure",
    "contrast",
    "distance",
    "peak",
    "mismatch",
    "size",
    "size_off",
    "roundness",
    "edge",
    "touching",
    "valley",
)
AGREEMENT = "agreement"  # one more feature, where a second network was run
LIMIT = 4.0  # standard deviations, beyond which a feature says no more
CONE = 1 / 3  # mean of the normalised distance in a round nucleus
AROUND = 2.0  # pixels at the network's scale


def reach_of(pixel_area: float) -> int:
    """How far around a nucleus its surroundings reach, pixels of the image; see `Maps.pixel_area`."""
    return int(np.clip(round(AROUND * np.sqrt(pixel_area)), 1, 8))


def roundness(area: np.ndarray, perimeter: np.ndarray) -> np.ndarray:
    """4 pi area / perimeter², at most 1, which is a disc; ImageJ's and QuPath's circularity. (n,) each."""
    round_to = 4 * np.pi * area / np.maximum(perimeter, 1e-9) ** 2
    return np.minimum(np.where(perimeter > 0, round_to, 1.0), 1.0)


def features(sums: Mapping[str, np.ndarray], pixel_area: float) -> np.ndarray:
    """What the confidence is computed from.

    Args:
        sums: Of all nuclei of an image, from `join` of `shape_sums` and `map_sums`.
        pixel_area: See `Maps`.

    Returns:
        (n, len(FEATURES)), float64, finite. Of each nucleus: mean probability; share of its pixels that the network is
        sure of; the mean probability's step to its surroundings; mean of the distance map; its maximum; how far mean
        and maximum are from those of a cone; area as the network saw it, octaves; how far it is from the image's
        median, octaves; roundness; whether it touches the image's edge; share of its rim that touches other nuclei;
        mean of the distance map there.
    """
    area = sums["moments"][:, 0]
    if not len(area):
        return np.zeros((0, len(FEATURES)))
    mean, sure = (sums["probability"] / area[:, None]).T
    distance, peak = sums["distance"][:, 0] / area, sums["greatest_distance"][:, 0]
    rim, touching, valley = sums["contact"].T
    n_around, around = sums["around"].T if "around" in sums else np.zeros((2, len(area)))
    octaves = np.log2(area / pixel_area)
    columns = [
        mean,
        sure,
        mean - np.where(n_around > 0, around / np.maximum(n_around, 1), mean),
        distance,
        peak,
        np.abs(distance - CONE * peak),
        octaves,
        np.abs(octaves - np.median(octaves)),
        roundness(area, sums["perimeter"][:, 0]),
        sums["greatest_edge"][:, 0],
        touching / np.maximum(rim, 1),
        valley / np.maximum(touching, 1),
    ]
    return np.stack(columns, axis=1)


def measured(
    labels: np.ndarray,
    probability: np.ndarray,
    distance: np.ndarray | None,
    pixel_area: float,
    shape: Sums | None = None,
    members: Members | None = None,
) -> np.ndarray:
    """`features` of the nuclei of an image that is held whole: (n, len(FEATURES)).

    Args:
        labels: (H, W), integers; 0 is background, 1 .. n one number a nucleus.
        probability, distance, pixel_area: See `Maps`.
        shape, members: `shape_sums` and `Members` of the labels, where they are known.
    """
    members = members or Members(labels)
    parts = [
        shape_sums(labels, members=members) if shape is None else shape,
        *map_sums(labels, probability, distance, reach_of(pixel_area), members=members),
    ]
    return features(join(parts, int(labels.max(initial=0))), pixel_area)


def agreement(labels: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The highest IoU of each nucleus with one of another network, (n,): 0 where the other found nothing there.

    Args:
        labels, other: (H, W), integers; 0 is background, 1 .. n one number a nucleus.
    """
    areas, others = np.bincount(labels.ravel()), np.bincount(other.ravel())
    at = np.flatnonzero((labels > 0) & (other > 0))
    pairs = labels.ravel()[at].astype(np.int64) * len(others) + other.ravel()[at]
    runs = np.flatnonzero(np.diff(pairs, prepend=-1))  # of one pair: there are far fewer of them than of pixels
    pair, which = np.unique(pairs[runs], return_inverse=True)
    overlap = np.bincount(which, np.diff(runs, append=len(pairs)), len(pair))
    mine, theirs = np.divmod(pair, len(others))
    best = np.zeros(len(areas))
    np.maximum.at(best, mine, overlap / (areas[mine] + others[theirs] - overlap))
    return best[1:]


def confidence(model: Mapping[str, Any], rows: np.ndarray) -> np.ndarray:
    """Confidences (n,), 0 .. 1, of nuclei with these features (n, F).

    Args:
        model: As it is saved in preprocessor_config.json: "features", their names, and of each "mean", "std" and
            "weights"; and "bias".

    Raises:
        ValueError: It is of other features than these.
    """
    mean, std, weights = coefficients(model, rows.shape[1])
    x = np.clip((rows - mean) / std, -LIMIT, LIMIT)
    return 1 / (1 + np.exp(-(x @ weights + model["bias"])))


def coefficients(model: Mapping[str, Any], n_features: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard deviation and weight of each feature, (F,) each.

    Raises:
        ValueError: It is of other features than these.
    """
    names: Sequence[str] = model["features"]
    if tuple(names) not in (FEATURES, (*FEATURES, AGREEMENT)) or n_features != len(names):
        raise ValueError(f"A confidence of the features {names}: expected {', '.join(FEATURES)}. Fit it again.")
    mean, std, weights = (np.asarray(model[name], np.float64) for name in ("mean", "std", "weights"))
    return mean, std, weights
