"""Runs that come to harm, in the campaign's short form: whatever was reported is whole, the next run continues."""

import pytest

from tests.campaign.__main__ import SHORT
from tests.campaign.kill import Kills, kill


@pytest.fixture(scope="module")
def kills() -> dict[str, Kills]:
    return kill(SHORT.moments, SHORT.every)


def of(kills: dict[str, Kills], *words: str) -> list[Kills]:
    found = [part for what, part in kills.items() if any(word in what for word in words)]
    assert found, kills
    return found


def test_nothing_is_lost_or_done_twice_whenever_a_run_is_killed(kills):
    for part in of(kills, "killed"):
        assert part.tried >= 3 and part.problems == []


def test_a_full_or_read_only_disk_leaves_nothing_half_written(kills):
    for part in of(kills, "full", "read-only"):
        assert part.tried >= 3 and part.problems == []


def test_an_image_that_vanishes_costs_no_other(kills):
    for part in of(kills, "vanishes"):
        assert part.tried >= 1 and part.problems == []
