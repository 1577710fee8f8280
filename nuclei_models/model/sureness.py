"""Which nuclei are sure enough, without measuring all that the confidence is computed from.

Some of its features take long to measure: those of a nucleus's edge and of what lies around it. For most nuclei they
can't change the answer, as each lies between known bounds. They are measured of the others alone.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .confidence import FEATURES, LIMIT, coefficients, confidence, features, measured, reach_of
from .members import Grouped, Members
from .neighbours import framed, steps
from .sums import SURE, edge_lengths

TINY = 1e-6
MARGIN = 1e-6  # of the log-odds: far more than what rounding makes of them


def sure_enough(
    model: Mapping[str, Any],
    least: float,
    labels: np.ndarray,
    probability: np.ndarray,
    distance: np.ndarray | None,
    pixel_area: float,
) -> np.ndarray:
    """Whether `confidence(model, measured(labels, ...)) >= least`: (n,), bool, the same and sooner.

    Args:
        model: A confidence of `FEATURES`.
        least: 0 .. 1.
        labels: (H, W), integers; 0 is background, 1 .. n one number a nucleus, without gaps.
        probability, distance, pixel_area: See `Maps`.
    """
    if not TINY < least < 1 - TINY:  # log-odds say nothing there
        return confidence(model, measured(labels, probability, distance, pixel_area)) >= least
    members = Members(labels)
    enough, unsure = np.zeros(len(members.label), bool), np.arange(len(members.label))
    if not len(unsure):
        return enough
    sums = _insides(members, probability, distance)
    log_odds = np.log(least / (1 - least))

    def settle(*unknown: str) -> np.ndarray:
        """Say which of the unsure are sure enough, whatever these features are; the others that may be are left."""
        lowest, highest = _bounds(model, features(sums, pixel_area)[unsure], unknown, distance)
        enough[unsure] = lowest >= log_odds + MARGIN
        return unsure[(lowest < log_odds + MARGIN) & (highest >= log_odds - MARGIN)]

    unsure = settle("contrast", "roundness", "touching", "valley")
    if len(unsure):
        sums |= _edges(members, unsure, distance)
        unsure = settle("contrast")
    if len(unsure):
        sums |= _surroundings(members, unsure, probability, reach_of(pixel_area))
        enough[unsure] = confidence(model, features(sums, pixel_area)[unsure]) >= least
    return enough


def _insides(members: Members, probability: np.ndarray, distance: np.ndarray | None) -> dict[str, np.ndarray]:
    """What `features` takes, but for what is at the edges and around, of which there is 0."""
    labels, n = members.labels, len(members.label)
    p = probability.ravel()[members.at].astype(np.float64)
    sure, area = members.add(p > SURE), np.bincount(members.of, minlength=n).astype(float)
    at_edge = np.zeros(n)
    for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        at_edge[side[side > 0] - 1] = 1
    sums = {
        "moments": area[:, None],
        "probability": np.stack([members.add(p), sure], 1),
        "greatest_edge": at_edge[:, None],
        "distance": np.zeros((n, 1)),
        "greatest_distance": np.zeros((n, 1)),
        "perimeter": np.zeros((n, 1)),
        "contact": np.zeros((n, 3)),
    }
    if distance is not None:
        d = distance.ravel()[members.at].astype(np.float64)
        sums |= {"distance": members.add(d)[:, None], "greatest_distance": members.greatest(d)[:, None]}
    return sums


def _bounds(
    model: Mapping[str, Any], rows: np.ndarray, unknown: Iterable[str], distance: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """The least and the greatest log-odds, (n,) each, that nuclei with these features can have, whatever the
    unknown ones are."""
    mean, std, weights = coefficients(model, rows.shape[1])
    low, high = rows.copy(), rows.copy()
    inside, peak = rows[:, FEATURES.index("probability")], rows[:, FEATURES.index("peak")]
    deepest = 0.0 if distance is None else min(float(distance.min()), 0.0)
    ranges = {"contrast": (inside - 1, inside), "valley": (deepest, np.maximum(peak, 0))}
    for name in unknown:
        column = FEATURES.index(name)
        low[:, column], high[:, column] = ranges.get(name, (0, 1))
    low, high = (np.clip((one - mean) / std, -LIMIT, LIMIT) * weights for one in (low, high))
    bias = float(model["bias"])
    return np.minimum(low, high).sum(1) + bias, np.maximum(low, high).sum(1) + bias


def _edges(members: Members, which: np.ndarray, distance: np.ndarray | None) -> dict[str, np.ndarray]:
    """`perimeter` and `contact` of some nuclei, see `shape_sums` and `map_sums`; 0 of all others.

    Args:
        which: Their indices.
    """
    labels, width = members.labels, members.labels.shape[1]
    of, at = _pixels(members, which)
    flat, place, mine = np.pad(labels, 1).ravel(), framed(at, width), of + 1
    beside = np.stack([flat[place + step] for step in steps(width)])
    other = beside != mine
    rim, touching = other.any(0), (other & (beside > 0)).any(0)
    edges = np.zeros_like(flat)
    edges[place[rim]] = mine[rim]
    at_rim, in_touch = Grouped(members.label, of[rim]), Grouped(members.label, of[touching])
    valley = np.zeros(len(in_touch.of)) if distance is None else distance.ravel()[at[touching]].astype(np.float64)
    contact = [at_rim.add(np.ones(len(at_rim.of))), in_touch.add(np.ones(len(valley))), in_touch.add(valley)]
    lengths = edge_lengths(edges, place[rim], width)
    return {"perimeter": at_rim.add(lengths)[:, None], "contact": np.stack(contact, 1)}


def _surroundings(members: Members, which: np.ndarray, probability: np.ndarray, reach: int) -> dict[str, np.ndarray]:
    """`around` of some nuclei, see `map_sums`; 0 of all others."""
    labels, width = np.pad(members.labels, 1), members.labels.shape[1]
    picked = np.zeros(len(members.label) + 1, bool)
    picked[which + 1] = True
    _, at = _pixels(members, which)
    around, number = _around(labels, framed(at, width), picked, reach)
    row, column = np.divmod(around, width + 2)
    near, outside = Grouped(members.label, number - 1), probability[row - 1, column - 1].astype(np.float64)
    return {"around": np.stack([near.add(np.ones(len(around))), near.add(outside)], 1)}


def _pixels(members: Members, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of some nuclei: the index of each one's nucleus, and its position."""
    picked = np.zeros(len(members.label), bool)
    picked[which] = True
    there = np.flatnonzero(picked[members.of])
    return members.of[there], members.at[there]


