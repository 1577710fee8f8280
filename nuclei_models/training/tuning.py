"""A run: measure the start, train within the time, measure again, choose."""

import json
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..inference.loading import load
from ..inference.network import FullNetwork
from ..inference.segmentation import nuclear_diameter
from ..jobs import durable
from ..model.image_processing_nuclei import NucleiImageProcessor
from ..model.modeling_nuclei import NucleiPreTrainedModel
from . import processes
from .calibration import Judged, fit_confidence, fit_looks, judge
from .candidates import FITTED, SCALED, START, TRAINED, Candidates
from .finetune import Run, finetune
from .measuring import Outcome, Rates, affordable, cut_all, measure, predict_all, timed
from .recipe import Recipe
from .samples import Sample
from .settings import TRIED, fit_cut, fit_scale
from .split import Fold, Split

MEASURING, FITTING, SCALING, LOOKING = 0.1, 0.08, 0.03, 0.04  # shares of the time that one pass over images may take
WRITING = 3.0  # seconds that card and report take
LEAST_TRAINING = 0.25  # share of the time, whatever else takes longer than was thought
LATE = 1.2  # times the time, from which on it is said


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
class Made:
    """What was made of the start.

    Attributes:
        model: `None`: there are no other weights.
        scaled, fitted: The processor with the diameter of the images, and with all else that was fitted.
        run, images: How the weights were trained, and on how many images.
        about_scaled, about_fitted: What is said of the processors.
    """

    model: NucleiPreTrainedModel | None
    scaled: NucleiImageProcessor
    fitted: NucleiImageProcessor
    run: Run | None = None
    images: int = 0
    about_scaled: str = ""
    about_fitted: list[str] = field(default_factory=list)

    def about(self, chosen: str) -> list[str]:
        """What is said of the settings of a candidate."""
        if chosen == START:
            return []
        if chosen == TRAINED and self.fitted is not self.scaled:
            return [
                self.about_scaled,
                "What else was fitted is not kept: it did no better on held-out images.",
            ]
        return [self.about_scaled, *(self.about_fitted if chosen in (TRAINED, FITTED) else [])]


