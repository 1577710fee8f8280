"""`nuclei train`: show how it goes, and tell what came of it."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as RichProgress

from nuclei_models.jobs import durable
from nuclei_models.model.repository import HubError

from . import console
from .console import complain, say

START = "unet-nuclei"  # the bundled network whose steps take the least time
BLOCKS = "▁▂▃▄▅▆▇█"
NEEDED = 'Training needs more packages ({error}): pip install "nuclei-models[train]", or ".[train]" in a clone.'


def train_model(
    folder: Path, out: Path, model: str | None, minutes: float, seed: int, options: dict[str, Any], quiet: bool
) -> int:
    """Do what the command says. -> exit code.

    Args:
        options: Of `nuclei_models.training.train`.
    """
    try:
        from nuclei_models.training import processes, train
        from nuclei_models.training.recipe import Recipe
    except ImportError as error:
        complain(f"Error: {NEEDED.format(error=error)}")
        return console.WRONG_USAGE
    quiet = quiet or not processes.is_first()
    try:
        recipe = replace(Recipe(), seed=seed)
        with Bar(60 * minutes, quiet) as bar:
            result = train(
                folder, out, model=model or START, minutes=minutes, recipe=recipe, progress=bar.show, **options
            )
    except (HubError, ValueError) as error:  # DataError is one
        complain(f"Error: {error}")
        return console.WRONG_USAGE
    except durable.RunStopped as error:
        complain(f"Stopped: {error}")
        return console.STOPPED
    except KeyboardInterrupt:
        complain("Stopped by you, before there was a result. The same command goes on from here.")
        return console.INTERRUPTED
    if not quiet:
        tell(result, out, bar.seconds)
    return console.OK if result.record["complete"] else console.INTERRUPTED


def tell(result: Any, out: Path, seconds: float) -> None:
    """Print what came of it."""
    from nuclei_models.training.card import COLUMNS, SAID

    for note in result.notes[: console.SHOWN]:
        say(f"Note: {note}")
    if len(result.notes) > console.SHOWN:
        say(f"{len(result.notes) - console.SHOWN} more notes are in {out / 'README.md'}.")
    if result.was_finished:
        say("This was done before; nothing is left to be done.")
    say(result.record["split"]["how"])
    if result.figures:
        rows = [
            (SAID[name], *(f"{row[key]:.3f}" for key in COLUMNS.values()), "kept" if name == result.kept else "")
            for name, row in result.figures.items()
        ]
        console.table(("", *COLUMNS, ""), rows)
    for sentence in result.record["settings"]["said"]:
        say(sentence)
    say(f"\n{result.why}")
    if not result.record["complete"]:
        say("Stopped by you. This is the best so far; the same command goes on from here.")
    say(f"The model is in {out} ({console.span(seconds)}): nuclei segment IMAGES --model {out} --out RESULTS")
    say(f"Pictures, before and after: {out / 'report.html'}")


class Bar:
    """What a run is doing and how long it will take: in a terminal a bar, elsewhere a line now and then."""

    def __init__(self, seconds: float, quiet: bool):
        self.total, self.quiet = seconds, quiet
        self.start = self.told = time.monotonic()
        self.stage = ""
        columns = (SpinnerColumn("line"), BarColumn(30), TextColumn("{task.description}", markup=False))
        shown = not quiet and console.err.is_terminal
        self.progress = RichProgress(*columns, console=console.err, transient=True, disable=not shown)
        self.task = self.progress.add_task("", total=seconds)

    def __enter__(self) -> "Bar":
        self.progress.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.progress.stop()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start

    def show(self, now: Any) -> None:
        """Take in a `nuclei_models.training.Progress`."""
        text = f"{now.stage}, {console.span(now.left)} left"
        if now.step:
            text += f", step {now.step:,}"
        if now.loss is not None:
            text += f", loss {now.loss:.3f}"
        if now.curve:
            text += f", held out {sparkline([score for _, score in now.curve])} {now.curve[-1][1]:.3f}"
        self.progress.update(self.task, completed=self.total - now.left, description=text)
        is_due = now.stage != self.stage or time.monotonic() - self.told > console.EVERY
        if is_due and not self.quiet and not console.err.is_terminal:
            self.told = time.monotonic()
            complain(text)
        self.stage = now.stage


def sparkline(values: list[float]) -> str:
    """A curve as a line of blocks, the last 16 values."""
    low, high = min(values), max(values)
    span = max(high - low, 1e-9)
    return "".join(BLOCKS[round((value - low) / span * (len(BLOCKS) - 1))] for value in values[-16:])
