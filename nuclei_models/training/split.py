"""Which images are held out to measure on, and which are trained on. Images that show the same stay on one side."""

import re
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from .likeness import near_duplicates
from .samples import DataError, Sample

FEW_IMAGES, FEW_GROUPS = 10, 5  # below these a single held-out part would say little: cross-validation
FOLDS = 3
HELD_OUT = 0.2  # share of the images


@dataclass(frozen=True)
class Fold:
    """Samples by their place in the list: what is trained on, and what is measured on."""

    train: tuple[int, ...]
    held_out: tuple[int, ...]


@dataclass(frozen=True)
class Split:
    """How images are held out.

    Attributes:
        folds: One; or several, each of which holds out another part (cross-validation); or none where nothing can be.
        how: That in a sentence.
        notes: Sentences about images that show the same.
    """

    folds: tuple[Fold, ...]
    how: str
    notes: tuple[str, ...] = ()


def split(samples: list[Sample], group: str | None = None, seed: int = 0) -> Split:
    """Hold out a part of the images, or with few of them each part in its turn.

    Args:
        group: Regular expression; images in whose ids it finds the same text (its first group, if it has one) stay on
            one side.
        seed: The draw is a function of this and of the ids.

    Raises:
        DataError: The expression is malformed or finds nothing in an id, or there is only one image.
    """
    if len(samples) < 2:
        raise DataError(
            "There is one image with truth, expected at least two: one to train on and one to measure on. Cut it into "
            "parts, each with its truth."
        )
    named = _named(samples, group)
    alike = near_duplicates(samples)
    members = _joined(named, alike)
    notes = _about_duplicates(samples, alike)
    by = f"by {group!r}" if group else "at random"
    if len(members) == 1:
        why = "of one group" if group and len(set(named)) == 1 else "near-duplicates of each other"
        return Split((), f"All {len(samples)} images are {why}: none can be held out to measure on.", notes)
    rng = np.random.default_rng(seed)
    order = sorted((members[i] for i in rng.permutation(len(members))), key=len, reverse=True)
    everything = set(range(len(samples)))
    if len(samples) < FEW_IMAGES or len(members) < FEW_GROUPS:
        parts: list[list[int]] = [[] for _ in range(min(FOLDS, len(members)))]
        for indices in order:
            min(parts, key=len).extend(indices)
        folds = tuple(Fold(tuple(sorted(everything - set(part))), tuple(sorted(part))) for part in parts)
        return Split(folds, f"Cross-validated, drawn {by}: each of {len(folds)} parts is held out in its turn.", notes)
    wanted = max(2, round(HELD_OUT * len(samples)))
    held: list[int] = []
    for i in rng.permutation(len(order)):
        if len(held) + len(order[i]) <= wanted or not held:
            held += order[i]
    fold = Fold(tuple(sorted(everything - set(held))), tuple(sorted(held)))
    return Split((fold,), f"{len(held)} of {len(samples)} images are held out, drawn {by}.", notes)


def split_given(samples: list[Sample], held_out: list[Sample]) -> Split:
    """The split of a folder to train on and a folder to measure on, `samples + held_out`; what shows the same as an
    image of the second isn't trained on.

    Raises:
        DataError: Nothing is left to train on.
    """
    alike = near_duplicates(samples + held_out)
    measured = set(alike[len(samples) :])
    train = tuple(i for i in range(len(samples)) if alike[i] not in measured)
    twins = [sample.id for i, sample in enumerate(samples) if i not in train]
    if not train:
        raise DataError("Every image to train on is a near-duplicate of one that is held out: nothing is left.")
    notes = (f"Near-duplicates of held-out images are not trained on: {', '.join(twins[:5])}.",) if twins else ()
    held = tuple(range(len(samples), len(samples) + len(held_out)))
    return Split((Fold(train, held),), f"The {len(held)} held-out images are those that were given.", notes)


def _named(samples: list[Sample], group: str | None) -> list[str]:
    if group is None:
        return [sample.id for sample in samples]
    try:
        found = [re.search(group, sample.id) for sample in samples]
    except re.error as error:
        raise DataError(f"The group {group!r} is no regular expression ({error}).") from error
    missing = [sample.id for sample, match in zip(samples, found, strict=True) if match is None]
    if missing:
        raise DataError(f"The group {group!r} finds nothing in {len(missing)} name(s), the first is {missing[0]}.")
    return [match[1] if match.re.groups else match[0] for match in found if match is not None]


def _joined(named: list[str], alike: list[int]) -> list[list[int]]:
    """Places of the samples, those together that have a name or a likeness in common."""
    root = list(range(len(named)))

    def find(i: int) -> int:
        while root[i] != i:
            i = root[i]
        return i

    first: dict[object, int] = {}
    for i, keys in enumerate(zip(named, alike, strict=True)):
        for key in (("name", keys[0]), ("like", keys[1])):
            root[find(i)] = find(first.setdefault(key, i))
    members: dict[int, list[int]] = defaultdict(list)
    for i in range(len(named)):
        members[find(i)].append(i)
    return list(members.values())


def _about_duplicates(samples: list[Sample], alike: list[int]) -> tuple[str, ...]:
    """A sentence for each group of images that show the same, of many only how many."""
    groups: dict[int, list[str]] = defaultdict(list)
    for sample, group in zip(samples, alike, strict=True):
        groups[group].append(sample.id)
    same = [ids for ids in groups.values() if len(ids) > 1]
    told = [f"Near-duplicates, kept on one side: {', '.join(ids[:5])}{', ..' if ids[5:] else ''}." for ids in same[:5]]
    return (*told, f"{len(same) - 5} more groups of near-duplicates.") if same[5:] else tuple(told)
