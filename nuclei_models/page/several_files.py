"""Several images -> one zip: of each network a folder with the files of every image and the report of the folder.

The writers are those of `nuclei segment`.
"""

import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..analysis.filters import Kept
from ..batch.job import Done, Job, run, staged
from ..batch.making import facts_of
from ..batch.overview import overview
from ..batch.records import FOLDER, Record, read_records
from ..inference.network import Network
from ..inference.segmentation import Segmentation
from ..inference.settings import Cut
from ..jobs import durable
from ..jobs.settings import Settings
from ..jobs.stamps import hashed, stamp
from ..output import export
from ..output.files import KINDS, README, make_files
from ..output.overlay import thumbnail
from .image_set import ImageSet, Item
from .networks import Networks
from .state import Analysis, without_gaps

COMMAND = "on the page"  # in place of a command line, in README.txt
ABOUT = {
    "a folder for each network": "its results, as nuclei segment writes them; begin with report.html",
    "report.html": "all images of the folder to look at, the doubtful ones first",
    "summary.csv": "one row an image",
    "mended": "what was mended on the page is in the files; it counts as a note of the image",
}
Progress = Callable[[int, int], None]


def save_all(images: ImageSet, networks: Networks, cut: Cut, path: Path, progress: Progress) -> None:
    """Write the zip.

    Args:
        cut: For all images.
        progress: Called with (files of images done, in all); raise from it to cancel.

    Raises:
        ValueError: None of the images has a result.
    """
    done = [item for item in images.items if item.analysis is not None]
    if not done:
        raise ValueError("There is nothing to save yet: press Segment all first.")
    failures = [*images.refused, *((item.name, item.error) for item in images.items if item.error)]
    left = [(item.name, "It was not segmented yet.") for item in images.items if not item.analysis and not item.error]
    keys = list(dict.fromkeys(key for item in done if item.analysis for key in item.analysis.maps))
    with tempfile.TemporaryDirectory(prefix="nuclei-", dir=path.parent) as scratch:
        for number, key in enumerate(keys):

            def tell(n: int, number: int = number) -> None:
                progress(number * len(done) + n, len(keys) * len(done))

            mine = [item for item in done if item.analysis and key in item.analysis.maps]
            _write_folder(Path(scratch, key), mine, networks[key], cut, [*failures, *left], tell)
        facts = {"Folders": ABOUT, "Images": {item.name: _state(item) for item in images.items}}
        if images.refused:
            facts["Not taken"] = dict(images.refused)
        Path(scratch, README).write_bytes(export.readme(facts))
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(p for p in Path(scratch).rglob("*") if p.is_file() and FOLDER not in p.parts):
                archive.write(file, file.relative_to(scratch).as_posix())


def _state(item: Item) -> str:
    return item.error or ("done" if item.analysis else "not segmented")


def _write_folder(
    out: Path,
    items: list[Item],
    network: Network,
    cut: Cut,
    failures: list[tuple[str, str]],
    tell: Callable[[int], None],
) -> None:
    """The results of one network, with what tells of them all."""
    durable.make_folder(out)
    by_job = {Job(Path(item.path), item.result, out, settings_of(item, network, cut)): item for item in items}
    failures = list(failures)
    for n, (job, outcome) in enumerate(run(by_job, lambda job: _done(job, by_job[job], network, cut)), 1):
        if isinstance(outcome, Exception):
            failures.append((by_job[job].name, str(outcome)))
        tell(n)
    settings = max((job.settings for job in by_job), key=[job.settings for job in by_job].count)
    records = read_records(out).values()
    files = overview(settings, network, records, COMMAND, failures, out)
    durable.write_all({out / name: data for name, data in files.items()})


def settings_of(item: Item, network: Network, cut: Cut) -> Settings:
    """What an image's result was made with, as `nuclei segment` would say it."""
    analysis = item.analysis
    assert analysis is not None
    used, picture = analysis.settings, analysis.picture
    threshold, separation, _ = analysis.cut_values(network.key, cut)
    typed = analysis.pixel_size if analysis.pixel_size != picture.pixel_size else None
    return Settings(
        model=network.source,
        weights_sha256=network.sha256,
        processor_sha256=network.processor_sha256,
        config_sha256=network.config_sha256,
        threshold=threshold,
        separation=separation,
        min_area=cut.min_area,
        least_confidence=network.processor.least_applied(cut.least_confidence),
        diameter=used.diameter,
        tta=used.tta,
        level=used.level if network.levels else None,
        series=picture.source.series if picture.source and picture.source.series else None,
        pixel_size=None if typed is None else typed[1],
        save=tuple(KINDS),
    )


def _done(job: Job, item: Item, network: Network, cut: Cut) -> Done:
    """The work of `batch.job`, on what the networks have said already."""
    analysis, key = item.analysis, network.key
    assert analysis is not None
    labels, _ = without_gaps(analysis.labels(key, cut))
    table = analysis.table(key, cut, solidity=True)
    picture = replace(analysis.picture, pixel_size=analysis.pixel_size)
    given = analysis.labels(key, cut), picture.pixels, picture.pixel_size, key
    files = make_files(*given, lambda: table, job.settings.save, mended=analysis.mended(key, cut))
    facts = facts_of(picture, Kept(labels, table, {}), Segmentation(labels, analysis.maps[key]))
    facts["seconds"] = round(analysis.seconds.get(key, 0.0), 3)
    facts["notes"] = [*facts["notes"], *_mends(analysis, key, cut)]
    digest = hashed(job.source)
    record = Record(job.name, item.name, *stamp(job.source), digest, job.settings.identity.to_dict(), {}, facts)
    results = staged(job, job.settings.identity.of(digest), files)
    small = thumbnail(picture.pixels, labels)
    return Done(labels.size, facts["nuclei"], facts["seconds"], record, results, small)


def _mends(analysis: Analysis, key: str, cut: Cut) -> list[str]:
    history = analysis.history(key, cut)
    if history is None:
        return []
    deleted, added, changed = history.tally
    return [f"Mended by hand: {deleted} deleted, {added} added, {changed} changed."]
