"""What a visitor mended of one result: the edits of each network's nuclei, repeated on them however they are cut."""

import threading
from collections.abc import Callable, Hashable

import numpy as np

from ..analysis.edits import Change, Edit
from ..analysis.history import History

Step = Callable[[History], tuple[History, Change | None]]


class Mends:
    """One history a network, on the labels of the cut that was asked for last.

    Attributes:
        version: Grows with every edit; what was computed from labels of another version is out of date.
        versions: The same of each network whose nuclei were mended.
    """

    def __init__(self) -> None:
        self.version, self.versions = 0, dict[str, int]()
        self._held: dict[str, tuple[Hashable, History]] = {}
        self._lock = threading.RLock()

    def history(self, network: str, cut: Hashable, base: Callable[[], np.ndarray]) -> History | None:
        """The history of a network's nuclei; `None` where nothing was mended or undone.

        Args:
            cut: What the labels depend on.
            base: Gives them, as they are without edits.
        """
        with self._lock:
            if network not in self._held:
                return None
            known, history = self._held[network]
            if known != cut:
                history = History.begin(base(), history.edits, history.undone)
                self._held[network] = cut, history
            return history

    def step(
        self, network: str, cut: Hashable, base: Callable[[], np.ndarray], step: Step
    ) -> tuple[History, Change | None]:
        """One more edit, or one less: the history afterwards, and what changed.

        Args:
            cut, base: As for `history`.
            step: From a history to the next; may raise, and then nothing is changed.
        """
        with self._lock:
            history = self.history(network, cut, base) or History.begin(base())
            history, change = step(history)
            self._keep(network, cut, history)
            return history, change

    def repeat(
        self,
        network: str,
        cut: Hashable,
        base: Callable[[], np.ndarray],
        edits: list[Edit],
        undone: list[Edit],
        first: bool,
    ) -> History:
        """Edits that the browser kept, after those there are.

        Args:
            cut, base: As for `history`.
            first: Whether those there are go.
        """
        with self._lock:
            before = None if first else self.history(network, cut, base)
            history = History.begin(base(), [*(before.edits if before else ()), *edits], undone)
            self._keep(network, cut, history)
            return history

    def _keep(self, network: str, cut: Hashable, history: History) -> None:
        self.version += 1
        self.versions[network] = self.version
        if history.done or history.undone:
            self._held[network] = cut, history
        else:
            self._held.pop(network, None)
