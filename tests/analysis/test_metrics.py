"""Metrics against cases worked by hand and against the definitions as others wrote them."""

import tracemalloc

import numpy as np
import pytest

from nuclei_models.analysis import metrics
from nuclei_models.analysis.comparison import compare


def squares(*corners: tuple[int, int], side: int = 4, shape: tuple[int, int] = (20, 20)) -> np.ndarray:
    labels = np.zeros(shape, np.int32)
    for number, (y, x) in enumerate(corners, 1):
        labels[y : y + side, x : x + side] = number
    return labels


class TestMask:
    def test_by_hand(self):
        true, found = squares((0, 0)), squares((0, 2))  # 8 pixels in common, 8 on each side alone
        counts = metrics.count_mask(true, found)
        assert counts == metrics.MaskCounts(tp=8, fp=8, fn=8, tn=400 - 24)
        assert counts.iou == pytest.approx(8 / 24)
        assert counts.dice == pytest.approx(16 / 32)
        assert counts.mean_iou == pytest.approx((8 / 24 + 376 / 392) / 2)

    def test_pooled(self):
        a = metrics.count_mask(squares((0, 0)), squares((0, 0)))
        b = metrics.count_mask(squares((0, 0)), squares((10, 10)))
        assert (a + b).iou == pytest.approx(16 / 48)

    def test_nothing_to_find_and_nothing_found(self):
        empty = squares()
        counts = metrics.count_mask(empty, empty)
        assert (counts.iou, counts.dice, counts.mean_iou) == (1, 1, 1)
        assert metrics.count_mask(empty, squares((0, 0))).iou == 0

    def test_other_shapes_are_refused(self):
        with pytest.raises(ValueError, match=r"\(20, 20\).*\(5, 5\)"):
            metrics.count_mask(squares(), np.zeros((5, 5), int))


