"""Nuclei followed through a film: discs that move, divide, leave, come, and are missed for a frame."""

from zlib import crc32

import numpy as np
import pytest
from skimage.draw import disk

from nuclei_models.analysis import tracking
from nuclei_models.analysis.tracking import track


def frame(**discs: tuple[float, float, float]) -> tuple[np.ndarray, dict[str, int]]:
    """A label image of discs (y, x, radius), numbered in another order in every frame, and their numbers."""
    labels = np.zeros((120, 160), np.int32)
    numbers = {
        name: 7 * n + 2
        for n, name in enumerate(sorted(discs, key=lambda name: crc32(f"{name} {discs[name]}".encode())))
    }
    for name, (y, x, radius) in discs.items():
        labels[disk((y, x), radius, shape=labels.shape)] = numbers[name]
    return labels, numbers


def followed(film: list[dict], **options) -> tuple[list[dict[str, int]], np.ndarray]:
    """For each frame the track of each disc, and the tracks' parents."""
    frames = [frame(**discs) for discs in film]
    tracks = track([labels for labels, _ in frames], **options)
    names = []
    for (labels, numbers), tracked in zip(frames, tracks.labels, strict=True):
        assert np.array_equal(labels > 0, tracked > 0) and tracked.dtype == np.int64
        there = {name: np.unique(tracked[labels == number]).tolist() for name, number in numbers.items()}
        assert all(len(found) == 1 for found in there.values())
        names.append({name: found[0] for name, found in there.items()})
    assert {n for one in names for n in one.values()} == set(range(1, len(tracks.parents)))
    return names, tracks.parents


def test_a_film_in_which_nuclei_move_divide_leave_and_come():
    film = []
    for t in range(8):
        discs = {"still": (20, 20, 9), "moving": (60, 20 + 9 * t, 9), "crossing": (95, 130 - 9 * t, 8)}
        if t < 5:
            discs["leaving"] = (20, 130 + 6 * t, 9)
        if t >= 3:
            discs["coming"] = (110, 8 + 4 * (t - 3), 6)
        if t < 4:
            discs["mother"] = (60, 135, 10)
        else:
            discs |= {"upper": (60 - 4 - 3 * (t - 3), 135, 6.5), "lower": (60 + 4 + 3 * (t - 3), 136, 6.5)}
        film.append(discs)
    del film[5]["still"]  # not found there
    names, parents = followed(film)
    for name in ("still", "moving", "crossing", "leaving", "coming", "mother", "upper", "lower"):
        assert len({one[name] for one in names if name in one}) == 1, name
    last = names[0] | names[-1]
    assert len(set(last.values())) == len(last) == len(parents) - 1
    assert parents[last["upper"]] == parents[last["lower"]] == names[0]["mother"]
    assert np.count_nonzero(parents) == 2


def test_a_nucleus_that_appears_beside_another_is_no_division():
    film = [{"a": (50, 50, 9)}, {"a": (50, 51, 9)}, {"a": (50, 52, 9), "new": (50, 67, 5)}]
    names, parents = followed(film)
    assert [one["a"] for one in names] == [1, 1, 1] and names[2]["new"] == 2 and not parents.any()


@pytest.mark.parametrize(("y", "divides"), [(60, True), (15, False)])
def test_no_division_is_believed_at_the_edge(y, divides):
    """Where the areas aren't known, for the upper daughter is cut there."""
    names, parents = followed([{"mother": (y, 50, 12)}, {"upper": (y - 10, 50, 7), "lower": (y + 9, 50, 7)}])
    assert len(parents) == (4 if divides else 3)
    assert parents[names[1]["upper"]] == parents[names[1]["lower"]] == (1 if divides else 0)
    assert (names[1]["lower"] == 1) != divides


def test_how_far_a_nucleus_moves():
    film = [{"a": (50, 20, 6)}, {"a": (50, 50, 6)}]
    assert [one["a"] for one in followed(film)[0]] == [1, 2]  # 30 pixels are more than its diameter
    assert [one["a"] for one in followed(film, max_step=31)[0]] == [1, 1]
    assert [one["a"] for one in followed(film, max_step=29)[0]] == [1, 2]


@pytest.mark.parametrize("film", [[], [{}], [{}, {}], [{"a": (50, 50, 9)}], [{}, {"a": (50, 50, 9)}, {}, {}]])
def test_films_of_hardly_anything(film):
    _, parents = followed(film)
    assert parents.tolist() == ([0, 0] if any(film) else [0])


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "nuclei-models\[track\]"'):
        track([np.zeros((4, 4), np.int32)])
