"""Two visitors on the page, in any order of events, with answers that come late: what each sees and saves must be what
the library gives for exactly those inputs.

The handlers are the page's own. Each event runs in a thread that stops where time may pass: before it begins, while an
image is read, a network runs or pictures are drawn, and again before its answer reaches the browser. Which of them goes
on is drawn by hypothesis, so a failing order is found again and made short.
"""

import csv
import io
import threading
import zipfile
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import gradio as gr
import numpy as np
import tifffile

from nuclei_models.analysis.measurements import measure
from nuclei_models.images.reader import read
from nuclei_models.inference.segmentation import segment
from nuclei_models.page import choosing, handlers, inputs, numbers, pictures
from nuclei_models.page.choosing import Opened
from nuclei_models.page.examples import Example
from nuclei_models.page.geometry import packed
from nuclei_models.page.handlers import Page
from nuclei_models.page.levels import WHOLE
from nuclei_models.page.networks import Networks
from nuclei_models.page.state import Analysis, Picture
from tests.support.page import as_type, blobs

FILES = {"old.tif": (1.0, 1.0), "new.tif": (0.1, 0.1), "oblong.tif": (0.5, 0.25), "stack.tif": None}
BROKEN = "broken.tif"
SHOWN = 64  # pixels; the smaller the pictures, the more can be tried


def write_files(folder: Path) -> None:
    for seed, (name, size) in enumerate(FILES.items()):
        more: dict[str, Any] = {} if size is None else {"resolution": (1 / size[1], 1 / size[0])}
        pixels = [as_type(blobs(40, 48 + 8 * seed, spacing=10 + seed, seed=5 * seed + i), np.uint16) for i in range(6)]
        stack = np.stack(pixels).reshape(3, 2, *pixels[0].shape) if size is None else pixels[0]
        metadata = {"axes": "ZCYX"} if size is None else {"unit": "um"}
        tifffile.imwrite(folder / name, stack, imagej=True, metadata=metadata, **more)
    (folder / BROKEN).write_bytes(b"II*\0\x08\0\0\0")


class Event:
    """One event on its way: from the browser, through a handler that stops at every gate, and back."""

    def __init__(self, name: str, visitor: "Visitor", call: Callable[[], Any]):
        self.name, self.visitor, self.call = name, visitor, call
        self.state = visitor.inputs()
        self.answer: Any = None
        self.error: BaseException | None = None
        self.began = self.ended = False
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)

    def advance(self) -> None:
        """Go on to the next gate, or to the end."""
        if not self.began:
            self.began = True
            threading.Thread(target=self._work, daemon=True).start()
        self._go.release()
        assert self._stopped.acquire(timeout=60), f"{self.name} hangs"

    def _work(self) -> None:
        _here.event = self
        self._go.acquire()
        try:
            self.answer = self.call()
        except BaseException as error:
            self.error = error
        self.ended = True
        self._stopped.release()

    def gate(self) -> None:
        self._stopped.release()
        self._go.acquire()


_here = threading.local()


def gated(function: Callable) -> Callable:
    """The function, with a gate before and after it."""

    def stop() -> None:
        if (event := getattr(_here, "event", None)) is not None:
            event.gate()

    def slow(*args: Any, **more: Any) -> Any:
        stop()
        result = function(*args, **more)
        stop()
        return result

    return slow


CONTROLS = ("threshold", "separation", "min_area", "pixel_size")
COUNTED = ("summary", "histogram", "table", "picked")
OUTPUTS = {
    "open": Opened._fields,
    "plane": Opened._fields,
    "ask": ("question", "status"),
    "analyse": ("made", "status"),
    "show": ("result", "viewer", *COUNTED),
    "cut": ("viewer",),
    "count": (*COUNTED, "viewer"),
    "size": (*COUNTED, "viewer"),
    "moved": (*COUNTED, "viewer"),
    "cancel": ("status",),
}
NEXT = {"ask": "analyse", "analyse": "show", "show": "count", "cut": "moved"}
ALWAYS_LAST = {"plane", "cut", "moved", "size"}


