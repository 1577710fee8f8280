"""Training from the page: the process, its lines, who may, and the network that comes of it."""

import io
import json
import shutil
import signal
import sys
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from gradio.utils import get_upload_folder

from nuclei_models.page import lesson_process, lesson_view, limits, numbers
from nuclei_models.page.classroom import Classroom
from nuclei_models.page.handlers import Page
from nuclei_models.page.lessons import Lesson, Lessons, why_not
from nuclei_models.page.networks import Networks
from nuclei_models.page.opened import Picture
from tests.support.page import as_type, blobs, save_networks, tiff

HOME = SimpleNamespace(client=SimpleNamespace(host="127.0.0.1"), headers={"host": "localhost:7860"}, session_hash="me")
# says how it goes, copies the network that it began with, and ends; or waits for the word to stop
STUB = """
import json, os, shutil, sys
folder, out, model, minutes = sys.argv[1:]
assert sorted(os.listdir(folder + "/teaching-set")) == ["images", "labels"]
now = {"stage": "training", "left": 3.0, "step": 7, "loss": 0.25, "curve": [[0.1, 0.5], [0.5, 0.6]]}
print(json.dumps(now), flush=True)
print("a library's own words", flush=True)
if float(minutes) > 5:
    sys.stdin.readline()
shutil.copytree(model, out)
open(out + "/report.html", "w").write("<p>before & after</p>")
columns = "score", "bowl_map", "iou", "f1"
figures = {name: dict.fromkeys(columns, value) for name, value in (("start", 0.5), ("trained", 0.6))}
end = {"kept": "trained", "why": "Trained: better.", "figures": figures, "notes": [], "trained": True}
print(json.dumps(end))
"""


@pytest.fixture
def archive() -> str:
    """A teaching set, as it is uploaded."""
    folder = Path(get_upload_folder()) / "lesson-test"
    folder.mkdir(parents=True, exist_ok=True)
    pixels = as_type(blobs(64, 64), np.uint16)
    with zipfile.ZipFile(folder / "teaching-set.zip", "w") as file:
        file.writestr("teaching-set/images/a.tif", tiff(pixels))
        file.writestr("teaching-set/labels/a.tif", tiff((pixels > 1000).astype(np.uint16)))
    yield str(folder / "teaching-set.zip")
    shutil.rmtree(folder)


@pytest.fixture
def networks(tmp_path) -> Networks:
    return Networks(save_networks(tmp_path))


@pytest.fixture
def lessons(networks, tmp_path) -> Lessons:
    return Lessons(networks, tmp_path / "trained", [sys.executable, "-c", STUB])


def test_a_training_is_told_and_its_network_is_offered_beside_the_others(networks, lessons, archive):
    classroom = Classroom(lessons)
    event = SimpleNamespace(_data={"path": archive, "network": "unet", "minutes": 10})
    updates = []
    for update in classroom.train(event, HOME):
        updates.append(update)
        if "step 7, loss 0.250" in update[0] and "0.500 at first, 0.600 now" in update[0]:
            lessons.stop()  # the stub goes on only then
    html, stop, first, second, network = updates[-1]
    assert (
        "Trained: better." in html
        and "0.600" in html
        and 'srcdoc="&lt;p&gt;before &amp; after' in html.replace("&amp;amp;", "&amp;")
    )
    assert stop["visible"] is False and (first["value"], second["value"]) == ("unet", "own1")
    assert [key for _, key in first["choices"]] == ["unet", "unetpp", "own1"]
    assert [key for _, key in network["choices"]] == ["unet", "own1", "both"]
    assert [network.key for network in networks] == ["unet", "unetpp"]  # what the sliders stand for

    page = Page(networks, [])
    page.visitors._visitor("me").picture = key = page.store.put(Picture("a", as_type(blobs(64, 64), np.uint16)))
    question, _ = page.ask(HOME, 1, None, None, False, None, key, "unet", "own1")
    result, status = page.analyse(HOME, question, None)
    analysis = page.store.get(result)
    assert list(analysis.maps) == ["unet", "own1"] and "Mine 1, from U-Net" in status
    first, second = (one.probability for one in analysis.maps.values())
    assert np.array_equal(first, second)  # the stub trains nothing
    assert "Mine 1, from U-Net" in numbers.summary(analysis, page.controls(0.5, 0.5, 0, None)[0])
    with pytest.raises(gr.Error, match="press Segment"):
        page.file(HOME, None, result, "unetpp", 0.5, 0.5, 0, None)
    assert page.file(HOME, "labels.tif", result, "own1", 0.5, 0.5, 0, None).endswith("a_own1_labels.tif")
    with pytest.raises(gr.Error, match="two different"):
        page.ask(HOME, 2, None, None, False, None, key, "own1", "own1")


