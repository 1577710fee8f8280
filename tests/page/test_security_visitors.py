"""The promises of SECURITY.md about the visitors of the open page: what is theirs, how long it is kept, what it costs
others when they leave. Each by the test of its name."""

import threading
import time
from pathlib import Path

import gradio as gr
import httpx
import numpy as np
import pytest

from nuclei_models.page import limits, networks
from nuclei_models.page.cleaning import keep_clean, sweep
from nuclei_models.page.layout import build, launch
from nuclei_models.page.opened import Picture
from nuclei_models.page.questions import Question
from nuclei_models.page.state import Analysis
from nuclei_models.page.store import Forgotten, Store
from nuclei_models.page.visitors import Visitors
from tests.campaign.load import crowd, pictures
from tests.campaign.server import Caller
from tests.support.page import CELLS


def test_a_visitor_gets_the_result_of_their_own_image_only(url, sources):
    given = pictures(sources, 6, side=96)
    assert len({picture.labels.max() for picture in given}) > 2
    result = crowd(url, given, seconds=60, each=2)
    assert result.outcomes == {"own": 12}, result.errors


def test_whoever_waits_is_told_their_place_and_how_long_it_will_take(nets, url):
    assert Caller(url).segment("before.tif", CELLS).labels is not None  # from here on it is known how long a run takes
    callers = [Caller(url) for _ in range(3)]
    with nets._one_at_a_time:  # the first one's run, until the last one knows
        for caller in callers:
            caller.join(caller.upload("waits.tif", CELLS)).raise_for_status()
        with callers[-1].listening() as messages:
            told = next(m for m in messages if m["msg"] == "estimation" and m["rank_eta"] is not None)
    assert told["rank"] == 1 and told["queue_size"] == 2 and told["rank_eta"] > 0
    with callers[0].listening() as messages:
        assert any(m["msg"] == "process_completed" for m in messages)


def wait_for(holds, seconds: float = 120) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.05)
    return holds()


def waiting(url: str) -> int:
    return httpx.get(f"{url}/gradio_api/queue/status").json()["queue_size"]


def test_nobody_works_for_a_visitor_who_has_left_the_queue(nets, url):
    assert Caller(url).segment("before.tif", CELLS).labels is not None  # whoever came before has been served
    with nets._one_at_a_time:  # somebody's run, which keeps the next ones waiting
        first = Caller(url)
        first.join(first.upload("first.tif", CELLS))
        assert wait_for(lambda: waiting(url) == 0)  # it has its turn
        before = nets.runs
        for _ in range(3):
            caller = Caller(url)
            caller.join(caller.upload("left.tif", CELLS))
            with caller.listening() as messages:
                next(messages)
            caller.http.close()
        assert wait_for(lambda: waiting(url) == 0)  # the server has noticed
    with first.listening() as messages:
        assert [m["msg"] for m in messages if m["msg"].startswith("process_")][-1] == "process_completed"
    assert Caller(url).segment("next.tif", CELLS).labels is not None
    assert nets.runs == before + 2


def test_a_visitor_who_leaves_in_the_middle_stops_their_run(nets, url, monkeypatch):
    caller, inside, ended = Caller(url), threading.Event(), []

    def slow(number, pixels, settings, pixel_size, progress):
        inside.set()
        try:
            while True:
                progress(0, 1)
                time.sleep(0.01)
        except BaseException as error:
            ended.append(type(error).__name__)
            raise

    for name in ("_predict", "on_shared_gpu"):
        monkeypatch.setattr(networks, name, slow)
    with caller.http.stream("GET", f"/heartbeat/{caller.session}") as alive:  # as every page and client has it
        lines = alive.iter_lines()
        next(lines)
        caller.join(caller.upload("left.tif", CELLS))
        with caller.listening() as messages:
            next(messages)
            assert inside.wait(120)
    assert wait_for(lambda: ended == ["Cancelled"])


def test_files_are_deleted_however_many_are_added_meanwhile(monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(limits, "CACHE_SECONDS", (0.01, 0.3))
    with gr.Blocks() as blocks:
        gr.File()
    held = blocks.temp_file_sets[0]
    cleaning = keep_clean(blocks)
    for number in range(3000):
        path = tmp_path / f"{number}.tif"
        path.write_bytes(b"x")
        held.add(str(path))
    assert wait_for(lambda: not any(tmp_path.iterdir()) and not held)
    assert cleaning.is_alive()


def test_uploaded_and_made_files_are_deleted_after_the_stated_time(nets, monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(limits, "CACHE_SECONDS", (0.2, 600))
    blocks = build(nets, [])
    _, url, _ = launch(blocks, prevent_thread_lock=True, quiet=True, server_port=None)

    def held() -> list[Path]:
        return [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.stat().st_size]

    try:
        caller = Caller(url.rstrip("/"))
        caller.upload("not used.tif", CELLS + b"1")
        caller.join(caller.upload("used.tif", CELLS))
        with caller.listening() as messages:
            assert [m["success"] for m in messages if m["msg"] == "process_completed"] == [True]
        assert len(held()) >= 2
        # from here on, for all of this may take long, and a file that is being moved there is empty at first
        monkeypatch.setattr(limits, "CACHE_SECONDS", (0.2, 0.5))
        monkeypatch.setattr(limits, "SWEEP_SECONDS", 0)
        assert wait_for(lambda: not held())
        sweep(tmp_path / "cache")
        assert list((tmp_path / "cache").rglob("*")) == []
    finally:
        blocks.close()


def test_an_image_is_forgotten_after_the_stated_time():
    assert Store().seconds == limits.STATE_SECONDS
    store = Store(seconds=2)
    first, second = (store.put(Analysis(Picture("a", np.zeros((4, 4))), {}, {})) for _ in range(2))
    store.get(second)
    assert wait_for(lambda: not store._held)
    for key in (first, second):
        with pytest.raises(Forgotten):
            store.get(key)


def test_a_new_file_is_taken_though_a_plane_of_the_one_before_came_first():
    visitors = Visitors(lambda key: None)
    first = Question()
    assert visitors.ask("me", 1, first) and visitors.answer("me", first, source="old", picture="old plane")
    plane, file = Question(), Question()
    assert visitors.ask("me", 3, plane, about="old")
    assert visitors.ask("me", 2, file)  # sent before, arrives after
    assert not visitors.answer("me", plane, picture="another plane") and visitors.answer("me", file, source="new")
    assert not visitors.ask("me", 1, Question())
