"""What may become the result, measured on held-out images, and which of it does: never worse there than the start."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..analysis.comparison import Figures
from .measuring import Outcome, mean

START, SCALED = "start", "start, scale fitted"
TRAINED, FITTED = "trained", "trained, thresholds fitted"
ORDER = (START, SCALED, TRAINED, FITTED)
_SAME_AS = {SCALED: START, FITTED: TRAINED}  # where nothing was fitted, the second is the first
BETTER = 0.002  # of the score, below which a difference is noise and the earlier in `ORDER` stays


@dataclass
class Candidates:
    """Outcomes by candidate and image; of several folds all images of all of them."""

    outcomes: dict[str, dict[str, Outcome]] = field(default_factory=dict)

    def add(self, measured: Mapping[str, Mapping[str, Outcome]]) -> None:
        """The candidates of a fold, on its held-out images."""
        for name in ORDER:
            source = name if name in measured else _SAME_AS.get(name, name)
            if source in measured:
                self.outcomes.setdefault(name, {}).update(measured[source])

    def figures(self) -> dict[str, Figures]:
        """Means over the images; candidates that are the same as an earlier one are left out."""
        means: dict[str, Figures] = {}
        for name, outcomes in self.outcomes.items():
            same = self.outcomes.get(_SAME_AS.get(name, ""), {})
            if not same or any(same[i] is not one for i, one in outcomes.items()):
                means[name] = mean(list(outcomes.values()))
        return means

    def choose(self) -> str:
        """The candidate with the highest score, or an earlier one that is as good."""
        chosen, best = START, -1.0
        for name, figures in self.figures().items():
            if figures["score"] > best + BETTER:
                chosen, best = name, figures["score"]
        return chosen

    def trained(self) -> str | None:
        """The better of the candidates that were trained, if there are any."""
        figures = {name: f["score"] for name, f in self.figures().items() if name in (TRAINED, FITTED)}
        return max(figures, key=lambda name: figures[name]) if figures else None
