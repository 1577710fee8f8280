"""Where the page keeps its visitors' images and results, each for a while."""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from .image_set import ImageSet
from .limits import STATE_BYTES, STATE_SECONDS
from .opened import Picture, Source
from .state import Analysis

Held = Source | Picture | Analysis | ImageSet


class Forgotten(Exception):
    """It was dropped, to make room or for its age."""


class Store:
    """Images and results by an unguessable key, each until nobody has asked for it in `seconds`; when together they
    exceed the budget (bytes), the oldest give way before that."""

    def __init__(self, budget: int = STATE_BYTES, seconds: float = STATE_SECONDS):
        self.budget, self.seconds = budget, seconds
        self._held: OrderedDict[str, tuple[float, Held]] = OrderedDict()  # with the time of the last use
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def put(self, held: Held) -> str:
        """Keep it, and return its key."""
        key = secrets.token_urlsafe(16)
        with self._lock:
            self._held[key] = time.monotonic(), held
            while len(self._held) > 1 and sum(a.nbytes for _, a in self._held.values()) > self.budget:
                self._held.popitem(last=False)
        self._forget_old()
        return key

    def get(self, key: str) -> Held:
        """Raises `Forgotten` if it isn't held any more. Of "key/part" the result of a set that has this name."""
        key, _, part = key.partition("/")
        with self._lock:
            if key not in self._held:
                raise Forgotten
            held = self._held.pop(key)[1]
            self._held[key] = time.monotonic(), held
        if not part:
            return held
        found = held.result(part) if isinstance(held, ImageSet) else None
        if found is None:
            raise Forgotten
        return found

    def change(self, key: str, change: Callable[[ImageSet], ImageSet]) -> ImageSet | None:
        """Put another set in the place of one; `None` if it isn't held any more."""
        with self._lock:
            held = self._held.get(key, (0, None))[1]
            if not isinstance(held, ImageSet):
                return None
            changed = change(held)
            self._held[key] = time.monotonic(), changed
            return changed

    def drop(self, key: str | None) -> None:
        """Forget it, if it is still held."""
        with self._lock:
            self._held.pop(key or "", None)

    def _forget_old(self) -> None:
        """Now, and again when the next one is due."""
        with self._lock:
            while self._held and next(iter(self._held.values()))[0] + self.seconds <= time.monotonic():
                self._held.popitem(last=False)
            if self._held and self._timer in (None, threading.current_thread()):
                due = next(iter(self._held.values()))[0] + self.seconds - time.monotonic()
                self._timer = threading.Timer(max(due, 0), self._forget_old)
                self._timer.daemon = True
                self._timer.start()
            elif not self._held:
                self._timer = None
