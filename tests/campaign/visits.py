"""Two visitors on the page, in any order of events, with answers that come late: what each sees and saves must be what
the library gives for exactly those inputs.

The handlers are the page's own. Each event runs in a thread that stops where time may pass: before it begins, while an
image is read, a network runs or pictures are drawn, and again before its answer reaches the browser. Which of them goes
on is drawn by hypothesis, so a failing order is found again and made short.
"""

from collections.abc import Callable
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import gradio as gr
import numpy as np

from nuclei_models.inference.network import Network
from nuclei_models.page import choosing, handlers, numbers, pictures
from nuclei_models.page.examples import Example
from nuclei_models.page.handlers import Page
from nuclei_models.page.levels import WHOLE
from nuclei_models.page.state import Analysis
from tests.support.page import unpacked

from . import expected
from .expected import STACK, Library, settings_of
from .viewer import Request
from .visitor import ALWAYS_LAST, CONTROLS, NEXT, OUTPUTS, Event, Visitor, gated

SHOWN = 64  # pixels; the smaller the pictures, the more can be tried


class World:
    """The page, its two visitors, and the library that knows better."""

    def __init__(self, library: Library):
        self.library, networks = library, library.networks
        self.page = Page(networks, [Example(library.folder / "new.tif", "New")])
        self.page.visitors.leave_queue = self.leave_queue
        self.fitted = library.fitted
        self.visitors = [Visitor(f"visitor {i}", self.fitted) for i in range(2)]
        self.sessions = 2
        self.sent = self.mended = self.compared = self.downloaded = 0
        self._stack = ExitStack()
        for module, name in ((choosing, "open_picture"), (choosing, "open_plane"), (pictures, "render")):
            self._stack.enter_context(patch.object(module, name, gated(getattr(module, name))))
        self._stack.enter_context(patch.object(numbers, "rows", gated(numbers.rows)))
        self._stack.enter_context(patch.object(networks, "predict", gated(networks.predict)))
        self._stack.enter_context(patch.object(Network, "predict", library.predict))
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
        self.sent += 1
        visitor.events.append(
            Event(name, visitor, self.handler(visitor, name, visitor.count(), visitor.inputs(), more))
        )

    def handler(self, visitor: Visitor, name: str, number: int, v: dict, more: dict) -> Callable[[], Any]:
        page, request = self.page, visitor.request
        shown = [v["result"], *(v[control] for control in CONTROLS)]
        choose = page.chooser
        calls: dict[str, Callable[[], Any]] = {
            "open": lambda: choose.uploaded(request, number, more["path"]),
            "plane": lambda: choose.plane_chosen(request, number, v["source"], v["channel"], v["z"], v["t"]),
            "ask": lambda: page.ask(request, number, v["diameter"], v["level"], v["tta"], None, ""),
            "analyse": lambda: page.analyse(request, v["question"], None),
            "show": lambda: page.show(request, number, v["made"], *shown[1:]),
            "cancel": lambda: page.cancel(request, number),
        }
        calls |= dict.fromkeys(("count", "size"), lambda: page.count(request, number, *shown))
        if more.get("example"):
            event = SimpleNamespace(_data={"index": 0})
            calls["open"] = lambda: choose.example_chosen(event, request, number)
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
        path = str(self.library.folder / name) if name else None
        self.send(visitor, "open", path=path, example=example)

    def choose_plane(self, visitor: Visitor, z: int, channel: int) -> None:
        if expected.file_of(visitor, self.held) != STACK:
            return  # there is nothing to choose
        visitor.values |= {"z": z, "channel": channel}
        visitor.is_sure = False
        if not any(event.name == "open" for event in visitor.events):  # or it is about the file before that one
            visitor.asked = []
        self.send(visitor, "plane")

    def run(self, visitor: Visitor) -> None:
        if any(event.name == "ask" for event in visitor.events):
            return
        v = visitor.values
        visitor.asked.append((v["diameter"] or None, v["tta"], None if v["level"] == WHOLE else int(v["level"][1])))
        # pressed while a file is on its way, it may come before there is anything to segment
        visitor.is_sure = not any(event.name == "open" for event in visitor.events)
        self.send(visitor, "ask")

    def cancel(self, visitor: Visitor) -> None:
        visitor.is_sure = False
        self.send(visitor, "cancel")
        event = visitor.events[-1]
        self.advance(event)
        if str(event.answer).startswith("Cancelled"):  # what is shown stays, and no other result may come
            shown = self.page.store._held.get(self.page.visitors._visitor(visitor.session).result)
            visitor.asked = [settings_of(shown[1])] if shown else []

    def slide(self, visitor: Visitor) -> None:
        """A slider was moved."""
        if visitor.desk.slide([visitor.values[name] for name in CONTROLS[:3]]):
            self.send(visitor, "size")

    def leave(self, index: int) -> None:
        """One goes, and another comes."""
        gone = self.visitors[index]
        self.page.left(gone.request)
        for event in gone.events:
            while event.began and not event.ended:
                event.advance()
        self.visitors[index] = Visitor(f"visitor {self.sessions}", self.fitted)
        self.sessions += 1

    def mend(self, visitor: Visitor, what: str, network: str, act: str, number: int, at: tuple[float, float]) -> None:
        """One act on a nucleus that is drawn, or at a place, given as shares of the image; or one that is undone."""
        seen, wishes = visitor.seen, visitor.desk.wishes
        if seen is None or not seen["networks"]:
            return
        edit = None
        if what == "act":
            (drawn,) = (one for one in seen["networks"] if one["key"] == network)
            labels = unpacked(drawn["geometry"], (seen["height"], seen["width"]))
            numbers = [n for n in np.unique(labels) if n]
            x, y = at[0] * seen["width"], at[1] * seen["height"]
            if numbers and act in ("delete", "split"):
                ys, xs = np.nonzero(labels == numbers[number % len(numbers)])
                x, y = float(xs[len(xs) // 2]) + 0.5, float(ys[len(ys) // 2]) + 0.5
            points = {"draw": [[x, y], [x + 5, y], [x + 5, y + 5], [x, y + 5]], "split": [[x, y - 9], [x, y + 9]]}
            edit = {"act": act, "points": points.get(act, [[x, y]])}
        wishes.append(Request(visitor.desk, what, network if what == "act" else None, edit))
        self.mended += 1

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
                visitor.inbox.append(event)

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
        ready: list[Any] = [*self.can_go_on(visitor), *([visitor.inbox[0]] if visitor.inbox else [])]
        ready += visitor.desk.next()
        if not ready:
            return False
        event = ready[choice % len(ready)]
        if isinstance(event, Request):
            if not event.is_made:
                event.make(self.page.desk.answer)
            elif visitor.desk.answered(event):
                self.send(visitor, "size")  # the same listener of the page
        elif not event.ended:
            self.advance(event)
        else:
            visitor.inbox.remove(event)
            self.deliver(visitor, event)
        return True

    def settle(self) -> None:
        """Everything goes on until nothing happens any more."""
        while sum(self.step(visitor, 0) for visitor in self.visitors):
            pass
        assert all(visitor.is_quiet for visitor in self.visitors), "something waits for good"

    # what must be seen

    @property
    def held(self) -> dict[str, tuple]:
        """What the page's store holds, by its keys."""
        return self.page.store._held

    def check(self, visitor: Visitor) -> None:
        expected.check(visitor, self.held)

    def check_quiet(self, visitor: Visitor) -> None:
        self.compared += expected.check_quiet(visitor, self.held, self.library)

    def download(self, visitor: Visitor) -> None:
        """The zip of everything, compared with what the library gives for what stands on the page now."""
        if visitor.desk.first or visitor.desk.wishes:
            return  # what was mended may be in it or not yet
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
        assert name == f"{shown.picture.name}_nuclei.zip"
        used, edits = settings_of(shown), visitor.edits_of(v["result"])
        answers = {key: self.library.wanted(shown.picture, used, v, key, edits) for key in ("unet", "unetpp")}
        expected.check_zip(saved[name], shown.picture.name, used, answers)
        self.downloaded += 1
