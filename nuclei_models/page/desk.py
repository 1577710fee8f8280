"""A request of the viewer -> its answer: mending, nuclei as the sliders have them, and pictures as it needs them.

The viewer calls these without an event of the page (`server` in `static/viewer/main.js`). A request names the result
that it is about by its key, which nobody can guess.
"""

import threading
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

import numpy as np

from ..analysis.edits import Change, Edit
from ..analysis.history import History, edits_from_json
from ..analysis.proposals import find, take
from ..inference.settings import Cut
from . import pictures
from .geometry import packed
from .inputs import cut_of
from .limits import CUTS
from .networks import Networks
from .pictures import Look
from .state import Analysis
from .store import Forgotten, Store
from .teaching import pair

GONE = "This image is no longer held in memory. Choose it again and press Segment; your mends are kept in this browser."


MENDING = ("act", "undo", "redo", "repeat")


class Desk:
    """Answers the viewers of all visitors."""

    def __init__(self, store: Store, networks: Networks):
        self.store, self.networks = store, networks
        self._cutting = threading.Semaphore(CUTS)
        self._answers: dict[str, Callable[[Analysis, Cut, Mapping[str, Any]], dict]] = {
            "act": self.act,
            "undo": self.undo,
            "redo": self.redo,
            "repeat": self.repeat,
            "nuclei": self.nuclei,
            "image": self.image,
            "tile": self.tile,
            "probability": self.probability,
            "agreement": self.agreement,
            "pair": self.pair,
        }

    def answer(self, request: object) -> dict:
        """The answer to a request, or {"error": sentence}.

        Every answer of mending has the `geometry` of the nuclei that are new or changed, the numbers that are `gone`,
        the numbers of all that are `mended`, and the `version` of the mends, which grows with each; what was drawn of
        an earlier one is out of date.

        Args:
            request: A dictionary of `what`, `token`, `cut` and what else it takes.
        """
        if isinstance(request, list) and len(request) == 1:
            request = request[0]
        what = request.get("what") if isinstance(request, dict) else None
        if not isinstance(request, dict) or not isinstance(what, str) or what not in self._answers:
            return {"error": f"A request says what it wants: {', '.join(self._answers)}."}
        try:
            analysis = self.store.get(str(request.get("token")))  # of a set: "key of the set/name of the result"
            if not isinstance(analysis, Analysis):
                raise Forgotten
            answer = self._answers[what](analysis, self.cut(request.get("cut")), request)
            return answer | {"version": analysis.mends.version} if what in MENDING else answer
        except Forgotten:
            return {"error": GONE}
        except ValueError as error:
            return {"error": str(error)}

    def cut(self, sliders: object) -> Cut:
        """The sliders' values -> how maps are cut. The last, the least confidence, may be left out."""
        if not isinstance(sliders, list) or len(sliders) not in (3, 4) or not all(_is_number(one) for one in sliders):
            raise ValueError("A request has the values of the sliders.")
        return cut_of(self.networks, *sliders)

    # mending

    def act(self, analysis: Analysis, cut: Cut, request: Mapping[str, Any]) -> dict:
        """One more edit. A click that asks for a nucleus is answered with the edit that puts it there."""
        network = self.network(analysis, request)
        asked = Edit.from_json(request.get("edit"), analysis.picture.size)
        edit = self.resolved(analysis, network, cut, asked)
        history, change = analysis.step(network, cut, lambda history: history.do(edit))
        return changed(history, change) | {"edit": edit.to_json()}

    def resolved(self, analysis: Analysis, network: str, cut: Cut, edit: Edit) -> Edit:
        """What `find` and `take` bring along is looked up; other edits say it all."""
        if edit.act == "find":
            maps, (threshold, separation, _) = analysis.maps[network], analysis.cut_values(network, cut)
            labels, diameter = analysis.labels(network, cut), analysis.typical_diameter(network, cut)
            return find(maps.probability, maps.distance, labels, edit.points[0], threshold, separation, diameter)
        if edit.act == "take":
            (other,) = (key for key in analysis.maps if key != network)
            return take(analysis.labels(network, cut), analysis.labels(other, cut), edit.points[0])
        return edit

    def undo(self, analysis: Analysis, cut: Cut, request: Mapping[str, Any]) -> dict:
        """Without the network's last edit."""
        history, change = analysis.step(self.network(analysis, request), cut, lambda history: history.undo())
        return changed(history, change, back=True)

    def redo(self, analysis: Analysis, cut: Cut, request: Mapping[str, Any]) -> dict:
        """With the edit that was undone last."""
        return changed(*analysis.step(self.network(analysis, request), cut, lambda history: history.redo()))

    def repeat(self, analysis: Analysis, cut: Cut, request: Mapping[str, Any]) -> dict:
        """Edits that a browser kept: all of them, or one part after the other."""
        done, undone = edits_from_json(request, analysis.picture.size)
        network = self.network(analysis, request)
        history = analysis.repeat(network, cut, done, undone, bool(request.get("first", True)))
        return {
            "whole": True,
            "geometry": packed(history.labels),
            "gone": [],
            "mended": sorted(history.mended),
            "idle": history.idle,
            "said": "",
        }

    def network(self, analysis: Analysis, request: Mapping[str, Any]) -> str:
        network = request.get("network")
        if not isinstance(network, str) or network not in analysis.maps:
            raise ValueError(f"A request names a network: {', '.join(analysis.maps)}.")
        return network

    # pictures

    def nuclei(self, analysis: Analysis, cut: Cut, request: Mapping[str, Any]) -> dict:
        """The nuclei of both networks as the sliders have them, see `pictures.found`."""
        with self._cutting:
            return pictures.found(analysis, cut)

    def image(self, analysis: Analysis, cut: Cut, request: Mapping[str, Any]) -> dict:
        """The whole image, stretched for the eye."""
        return {"image": pictures.image(analysis, look_of(request))}

    def tile(self, analysis: Analysis, cut: Cut, request: Mapping[str, Any]) -> dict:
        """A part of it at its own resolution."""
        column, row = request.get("column"), request.get("row")
        if not isinstance(column, int) or not isinstance(row, int):
            raise ValueError("A tile has a column and a row, whole numbers.")
        return {"image": pictures.tile(analysis, look_of(request), column, row)}

    def probability(self, analysis: Analysis, cut: Cut, request: Mapping[str, Any]) -> dict:
        """A network's probability map."""
        return {"image": pictures.probability(analysis, self.network(analysis, request))}

    def agreement(self, analysis: Analysis, cut: Cut, request: Mapping[str, Any]) -> dict:
        """Which nuclei both networks have, see `pictures.agreement`."""
        return pictures.agreement(analysis, cut)

    # teaching

    def pair(self, analysis: Analysis, cut: Cut, request: Mapping[str, Any]) -> dict:
        """The image and a network's nuclei, mended, as files for training."""
        image, labels, nuclei = pair(analysis, self.network(analysis, request), cut)
        return {"image": b64encode(image).decode(), "labels": b64encode(labels).decode(), "nuclei": nuclei}


def changed(history: History, change: Change | None, back: bool = False) -> dict:
    """What the viewer is to draw anew after an edit, or, `back`, after one was undone."""
    if change is None:  # it does nothing at these settings
        box = slice(0, 1), slice(0, 1)
        change = Change(box, history.labels[box], history.labels[box])
    new, gone = (change.gone, change.new) if back else (change.new, change.gone)
    there = change.before if back else change.after
    shown = np.where(np.isin(there, list(new | change.changed)), there, 0)
    counts = {"new": len(new), "gone": len(gone), "changed": len(change.changed)}
    return {
        "geometry": packed(shown, change.box, history.labels.shape[1]),
        "gone": sorted(gone),
        "mended": sorted(history.mended),
        "said": (", ".join(f"{n} {word}" for word, n in counts.items() if n) or "Nothing at these settings") + ".",
    }


def look_of(request: Mapping[str, Any]) -> Look:
    """How the image is stretched."""
    white, gamma = request.get("white"), request.get("gamma")
    if not _is_number(white) or not _is_number(gamma):
        raise ValueError("A picture has a white point and a gamma, numbers.")
    return Look(min(max(white, 50.0), 100.0), min(max(gamma, 0.1), 10.0))


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))
