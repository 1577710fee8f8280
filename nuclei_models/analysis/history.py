"""The edits of one label image: done, undone and done again without end, written down and repeated on another."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from .editing import apply
from .edits import Change, Edit, EditError

MAX_EDITS = 20_000


class Tally(NamedTuple):
    """How many nuclei a person deleted, added and changed."""

    deleted: int = 0
    added: int = 0
    changed: int = 0


@dataclass(frozen=True)
class History:
    """A label image and what was done to it; every step gives a new one, so that whoever reads never sees half of it.

    Attributes:
        labels: (H, W), int32, as it is now.
        top: The highest number before the first edit.
        done: What was done, the oldest first, with its change: `None` where it does nothing on this label image.
        undone: What can be done again, the next one last.
    """

    labels: np.ndarray
    top: int
    done: tuple[tuple[Edit, Change | None], ...] = ()
    undone: tuple[Edit, ...] = ()

    @classmethod
    def begin(cls, labels: np.ndarray, edits: Iterable[Edit] = (), undone: Iterable[Edit] = ()) -> "History":
        """On labels without edits, with edits repeated one after the other.

        Args:
            undone: As the attribute.
        """
        top = int(labels.max(initial=0))
        found, fresh = labels.copy(), top + 1  # copied once, however many edits
        done: list[tuple[Edit, Change | None]] = []
        for edit in edits:
            try:
                change = apply(found, edit, fresh)
            except EditError:
                done.append((edit, None))
                continue
            found[change.box] = change.after
            fresh = max(fresh, max(change.new, default=0) + 1)
            done.append((edit, change))
        return cls(found, top, tuple(done), tuple(undone))

    def do(self, edit: Edit) -> tuple["History", Change]:
        """One more edit; what was undone before is forgotten.

        Raises:
            EditError: It does nothing here, or there are too many.
        """
        if len(self.done) >= MAX_EDITS:
            raise EditError(f"An image takes up to {MAX_EDITS:,} edits.")
        change = apply(self.labels, edit, self.fresh)
        return self._with(edit, change), change

    def undo(self) -> tuple["History", Change | None]:
        """Without the last edit, and the change that is gone.

        Raises:
            EditError: There is none.
        """
        if not self.done:
            raise EditError("There is nothing to undo.")
        edit, change = self.done[-1]
        labels = self.labels if change is None else change.undone(self.labels)
        return History(labels, self.top, self.done[:-1], (*self.undone, edit)), change

    def redo(self) -> tuple["History", Change | None]:
        """With the edit that was undone last, and its change.

        Raises:
            EditError: There is none.
        """
        if not self.undone:
            raise EditError("There is nothing to do again.")
        history = self._repeated(self.undone[-1])
        return replace(history, undone=self.undone[:-1]), history.done[-1][1]

    def _repeated(self, edit: Edit) -> "History":
        try:
            return self._with(edit, apply(self.labels, edit, self.fresh))
        except EditError:
            return replace(self, done=(*self.done, (edit, None)))

    def _with(self, edit: Edit, change: Change) -> "History":
        return History(change.done(self.labels), self.top, (*self.done, (edit, change)))

    @property
    def fresh(self) -> int:
        """The number of the next new nucleus; those of nuclei that are no more are not used again."""
        return max((self.top, *(max(change.new, default=0) for _, change in self.done if change))) + 1

    @property
    def edits(self) -> tuple[Edit, ...]:
        """What was done, the oldest first."""
        return tuple(edit for edit, _ in self.done)

    @property
    def idle(self) -> int:
        """Edits that do nothing on this label image."""
        return sum(change is None for _, change in self.done)

    @property
    def mended(self) -> frozenset[int]:
        """Numbers of the nuclei that a person added or changed."""
        found: set[int] = set()
        for _, change in self.done:
            if change is not None:
                found |= change.new | change.changed
                found -= change.gone
        return frozenset(found)

    @property
    def tally(self) -> Tally:
        """Nuclei deleted (of those there were at first), added and changed."""
        added: set[int] = set()
        deleted: set[int] = set()
        for _, change in self.done:
            if change is not None:
                deleted |= change.gone - added
                added = (added | change.new) - change.gone
        return Tally(len(deleted), len(added), len(self.mended - added))

    def to_json(self) -> dict:
        """The edits, to be kept; `edits_from_json` reads them."""
        return {"done": [e.to_json() for e in self.edits], "undone": [e.to_json() for e in self.undone]}


def edits_from_json(data: object, shape: tuple[int, ...]) -> tuple[list[Edit], list[Edit]]:
    """What `History.to_json` gave, checked: edits done, and undone.

    Args:
        shape: Height and width of the image.

    Raises:
        ValueError: It is something else, or has an edit that is none.
    """
    if not isinstance(data, dict):
        raise ValueError("A list of edits is a dictionary with the keys done and undone.")
    done, undone = data.get("done", []), data.get("undone", [])
    if not isinstance(done, list) or not isinstance(undone, list) or len(done) + len(undone) > MAX_EDITS:
        raise ValueError(f"A list of edits holds up to {MAX_EDITS:,} edits, done and undone.")
    return [Edit.from_json(edit, shape) for edit in done], [Edit.from_json(edit, shape) for edit in undone]
