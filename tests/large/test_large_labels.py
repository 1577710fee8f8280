"""Nuclei cut out of maps block by block are those of the whole image: no seams, wherever the blocks meet."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from nuclei_models.jobs.durable import RunStopped
from nuclei_models.large.workplace import Workplace
from tests.support.large import cut_by_blocks, cut_whole, stored


def random_maps(shape: tuple[int, int], seed: int, grain: float, levels: int, with_distance: bool = True) -> np.ndarray:
    """Probability and distance of any form; few levels give many equal pixels."""
    rng = np.random.default_rng(seed)
    maps = [ndimage.gaussian_filter(rng.normal(size=shape), sigma) for sigma in (grain, grain / 2)]
    maps = [np.clip(0.5 + 0.3 * m / (m.std() + 1e-9), 0, 1) for m in maps]
    return np.stack(maps[: 1 + with_distance]).round(levels)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    across=st.integers(1, 5),
    seed=st.integers(0, 2**20),
    grain=st.sampled_from([0.6, 1.5, 4.0]),
    levels=st.sampled_from([1, 5]),
    with_distance=st.booleans(),
    min_area=st.sampled_from([0.0, 6.0]),
)
def test_any_maps_and_blocks(shape, across, seed, grain, levels, with_distance, min_area):
    maps = random_maps(shape, seed, grain, levels, with_distance)
    expected = cut_whole(maps, min_area)
    block = -(-max(shape) // across)
    with TemporaryDirectory() as folder:
        labels, areas = cut_by_blocks(Path(folder, "work"), maps, block, min_area=min_area)
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_array_equal(areas, np.bincount(expected.ravel())[1:])


def cone(shape: tuple[int, int], *centres: tuple[float, float], radius: float = 9) -> np.ndarray:
    """Maps of round nuclei."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    away = np.min([np.hypot(y - cy, x - cx) for cy, cx in centres], axis=0)
    return np.stack([(away < radius) * 0.9, np.clip(1.05 - away / radius, 0, 1)])


@pytest.mark.parametrize("block", [24, 32, 48])
@pytest.mark.parametrize(
    "centres",
    [
        [(32, 20)],  # on the edge of two blocks
        [(20, 32)],
        [(32, 32)],  # on a corner of four
        [(31, 31), (32, 47), (48, 40)],  # touching, over several
        [(0, 32), (32, 0), (95, 32), (32, 95)],  # on the image's edge
        [(0, 0), (95, 95), (0, 95), (95, 0)],
        [(31.5, 8 + 15 * i) for i in range(6)],  # a row of touching nuclei along a seam
        [(8 + 15 * i, 8 + 15 * i) for i in range(6)],  # and across
    ],
)
def test_nuclei_on_every_kind_of_seam(tmp_path, block, centres):
    maps = cone((96, 96), *centres)
    expected = cut_whole(maps)
    assert expected.max() == len(centres)
    labels, _ = cut_by_blocks(tmp_path / "work", maps, block)
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("block", [33, 48])
def test_a_nucleus_larger_than_a_block_and_one_around_another(tmp_path, block):
    big = cone((160, 160), (80, 80), radius=60)
    np.testing.assert_array_equal(cut_by_blocks(tmp_path / "a", big, block)[0], cut_whole(big))
    y, x = np.mgrid[:160, :160]
    away = np.hypot(y - 80, x - 80)
    ring = np.stack([((away < 70) & (away > 55)) | (away < 20), away < 15]) * 0.9
    np.testing.assert_array_equal(cut_by_blocks(tmp_path / "b", ring, block)[0], cut_whole(ring))


@pytest.mark.parametrize("largest_part", [4096, 120])
def test_holes_over_seams_are_filled(tmp_path, largest_part):
    maps = cone((190, 190), *[(12 + 15 * i, 12 + 15 * j) for i in range(12) for j in range(12)])  # all touch
    filled = cut_whole(maps)
    for i in range(12):
        maps[0, 11 + 15 * i : 14 + 15 * i, 10 + 15 * i : 14 + 15 * i] = 0.1  # where the distance is greatest
    np.testing.assert_array_equal(cut_whole(maps) > 0, filled > 0)
    labels, areas = cut_by_blocks(tmp_path / "work", maps, 26, largest_part=largest_part)
    np.testing.assert_array_equal(labels, cut_whole(maps))
    assert areas.sum() == (filled > 0).sum()


class TestPartsTooLargeToBeHeld:
    def test_the_same_for_every_block(self, tmp_path):
        maps = random_maps((150, 170), 3, 3.0, 5)
        maps[0] = np.maximum(maps[0], 0.45 + 0.2 * (np.arange(170) > 40))  # one part over most of the image
        made = [cut_by_blocks(tmp_path / str(b), maps, b, largest_part=40) for b in (24, 36, 40)]
        for labels, areas in made[1:]:
            np.testing.assert_array_equal(labels, made[0][0])
            np.testing.assert_allclose(areas, made[0][1])
        whole = cut_whole(maps)
        np.testing.assert_array_equal(made[0][0] > 0, whole > 0)
        parts, _ = ndimage.label(whole > 0)
        small = [box for box in ndimage.find_objects(parts) if max(s.stop - s.start for s in box) <= 40]
        assert len(small) > 5
        for box in small:  # cut as on the whole, whatever the numbers
            pairs = np.unique(np.stack([whole[box].ravel(), made[0][0][box].ravel()]), axis=1)
            there = pairs[:, (pairs > 0).all(0)]
            assert len(np.unique(there[0])) == len(np.unique(there[1])) == there.shape[1]

    def test_no_ordinary_nucleus_is_cut(self, tmp_path):
        centres = [(12 + 15 * i, 12 + 15 * j) for i in range(12) for j in range(12)]  # all touch
        maps = cone((190, 190), *centres)
        expected = cut_whole(maps)
        assert expected.max() == 144
        labels, _ = cut_by_blocks(tmp_path / "work", maps, 48, largest_part=120)  # cells of 60, and 15 around them
        np.testing.assert_array_equal(labels, expected)

    def test_without_a_core_it_is_one_nucleus(self, tmp_path):
        maps = np.stack([np.full((90, 90), 0.9), np.zeros((90, 90))])
        maps[0, 40, :80] = 0
        for n in (1, 2):
            labels, areas = cut_by_blocks(tmp_path / str(n), maps[:n], 18, largest_part=20)
            np.testing.assert_array_equal(labels, cut_whole(maps[:n]))
            assert areas[0] == (maps[0] > 0.5).sum()


def test_maps_are_stored_to_a_hundred_thousandth():
    values = np.random.default_rng(0).random((1, 100, 100))
    assert np.abs(stored(values) - values).max() < 1e-5


def test_a_block_of_zeros_is_stored(tmp_path):
    cut_by_blocks(tmp_path / "work", np.zeros((2, 40, 40)), 20)
    work = Workplace(tmp_path / "work")
    assert all(work.has_maps(block) for block in range(4))
    (tmp_path / "work" / "maps.zarr" / "c" / "0" / "1" / "0").unlink()
    work.read_maps((slice(0, 20), slice(0, 40)))
    with pytest.raises(RunStopped, match="aren't seen"):
        work.read_maps((slice(0, 21), slice(0, 40)))