@dataclass
class Visitor:
    """A browser: the values of its components, and what it has sent and not yet got."""

    session: str
    fitted: dict[str, float]
    values: dict[str, Any] = field(default_factory=dict)
    viewer: dict[str, Any] = field(default_factory=lambda: {"value": {}, "bases": {}, "of": ""})
    seen: dict | None = None
    file: str | None = None  # the last that was chosen
    asked: list[tuple] = field(default_factory=list)  # settings of the runs since then
    is_sure: bool = False  # that the last run's result must come
    events: list[Event] = field(default_factory=list)
    inbox: deque = field(default_factory=deque)  # answers in the order in which the queue sent them
    posts: list[Event] = field(default_factory=list)  # answers that may overtake each other
    deferred: set[str] = field(default_factory=set)
    number: int = 0

    def __post_init__(self) -> None:
        self.values = {"source": "", "result": "", "question": "", "made": "", "note": "", "status": ""}
        self.values |= self.fitted | {"pixel_size": None}
        self.values |= {"series": 0, "channel": 0, "z": 1, "t": 1, "diameter": None, "level": WHOLE, "tta": False}
        self.values |= {"summary": "", "histogram": "", "table": {}, "picked": ""}

    def inputs(self) -> dict[str, Any]:
        return dict(self.values)

    @property
    def request(self) -> Any:
        return SimpleNamespace(session_hash=self.session)

    @property
    def is_quiet(self) -> bool:
        return not (self.events or self.inbox or self.posts or self.deferred)

    def apply(self, names: tuple[str, ...], answer: Any) -> None:
        """Give an answer's values to the components, as Gradio's script does."""
        answers = (answer,) if len(names) == 1 else answer
        for name, value in zip(names, answers, strict=True):
            if isinstance(value, gr.blocks.Block):
                value = {k: v for k, v in value.constructor_args.items() if k != "self"} | {"__type__": "update"}
            changes = value if isinstance(value, dict) and "__type__" in value else {"value": value}
            if name == "viewer":
                self.viewer |= {k: v for k, v in changes.items() if k in self.viewer}
            elif "value" in changes:
                self.values[name] = changes["value"]
        self.look()

    def look(self) -> None:
        """What static/viewer/main.js draws."""
        value = self.viewer["value"]
        if not value:
            self.seen = None
        elif value["of"] == self.viewer["of"] and not (
            self.seen and self.seen["of"] == value["of"] and value["turn"] < self.seen["turn"]
        ):
            self.seen = value


@cache
def pixels_of(path: Path, z: int | None, channel: int | None) -> np.ndarray:
    """The pixels of a plane, as the library reads them."""
    return read(path, z=z, channel=channel).pixels


def settings_of(analysis: Any) -> tuple:
    """What the networks were run with: diameter, test-time augmentation, level."""
    assert isinstance(analysis, Analysis)
    return analysis.settings.diameter, analysis.settings.tta, analysis.settings.level