class TestMatching:
    def test_many_nuclei_take_megabytes(self):
        """10,000 nuclei a side: the table of all pairs would take 800 MB, each figure several times that."""
        y, x = np.mgrid[:400, :400]
        true = (y // 4) * 100 + x // 4 + 1
        found = (y // 4) * 101 + (x + 1) // 4 + 1  # a column to the left
        tracemalloc.start()
        try:
            figures = compare(true, found)
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert most < 60e6
        assert figures["a"] == 10_000 and figures["b"] == 10_100
        assert figures["both"] == 9900 and figures["split_a"] == 100  # the last of a row has a sliver beside
        assert figures["ap_60"] == pytest.approx(10_000 / 10_100)  # 12 pixels of 20, and 12 of 16 at the left edge
        assert figures["ap_65"] == pytest.approx(100 / (20_100 - 100))

    def test_a_long_chain_of_ties_takes_megabytes(self):
        """Below .5 a nucleus may pair with either neighbour, and so all hang together."""
        x = np.arange(20_000)
        iou = metrics.iou_matrix((x // 4 + 1)[None], ((x + 2) // 4 + 1)[None])
        tracemalloc.start()
        try:
            m = metrics.match(iou, 0.3)
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert m.tp == 5000 and most < 10e6
        assert m.iou_sum == pytest.approx(4998 * 2 / 6 + 2 * 0.5)  # both halves at the ends, and one inside is left

    @pytest.mark.parametrize("seed", range(20))
    def test_pairs_are_the_best_of_all(self, seed):
        from scipy.optimize import linear_sum_assignment

        random = np.random.default_rng(seed)
        iou = random.uniform(0, 1, random.integers(1, 7, 2)) * random.integers(0, 2)
        for threshold in (0.05, 0.3, 0.6):
            reached = iou >= threshold
            rows, columns = linear_sum_assignment(-(reached + iou * reached / (2 * min(iou.shape))))
            m = metrics.match(iou, threshold)
            assert m.tp == reached[rows, columns].sum()
            assert m.iou_sum == pytest.approx((iou * reached)[rows, columns].sum())

    def test_iou_matrix(self):
        iou = metrics.iou_matrix(squares((0, 0), (10, 10)), squares((10, 11), (0, 0)))
        assert iou.toarray() == pytest.approx(np.array([[0, 1], [12 / 20, 0]]))

    def test_numbers_may_have_gaps(self):
        true = squares((0, 0), (10, 10)) * 70_000
        assert metrics.iou_matrix(true, squares((10, 10))).toarray().tolist() == [[0], [1]]

    def test_figures_by_hand(self):
        # one whole, one by 12 / 20 = .6, one missed, one invented
        iou = metrics.iou_matrix(squares((0, 0), (5, 5), (10, 10)), squares((0, 0), (5, 6), (15, 0)))
        m = metrics.match(iou, 0.5)
        assert (m.tp, m.fp, m.fn) == (2, 1, 1)
        assert m.ap == pytest.approx(2 / 4)
        assert m.f1 == pytest.approx(4 / 6)
        assert m.panoptic_quality == pytest.approx(1.6 / (2 + 1))
        assert metrics.match(iou, 0.7).ap == pytest.approx(1 / 5)
        assert metrics.bowl_map(iou) == pytest.approx((2 * 2 / 4 + 8 * 1 / 5) / 10)  # .6 is not above .6

    def test_threshold_reached_or_exceeded(self):
        iou = np.array([[0.5]])
        assert metrics.match(iou, 0.5).tp == 1
        assert metrics.match(iou, 0.5, strict=True).tp == 0

    def test_a_nucleus_cut_in_two_equal_halves_matches_once(self):
        true = squares((0, 0))
        found = np.zeros_like(true)
        found[0:4, 0:2], found[0:4, 2:4] = 1, 2
        m = metrics.match(metrics.iou_matrix(true, found), 0.5)
        assert (m.tp, m.fp, m.fn) == (1, 1, 0)

    def test_pairs_as_many_as_possible(self):
        m = metrics.match(np.array([[0.6, 0.4], [0.5, 0.0]]), 0.4)
        assert m.tp == 2
        assert m.iou_sum == pytest.approx(0.9)

    def test_empty(self):
        empty = metrics.iou_matrix(squares(), squares())
        assert empty.shape == (0, 0)
        assert metrics.match(empty, 0.5).ap == 1
        assert metrics.bowl_map(empty) == 1
        assert metrics.bowl_map(metrics.iou_matrix(squares(), squares((0, 0)))) == 0
        assert metrics.bowl_map(metrics.iou_matrix(squares((0, 0)), squares())) == 0


def random_labels(rng: np.random.Generator) -> np.ndarray:
    centres = rng.integers(0, 64, (12, 2))
    y, x = np.mgrid[:64, :64]
    distance = np.hypot(y[..., None] - centres[:, 0], x[..., None] - centres[:, 1])
    return np.where(distance.min(-1) < 9, distance.argmin(-1) + 1, 0)


@pytest.mark.parametrize("seed", range(5))
class TestAgainstOthersDefinitions:
    @pytest.fixture
    def pair(self, seed):
        rng = np.random.default_rng(seed)
        true = random_labels(rng)
        found = np.roll(true, rng.integers(0, 4, 2), (0, 1))
        found[found == 3] = 0
        return true, found

    def test_the_competitions_kernel(self, pair):
        """The evaluation published with the 2018 Data Science Bowl: joint histogram, IoU > t, one match a row."""
        true, found = pair
        intersection = np.histogram2d(
            true.ravel(), found.ravel(), bins=(np.arange(true.max() + 2), np.arange(found.max() + 2))
        )[0]
        union = (intersection.sum(1)[:, None] + intersection.sum(0)[None] - intersection)[1:, 1:]
        keep = np.ix_(intersection.sum(1)[1:] > 0, intersection.sum(0)[1:] > 0)
        iou = (intersection[1:, 1:] / np.maximum(union, 1e-9))[keep]
        precision = []
        for t in np.arange(0.5, 1.0, 0.05).round(2):
            matches = iou > t
            tp = (matches.sum(1) == 1).sum()
            fp = (matches.sum(0) == 0).sum()
            fn = (matches.sum(1) == 0).sum()
            precision.append(tp / (tp + fp + fn))
        assert metrics.bowl_map(metrics.iou_matrix(true, found)) == pytest.approx(np.mean(precision))

    def test_stardists_matching(self, pair):
        """stardist.matching: linear sum assignment on -(IoU >= t) - IoU / (2 n), TP where IoU >= t."""
        from scipy.optimize import linear_sum_assignment

        true, found = pair
        iou = metrics.iou_matrix(true, found).toarray()
        n = min(iou.shape)
        for t in (0.3, 0.5, 0.7, 0.9):
            rows, cols = linear_sum_assignment(-(iou >= t).astype(float) - iou / (2 * n))
            tp = np.count_nonzero(iou[rows, cols] >= t)
            m = metrics.match(iou, t)
            assert (m.tp, m.fp, m.fn) == (tp, iou.shape[1] - tp, iou.shape[0] - tp)
            assert m.ap == pytest.approx(tp / (iou.shape[0] + iou.shape[1] - tp))