def test_stop_keeps_the_best_so_far_and_only_one_trains_at_once(lessons, archive):
    lessons.begin(archive, "unet", 10)
    with pytest.raises(gr.Error, match="A training is running"):
        lessons.begin(archive, "unet", 10)
    assert "keeps the best so far" in lessons.stop()
    last = list(lessons.follow())[-1]
    assert last.result is not None and last.key == "own1"
    assert lessons.stop() == "Nothing is being trained."


@pytest.mark.parametrize("client, headers, on_space", [
    ("10.0.0.7", {"host": "localhost:7860"}, False),
    ("127.0.0.1", {"host": "me.gradio.live"}, False),
    ("127.0.0.1", {"host": "localhost", "X-Forwarded-For": "10.0.0.7"}, False),
    ("127.0.0.1", {"host": "localhost"}, True),
])  # fmt: skip
def test_nobody_trains_a_network_from_another_machine(lessons, archive, monkeypatch, client, headers, on_space):
    monkeypatch.setattr(limits, "ON_SPACE", on_space)
    request = SimpleNamespace(client=SimpleNamespace(host=client), headers=headers)
    assert why_not(request)
    event = SimpleNamespace(_data={"path": archive, "network": "unet", "minutes": 1})
    with pytest.raises(gr.Error):
        next(Classroom(lessons).train(event, request))
    with pytest.raises(gr.Error):
        Classroom(lessons).stop(request)
    assert lessons.lesson is None
    assert Classroom(lessons).offered(request).constructor_args["training"] != "yes"


def test_one_may_at_home():
    assert why_not(HOME) == ""


@pytest.mark.parametrize("path, network, minutes", [
    ("/etc/hostname", "unet", 1), ("{archive}/../../../x.zip", "unet", 1),
    ("{archive}", "other", 1), ("{archive}", "unet", 0),
])  # fmt: skip
def test_what_a_browser_sends_is_checked(lessons, archive, path, network, minutes):
    with pytest.raises(gr.Error):
        lessons.begin(path.format(archive=archive), network, minutes)
    assert lessons.lesson is None


def test_a_training_that_fails_says_why(networks, tmp_path, archive):
    lessons = Lessons(
        networks, tmp_path / "trained", [sys.executable, "-c", 'print(\'{"error": "too <few> images"}\')']
    )
    lessons.begin(archive, "unet", 1)
    last = list(lessons.follow())[-1]
    assert "Nothing came of it: too &lt;few&gt; images" in lesson_view.as_html(last)
    lessons = Lessons(networks, tmp_path / "trained", [sys.executable, "-c", "raise SystemExit(3)"])
    lessons.begin(archive, "unet", 1)
    assert "with the code 3" in list(lessons.follow())[-1].error


def test_a_start_that_is_kept_offers_no_network():
    result = {"kept": "start", "why": "The start is kept.", "figures": {}, "notes": [], "trained": False}
    html = lesson_view.as_html(Lesson("unet", "Mine 1", Path("/nowhere"), 60, result=result))
    assert "no new network" in html and "iframe" not in html


class Deaf(io.StringIO):
    """Nobody says stop."""

    def readline(self, *_) -> str:
        while True:
            import time

            time.sleep(60)


def test_the_process_says_how_it_goes_in_lines(monkeypatch):
    monkeypatch.setattr(lesson_process.os, "nice", lambda _: 0)
    said = io.StringIO()

    def train(folder, out, *, model, minutes, progress):
        assert (folder, out, model, minutes) == ("in", "out", "unet-nuclei", 2.5)
        progress(SimpleNamespace(stage="training", left=1.0, step=2, loss=None, curve=()))
        return SimpleNamespace(kept="trained", why="Better.", figures={}, notes=[], is_trained=True)

    assert lesson_process.main(["in", "out", "unet-nuclei", "2.5"], Deaf(), said, train) == 0
    first, last = map(json.loads, said.getvalue().splitlines())
    assert first["step"] == 2 and last == {
        "kept": "trained",
        "why": "Better.",
        "figures": {},
        "notes": [],
        "trained": True,
    }


@pytest.fixture
def interrupts_ignored():
    """As where a shell started the page in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_process_stops_at_a_word(interrupts_ignored, monkeypatch):
    monkeypatch.setattr(lesson_process.os, "nice", lambda _: 0)
    said = io.StringIO()

    def train(*_, **__):
        for _ in range(3000):  # the word interrupts between two short naps, not within a long one
            time.sleep(0.01)

    assert lesson_process.main(["in", "out", "m", "1"], io.StringIO("stop\n"), said, train) == 1
    assert json.loads(said.getvalue()) == {"error": "Stopped before there was a result."}
