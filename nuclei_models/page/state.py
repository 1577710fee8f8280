"""What the page remembers of an image: what both networks said of it, and what follows from that.

Each is one frozen object that carries all it was made of, so that nothing of another image or of other settings can
come into what is shown, measured and saved. Everything that needs the network is in `Analysis.maps`; all the rest is
computed from them on demand and the last answer is kept, so that a control that doesn't concern it costs nothing.
"""

from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from ..analysis.agreement import Agreement, compare
from ..analysis.consensus import agreed, sureness
from ..analysis.edits import Change, Edit
from ..analysis.history import History
from ..analysis.measurements import measure
from ..inference.bundled import TITLES
from ..inference.segmentation import median_diameter
from ..inference.settings import Cut, RunSettings
from ..model.confidence import measured
from ..model.image_processing_nuclei import NucleiImageProcessor
from ..model.instances import drop_small
from ..model.maps import Maps
from ..model.members import Members
from ..model.sums import shape_sums
from ..model.watershed import Ascent
from .mends import Mends, Step
from .opened import Picture

UNKNOWN_DIAMETER = 26.0  # pixels, the middle of what the networks know

T = TypeVar("T")
Table = dict[str, np.ndarray]


@dataclass(frozen=True)
class Analysis:
    """An image and what the networks said of it.

    Attributes:
        maps: By network.
        processors: By network; they cut the maps.
        settings: What the networks were run with.
        seconds: How long each took.
        diameters: The nuclear diameter that each run assumed, pixels, where it is known.
        pixel_size: (y, x) in micrometres, what nuclei are measured with; see `measured`.
        run_pixel_size: The same as the networks had it, as evidence for the diameter.
        titles: What the networks are called, by network.
        surer_channel: In which the first network is surer of the nuclei than in the one that is shown first, from 0.
        mends: What the visitor mended.
    """

    picture: Picture
    maps: Mapping[str, Maps]
    processors: Mapping[str, NucleiImageProcessor]
    settings: RunSettings = field(default_factory=RunSettings)
    seconds: Mapping[str, float] = field(default_factory=dict)
    diameters: Mapping[str, float | None] = field(default_factory=dict)
    pixel_size: tuple[float, float] | None = None
    run_pixel_size: tuple[float, float] | None = None
    titles: Mapping[str, str] = field(default_factory=lambda: TITLES)
    surer_channel: int | None = None
    mends: Mends = field(default_factory=Mends, repr=False, compare=False)
    _last: dict[str, tuple[Any, Any]] = field(default_factory=dict, repr=False, compare=False)

    def measured(self, pixel_size: tuple[float, float] | None) -> "Analysis":
        """The same, measured with another pixel size."""
        return self if pixel_size == self.pixel_size else replace(self, pixel_size=pixel_size)

    @property
    def nbytes(self) -> int:
        """Of what is held, the labels and what is shown included (about as much as one map each)."""
        maps = [m for held in self.maps.values() for m in (held.probability, held.distance) if m is not None]
        return self.picture.nbytes + 2 * sum(m.nbytes for m in maps)

    def remember(self, name: str, key: Hashable, make: Callable[[], T]) -> T:
        """`make()`, or what it gave last time if the key is still the same."""
        held = self._last.get(name)
        if held is None or held[0] != key:
            held = self._last[name] = (key, make())
        return held[1]  # not what is held by now: another handler of this visitor may be at work

    def cut_values(self, network: str, cut: Cut) -> tuple[float, float, float]:
        """Threshold, separation and minimum area as they are applied."""
        processor, maps = self.processors[network], self.maps[network]
        return processor.cut_values(maps.pixel_area, **cut.for_processor())

    def cut_key(self, network: str, cut: Cut) -> tuple[float, float, float, float]:
        """The same and the least confidence: all that the labels depend on, but for mends."""
        return *self.cut_values(network, cut), self.least_confidence(network, cut)

    def labels(self, network: str, cut: Cut) -> np.ndarray:
        """(H, W) int32: what `segment` gives with the same settings, with what the visitor mended."""
        history = self.history(network, cut)
        return self.base(network, cut) if history is None else history.labels

    def base(self, network: str, cut: Cut) -> np.ndarray:
        """(H, W) int32, what `segment` gives with the same settings."""
        return self._cut(network, cut)[0]

    def left_out(self, network: str, cut: Cut) -> int:
        """How many nuclei are left out because their confidence is too low."""
        return self._cut(network, cut)[1]

    def least_confidence(self, network: str, cut: Cut) -> float:
        """Below which nuclei are left out, as it is applied."""
        return self.processors[network].least_applied(cut.least_confidence)

    def _cut(self, network: str, cut: Cut) -> tuple[np.ndarray, int]:
        """`base` and `left_out`."""
        processor, maps = self.processors[network], self.maps[network]
        *values, least = self.cut_key(network, cut)
        threshold, separation, min_area = values

        distance = maps.distance
        ascent = None if distance is None else self.remember(f"ascent {network}", 0, lambda: Ascent(distance))

        def cut_with(area: float) -> np.ndarray:
            return processor.cut(maps, threshold, separation, area, ascent)

        def make() -> tuple[np.ndarray, int]:
            before, _ = self._last.get(f"labels {network}", ((), None))
            if before[:2] != (threshold, separation):
                found = cut_with(min_area)
            else:  # the minimum area alone has changed: dropping the small gives the same, and spares the watershed
                found = self.remember(f"all {network}", (threshold, separation), lambda: cut_with(0))
                found = drop_small(found, min_area)
            sure = None  # not all confidences are needed at first, see `sureness.py`
            if least and before[:3] == tuple(values):  # the least confidence alone has changed, and may again
                sure = self.remember(f"sure {network}", tuple(values), lambda: processor.confidence(maps, found))
            kept = processor.sure_enough(maps, found, least, sure)
            return kept, int(found.max(initial=0)) - int(kept.max(initial=0))

        return self.remember(f"labels {network}", (*values, least), make)

    # what the visitor mended

    def history(self, network: str, cut: Cut) -> History | None:
        """The edits of a network's nuclei; `None` where there are none."""
        return self.mends.history(network, self.cut_key(network, cut), lambda: self.base(network, cut))

    def step(self, network: str, cut: Cut, step: Step) -> tuple[History, Change | None]:
        """One more edit, or one less, see `Mends.step`."""
        return self.mends.step(network, self.cut_key(network, cut), lambda: self.base(network, cut), step)

    def repeat(self, network: str, cut: Cut, done: list[Edit], undone: list[Edit], first: bool) -> History:
        """Edits that were kept elsewhere, see `Mends.repeat`."""
        values = self.cut_key(network, cut)
        return self.mends.repeat(network, values, lambda: self.base(network, cut), done, undone, first)

    def mended(self, network: str, cut: Cut) -> frozenset[int]:
        """Numbers of the nuclei that the visitor added or changed."""
        history = self.history(network, cut)
        return frozenset() if history is None else history.mended

    def state_of(self, cut: Cut) -> tuple:
        """What the labels of both networks depend on."""
        return tuple(self.state(one, cut) for one in self.maps)

    def state(self, network: str, cut: Cut) -> tuple:
        """What the labels of one network depend on."""
        return self.mends.versions.get(network, 0), self.cut_key(network, cut)

    # sizes

    def found_diameter(self, network: str, cut: Cut) -> float | None:
        """The median diameter of the nuclei, pixels; `None` without any."""
        key, labels = self.state(network, cut), self.labels(network, cut)
        return self.remember(f"diameter {network}", key, lambda: median_diameter(labels))

    def typical_diameter(self, network: str, cut: Cut) -> float:
        """What is to be expected of a nucleus here, pixels."""
        return self.found_diameter(network, cut) or self.diameters.get(network) or UNKNOWN_DIAMETER

    def count(self, network: str, cut: Cut) -> int:
        """How many nuclei."""
        return int(np.count_nonzero(np.bincount(self.labels(network, cut).ravel())[1:]))

    # what both networks agree on

    def agreed(self, cut: Cut) -> np.ndarray:
        """(H, W) int32: the nuclei that both have, each as the network has it that is surer; see `consensus.agreed`.

        A nucleus that the visitor mended is surer than any other.
        """
        key, (a, b) = self.state_of(cut), self.maps
        first, second = self.labels(a, cut), self.labels(b, cut)
        return self.remember("agreed", key, lambda: agreed(first, second, self._sure(a, cut), self._sure(b, cut)))

    def _sure(self, network: str, cut: Cut) -> np.ndarray:
        """How sure of every nucleus, by its number: (n + 1,)."""
        labels, table = self.labels(network, cut), self.table(network, cut)
        sure = sureness(labels, self.maps[network].probability)
        if "confidence" in table:
            sure[table["label"]] = table["confidence"]
        if mended := [n for n in self.mended(network, cut) if n < len(sure)]:
            sure[mended] += 1
        return sure

    def agreed_table(self, cut: Cut) -> Table:
        """Measurements of the nuclei that both have."""
        key = (self.state_of(cut), self.pixel_size)
        labels = self.agreed(cut)
        return self.remember("agreed table", key, lambda: measure(labels, self.picture.pixels, self.pixel_size))

    def each(self, work: Callable[[str], T]) -> list[T]:
        """`work` of every network's key, both at once."""
        with ThreadPoolExecutor(len(self.maps)) as pool:
            return list(pool.map(work, self.maps))

    def table(self, network: str, cut: Cut, solidity: bool = False) -> Table:
        """Measurements of every nucleus, see `measure`."""
        # before the labels: an edit may come in between
        key, own = ((state, self.pixel_size, solidity) for state in (self.state_of(cut), self.state(network, cut)))
        labels = self.labels(network, cut)

        def make() -> Table:
            found, number = without_gaps(labels)
            mine = self.remember(f"own {network} {solidity}", own, lambda: self._own(network, found, solidity))
            table, features = mine
            other = next((without_gaps(self.labels(one, cut))[0] for one in self.maps if one != network), None)
            sure = self.processors[network].confidence(self.maps[network], found, other, features)
            if sure is not None:
                table = table | {"confidence": sure}
            mended = self.mended(network, cut)
            if mended:
                table = table | {"mended": np.isin(number, list(mended)).astype(np.uint8)}
            return table | {"label": number}

        return self.remember(f"table {network} {solidity}", key, make)

    def _own(self, network: str, labels: np.ndarray, solidity: bool) -> tuple[Table, np.ndarray | None]:
        """What mending the other network's nuclei doesn't change: the table without confidence, and the features that
        it is computed from, where it is."""
        maps, members = self.maps[network], Members(labels)
        shape = shape_sums(labels, members=members)
        table = measure(labels, self.picture.pixels, self.pixel_size, solidity, shape=shape)
        if self.processors[network].confidence_model is None:
            return table, None
        return table, measured(labels, maps.probability, maps.distance, maps.pixel_area, shape, members)

    def agreement(self, cut: Cut) -> Agreement:
        """Which nuclei both networks found."""
        a, b = self.maps
        return self.remember("agreement", self.state_of(cut), lambda: compare(self.labels(a, cut), self.labels(b, cut)))


def without_gaps(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels numbered 1 .. n, and the number that each had, (n,). Only what was mended has gaps."""
    area = np.bincount(labels.ravel())
    number = np.flatnonzero(area[1:]) + 1
    if len(number) == len(area) - 1:
        return labels, number
    dense = np.zeros(len(area), np.int32)
    dense[number] = np.arange(1, len(number) + 1)
    return dense[labels], number
