"""Edits of label images, pixel by pixel: small pictures drawn in the test, `.` is background."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from nuclei_models.analysis.editing import MAX_GAP, apply
from nuclei_models.analysis.edits import ACTS, Edit, EditError
from nuclei_models.analysis.history import History, Tally, edits_from_json
from nuclei_models.analysis.proposals import find, take
from nuclei_models.analysis.strokes import brush_mask, from_runs, to_runs


def drawn(text: str) -> np.ndarray:
    """Rows of digits, `.` for 0."""
    rows = [row for row in text.replace(".", "0").split() if row]
    return np.array([[int(c) for c in row] for row in rows], np.int32)


def after(before: str, act: str, *points: tuple[float, float], radius: float = 0, parts=()) -> np.ndarray:
    labels = drawn(before)
    return apply(labels, Edit(act, points, radius, parts)).done(labels)


TWO = """
    ..........
    .11112222.
    .11112222.
    .11112222.
    ..........
    .....3333.
    """


def test_delete_takes_the_nucleus_at_the_point_and_leaves_the_others_their_numbers():
    found = after(TWO, "delete", (1.5, 1.5))
    assert np.array_equal(found, np.where(drawn(TWO) == 1, 0, drawn(TWO)))
    found = after(TWO, "delete", (1.5, 1.5), (6.0, 5.99))
    assert np.array_equal(found, np.where(drawn(TWO) == 2, 2, 0))


def test_lasso_deletes_what_lies_mostly_within_it():
    ring = [(0.0, 0.0), (8.0, 0.0), (8.0, 4.0), (0.0, 4.0)]  # all of 1, three quarters of 2
    assert np.array_equal(after(TWO, "lasso", *ring), np.where(drawn(TWO) == 3, 3, 0))
    ring[1:3] = [(7.0, 0.0), (7.0, 4.0)]  # half of 2 is not more than half
    assert np.array_equal(after(TWO, "lasso", *ring), np.where(drawn(TWO) == 1, 0, drawn(TWO)))


def test_merge_joins_what_the_stroke_crosses_under_the_number_of_the_largest():
    found = after(TWO, "merge", (2.5, 2.5), (7.5, 2.5))
    assert np.array_equal(found, np.where(drawn(TWO) == 2, 1, drawn(TWO)))
    larger = TWO.replace("22.", "222")
    found = after(larger, "merge", (2.5, 2.5), (7.5, 2.5))
    assert np.array_equal(found, np.where(drawn(larger) == 1, 2, drawn(larger)))


def test_merge_closes_a_gap_with_as_little_as_it_takes():
    apart = """
        ..........
        .111.2222.
        .111.2222.
        .111.2222.
        ..........
        """
    found = after(apart, "merge", (2.5, 2.5), (7.5, 2.5))
    wanted = np.where(drawn(apart) > 0, 2, 0)
    wanted[2, 4] = 2  # one pixel is enough
    assert np.array_equal(found, wanted)


def test_merge_of_nuclei_that_are_far_apart_or_of_one_is_refused():
    wide = np.zeros((8, 12 + 2 * MAX_GAP), np.int32)
    wide[2:6, 1:5], wide[2:6, -5:-1] = 1, 2
    with pytest.raises(EditError, match="too far apart"):
        apply(wide, Edit("merge", ((2, 3), (wide.shape[1] - 2, 3))))
    with pytest.raises(EditError, match="needs two"):
        after(TWO, "merge", (1.5, 1.5), (3.5, 1.5))


def test_split_cuts_along_the_line_and_loses_no_pixel():
    one = """
        ..........
        .11111111.
        .11111111.
        .11111111.
        ..........
        """
    found = after(one, "split", (4.5, 0.5), (4.5, 4.5))
    assert np.array_equal(found > 0, drawn(one) > 0)
    row = found[2]
    assert row[1:4].tolist() == [row[1]] * 3 and row[5:9].tolist() == [row[5]] * 4
    assert set(row[1:9].tolist()) == {1, 2}
    assert (found == 1).sum() > (found == 2).sum()  # the larger part keeps the number
    assert all(ndimage.label(found == n)[1] == 1 for n in (1, 2))


def test_split_needs_a_line_from_edge_to_edge_and_leaves_nuclei_that_it_only_enters():
    with pytest.raises(EditError, match="edge to edge"):
        after(TWO, "split", (2.5, 0.5), (2.5, 2.5))
    found = after(TWO, "split", (0.5, 2.5), (6.5, 2.5))  # across 1, into 2
    assert np.array_equal(found == 2, drawn(TWO) == 2)
    assert set(np.unique(found[drawn(TWO) == 1])) == {1, 4}


def test_draw_fills_free_ground_only():
    found = after(TWO, "draw", (0.0, 3.0), (5.0, 3.0), (5.0, 6.0), (0.0, 6.0))
    wanted = drawn(TWO)
    wanted[3, 0] = wanted[4:6, 0:5] = 4
    assert np.array_equal(found, wanted)
    with pytest.raises(EditError, match="no free ground"):
        after(TWO, "draw", (1.0, 1.0), (4.0, 1.0), (4.0, 3.0))


def test_paint_grows_the_nucleus_where_it_begins_and_takes_from_the_neighbour():
    found = after(TWO, "paint", (4.5, 2.5), (6.5, 2.5), radius=0.4)
    wanted = drawn(TWO)
    wanted[2, 4:7] = 1
    assert np.array_equal(found, wanted)
    found = after(TWO, "paint", (0.5, 4.5), (3.5, 4.5), radius=0.4)
    wanted = drawn(TWO)
    wanted[4, 0:4] = 4
    assert np.array_equal(found, wanted)


def test_a_brush_covers_the_pixels_whose_centres_it_reaches():
    mask = brush_mask([(3.5, 3.5)], 2.0, (slice(0, 7), slice(0, 7)))
    y, x = np.mgrid[:7, :7]
    assert np.array_equal(mask, np.hypot(y - 3, x - 3) <= 2)


def test_erase_through_the_middle_leaves_two():
    one = "111111111 " * 4
    found = after(one, "erase", (4.5, 0.5), (4.5, 3.5), radius=0.4)
    assert not found[:, 4].any()
    assert {int(found[0, 0]), int(found[0, 8])} == {1, 2}
    assert np.array_equal(np.unique(found), [0, 1, 2])


def test_specks_that_the_eraser_leaves_go():
    found = after("11111111 " * 3, "erase", (1.5, 0.5), (1.5, 2.5), radius=0.4)
    assert np.array_equal(found, drawn("..111111 " * 3))


def test_edits_at_the_edges_of_the_image():
    whole = np.ones((5, 7), np.int32)
    found = apply(whole, Edit("split", ((0, 2.5), (7, 2.5)))).done(whole)
    assert set(np.unique(found)) == {1, 2}
    found = apply(whole, Edit("erase", ((7, 5),), 1.5)).done(whole)
    assert found[4, 6] == 0 and found[0, 0] == 1
    assert apply(whole, Edit("delete", ((7, 5),))).done(whole).max() == 0


def test_nothing_there_is_said():
    for edit in (Edit("delete", ((0, 0),)), Edit("lasso", ((0, 0), (2, 0), (0, 1))), Edit("erase", ((0, 0),), 0.4)):
        with pytest.raises(EditError):
            apply(drawn(TWO), edit)


def test_find_gives_the_nucleus_below_the_threshold():
    probability = np.zeros((40, 40), np.float32)
    probability[5:15, 5:15] = 0.9
    probability[20:28, 22:30] = 0.3
    labels = (probability > 0.5).astype(np.int32)
    edit = find(probability, None, labels, (25.5, 24.5), 0.5, 0.5, 10)
    found = apply(labels, edit).done(labels)
    wanted = labels.copy()
    wanted[20:28, 22:30] = 2
    assert np.array_equal(found, wanted)
    with pytest.raises(EditError, match="sees no nucleus"):
        find(probability, None, labels, (35, 5), 0.5, 0.5, 10)
    with pytest.raises(EditError, match="already"):
        find(probability, None, labels, (8, 8), 0.5, 0.5, 10)


def test_find_leaves_touching_nuclei_apart_by_the_distance_map():
    y, x = np.mgrid[:30, :40]
    near = np.minimum(np.hypot(y - 15, x - 12), np.hypot(y - 15, x - 26))
    distance = np.clip(1 - near / 8, 0, 1).astype(np.float32)
    probability = np.where(near < 8, 0.4, 0).astype(np.float32)
    edit = find(probability, distance, np.zeros((30, 40), np.int32), (12.5, 15.5), 0.5, 0.5, 14)
    mask, box = from_runs(edit.parts[0], (30, 40))
    whole = np.zeros((30, 40), bool)
    whole[box] = mask
    assert whole[15, 12] and not whole[15, 26]


def test_take_puts_the_other_networks_nuclei_in_place_of_this_ones():
    own = drawn(TWO)
    other = np.where(own == 2, 1, own)  # one where this has two
    for place in ((1.5, 1.5), (8.5, 3.5)):
        found = apply(own, take(own, other, place)).done(own)
        assert np.array_equal(found, np.where(np.isin(own, [1, 2]), 4, own))
        back = apply(other, take(other, own, place)).done(other)
        assert len(np.unique(back)) == 4
        assert np.array_equal(back == back[1, 1], own == 1)
    none = np.zeros_like(own)
    assert np.array_equal(apply(own, take(own, none, (6, 5.5))).done(own), np.where(own == 3, 0, own))
    assert np.array_equal(apply(none, take(none, own, (6, 5.5))).done(none) > 0, own == 3)
    with pytest.raises(EditError, match="the same"):
        take(own, own, (6, 5.5))
    with pytest.raises(EditError, match="Neither"):
        take(own, other, (0, 0))


def test_runs_are_there_and_back():
    mask = np.random.default_rng(0).random((9, 7)) > 0.5
    box = slice(3, 12), slice(5, 12)
    back, place = from_runs(to_runs(mask, box, 20), (30, 20))
    whole = np.zeros((30, 20), bool)
    whole[place] = back
    assert np.array_equal(whole[box], mask) and whole.sum() == mask.sum()


# histories

STEPS = [
    Edit("split", ((0.5, 2.5), (4.5, 2.5))),
    Edit("delete", ((6.0, 5.5),)),
    Edit("draw", ((0.0, 4.0), (5.0, 4.0), (5.0, 6.0), (0.0, 6.0))),
    Edit("merge", ((4.5, 2.5), (7.5, 2.5))),
]


def test_undo_goes_back_to_the_first_state_and_redo_to_the_last():
    history = History.begin(drawn(TWO))
    states = [history.labels]
    for edit in STEPS:
        history, _ = history.do(edit)
        states.append(history.labels)
    assert all(not np.array_equal(a, b) for a, b in pairwise(states))
    for state in reversed(states[:-1]):
        history, _ = history.undo()
        assert np.array_equal(history.labels, state)
    with pytest.raises(EditError, match="nothing to undo"):
        history.undo()
    for state in states[1:]:
        history, _ = history.redo()
        assert np.array_equal(history.labels, state)
    with pytest.raises(EditError, match="again"):
        history.redo()
    history, _ = history.undo()
    history, _ = history.do(Edit("delete", ((1.5, 1.5),)))
    assert history.undone == ()


def test_what_a_person_did_is_counted_and_marked():
    history = History.begin(drawn(TWO))
    for edit in STEPS:
        history, _ = history.do(edit)
    # 1 was cut in 1 and 4, 3 deleted, 5 drawn, and 4 merged into 2
    assert set(np.unique(history.labels)) == {0, 1, 2, 5}
    assert history.mended == {1, 2, 5}
    assert history.tally == Tally(deleted=1, added=1, changed=2)
    assert History.begin(drawn(TWO)).tally == Tally()


def test_numbers_are_not_used_again():
    history = History.begin(drawn(TWO))
    history, _ = history.do(Edit("delete", ((6.0, 5.5),)))  # the highest
    history, _ = history.do(STEPS[2])
    assert set(np.unique(history.labels)) == {0, 1, 2, 4}


def test_edits_are_written_down_and_repeated():
    history = History.begin(drawn(TWO))
    for edit in STEPS:
        history, _ = history.do(edit)
    history, _ = history.undo()
    text = json.dumps(history.to_json())
    done, undone = edits_from_json(json.loads(text), (6, 10))
    again = History.begin(drawn(TWO), done, undone)
    assert np.array_equal(again.labels, history.labels)
    assert again.undone == history.undone and again.edits == history.edits


def test_edits_that_do_nothing_on_other_labels_are_kept_and_counted():
    other = np.where(drawn(TWO) == 3, 0, drawn(TWO))
    history = History.begin(other, STEPS)
    assert history.idle == 1
    assert history.edits == tuple(STEPS)
    for _ in STEPS:
        history, _ = history.undo()
    assert np.array_equal(history.labels, other)


@pytest.mark.parametrize("data", [
    None, [], {"act": "explode"}, {"act": "delete"}, {"act": "delete", "points": [[1]]},
    {"act": "delete", "points": [["a", "b"]]}, {"act": "delete", "points": [[float("nan"), 1]]},
    {"act": "erase", "points": [[1, 1]], "radius": -1}, {"act": "take", "points": [[1, 1]], "parts": [[5]]},
    {"act": "take", "points": [[1, 1]], "parts": [[5, 100]]}, {"act": "take", "points": [[1, 1]], "parts": [[-1, 1]]},
    {"act": "delete", "points": [[1, 1]] * 5001}, {"act": "delete", "points": 3},
    {"act": "take", "points": [[1, 1]], "parts": 3},
])  # fmt: skip
def test_what_is_no_edit_is_refused(data):
    with pytest.raises(ValueError):
        Edit.from_json(data, (6, 10))


def test_points_beyond_the_image_are_brought_to_its_edge():
    assert Edit.from_json({"act": "delete", "points": [[-5, 99]]}, (6, 10)).points == ((0, 6),)


HAND = sorted(set(ACTS) - {"find", "take"})
points = st.lists(st.tuples(st.floats(0, 10), st.floats(0, 6)), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(HAND), points, st.floats(0, 3)), max_size=8))
def test_whatever_is_done_nuclei_stay_whole_and_undo_leads_back(steps):
    first = drawn(TWO)
    history = History.begin(first)
    for act, where, radius in steps:
        try:
            history, change = history.do(Edit(act, tuple(where), radius))
        except EditError:
            continue
        outside = np.ones(first.shape, bool)
        outside[change.box] = False
        touched = list(change.new | change.changed | change.gone)
        assert not np.isin(history.labels[outside], touched).any()  # whoever draws what changed has it all
    for number in np.unique(history.labels):
        if number:
            assert ndimage.label(history.labels == number)[1] == 1
    repeated = History.begin(first, history.edits)
    assert np.array_equal(repeated.labels, history.labels) and repeated.mended == history.mended
    while history.done:
        history, _ = history.undo()
    assert np.array_equal(history.labels, first)