@dataclass
class Tuning:
    """One run, from images to candidates. Times are seconds."""

    network: FullNetwork
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
    made: Made = field(init=False)
    said: list[str] = field(default_factory=list)
    measured: list[Sample] = field(default_factory=list)
    start: dict[str, Outcome] = field(default_factory=dict)
    judged: list[Judged] = field(default_factory=list)
    rates: Rates = field(default_factory=lambda: Rates(0.0, 0.0))
    assumed: dict[str, float | None] = field(default_factory=dict)  # nuclear diameters that the start takes, by image
    interrupted: bool = False

    def go(self) -> tuple[str, NucleiPreTrainedModel | None, NucleiImageProcessor]:
        """Measure, train and choose: the candidate that is kept, its network (`None`: the start's) and processor."""
        start = self.network.processor
        self.made = Made(None, start, start)
        if not self.split.folds:
            return START, None, start
        self.measure_start()
        for number, fold in enumerate(self.split.folds, 1):
            self.made, measured, judged = self.fold(number, fold)
            if self.interrupted:  # what is kept is of this part, so its images alone say how good it is
                self.candidates, self.judged = Candidates(), []
            self.candidates.add(measured)
            self.judged.append(judged)
            if self.interrupted:
                break
        chosen = processes.agreed(self.candidates.choose())
        if len(self.split.folds) > 1 and not self.interrupted and chosen in (TRAINED, FITTED) and not self.on_all():
            self.candidates, self.judged = Candidates(), [judged]  # the last part's network was measured
            self.candidates.add(measured)
            chosen = processes.agreed(self.candidates.choose())
        made = self.made
        if len(self.split.folds) > 1 and chosen == SCALED:
            made.scaled, made.about_scaled = self.fit_scale(self.samples)
        processors = {START: start, SCALED: made.scaled, TRAINED: made.scaled, FITTED: made.fitted}
        processor = processors[chosen]
        is_trained = chosen in (TRAINED, FITTED)
        self.said += made.about(chosen)
        if is_trained:
            processor, told = fit_confidence(processor, self.judged)
            self.said.append(told)
        if self.taken > LATE * self.budget:
            self.said.append("The time was too short: to measure these images takes longer on this machine.")
        return chosen, made.model if is_trained else None, processor

    def measure_start(self) -> None:
        """What the start finds on the held-out images, of many as many as time allows."""
        self.tell(Progress("measuring the start", self.left))
        network, processor, folds = self.network.model, self.network.processor, self.split.folds
        held_out = [[self.samples[i] for i in fold.held_out] for fold in folds]
        smallest = min((sample for held in held_out for sample in held), key=lambda s: s.labels.size)
        first, self.rates = timed(network, processor, smallest)
        for held in held_out:  # each has at least two
            seconds = MEASURING * self.budget / len(folds)
            chosen = affordable(held, self.rates, seconds, seed=self.recipe.seed)
            ids = processes.agreed([sample.id for sample in chosen])
            self.measured += [sample for sample in held if sample.id in ids]
        n = sum(map(len, held_out))
        if len(self.measured) < n:
            self.said.append(f"{len(self.measured)} of {n} held-out images were measured: what time allowed.")
        self.start = first | measure(network, processor, [s for s in self.measured if s.id not in first])
        self.assumed = {i: one.assumed for i, one in self.start.items()}

    def fold(self, number: int, fold: Fold) -> tuple[Made, dict[str, dict[str, Outcome]], Judged]:
        """Train without a part of the images, and measure on it: what was made, outcomes by candidate, and the nuclei
        that say how sure one can be of others."""
        train = [self.samples[i] for i in fold.train]
        ids = {self.samples[i].id for i in fold.held_out}
        held = [sample for sample in self.measured if sample.id in ids]
        scaled, told = self.fit_scale(train)
        measured = {START: {sample.id: self.start[sample.id] for sample in held}}
        if scaled is not self.network.processor:
            measured[SCALED] = measure(self.network.model, scaled, held)
        model = self.train(f"fold-{number}", train, held, scaled, self.seconds_for(number))
        made = Made(model, scaled, scaled, self.runs[-1], len(train), told)
        if model is None:
            return made, measured, Judged.of([], [], [])
        self.tell(Progress("measuring", self.left))
        maps = predict_all(model, scaled, held)
        measured[TRAINED] = cut_all(scaled, held, maps)
        made.fitted, made.about_fitted = self.fit(model, scaled, train)
        if made.fitted.look_estimator is not scaled.look_estimator:
            maps = predict_all(model, made.fitted, held)
        if made.fitted is not scaled:
            measured[FITTED] = cut_all(made.fitted, held, maps)
        all_found = [made.fitted.cut(m) for m in maps]  # with those that would be dropped for their confidence
        return made, measured, judge(all_found, maps, held)

    def on_all(self) -> bool:
        """After cross-validation: train on all images, as many steps as on the parts. -> whether that was done."""
        scaled, told = self.fit_scale(self.samples)
        steps = sorted(run.steps for run in self.runs)[len(self.runs) // 2]
        model = self.train("all", self.samples, [], scaled, self.seconds_for(self.rounds), steps)
        if model is None or self.interrupted:
            return False
        fitted, about = self.fit(model, scaled, self.samples)
        self.made = Made(model, scaled, fitted, self.runs[-1], len(self.samples), told, about)
        return True

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
        processes.wait()
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
        return fit_scale(self.network.processor, train, processes.agreed(self.assumed))

    def fit(
        self, model: NucleiPreTrainedModel, processor: NucleiImageProcessor, train: list[Sample]
    ) -> tuple[NucleiImageProcessor, list[str]]:
        """Thresholds, and what looks through the network tell, on as many of the images that are trained on as time
        allows: the processor, a changed copy or itself, and sentences."""
        afforded, spent = [], 0.0
        for sample in train:
            spent += (self.rates.network + TRIED * self.rates.cut) * sample.labels.size
            if spent <= FITTING * self.budget / self.rounds:
                afforded.append(sample)
        fitted, cut = fit_cut(processor, afforded, predict_all(model, processor, afforded), of=len(train))
        fitted, looks = fit_looks(model, fitted, train, LOOKING * self.budget / self.rounds)
        return fitted, [cut, *looks]

    def seconds_for(self, number: int) -> float:
        """Time of a training run: what is left, less what is to be done after it, shared among the runs to come."""
        runs = self.rounds - number + 1
        pixels = sum(s.labels.size for s in self.measured)
        after = 2 * self.rates.whole * pixels + (FITTING + LOOKING) * self.budget
        rest = self.left - after * runs / self.rounds - WRITING
        return max(rest, LEAST_TRAINING * self.budget * runs / self.rounds) / runs

    @property
    def rounds(self) -> int:
        """How often it is trained: once; or without each part in its turn, and then on all images."""
        return 1 if len(self.split.folds) == 1 else len(self.split.folds) + 1

    @property
    def taken(self) -> float:
        return time.monotonic() - self.began

    @property
    def left(self) -> float:
        return max(self.budget - self.taken, 0.0)

    def write(self, path: Path, content: dict) -> None:
        if processes.is_first():
            durable.write_all({path: json.dumps(content).encode()})
        processes.wait()
