"""`nuclei segment`: plan, run, and tell."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from nuclei_models.analysis.filters import Filters
from nuclei_models.batch.inputs import Inputs, find_inputs, name_results
from nuclei_models.batch.job import Done, Job, is_done, remove_work, run, segment_large_job, side_by_side, strangers
from nuclei_models.batch.overview import overview
from nuclei_models.batch.records import (
    FAILURES,
    FOLDER,
    OVERVIEWS,
    REGIONS,
    SUMMARY,
    changed_by_hand,
    clean,
    read_records,
)
from nuclei_models.images.reader import ImageError, inspect
from nuclei_models.images.regions import region_files
from nuclei_models.inference.bundled import DEFAULT
from nuclei_models.inference.stains import stain_note
from nuclei_models.jobs import durable
from nuclei_models.jobs.mapper import Mapper, one_by_one
from nuclei_models.jobs.settings import Settings, network_of, settings_for
from nuclei_models.model.repository import HubError
from nuclei_models.output.files import KINDS

from . import console
from .console import Bar, Usage, complain, explain, say

OTHERWISE = 5  # lines on results of other settings
TAKEN = ("is used.", "is used, for its name.", "which is used.")  # how the reader's notes on its own choices end


@dataclass
class Plan:
    """What is to be done.

    Attributes:
        pixels: Of a plane, by job; the jobs in order.
        skipped: Images that an earlier run has done.
        kept: How many of these have results that a person has changed since.
        otherwise: For each image with results of other settings, how they differ.
        failures: (image, what is wrong with it).
    """

    pixels: dict[Job, int] = field(default_factory=dict)
    skipped: int = 0
    kept: int = 0
    otherwise: list[tuple[str, ...]] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)

    def jobs(self, large: bool) -> list[Job]:
        """Those that are too large to be held whole, or the others."""
        return [job for job, pixels in self.pixels.items() if job.is_large(pixels) == large]


def segment_images(
    given: Sequence[str],
    out: Path,
    recursive: bool,
    model: str | None,
    options: dict[str, Any],
    kept: dict[str, Any],
    scheduler: str | None,
    overwrite: bool,
    quiet: bool,
) -> int:
    """Do what the command says. -> exit code.

    Args:
        options: Of `settings_for`.
        kept: Of `Filters`.
    """
    out = out.expanduser().absolute()
    try:
        inputs = checked_inputs(given, out, recursive, options["save"], options["regions"])
        settings = checked_settings(model, options, kept)
        check_folder(out, overwrite)
        with durable.locked(out, out / FOLDER / "lock"):
            clean(out)
            return Run(inputs, out, settings, overwrite, quiet).go(scheduler)
    except (Usage, HubError) as error:
        complain(f"Error: {error}")
        return console.WRONG_USAGE
    except durable.RunStopped as error:
        complain(f"Stopped: {error}")
        return console.STOPPED
    except KeyboardInterrupt:
        complain("Stopped by you. What is done stays; the same command goes on from here.")
        return console.INTERRUPTED


def checked_inputs(
    given: Sequence[str], out: Path, recursive: bool, save: tuple[str, ...], regions: str | None
) -> Inputs:
    unknown = [kind for kind in save if kind not in KINDS]
    if unknown or not save:
        raise Usage(f"--save {','.join(unknown)}: expected some of {', '.join(KINDS)}, with commas between.")
    inputs = find_inputs(given, out, recursive)
    if regions is not None:
        held = {file for path in inputs.files for file in region_files(Path(regions), path)}
        if beside := held & set(inputs.files):
            inputs.left_out["file(s) of regions"] += len(beside)
        inputs.files = [path for path in inputs.files if path not in held]
    if not inputs.files:
        gone = f" There is no {', '.join(inputs.missing)}." if inputs.missing else ""
        raise Usage(f"No images found.{gone}{_left_out(inputs)}")
    return inputs


def checked_settings(model: str | None, options: dict[str, Any], kept: dict[str, Any]) -> Settings:
    try:
        return settings_for(model or DEFAULT, **options, filters=Filters(**kept))
    except ValueError as error:
        raise Usage(str(error)) from error


def check_folder(out: Path, overwrite: bool) -> None:
    """Refuse a folder that has files of its own where the run's go."""
    own = [name for name in OVERVIEWS if (out / name).exists() and not (out / FOLDER).exists()]
    if own and not overwrite:
        raise Usage(f"{out} holds another {own[0]}, which would be replaced: give another --out, or --overwrite.")


