"""A run: measure the start, train within the time, measure again, choose."""

import json
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from ..inference.loading import load
from ..inference.network import Network
from ..inference.segmentation import nuclear_diameter
from ..jobs import durable
from ..model.image_processing_nuclei import NucleiImageProcessor
from ..model.modeling_nuclei import NucleiPreTrainedModel
from .candidates import FITTED, SCALED, START, TRAINED, Candidates
from .finetune import Run, finetune
from .measuring import Rates, affordable, measure, outcome, predict_all
from .recipe import Recipe
from .samples import Sample
from .settings import TRIED, fit_cut, fit_scale
from .split import Fold, Split

MEASURING, FITTING, SCALING = 0.1, 0.08, 0.03  # shares of the time that one pass over images may take
WRITING = 3.0  # seconds that card and report take
LEAST_TRAINING = 0.25  # share of the time, whatever else takes longer than was thought


@dataclass(frozen=True)
class Progress:
    """What a run is doing.

    Attributes:
        stage: "reading", "measuring the start", "training", "measuring" or "writing".
        left: Seconds until it ends, about.
        step, loss, curve: While it trains; the curve is (share of the time, score on held-out images).
    """

    stage: str
    left: float
    step: int = 0
    loss: float | None = None
    curve: tuple[tuple[float, float], ...] = ()


