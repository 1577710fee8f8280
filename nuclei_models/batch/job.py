"""Many images -> many files of results: one job an image, the same whether a loop runs it or a cluster.

    for job, outcome in run(jobs):
        ...  # a `Done`, or the exception that this image came to

A job can be pickled and its work is a function of this module, so a mapper may run it anywhere that sees the files. The
work writes its results into a folder that is this run's alone; the process that began the run, which has locked the
folder of results, gives them their names, and writes the image's record, which says that it is done.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from secrets import token_hex
from typing import Any

import torch

from ..images.reader import ImageError, display_name
from ..inference.network import Network
from ..inference.streaming import THREADS, work_alone
from ..jobs import durable
from ..jobs.identity import Identity
from ..jobs.mapper import Mapper, SideBySide, check, one_by_one
from ..jobs.regions import regions_digest
from ..jobs.settings import MAX, Settings, network_of
from ..jobs.stamps import hashed, stamp, work_folder
from .inputs import LARGE_FOLDER
from .making import LARGE_PIXELS, make
from .records import (
    Made,
    Record,
    known_names,
    publish,
    read_record,
    record_path,
    refuse_other_settings,
    stage,
    target,
)
from .stacks import endings as endings_of

SMALL_PIXELS = 2**20


@dataclass(frozen=True)
class Job:
    """An image to segment.

    Attributes:
        source: The image, an absolute path.
        name: Of its results in the folder `out`, without endings: "day 1/well A1".
        overwrite: Whether results of other settings are replaced, and files that a person has made or changed.
        stage: Where its results are written before they get their names; `run` sets it.
    """

    source: Path
    name: str
    out: Path
    settings: Settings
    overwrite: bool = False
    stage: Path | None = field(default=None, compare=False)

    def file(self, ending: str) -> str:
        """Name of one of its results; they lie beside each other in `target`."""
        return f"{Path(self.name).name}_{ending}"

    def files(self, pixels: int) -> list[str]:
        """Names of all, for an image of this many pixels."""
        named = endings_of(self.settings)
        endings = {kind: named[kind] for kind in self.settings.save}
        if "labels" in endings and self.is_large(pixels) and self.source.suffix == LARGE_FOLDER:
            endings["labels"] = "labels.zarr"
        return [self.file(ending) for ending in endings.values()]

    def is_small(self, pixels: int) -> bool:
        """Whether an image of this many pixels leaves cores idle, and needs so little memory that there can be several
        at once."""
        return pixels <= SMALL_PIXELS and not self.settings.is_stack

    def is_large(self, pixels: int) -> bool:
        """Whether an image of this many pixels is for `large`, which never holds it whole."""
        return pixels > LARGE_PIXELS or self.source.suffix == LARGE_FOLDER


@dataclass(frozen=True)
class Done:
    """What became of a job.

    Attributes:
        record: Without the files.
        made: Results that wait for their names, see `publish`; none where they have them.
        picture: A small one of the result, for the report.
    """

    pixels: int
    nuclei: int
    seconds: float
    record: Record
    made: dict[str, tuple[Path, Made]]
    picture: bytes


def is_done(job: Job, record: Record | None) -> bool:
    """Whether an earlier run made all of a job's results, of the same image and regions, by the same network, settings
    and code. A result that a person has changed since counts.

    Raises:
        ImageError: There is no such image any more, or several files could hold its regions.
    """
    if record is None or record.older is not None or record.settings != job.settings.identity.to_dict():
        return False
    wanted = job.files(record.facts.get("height", 0) * record.facts.get("width", 0))
    if record.facts.get("regions", {}).get("sha256", "") != regions_digest(job.source, job.settings):
        return False
    folder = target(job.out, job.name)
    there = all(name in record.files and (folder / name).exists() for name in wanted)
    return there and record.is_of(job.source)


def remove_work(job: Job) -> None:
    """Remove what is left of the work on a large image that is done, if the run was killed just then."""
    durable.remove(target(job.out, job.name) / work_folder(Path(job.name).name))


def strangers(job: Job, record: Record | None, pixels: int) -> list[Path]:
    """Files where a job's results go that no run made."""
    known, folder = known_names(record), target(job.out, job.name)
    return [folder / name for name in job.files(pixels) if name not in known and (folder / name).exists()]