class Run:
    """One run into a folder of results, which is locked."""

    def __init__(self, inputs: Inputs, out: Path, settings: Settings, overwrite: bool, quiet: bool):
        self.inputs, self.out, self.settings = inputs, out, settings
        self.overwrite, self.quiet = overwrite, quiet
        self.records = read_records(out)
        self.network = network_of(settings)  # as the run begins; its files may be changed meanwhile
        self.plan = Plan(
            failures=[(text, "There is no such file. Check its name and folder.") for text in inputs.missing]
        )
        self.nuclei = 0

    def go(self, scheduler: str | None) -> int:
        """Plan and work. -> exit code."""
        self.tell_model()
        with nullcontext() if self.quiet else console.err.status("Looking at the images"):
            self.make_plan()
        self.tell_plan()
        with ExitStack() as stack:
            mapper = mapper_for(scheduler, stack) if self.plan.pixels else one_by_one
            stack.enter_context(self.overviews())
            if self.plan.pixels:
                self.work(mapper)
            elif not self.quiet:
                say("Nothing is left to be done.")
        self.tell_notes()
        self.tell_failures()
        return console.SOME_FAILED if self.plan.failures else console.OK

    def make_plan(self) -> None:
        """Sort out what is done, what can't be, and what is to be done."""
        plan, foreign = self.plan, []
        for source, name in name_results(self.inputs, self.records, self.settings).items():
            job = Job(source, name, self.out, self.settings, self.overwrite)
            record = self.records.get(name)
            differs = record.made_otherwise(self.out, self.settings.identity.to_dict()) if record else ()
            if differs and not self.overwrite:
                plan.otherwise.append(differs)
                continue
            try:
                changed = record.changed(self.out) if record and not self.overwrite else []
                if not self.overwrite and is_done(job, record):
                    remove_work(job)
                    plan.skipped += 1
                    plan.kept += bool(changed)
                    continue
                if changed:
                    raise ImageError(changed_by_hand(changed))
                info = inspect(source, self.settings.series)
            except ImageError as error:
                self.failed(source, error)
                continue
            plan.otherwise += [differs] if differs else []
            plan.pixels[job] = pixels = info.width * info.height
            foreign += strangers(job, record, pixels)
        if plan.otherwise and not self.overwrite:
            raise Usage(
                f"{made_otherwise(plan.otherwise)} in {self.out} would be replaced:\n"
                f"{told_differences(plan.otherwise)}\n"
                f"Give another --out to keep these results, or --overwrite to replace them. Nothing was changed."
            )
        if foreign and not self.overwrite:
            raise Usage(
                f"{len(foreign)} file(s) in {self.out} would be replaced that this command didn't make, the first is "
                f"{foreign[0].name}: give another --out, or --overwrite."
            )

    def work(self, mapper: Mapper) -> None:
        pixels = self.plan.pixels
        with Bar(len(pixels), sum(pixels.values()), self.quiet) as bar:
            try:
                whole = self.plan.jobs(large=False)
                small = [job for job in whole if job.is_small(pixels[job])]
                others = [job for job in whole if not job.is_small(pixels[job])]
                beside = side_by_side(self.network) if mapper is one_by_one and len(small) > 1 else mapper
                for jobs, how in ((small, beside), (others, mapper)):
                    for job, outcome in run(jobs, mapper=how):
                        self.finished(job, outcome)
                        bar.advance(pixels[job])
                for job in self.plan.jobs(large=True):
                    progress = bar.inside(job.source.name, pixels[job])
                    [(_, outcome)] = run([job], partial(segment_large_job, mapper=mapper, progress=progress))
                    self.finished(job, outcome)
                    bar.advance(pixels[job])
            finally:
                if not self.quiet:
                    took = f"{console.span(bar.seconds)} ({bar.rates()})"
                    say(f"{bar.done:,} of {console.count(bar.images, 'image')} in {took}, {self.nuclei:,} nuclei.")

    def finished(self, job: Job, outcome: Done | Exception) -> None:
        if isinstance(outcome, Done):
            self.nuclei += outcome.nuclei
        else:
            self.failed(job.source, outcome)

    def failed(self, source: Path, error: Exception) -> None:
        name, why = source.relative_to(self.inputs.root).as_posix(), explain(error, source)
        self.plan.failures.append((name, why))
        complain(f"failed: {name}: {why}")

    @contextmanager
    def overviews(self) -> Iterator[None]:
        """README.txt and its like, before the work and after it, however it ends."""
        self.write_overviews()
        try:
            yield
        finally:
            self.records = read_records(self.out)
            self.write_overviews()

    def write_overviews(self) -> None:
        failures, records = self.plan.failures, self.records.values()
        files = overview(self.settings, self.network, records, console.command(), failures, self.out)
        if not failures:
            durable.remove(self.out / FAILURES)
        if REGIONS not in files:
            durable.remove(self.out / REGIONS)
        durable.write_all({self.out / name: data for name, data in files.items()})

    def tell_model(self) -> None:
        if not self.quiet:
            network = self.network
            revision = f" at {network.revision[:12]}" if network.revision else ""
            say(f"{network.title} from {network.source}{revision}, weights {network.sha256[:12]}, on {network.device}.")

    def tell_plan(self) -> None:
        if not self.quiet:
            skipped = self.plan.skipped
            done = f", {skipped:,} done before and skipped" if skipped else ""
            if self.plan.kept:
                done += f", of which {self.plan.kept:,} with results changed by hand, which are kept"
            say(f"{console.count(len(self.inputs.files), 'image')}{done}.{_left_out(self.inputs)}")
            if otherwise := self.plan.otherwise:
                say(f"{made_otherwise(otherwise)} are replaced:\n{told_differences(otherwise)}")
        large = self.plan.jobs(large=True)
        if large and not self.quiet:
            say(f"{len(large):,} of them are larger than memory may hold: segmented part by part.")

    def tell_notes(self) -> None:
        """What was taken of the images, and what is doubtful about them: each sentence once."""
        done = [self.records[job.name] for job in self.plan.pixels if job.name in self.records]
        notes = Counter(note for record in done for note in record.facts.get("notes", ()))
        if self.quiet or not notes:
            return
        for note, n in notes.most_common(console.SHOWN):
            say(f"{console.count(n, 'image')}: {note}")
        if len(notes) > console.SHOWN:
            say(f"{len(notes) - console.SHOWN:,} more notes are in {SUMMARY}.")
        if any(note.endswith(TAKEN) for note in notes):
            say("--series, --z, --t and --channel take another one, from 0; nuclei info FILE tells what there is.")
        elif any(stain_note(stain) in notes for stain in range(3)):
            say("--channel takes one colour: 0 is red, 1 green, 2 blue.")

    def tell_failures(self) -> None:
        failures = self.plan.failures
        if failures and not self.quiet:
            say(f"\n{len(failures):,} failed:")
            console.table(("image", "what is wrong"), failures[: console.SHOWN], wide=2)
            more = f", {len(failures) - console.SHOWN:,} more of them" if len(failures) > console.SHOWN else ""
            say(f"All of this is in {FAILURES}{more}.")
        if not self.quiet:
            say(f"Results are in {self.out}.")


