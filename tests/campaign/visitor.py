"""A visitor's half of the page: events on their way through the server, and what a browser makes of their answers."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import gradio as gr

from nuclei_models.page.choosing import Opened
from nuclei_models.page.levels import WHOLE

from .viewer import Edits, Viewer


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
        assert self._stopped.acquire(timeout=300), f"{self.name} hangs"

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
COUNTED = ("summary", "histogram", "table", "picked", "doubts")
OUTPUTS = {
    "open": Opened._fields,
    "plane": Opened._fields,
    "ask": ("question", "status"),
    "analyse": ("made", "status"),
    "show": ("result", "viewer", *COUNTED),
    "count": (*COUNTED, "viewer"),
    "size": (*COUNTED, "viewer"),
    "cancel": ("status",),
}
NEXT = {"ask": "analyse", "analyse": "show", "show": "count"}
ALWAYS_LAST = {"plane", "size"}


@dataclass
class Visitor:
    """A browser: the values of its components, and what it has sent and not yet got."""

    session: str
    fitted: dict[str, float]
    values: dict[str, Any] = field(default_factory=dict)
    viewer: dict[str, Any] = field(default_factory=lambda: {"value": {}, "bases": {}, "of": ""})
    desk: Viewer = field(init=False)
    file: str | None = None  # the last that was chosen
    asked: list[tuple] = field(default_factory=list)  # settings of the runs since then
    is_sure: bool = False  # that the last run's result must come
    events: list[Event] = field(default_factory=list)
    inbox: deque = field(default_factory=deque)  # answers in the order in which the queue sent them
    deferred: set[str] = field(default_factory=set)
    number: int = 0

    def __post_init__(self) -> None:
        self.desk = Viewer(self.count)
        self.values = {"source": "", "result": "", "question": "", "made": "", "note": "", "status": ""}
        self.values |= {"picture": "", "doubts": ""}
        self.values |= self.fitted | {"pixel_size": None}
        self.values |= {"series": 0, "channel": 0, "z": 1, "t": 1, "diameter": None, "level": WHOLE, "tta": False}
        self.values |= {"summary": "", "histogram": "", "table": {}, "picked": ""}

    def count(self) -> int:
        """The number of the next event."""
        self.number += 1
        return self.number

    def inputs(self) -> dict[str, Any]:
        return dict(self.values)

    @property
    def request(self) -> Any:
        return SimpleNamespace(session_hash=self.session)

    @property
    def seen(self) -> dict | None:
        """What is drawn."""
        return self.desk.seen

    def edits_of(self, result: str) -> Edits:
        """What was mended of a result; nothing of one that isn't drawn yet."""
        return self.desk.edits if self.seen and self.seen["of"] == result else {}

    @property
    def is_quiet(self) -> bool:
        waiting = self.desk.first or self.desk.wishes or self.desk.following
        return not (self.events or self.inbox or self.deferred or waiting)

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
        self.desk.take(self.viewer["value"], self.viewer["of"])
