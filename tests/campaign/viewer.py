"""What the viewer does in a visitor's browser (`static/viewer/`).

It draws the last value that it got, and mends nuclei by requests that are answered late. What was done is kept in the
browser, by the image.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from nuclei_models.page.geometry import packed
from tests.support.page import unpacked

Edits = dict[str, tuple[list, list]]  # by network: done, and undone


class Request:
    """A request of the viewer, made when its turn has come.

    Attributes:
        what, network, edit: Asked for.
        on: The value that was drawn when it was made.
        answer: Of the server.
    """

    def __init__(self, viewer: "Viewer", what: str, network: str | None, edit: dict | None = None):
        self.viewer, self.what, self.network, self.edit = viewer, what, network, edit
        self.of = viewer.seen["of"] if viewer.seen else None
        self.on: dict | None = None
        self.answer: Any = None
        self.is_made = False

    def make(self, server: Callable[[list], dict]) -> None:
        """The server does what is asked for; the answer is on its way."""
        seen, network = self.viewer.seen, self.network or self.viewer.turn_of(self.what)
        self.on, self.network, self.is_made = seen, network, True
        if seen is None or seen["of"] != self.of or network not in self.viewer.edits:
            return  # of another image by now
        more: dict[str, Any] = {"edit": self.edit}
        if self.what == "repeat":
            done, undone = self.viewer.edits[network]
            more = {"done": list(done), "undone": list(undone), "first": True}
        asked = {"what": self.what, "token": seen["of"], "cut": seen["cut"], "network": network} | more
        self.answer = server([asked])


class Following(Request):
    """A request for the nuclei as the sliders have them, with the number of the event that it is counted as."""

    def __init__(self, viewer: "Viewer", turn: int):
        super().__init__(viewer, "nuclei", None)
        self.sliders, self.turn = list(viewer.sliders), turn

    def make(self, server: Callable[[list], dict]) -> None:
        self.is_made = True
        self.answer = server([{"what": self.what, "token": self.of, "cut": self.sliders}])


class Viewer:
    """See above.

    Attributes:
        seen: The value that is drawn; its nuclei change with every mend.
        edits: Of the image that is drawn.
        order: Networks whose nuclei were mended, the first first.
        kept: In the browser, by the image's hash.
        first, wishes: Requests that bring all mends back, and those of the visitor, which wait for them.
        version: Of the mends, as the server counts.
        sliders: Where they stand, once one was moved.
        following: The request for the nuclei there, of which there is one at a time.
        count: Gives the next event's number.
        of: The key of what the page shows.
    """

    def __init__(self, count: Callable[[], int]) -> None:
        self.count, self.of = count, ""
        self.sliders: list[float] = []
        self.following: Following | None = None
        self.seen: dict | None = None
        self.edits: Edits = {}
        self.order: list[str] = []
        self.kept: dict[str, tuple[Edits, list[str]]] = {}
        self.first: deque[Request] = deque()
        self.wishes: deque[Request] = deque()
        self.version = 0

    def take(self, value: dict, of: str) -> None:
        """A value of the page; `of` is the key of what the page shows."""
        seen, self.of = self.seen, of
        if not value:
            self.seen, self.edits = None, {}
            self.first.clear()
            return
        if value["of"] != of or (seen and seen["of"] == of and value["turn"] <= seen["turn"]):
            return
        self.seen = value | {"networks": [dict(network) for network in value["networks"]]}
        if seen is None or seen["of"] != of:
            self.version, self.order = value.get("version", 0), []
            self.edits = {network["key"]: ([], []) for network in value["networks"]}
            self.first.clear()
            if value["networks"] and value["image"] in self.kept:
                edits, order = self.kept[value["image"]]
                self.edits = {key: (list(edits[key][0]), list(edits[key][1])) for key in self.edits}
                self.order = list(order)
                self.again()
        elif self.is_behind(value):
            self.again()
        self.follow()

    def slide(self, sliders: list[float]) -> bool:
        """They stand elsewhere. -> whether the page is told to count anew."""
        self.sliders = sliders
        self.follow()
        return not (self.seen and self.seen["networks"])

    def follow(self) -> None:
        """Ask for other nuclei where those that are drawn were cut at other values."""
        seen = self.seen
        is_shown = seen is not None and seen["networks"] and seen["of"] == self.of
        if self.following is None and self.sliders and is_shown and seen["cut"] != self.sliders:
            self.following = Following(self, self.count())

    def followed(self, request: Following) -> bool:
        """Other nuclei come. -> whether the page is told to count anew."""
        self.following, seen, answer = None, self.seen, request.answer
        if "error" in answer:
            return True
        if seen is not None and seen["of"] == request.of == self.of:
            self.seen = seen | answer | {"cut": request.sliders, "turn": request.turn}
            self.seen["networks"] = [dict(network) for network in answer["networks"]]
            if self.is_behind(self.seen):
                self.again()
        self.follow()
        return self.following is None

    def is_behind(self, value: dict) -> bool:
        """Whether a value was drawn before the last mend."""
        return value["version"] < self.version

    def again(self) -> None:
        """All nuclei with all mends."""
        self.first.clear()
        keys = [key for key, (done, undone) in self.edits.items() if done or undone or self.version]
        self.first.extend(Request(self, "repeat", key) for key in keys)

    def turn_of(self, what: str) -> str | None:
        """The network whose last edit is undone, or done again."""
        at = sum(len(done) for done, _ in self.edits.values()) - (what == "undo")
        return self.order[at] if 0 <= at < len(self.order) else None

    def next(self) -> list[Request]:
        """Requests that can go on: at most one that mends, and one for the sliders."""
        following = [self.following] if self.following else []
        if self.wishes and self.wishes[0].is_made:
            return [self.wishes[0], *following]
        return [line[0] for line in (self.first, self.wishes) if line][:1] + following

    def answered(self, request: Request) -> bool:
        """An answer reaches the viewer. -> whether the page is told to count anew."""
        if isinstance(request, Following):
            return self.followed(request)
        is_repeat = request.what == "repeat"
        (self.first if is_repeat else self.wishes).popleft()
        seen, answer, on = self.seen, request.answer, request.on
        if not answer or "error" in answer or on is None or seen is None or seen["of"] != on["of"]:
            if is_repeat:
                self.first.clear()
            return False
        assert request.network is not None
        self.version = max(self.version, answer["version"])
        is_late = self.is_late(request)
        if not is_late:
            self.draw(request.network, answer, whole=is_repeat)
        if not is_repeat:
            self.note(request.what, request.network, answer)
        if is_late:
            self.again()
        return not (is_repeat and self.first)

    def is_late(self, request: Request) -> bool:
        """Whether other nuclei are drawn than those that the answer is about."""
        return self.seen is not request.on

    def note(self, what: str, network: str, answer: dict) -> None:
        done, undone = self.edits[network]
        if what == "act":
            before = sum(len(one) for one, _ in self.edits.values())
            done.append(answer["edit"])
            for _, others in self.edits.values():
                others.clear()
            self.order = [*self.order[:before], network]
        elif what == "undo":
            undone.append(done.pop())
        else:
            done.append(undone.pop())
        assert self.seen is not None
        copied = {key: (list(one), list(other)) for key, (one, other) in self.edits.items()}
        self.kept[self.seen["image"]] = copied, list(self.order)

    def draw(self, network: str, answer: dict, whole: bool) -> None:
        assert self.seen is not None
        size = self.seen["height"], self.seen["width"]
        one = next(one for one in self.seen["networks"] if one["key"] == network)
        labels, new = unpacked(one["geometry"], size), unpacked(answer["geometry"], size)
        labels[np.isin(labels, [*answer["gone"], *np.unique(new[new > 0])])] = 0
        one["geometry"] = packed(new if whole else np.where(new, new, labels))
        one["mended"] = answer["mended"]