def _around(labels: np.ndarray, inside: np.ndarray, picked: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """The background pixels within so many steps of a nucleus of which one of some nuclei is the nearest, and its
    number, see `map_sums`.

    Args:
        labels: (H + 2, W + 2), in a frame of 0.
        inside: Flat positions of these nuclei's pixels in it.
        picked: (n + 1,), bool, which numbers they have.
    """
    way, number = np.array(steps(labels.shape[1] - 2))[:, None], labels.flatten()
    is_free = labels == 0
    is_free[[0, -1]] = is_free[:, [0, -1]] = False
    is_free, ring = is_free.ravel(), inside
    is_near, is_new = np.zeros((2, number.size), bool)
    for _ in range(2 * reach - 1):  # what a pixel `reach` away from these nuclei is nearest to depends on no others
        beside = (ring + way).ravel()
        is_new[beside[is_free[beside]]] = True
        ring = np.flatnonzero(is_new)
        is_new[ring] = is_free[ring] = False
        is_near[ring] = True
    left = np.flatnonzero(is_near)
    found, nearest = [], []
    for _ in range(reach):
        best = number[left + way].max(0)
        reached = best > 0
        number[left[reached]] = best[reached]
        counts = picked[best]
        found.append(left[counts])
        nearest.append(best[counts])
        left = left[~reached]
    return np.concatenate(found), np.concatenate(nearest)