@dataclass
class Tuning:
    """One run, from images to candidates. Times are seconds."""

    network: Network
    source: str  # folder or id that it was loaded from
    samples: list[Sample]
    split: Split
    work: Path
    budget: float
    recipe: Recipe
    tell: Callable[[Progress], None]
    began: float
    candidates: Candidates = field(default_factory=Candidates)
    runs: list[Run] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    measured: list[Sample] = field(default_factory=list)
    rates: Rates = field(default_factory=lambda: Rates(0.0, 0.0))
    assumed: dict[str, float | None] = field(default_factory=dict)  # nuclear diameters that the start takes, by image
    interrupted: bool = False

    def go(self) -> tuple[str, NucleiPreTrainedModel | None, NucleiImageProcessor]:
        """Measure, train and choose: the candidate that is kept, its network (`None`: the start's) and processor."""
        start = self.network.processor
        if not self.split.folds:
            return START, None, start
        self.measure_start()
        made: tuple[NucleiPreTrainedModel | None, NucleiImageProcessor, NucleiImageProcessor] = (None, start, start)
        for number, fold in enumerate(self.split.folds, 1):
            made, measured = self.fold(number, fold)
            if self.interrupted:
                self.candidates = Candidates()  # what is kept is of this part, so its images alone say how good it is
            self.candidates.add(measured)
            if self.interrupted:
                break
        chosen = self.agreed(self.candidates.choose())
        if len(self.split.folds) > 1 and not self.interrupted and chosen in (TRAINED, FITTED):
            on_all = self.on_all()
            if on_all is None:  # interrupted: the last part's network was measured
                self.candidates = Candidates()
                self.candidates.add(measured)
                chosen = self.agreed(self.candidates.choose())
            else:
                made = on_all
        model, scaled, fitted = made
        if len(self.split.folds) > 1 and chosen == SCALED:
            scaled, _ = self.fit_scale(self.samples)
        processors = {START: start, SCALED: scaled, TRAINED: scaled, FITTED: fitted}
        return chosen, model if chosen in (TRAINED, FITTED) else None, processors[chosen]

    def measure_start(self) -> None:
        """What the start finds on the held-out images, of many as many as time allows."""
        self.tell(Progress("measuring the start", self.left))
        network, processor, folds = self.network.model, self.network.processor, self.split.folds
        for fold in folds:  # each has at least two
            held = [self.samples[i] for i in fold.held_out]
            seconds = MEASURING * self.budget / len(folds)
            chosen, self.rates = affordable(network, processor, held, seconds, seed=self.recipe.seed)
            ids = self.agreed([sample.id for sample in chosen])
            self.measured += [sample for sample in held if sample.id in ids]
        held_out = sum(len(fold.held_out) for fold in folds)
        if len(self.measured) < held_out:
            self.said.append(f"{len(self.measured)} of {held_out} held-out images were measured: what time allowed.")
        self.start = measure(network, processor, self.measured)

    def fold(self, number: int, fold: Fold):
        """Train without a part of the images, and measure on it: (network, processors), outcomes by candidate."""
        train = [self.samples[i] for i in fold.train]
        ids = {self.samples[i].id for i in fold.held_out}
        held = [sample for sample in self.measured if sample.id in ids]
        scaled, told = self.fit_scale(train)
        measured = {START: {sample.id: self.start[sample.id] for sample in held}}
        if scaled is not self.network.processor:
            measured[SCALED] = measure(self.network.model, scaled, held)
        model = self.train(f"fold-{number}", train, held, scaled, self.seconds_for(number))
        fitted = scaled
        if model is not None:
            self.tell(Progress("measuring", self.left))
            maps = predict_all(model, scaled, held)
            measured[TRAINED] = {s.id: outcome(s, scaled.instances(m)) for s, m in zip(held, maps, strict=True)}
            fitted, cut = self.fit(model, scaled, train)
            if fitted is not scaled:
                measured[FITTED] = {s.id: outcome(s, fitted.instances(m)) for s, m in zip(held, maps, strict=True)}
            if number == len(self.split.folds) or self.interrupted:
                self.said += [told, cut]
        return (model, scaled, fitted), measured

    def on_all(self) -> tuple[NucleiPreTrainedModel, NucleiImageProcessor, NucleiImageProcessor] | None:
        """After cross-validation: train on all images, as many steps as on the parts; `None` if that is interrupted."""
        scaled, told = self.fit_scale(self.samples)
        steps = sorted(run.steps for run in self.runs)[len(self.runs) // 2]
        model = self.train("all", self.samples, [], scaled, self.seconds_for(self.rounds), steps)
        if model is None or self.interrupted:
            return None
        fitted, cut = self.fit(model, scaled, self.samples)
        self.said[-2:] = [told, cut]
        return model, scaled, fitted

    def train(
        self,
        name: str,
        train: list[Sample],
        held: list[Sample],
        processor: NucleiImageProcessor,
        seconds: float,
        steps: int | None = None,
    ) -> NucleiPreTrainedModel | None:
        """A run, or what it left when it was done before: its network, if there is any, and what it came to."""
        folder = self.work / name
        plan = folder / "plan.json"
        if plan.is_file():
            known = json.loads(plan.read_text())
            seconds = known["seconds"]
            if known.get("run"):
                run = Run(**known["run"] | {"folder": folder / "best"})
                self.runs.append(run)
                return self.loaded(folder / "best")
        self.write(plan, {"seconds": seconds})

        def report(share: float, step: int, loss: float | None, curve: list) -> None:
            self.tell(Progress("training", self.left, step, loss, tuple(curve)))

        self.tell(Progress("training", self.left))
        model = deepcopy(self.network.model)
        recipe = self.recipe.for_network(model, processor)
        recipe = recipe if steps is None else replace(recipe, steps=steps)
        # of several parts each is trained to the end, as the network on all images will be
        validated = held if len(self.split.folds) == 1 else []
        run = finetune(model, processor, train, validated, folder, seconds, recipe, report)
        PartialState().wait_for_everyone()
        self.runs.append(run)
        if run.stopped == "you":
            self.interrupted = True
        else:
            self.write(plan, {"seconds": seconds, "run": asdict(run) | {"folder": None}})
        return None if run.folder is None else self.loaded(run.folder)

    def loaded(self, folder: Path) -> NucleiPreTrainedModel:
        """A network that was trained, where the start is."""
        model: Any = load(folder)[0]
        return model.to(self.network.model.device).eval()

    def fit_scale(self, train: list[Sample]) -> tuple[NucleiImageProcessor, str]:
        """The diameter that the start takes, on as many of the images that are trained on as time allows; see there."""
        spent = 0.0
        for sample in train:
            spent += self.rates.network * sample.labels.size
            if spent > SCALING * self.budget / self.rounds:
                break
            if sample.id not in self.assumed:
                found = nuclear_diameter(sample.image, self.network.model, self.network.processor, sample.pixel_size)
                self.assumed[sample.id] = found.pixels
        return fit_scale(self.network.processor, train, self.agreed(self.assumed))

    def fit(self, model: NucleiPreTrainedModel, processor: NucleiImageProcessor, train: list[Sample]):
        """Thresholds on as many of the images that are trained on as time allows: (processor, sentence)."""
        afforded, spent = [], 0.0
        for sample in train:
            spent += (self.rates.network + TRIED * self.rates.cut) * sample.labels.size
            if spent <= FITTING * self.budget / self.rounds:
                afforded.append(sample)
        return fit_cut(processor, afforded, predict_all(model, processor, afforded))

    def seconds_for(self, number: int) -> float:
        """Time of a training run: what is left, less what is to be done after it, shared among the runs to come."""
        runs = self.rounds - number + 1
        pixels = sum(s.labels.size for s in self.measured)
        after = 2 * self.rates.whole * pixels + FITTING * self.budget
        rest = self.left - after * runs / self.rounds - WRITING
        return max(rest, LEAST_TRAINING * self.budget * runs / self.rounds) / runs

    @property
    def rounds(self) -> int:
        """How often it is trained: once; or without each part in its turn, and then on all images."""
        return 1 if len(self.split.folds) == 1 else len(self.split.folds) + 1

    @property
    def left(self) -> float:
        return max(self.budget - (time.monotonic() - self.began), 0.0)

    def agreed(self, value: Any) -> Any:
        """The first process's value, in all of them."""
        return broadcast_object_list([value])[0] if PartialState().num_processes > 1 else value

    def write(self, path: Path, content: dict) -> None:
        if PartialState().is_main_process:
            durable.write_all({path: json.dumps(content).encode()})
        PartialState().wait_for_everyone()
