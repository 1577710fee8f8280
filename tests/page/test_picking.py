"""A nucleus that was picked stays picked while the nuclei are the same, in whatever order events and answers come."""

from types import SimpleNamespace

import numpy as np
import pytest

from nuclei_models.inference.settings import RunSettings
from nuclei_models.page.choosing import SKIP
from nuclei_models.page.handlers import Page
from nuclei_models.page.opened import Picture
from tests.support.page import as_type, blobs, make_networks

VISITOR = SimpleNamespace(session_hash="visitor")
AT = (0.5, 0.5, 0)  # threshold, separation, smallest area
HIGHER = (0.7, 0.5, 0)


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Page:
    return Page(make_networks(tmp_path_factory.mktemp("networks")), [])


@pytest.fixture
def key(page) -> str:
    picture = Picture("cells", as_type(blobs(64, 96), np.uint16), None, ("about",), None)
    key = page.store.put(page.run(picture, RunSettings(), None, None, None))
    page.visitors._show(page.visitors._visitor(VISITOR.session_hash), result=key)
    return key


def pick(page: Page, number: int, key: str, label: int, sliders=AT, network: str = "unet") -> tuple:
    event = SimpleNamespace(_data={"key": network, "label": label})
    return page.pick(event, VISITOR, number, key, *sliders, None)


def count(page: Page, number: int, key: str, sliders=AT) -> tuple:
    return page.count(VISITOR, number, key, *sliders, None)


def marks(answer: tuple) -> list:
    """What an answer says of the mark, for each component that it changes it of."""
    return [one.props["mark"] for one in answer if "mark" in getattr(one, "props", {})]


def test_numbers_that_come_after_it_leave_it(page, key):
    count(page, 1, key)
    viewer, _, text = pick(page, 2, key, 1)
    assert viewer.props["mark"] == {"key": "unet", "label": 1, "of": key, "cut": list(AT)} and "nucleus 1" in text
    answer = count(page, 3, key)
    assert marks(answer) == [] and answer[3] is SKIP


def test_one_that_comes_after_later_numbers_of_the_same_nuclei_is_shown(page, key):
    count(page, 5, key)
    viewer, table, text = pick(page, 4, key, 2)
    assert viewer.props["mark"]["label"] == table.props["mark"]["label"] == 2 and "nucleus 2" in text


def test_of_other_nuclei_it_is_none(page, key):
    pick(page, 1, key, 1)
    answer = count(page, 2, key, HIGHER)
    assert marks(answer) == [None, None] and answer[3] is not SKIP
    assert pick(page, 1, key, 1) == (SKIP,) * 3  # sent before, and late


def test_a_mend_of_its_network_ends_it_and_one_of_the_other_does_not(page, key):
    analysis, cut = page.analysis(key, None), page.controls(*AT, None)[0]
    pick(page, 1, key, 1)
    for network, stays in (("unetpp", True), ("unet", False)):
        y, x = np.argwhere(analysis.labels(network, cut) == 2)[0]
        edit = {"act": "delete", "points": [[float(x) + 0.5, float(y) + 0.5]]}
        request = {"what": "act", "token": key, "cut": list(AT), "network": network, "edit": edit}
        assert page.desk.answer(request)["gone"] == [2]
        assert (count(page, 2, key)[3] is SKIP) == stays


def test_the_last_one_counts(page, key):
    assert pick(page, 7, key, 2)[0].props["mark"]["label"] == 2
    assert pick(page, 6, key, 1) == (SKIP,) * 3
    assert count(page, 8, key)[3] is SKIP