class World:
    """The page, its two visitors, and the library that knows better."""

    def __init__(self, networks: Networks, folder: Path):
        self.folder, self.networks = folder, networks
        self.page = Page(networks, [Example(folder / "new.tif", "New")])
        self.page._cutting = threading.Semaphore(1000)
        self.page.visitors.leave_queue = self.leave_queue
        self.fitted = inputs.defaults(networks)
        self.visitors = [Visitor(f"visitor {i}", self.fitted) for i in range(2)]
        self.sessions = 2
        self.sent = self.compared = self.downloaded = 0
        self._library = cache(self._segment)
        self._stack = ExitStack()
        for module, name in ((choosing, "open_picture"), (choosing, "open_plane"), (pictures, "render")):
            self._stack.enter_context(patch.object(module, name, gated(getattr(module, name))))
        self._stack.enter_context(patch.object(numbers, "rows", gated(numbers.rows)))
        self._stack.enter_context(patch.object(networks, "predict", gated(networks.predict)))
        self._stack.enter_context(patch.object(pictures, "SHOWN_SIDE", SHOWN))
        self._stack.enter_context(patch.object(handlers.gr, "Warning", lambda *_, **__: None))

    def close(self) -> None:
        for visitor in self.visitors:  # no thread is left behind
            self.page.visitors.leave(visitor.session)
            for event in visitor.events:
                while event.began and not event.ended:
                    event.advance()
        self._stack.close()

    # what a visitor does

    def send(self, visitor: Visitor, name: str, **more: Any) -> None:
        """An event leaves the browser."""
        busy = any(event.name == name for event in visitor.events)
        if name in ALWAYS_LAST and busy:
            visitor.deferred.add(name)
            return
        if name == "ask" and busy:
            return  # pressed twice
        visitor.number += 1
        self.sent += 1
        visitor.events.append(Event(name, visitor, self.handler(visitor, name, visitor.number, visitor.inputs(), more)))

    def handler(self, visitor: Visitor, name: str, number: int, v: dict, more: dict) -> Callable[[], Any]:
        page, request = self.page, visitor.request
        shown = [v["result"], *(v[control] for control in CONTROLS)]
        choose = page.chooser
        calls: dict[str, Callable[[], Any]] = {
            "open": lambda: choose.uploaded(request, number, more["path"]),
            "plane": lambda: choose.plane_chosen(request, number, v["source"], v["channel"], v["z"], v["t"]),
            "ask": lambda: page.ask(request, number, v["diameter"], v["level"], v["tta"]),
            "analyse": lambda: page.analyse(request, v["question"], None),
            "show": lambda: page.show(request, number, v["made"], *shown[1:]),
            "cut": lambda: page.cut(request, number, *shown),
            "cancel": lambda: page.cancel(request, number),
        }
        calls |= dict.fromkeys(("count", "size", "moved"), lambda: page.count(request, number, *shown))
        if more.get("example"):
            event = SimpleNamespace(_data={"index": 0})
            calls["open"] = lambda: choose.example_chosen(event, request, number)[1:]
        return calls[name]

    def leave_queue(self, session: str) -> None:
        """As `waiting.py` does: a run that waits is answered with nothing."""
        for visitor in self.visitors:
            for event in [e for e in visitor.events if visitor.session == session and e.name == "analyse"]:
                if not event.began:
                    event.began = event.ended = True
                    event.answer = ("", gr.skip())
                    visitor.events.remove(event)
                    visitor.inbox.append(event)

    def choose(self, visitor: Visitor, name: str | None, example: bool = False) -> None:
        visitor.file, visitor.asked, visitor.is_sure = name, [], False
        path = str(self.folder / name) if name else None
        self.send(visitor, "open", path=path, example=example)

    def choose_plane(self, visitor: Visitor, z: int, channel: int) -> None:
        if self.file_of(visitor) != "stack.tif":
            return  # there is nothing to choose
        visitor.values |= {"z": z, "channel": channel}
        visitor.asked, visitor.is_sure = [], False
        self.send(visitor, "plane")

    def run(self, visitor: Visitor) -> None:
        if any(event.name == "ask" for event in visitor.events):
            return
        v = visitor.values
        visitor.asked.append((v["diameter"] or None, v["tta"], None if v["level"] == WHOLE else int(v["level"][1])))
        visitor.is_sure = True
        self.send(visitor, "ask")

    def cancel(self, visitor: Visitor) -> None:
        visitor.is_sure = False
        self.send(visitor, "cancel")
        event = visitor.events[-1]
        self.advance(event)
        if str(event.answer).startswith("Cancelled"):  # what is shown stays, and no other result may come
            shown = self.page.store._held.get(self.page.visitors._visitor(visitor.session).result)
            visitor.asked = [settings_of(shown[1])] if shown else []

    def leave(self, index: int) -> None:
        """One goes, and another comes."""
        gone = self.visitors[index]
        self.page.left(gone.request)
        for event in gone.events:
            while event.began and not event.ended:
                event.advance()
        self.visitors[index] = Visitor(f"visitor {self.sessions}", self.fitted)
        self.sessions += 1

    # what goes on meanwhile

    def can_go_on(self, visitor: Visitor) -> list[Event]:
        """Events that can go on: a run only if no other one runs, asking for it only once the image is read."""
        runs = [e for v in self.visitors for e in v.events if e.name == "analyse" and e.began]
        opens = any(e.name in ("open", "plane") and e.began for e in visitor.events)
        return [
            e
            for e in visitor.events
            if not (e.name == "analyse" and not e.began and runs) and not (e.name == "ask" and opens)
        ]

    def advance(self, event: Event) -> None:
        event.advance()
        if event.ended:
            visitor = event.visitor
            if event in visitor.events:
                visitor.events.remove(event)
                (visitor.posts if event.name == "cut" else visitor.inbox).append(event)

    def deliver(self, visitor: Visitor, event: Event) -> None:
        """An answer reaches the browser."""
        if event.error is not None:
            if not isinstance(event.error, gr.Error):
                raise event.error
            if event.name == "ask":
                visitor.is_sure = False
        else:
            visitor.apply(OUTPUTS[event.name], event.answer)
            if following := NEXT.get(event.name):
                self.send(visitor, following)
        if event.name in visitor.deferred:
            visitor.deferred.discard(event.name)
            self.send(visitor, event.name)

    def step(self, visitor: Visitor, choice: int) -> bool:
        """One of the things that can happen meanwhile. -> whether there was one."""
        ready: list[Event] = [*self.can_go_on(visitor), *([visitor.inbox[0]] if visitor.inbox else []), *visitor.posts]
        if not ready:
            return False
        event = ready[choice % len(ready)]
        if not event.ended:
            self.advance(event)
        else:
            (visitor.posts if event in visitor.posts else visitor.inbox).remove(event)
            self.deliver(visitor, event)
        return True

    def settle(self) -> None:
        """Everything goes on until nothing happens any more."""
        while sum(self.step(visitor, 0) for visitor in self.visitors):
            pass
        assert all(visitor.is_quiet for visitor in self.visitors), "something waits for good"

    # what must be seen

    def file_of(self, visitor: Visitor) -> str | None:
        source = self.page.store._held.get(visitor.values["source"])
        return Path(source[1].path).name if source else None

    def _segment(self, file: str, plane: tuple, settings: tuple, cut: tuple, key: str) -> np.ndarray:
        diameter, tta, level = settings
        network = self.networks[key]
        names = ("threshold", "separation", "min_area")
        return segment(
            self.pixels(file, plane), network.at(level), network.processor, diameter=diameter, tta=tta,
            **dict(zip(names, cut, strict=True)),
        ).labels  # fmt: skip

    def wanted(self, picture: Picture, settings: tuple, v: dict, key: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Labels and measurements as the library has them, for these values of the controls."""
        assert picture.source is not None
        file = Path(picture.source.path).name
        plane = next(
            p for p in ([(z, c) for z in range(3) for c in range(2)] if file == "stack.tif" else [(None, None)])
            if np.array_equal(self.pixels(file, p), picture.pixels)
        )  # fmt: skip
        names = ("threshold", "separation", "min_area")
        cut = tuple(None if v[name] == self.fitted[name] else v[name] for name in names)
        labels = self._library(file, plane, settings, cut, key)
        stored, typed = FILES[file], v["pixel_size"]
        size = None if not typed else stored if stored and typed == stored[1] else (typed, typed)
        return labels, measure(labels, picture.pixels, size)

    def pixels(self, file: str, plane: tuple) -> np.ndarray:
        return pixels_of(self.folder / file, *plane)

    def check(self, visitor: Visitor) -> None:
        """Nothing that is seen is of another image than the one that is shown."""
        held, seen = self.page.store._held, visitor.seen
        if seen is None or seen["of"] not in held:
            return
        shown = held[seen["of"]][1]
        if isinstance(shown, Analysis):
            assert isinstance(shown.picture, Picture)
            assert inputs.as_html(shown.picture.about) == visitor.values["note"], "a result under another image's note"
        elif visitor.values["summary"]:
            raise AssertionError("numbers beside an image that has no result")

    def check_quiet(self, visitor: Visitor) -> None:
        """All has come to rest: what is seen is what the library gives for exactly what stands on the page."""
        v, held = visitor.values, self.page.store._held
        if visitor.file is None or visitor.file == BROKEN:
            assert visitor.seen is None and v["result"] == "" and v["summary"] == ""
            return
        assert self.file_of(visitor) == visitor.file and visitor.seen is not None
        shown = held[visitor.seen["of"]][1]
        picture = shown.picture if isinstance(shown, Analysis) else shown
        plane = (v["z"] - 1, v["channel"]) if visitor.file == "stack.tif" else (None, None)
        assert np.array_equal(picture.pixels, self.pixels(visitor.file, plane)), "another plane than was chosen"
        if not v["result"]:
            assert not visitor.is_sure and isinstance(shown, Picture)
            assert v["summary"] == "" and v["table"] == {}
            return
        assert v["result"] == visitor.seen["of"] and isinstance(shown, Analysis)
        used = settings_of(shown)
        assert used == visitor.asked[-1] if visitor.is_sure else used in visitor.asked
        for i, key in enumerate(("unet", "unetpp")):
            labels, table = self.wanted(picture, used, v, key)
            network = visitor.seen["networks"][i]
            assert network["key"] == key and network["geometry"] == packed(labels), "other nuclei are drawn"
            columns, rows = v["table"]["columns"], np.array(v["table"]["networks"][i]["rows"], float)
            for name, title in numbers.COLUMNS.items():
                if title in columns and name in table:
                    column = rows[:, columns.index(title)] if len(rows) else np.zeros(0)
                    assert np.allclose(column, table[name], rtol=1e-4), name
            assert ("area (µm²)" in columns) == bool(v["pixel_size"])
            assert f"<td>{len(rows):,}</td>" in v["summary"]
        assert visitor.viewer["bases"] == pictures.preview(picture)[1]
        self.compared += 1

    def download(self, visitor: Visitor) -> None:
        """The zip of everything, compared with what the library gives for what stands on the page now."""
        v, saved = visitor.inputs(), {}

        def written(name: str, data: bytes, *_: Any) -> str:
            saved[name] = data
            return name

        with patch.object(handlers, "written", written):
            try:
                name = self.page.file(visitor.request, None, v["result"], "unet", *(v[c] for c in CONTROLS))
            except gr.Error:
                assert not v["result"] or not visitor.is_quiet, "what is shown can't be saved"
                return
        shown = self.page.store.get(v["result"])
        assert isinstance(shown, Analysis)
        used = settings_of(shown)
        stem = shown.picture.name
        assert name == f"{stem}_nuclei.zip"
        with zipfile.ZipFile(io.BytesIO(saved[name])) as archive:
            readme = archive.read("README.txt").decode()
            for key in ("unet", "unetpp"):
                labels, table = self.wanted(shown.picture, used, v, key)
                file = io.BytesIO(archive.read(f"{stem}_{key}_labels.tif"))
                assert np.array_equal(tifffile.imread(file), labels)
                rows = list(csv.DictReader(io.StringIO(archive.read(f"{stem}_{key}_measurements.csv").decode())))
                assert np.allclose([float(row["area_px"]) for row in rows], table["area_px"])
                if "area_um2" in table:
                    assert np.allclose([float(row["area_um2"]) for row in rows], table["area_um2"], rtol=1e-4)
                else:
                    assert not rows or "area_um2" not in rows[0]
        self.downloaded += 1
        assert f"nuclear diameter given, pixels: {used[0] or 'automatic'}" in readme
        assert f"test-time augmentation: {'yes' if used[1] else 'no'}" in readme
