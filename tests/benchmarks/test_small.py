"""What the benchmark of small images says, from what it measured."""

from types import SimpleNamespace

import pytest

from benchmarks import reaches_beside, report, small
from benchmarks.small import AIMS, COMMANDS, STAGES, Clock, table


def test_a_stage_does_not_count_what_it_calls_of_another(monkeypatch):
    now = 0

    def work(seconds: int) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(small, "time", SimpleNamespace(perf_counter=lambda: now))
    clock = Clock()
    network = clock.timed("network", lambda: work(20))
    diameter = clock.timed("diameter", lambda: (network(), work(10), network()))
    diameter()
    assert clock.spent == {"network": 40, "diameter": 10}


def test_what_is_timed_is_there():
    for parts in STAGES.values():
        assert all(callable(getattr(owner, name)) for owner, name in parts)


def test_the_table_tells_what_was_aimed_at():
    seconds = dict(zip(COMMANDS, (0.2, 1.4, 2.25), strict=True))
    stages = dict.fromkeys((*STAGES, "other"), 10.0)
    found = {"seconds": seconds, "processor_seconds": seconds, "images": 500, "threads": 2, "stages_ms": stages}
    text = table(found | {"folder_seconds": 80.0, "images_per_second": 6.25})
    assert f"| one image, from the command to its files | 2.25 | 2.25 | under {AIMS['one']} |" in text
    assert "500 images" in text and "6.2 images a second" in text and f"| {10 * len(stages)} ms |" in text


def test_a_folder_is_held_against_another_version(tmp_path, monkeypatch):
    """Only the runs of commands are left out."""
    ran = []

    def seconds_of(code, *arguments, folder, version=small.ROOT):
        ran.append((arguments[:2], version))
        took = 9.0 if version == tmp_path else 3.0
        return took + len(ran) % 5, 1.0  # slower at times

    monkeypatch.setattr(small, "seconds_of", seconds_of)
    monkeypatch.setattr(small, "stages", lambda files, out: dict.fromkeys((*STAGES, "other"), 1.0))
    found = small.measure(2, 1, tmp_path)
    assert ran[-2 * small.TURNS :] == small.TURNS * [
        (("segment", "compared"), small.ROOT),
        (("segment", "compared"), tmp_path),
    ]
    assert found["before"] == {"images": 2, "seconds": 10.0, "seconds_now": 3.0}  # of 11, 13 and 10; of 4, 6 and 3
    assert "an earlier version segments 0.2 a second, and this one 0.7" in table(found)
    *one, folder = reaches_beside._small(found)
    assert [met for *_, met in one] == [False, False]
    assert folder[1:] == ("3.33 times (0.7 against 0.2 images a second, of 2 images)", True)


@pytest.mark.parametrize(("ms", "met"), [(149.0, True), (151.0, False)])
def test_what_the_page_took_in_a_browser(ms, met):
    first, slider = reaches_beside._page({"1024": {"first_page": 1490.4, "slider_clusters": ms}})
    assert first == ("the first page in under 1,500 ms", "1490 ms", True) and slider[2] is met
    assert [row[1:] for row in reaches_beside._page({})] == [("not measured", False)] * 2


def test_a_table_of_what_visitors_of_the_page_wait_for():
    page = {"date": "2026-01-01", "256": {"first_page": 812.4}, "1024": {"first_page": 830.0, "slider_dense": 133.6}}
    assert report.page_table(page).splitlines() == [
        "| milliseconds | 256² | 1024² |",
        "|---|---:|---:|",
        "| opening the page | 812 | 830 |",
        "| threshold slider, dense nuclei | – | 134 |",
    ]
