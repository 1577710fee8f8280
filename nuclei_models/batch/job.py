"""Many images -> many files of results: one job an image, the same whether a loop runs it or a cluster.

    for job, outcome in run(jobs):
        ...  # a `Done`, or the exception that this image came to

A job can be pickled and its work is a function of this module, so a mapper may run it anywhere that sees the files. The
work writes its own results, durably, and last of all the image's record, which says that it is done.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..analysis.figures import figures_of, saturated
from ..analysis.filters import Kept, apply_filters, told
from ..analysis.measurements import measure, pixel_size_doubt
from ..images.planes import other_channels
from ..images.reader import ImageError, MicroscopyImage, display_name, inspect, read
from ..inference.network import Network
from ..inference.segmentation import Segmentation
from ..jobs import durable
from ..jobs.mapper import Mapper, one_by_one
from ..jobs.settings import Settings, network_for
from ..jobs.stamps import hashed, stamp
from ..output.files import KINDS, Table, make_files
from ..output.overlay import thumbnail
from .inputs import LARGE_FOLDER
from .records import Record, begin, finish, picture_path, target

LARGE_PIXELS = 64_000_000  # of a plane


@dataclass(frozen=True)
class Job:
    """An image to segment.

    Attributes:
        source: The image, an absolute path.
        name: Of its results in the folder `out`, without endings: "day 1/well A1".
    """

    source: Path
    name: str
    out: Path
    settings: Settings

    def file(self, ending: str) -> str:
        """Name of one of its results; they lie beside each other in `target`."""
        return f"{Path(self.name).name}_{ending}"

    def files(self, pixels: int) -> list[str]:
        """Names of all, for an image of this many pixels."""
        endings = {kind: KINDS[kind].ending for kind in self.settings.save}
        if "labels" in endings and self.is_large(pixels) and self.source.suffix == LARGE_FOLDER:
            endings["labels"] = "labels.zarr"
        return [self.file(ending) for ending in endings.values()]

    def is_large(self, pixels: int) -> bool:
        """Whether an image of this many pixels is for `large`, which never holds it whole."""
        return pixels > LARGE_PIXELS or self.source.suffix == LARGE_FOLDER


@dataclass(frozen=True)
class Done:
    """What became of a job. Its files and its record are on the disk."""

    pixels: int
    nuclei: int
    seconds: float


def is_done(job: Job, record: Record | None) -> bool:
    """Whether an earlier run made all of a job's results, of the same image with the same settings.

    Raises:
        ImageError: There is no such image any more.
    """
    if record is None or record.settings != job.settings.identity:
        return False
    wanted = set(job.files(record.facts.get("height", 0) * record.facts.get("width", 0)))
    return wanted <= set(record.files) and record.is_whole(job.out) and record.is_of(job.source)


def strangers(job: Job, record: Record | None, pixels: int) -> list[Path]:
    """Files where a job's results go that no run made."""
    known = record.files if record else {}
    folder = target(job.out, job.name)
    return [folder / name for name in job.files(pixels) if name not in known and (folder / name).exists()]


def segment_job(job: Job) -> Done:
    """Segment one image and write its files, the record last.

    Raises:
        ImageError, ValueError, ..: This image can't be segmented.
        RunStopped: No image can be: the disk is full, or the weights aren't those that the run began with.
    """
    start = time.perf_counter()
    settings = job.settings
    network = network_for(settings.model, settings.device)
    if network.sha256 != settings.weights_sha256:
        raise durable.RunStopped(f"The weights of {settings.model} have changed since the run began: start it again.")
    as_planned = stamp(job.source)
    chosen = {"series": settings.series, "z": settings.z, "t": settings.t, "channel": settings.channel}
    image = read(job.source, max_pixels=LARGE_PIXELS, **chosen)
    found = network.segment(image.pixels, settings, settings, image.pixel_size)
    kept = apply_filters(found.labels, _measured(job.source, image, found, network, settings), settings.filters)
    files = make_files(
        kept.labels,
        image.pixels,
        image.pixel_size,
        network.key,
        lambda: kept.table,
        settings.save,
        settings.decimal,
    )
    facts = _facts(image, kept, found) | {"seconds": round(time.perf_counter() - start, 3)}
    digest = hashed(job.source)
    if stamp(job.source) != as_planned:
        raise ImageError(f"{image.name}: It was changed while it was read. Give the command again.")
    save(
        job,
        Record(job.name, str(job.source), *as_planned, digest, settings.identity, {}, facts),
        files,
        thumbnail(image.pixels, kept.labels),
    )
    return Done(kept.labels.size, facts["nuclei"], facts["seconds"])


def save(job: Job, record: Record, files: dict[str, bytes], picture: bytes) -> None:
    """Write the files of a job, by their endings, between a record that names them and one that says they are whole.

    Args:
        picture: A small one of the result, for the report.
    """
    named = {job.file(ending): data for ending, data in files.items()}
    stale = begin(job.out, record, named)
    written = {target(job.out, job.name) / name: data for name, data in named.items()}
    durable.write_all(written | {picture_path(job.out, job.name): picture})
    finish(job.out, record, named, stale)


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
    as_planned = stamp(job.source)
    record = Record(job.name, str(job.source), *as_planned, hashed(job.source), job.settings.identity, {}, {})
    names = job.files(LARGE_PIXELS + 1)
    stale = begin(job.out, record, names)
    folder = target(job.out, job.name)
    made = segment_large(job.source, folder, job.settings, mapper, name=Path(job.name).name, progress=progress)
    durable.sync_folder(folder)
    durable.write_all({picture_path(job.out, job.name): made.thumbnail})
    finish(job.out, replace(record, facts=made.facts), names, stale)
    return Done(made.facts["height"] * made.facts["width"], made.nuclei, made.facts["seconds"])


def run(
    jobs: Iterable[Job], work: Callable[[Job], Done] = segment_job, mapper: Mapper = one_by_one
) -> Iterator[tuple[Job, Done | Exception]]:
    """Work on jobs, and yield each with what it came to, in the order of completion.

    Raises:
        RunStopped: From the first job that says so; the others are left.
    """
    with closing(mapper(work, jobs)) as outcomes:
        for job, outcome in outcomes:
            if isinstance(outcome, durable.RunStopped):
                raise outcome
            yield job, outcome


def _measured(source: Path, image: MicroscopyImage, found: Segmentation, network: Network, settings: Settings) -> Table:
    """Every nucleus in every channel of the file."""
    z, t = image.plane["Z"], image.plane["T"]
    others = other_channels(inspect(source, settings.series, settings.z, settings.t, settings.channel), image.channels)
    return measure(
        found.labels,
        image.pixels,
        image.pixel_size,
        channels={name: read(source, z, t, c, settings.series, LARGE_PIXELS).pixels for c, name in others.items()},
        ring=settings.ring,
        confidence=network.processor.confidence(found.maps, found.labels),
    )


def _facts(image: MicroscopyImage, kept: Kept, found: Segmentation) -> dict[str, Any]:
    height, width = kept.labels.shape
    facts = figures_of(kept.table, (height, width), kept.left_out)
    doubts = found.doubt, pixel_size_doubt(facts["median_diameter_px"], image.pixel_size)
    return {
        "height": height,
        "width": width,
        **facts,
        "saturated": saturated(image.pixels),
        **found.maps.diameter.facts(),
        "pixel_size_um": image.pixel_size,
        "plane": image.plane,
        "channels": image.channels,
        "notes": [*image.notes, *filter(None, [*doubts, told(kept.left_out) if kept.left_out else ""])],
    }