def segment_job(job: Job) -> Done:
    """Segment one image and write its results, without their names.

    Raises:
        ImageError, ValueError, ..: This image can't be segmented, or has results of other settings.
        RunStopped: No image can be: the disk is full, or the network isn't the one that the run began with.
        Unwanted: Nobody waits for it any more.
    """
    start = time.perf_counter()
    check_settings(job)
    settings = job.settings
    network = network_of(settings)
    as_planned = stamp(job.source)
    made = make(job.source, settings, network)
    made.facts["seconds"] = round(time.perf_counter() - start, 3)
    digest = hashed(job.source)
    if stamp(job.source) != as_planned:
        name = display_name(job.source)
        raise ImageError(f"{name}: It was changed while it was read. Give the command again.")
    record = Record(job.name, str(job.source), *as_planned, digest, settings.identity.to_dict(), {}, made.facts)
    results = staged(job, settings.identity.of(digest), made.files)
    return Done(made.pixels, made.facts["nuclei"], made.facts["seconds"], record, results, made.picture)


def staged(job: Job, identity: Identity, files: dict[str, bytes]) -> dict[str, tuple[Path, Made]]:
    """Write the results of a job, by their endings, where they wait for their names. -> for `publish`."""
    assert job.stage is not None, "run() says where results are written"
    check()
    parts = {ending: job.stage / f"{identity.key}-{token_hex(8)}-{ending}" for ending in files}
    durable.stage({parts[ending]: data for ending, data in files.items()})
    return {job.file(ending): (part, Made.at(part)) for ending, part in parts.items()}


def check_settings(job: Job) -> None:
    """Raise an ImageError if a job would replace results of other settings, and wasn't told to."""
    if not job.overwrite:
        old = read_record(record_path(job.out, job.name))
        refuse_other_settings(job.out, old, job.settings.identity.to_dict())


def segment_large_job(job: Job, mapper: Mapper, progress: Callable[[str, int, int], None]) -> Done:
    """As `segment_job`, for an image that is never held whole: the mapper spreads its blocks.

    Args:
        progress: Called with (what is done, how far, of how much).
    """
    try:
        from ..large import segment_large
    except ImportError as error:
        name = display_name(job.source)
        raise ImageError(
            f'{name}: So large an image needs more packages ({error}): pip install "nuclei-models[large]".'
        ) from error
    if job.settings.is_stack or job.settings.z == MAX:
        name = display_name(job.source)
        raise ImageError(f"{name}: Of so large an image one plane is segmented at a time. Give its --z and --t.")
    check_settings(job)
    as_planned = stamp(job.source)
    made_by = job.settings.identity.to_dict()
    record = Record(job.name, str(job.source), *as_planned, hashed(job.source), made_by, {}, {})
    folder = target(job.out, job.name)

    def give_names(made: dict[str, tuple[Path, str]], facts: dict[str, Any], picture: bytes) -> dict[str, Path]:
        durable.sync_all()
        results = {name: (path, Made.at(path)) for path, name in made.values()}
        publish(job.out, replace(record, facts=facts), results, picture, job.overwrite)
        return {kind: folder / name for kind, (_, name) in made.items()}

    name = Path(job.name).name
    made = segment_large(job.source, folder, job.settings, mapper, name=name, progress=progress, publish=give_names)
    pixels = made.facts["height"] * made.facts["width"]
    return Done(pixels, made.nuclei, made.facts["seconds"], record, {}, b"")


def side_by_side(network: Network) -> Mapper:
    """The mapper for small images: as many at once as a network on the CPU has threads, each on one of them."""
    if network.model.device.type != "cpu":
        return one_by_one
    return SideBySide(min(torch.get_num_threads(), THREADS), work_alone)


def run(
    jobs: Iterable[Job], work: Callable[[Job], Done] = segment_job, mapper: Mapper = one_by_one
) -> Iterator[tuple[Job, Done | Exception]]:
    """Work on jobs, and yield each with what it came to, in the order of completion. Of a `Done` the results and the
    record are on the disk. No other run may be writing to the folders of results, see `durable.locked`.

    Raises:
        RunStopped: From the first job that says so; the others are left.
    """
    with ExitStack() as stack:
        stages: dict[Path, Path] = {}

        def with_stages() -> Iterator[Job]:
            for job in jobs:
                if job.out not in stages:
                    stages[job.out] = stack.enter_context(stage(job.out))
                yield replace(job, stage=stages[job.out])

        with closing(mapper(work, with_stages())) as outcomes:
            for job, outcome in outcomes:
                if isinstance(outcome, durable.RunStopped):
                    raise outcome
                yield job, _published(job, outcome)


def _published(job: Job, outcome: Done | Exception) -> Done | Exception:
    """A job's outcome, once its results have their names."""
    if isinstance(outcome, Exception) or not outcome.made:
        return outcome
    try:
        publish(job.out, outcome.record, outcome.made, outcome.picture, job.overwrite)
    except durable.RunStopped:
        raise
    except Exception as error:  # of any type: it is this image's own trouble
        return error
    return outcome
