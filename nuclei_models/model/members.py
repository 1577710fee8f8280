"""Label image -> which pixels belong to which nucleus: one by one, or as stretches of a row."""

from functools import cached_property

import numpy as np

from .windows import Window


class Grouped:
    """Things that each belong to a nucleus.

    Args:
        label: (n,), the nuclei.
        of: (k,), the position of each thing's nucleus in `label`.

    Attributes:
        runs: Where in `of` a run of things of one nucleus begins.
    """

    def __init__(self, label: np.ndarray, of: np.ndarray):
        self.label, self.of = label, of

    @cached_property
    def runs(self) -> np.ndarray:
        return np.flatnonzero(np.diff(self.of, prepend=-1))

    def add(self, values: np.ndarray) -> np.ndarray:
        """Sum of a value a thing, (k,), over each nucleus: (n,)."""
        return np.bincount(self.of, values, len(self.label))

    def least(self, values: np.ndarray) -> np.ndarray:
        """Least of a value a thing, (k,), of each nucleus: (n,)."""
        found = np.full(len(self.label), np.inf)
        if len(self.runs):
            np.minimum.at(found, self.of[self.runs], np.minimum.reduceat(values, self.runs))
        return found

    def greatest(self, values: np.ndarray) -> np.ndarray:
        return -self.least(-values)


class Stretches(Grouped):
    """Pixels of one nucleus beside each other in a row.

    Attributes:
        row, first, end: (k,), where each of them lies: its row, its first column and the one after its last.
    """

    def __init__(self, label: np.ndarray, of: np.ndarray, row: np.ndarray, first: np.ndarray, end: np.ndarray):
        super().__init__(label, of)
        self.row, self.first, self.end = row, first, end

    @cached_property
    def _by_nucleus(self) -> tuple[np.ndarray, np.ndarray]:
        """Their order by nuclei, and where in it each nucleus begins; each has some."""
        order = np.argsort(self.of.astype(np.min_scalar_type(len(self.label))), kind="stable")
        return order, np.searchsorted(self.of[order], np.arange(len(self.label)))

    def least(self, values: np.ndarray) -> np.ndarray:
        order, begin = self._by_nucleus
        return np.minimum.reduceat(values[order], begin).astype(float) if len(order) else np.zeros(0)


class Members(Grouped):
    """The pixels that belong to nuclei, in a window of a label image.

    Args:
        labels: (H, W), integers; 0 is background.
        window: The pixels that count; the default is all.

    Attributes:
        at: (p,), the pixels' positions in `labels.ravel()`.
    """

    def __init__(self, labels: np.ndarray, window: Window | None = None):
        self.labels, self.window = labels, window
        self.at = _positions(labels != 0, window)
        super().__init__(*numbered(labels.ravel()[self.at]))

    @cached_property
    def runs(self) -> np.ndarray:
        """Where rows or nuclei begin among the pixels."""
        width, is_first = self.labels.shape[1], np.ones(len(self.at), bool)
        is_first[1:] = (self.at[1:] != self.at[:-1] + 1) | (self.of[1:] != self.of[:-1])
        rows = np.searchsorted(self.at, np.arange(self.labels.shape[0]) * width)
        is_first[rows[rows < len(self.at)]] = True
        return np.flatnonzero(is_first)

    @cached_property
    def rims(self) -> tuple[np.ndarray, np.ndarray]:
        """Which pixels of the label image differ from one beside them, as those at its edge do, and which of these
        touch another nucleus. (H, W) bool each."""
        labels, there = self.labels, self.labels != 0
        rim, touching = np.zeros((2, *labels.shape), bool)
        rim[[0, -1]] = rim[:, [0, -1]] = True  # outside there is no nucleus
        for first, second in (
            ((slice(-1), slice(None)), (slice(1, None), slice(None))),
            ((slice(None), slice(-1)), (slice(None), slice(1, None))),
        ):
            differ = labels[first] != labels[second]
            touch = differ & there[first] & there[second]
            for side in (first, second):
                rim[side] |= differ
                touching[side] |= touch
        return rim, touching

    def some(self, pixels: np.ndarray) -> tuple["Grouped", np.ndarray]:
        """Those that are among pixels of the label image, (H, W) bool, and their positions."""
        picked = np.flatnonzero(pixels.ravel()[self.at])
        return Grouped(self.label, self.of[picked]), self.at[picked]

    def stretches(self) -> Stretches:
        """These pixels, in rows."""
        begin = self.runs
        row, first = np.divmod(self.at[begin], self.labels.shape[1])
        return Stretches(self.label, self.of[begin], row, first, first + np.diff(begin, append=len(self.at)))


def _positions(pixels: np.ndarray, window: Window | None) -> np.ndarray:
    """Where these are, (H, W) bool, in a window of them: flat positions, in raster order."""
    if window is None:
        return np.flatnonzero(pixels)
    y, x = np.nonzero(pixels[window])
    return (y + window[0].start) * pixels.shape[1] + x + window[1].start


def numbered(number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of pixels, (p,) -> the different ones, increasing, and the position of each pixel's among them."""
    lowest = int(number.min()) if len(number) else 0
    of = number.astype(np.intp) - lowest
    there = np.bincount(of) > 0
    return np.flatnonzero(there) + lowest, of if there.all() else (np.cumsum(there) - 1)[of]