def mapper_for(scheduler: str | None, stack: ExitStack) -> Mapper:
    """The mapper that `--scheduler` asks for; the stack closes it."""
    if scheduler is None:
        return one_by_one
    try:
        from nuclei_models.jobs.cluster import dask_mapper
    except ImportError as error:
        raise Usage(f'--scheduler needs Dask ({error}): pip install "nuclei-models[cluster]".') from error
    try:
        return stack.enter_context(dask_mapper(scheduler))
    except (ValueError, OSError) as error:  # no such address, or nobody answers there
        raise Usage(f"--scheduler {scheduler}: {error}") from error


def made_otherwise(differences: Sequence[tuple[str, ...]]) -> str:
    """Whose results were made otherwise, see `Plan.otherwise`."""
    return f"Results of {console.count(len(differences), 'image')} that were made with other settings"


def told_differences(differences: Sequence[tuple[str, ...]]) -> str:
    """A line for each way in which results were made otherwise, the most frequent first."""
    found = Counter(differences).most_common()
    lines = [f"  {console.count(n, 'image')}: {'; '.join(differs)}" for differs, n in found[:OTHERWISE]]
    return "\n".join([*lines, "  and others"] if len(found) > OTHERWISE else lines)


def _left_out(inputs: Inputs) -> str:
    return f" Left out: {', '.join(f'{n} {what}' for what, n in inputs.left_out.items())}." if inputs.left_out else ""
