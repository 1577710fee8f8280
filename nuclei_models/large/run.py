"""The steps from a large image to its results, in their order, and which of them are done already."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..analysis.figures import figures_of, saturated
from ..analysis.filters import renumbered, told, wanted
from ..analysis.measurements import Table, pixel_size_doubt
from ..analysis.regions import Places, region_column_by_windows
from ..images.reader import ImageError
from ..images.regions import no_regions, open_regions, region_file
from ..jobs.identity import image_by_stamp
from ..jobs.mapper import J, Mapper, R
from ..jobs.regions import region_facts
from ..jobs.settings import Settings, network_of
from ..jobs.stamps import stamp
from ..model.sums import join as join_sums
from ..output.display import to_display
from ..output.export import Outline, coloured_png, png
from ..output.files import KINDS
from ..output.overlay import draw_overlay
from . import sinks
from .maps import MapsJob, make_maps
from .measuring import MeasureJob, boxes_of, confidence_of, measure_block, shown, shown_step, sure_block, table_of
from .nuclei import find_nuclei, find_nuclei_of_cell
from .numbering import Numbering, keep_numbers, number_nuclei, renumbering
from .parts import EdgesJob, Work, find_edges, join, share_out
from .planning import make_plan
from .workplace import Workplace, plan_key, read_plan, workplace

ZARR = "labels.zarr"

Progress = Callable[[str, int, int], None]  # called with (what is done, how far, of how much)


@dataclass(frozen=True)
class Result:
    """The nuclei of an image that are kept; the label image holds them.

    Attributes:
        table: See `measure`.
        boxes: (n, 4), first row and column and last of each.
        left_out: See `filters.Kept`.
        pixels, labels: Image and labels, made small to be shown.
        places: Regions, where somebody asked for them.
    """

    table: Table
    boxes: np.ndarray
    left_out: dict[str, int]
    pixels: np.ndarray
    labels: np.ndarray
    places: Places | None


class Run:
    """The work on one image, in its folder."""

    def __init__(self, folder: Path, mapper: Mapper, progress: Progress):
        self.folder, self.mapper, self.progress = folder, mapper, progress

    def begin(self, path: Path, settings: Settings, memory: int | None, block: int | None, largest_part: int) -> None:
        """Take up the plan that is there, if it is for the same work, or make one; what else is there goes."""
        wanted = settings.identity.of(image_by_stamp(path, stamp(path)))
        plan = None
        for folder in sorted(f for f in self.folder.iterdir() if f.is_dir()):
            found = read_plan(folder)
            if plan is None and found is not None and found.goes_on(wanted, largest_part, block):
                plan = found
            else:
                shutil.rmtree(folder, ignore_errors=True)  # late work of another run may still be writing there
        if plan is None:
            plan = make_plan(path, settings, self.mapper, memory, block, largest_part, self._step)
        key = plan_key(plan)
        self.key, self.folder = key, self.folder / key
        channels = 2 if "distance" in network_of(settings).processor.channel_names else 1
        self.work = workplace(str(Workplace.make(self.folder, replace(plan, settings=settings), channels)), key)
        self.grid, self.source = self.work.plan.grid, self.work.source
        file = None if settings.regions is None else region_file(Path(settings.regions), path)
        self.regions = None if file is None else open_regions(file, self.work.plan.shape)  # before hours of work

    def nuclei(self) -> tuple[Numbering, Work]:
        """Maps, parts over edges, nuclei, numbers."""
        at, blocks = (str(self.folder), self.key), range(len(self.grid))
        total = self.grid.shape[0] * self.grid.shape[1]
        self._all("network", make_maps, [MapsJob(*at, b) for b in blocks], total, lambda pixels: pixels)
        edges = self._all("edges", find_edges, [EdgesJob(*at, b) for b in blocks])
        work = share_out(*at, self.work.plan, join(self.grid, sorted(edges, key=lambda e: e.block)))
        self._all("nuclei", find_nuclei, work.nuclei)
        self._all("nuclei in large parts", find_nuclei_of_cell, work.cells)
        names = [f"block-{job.block}" for job in work.nuclei] + [f"cell-{job.cell}" for job in work.cells]
        self.check_image()
        return number_nuclei(self.work, names), work

    def measured(self, numbering: Numbering, work: Work, name: str) -> Result:
        """Write the label image and measure it; nuclei that the filters don't let through leave it."""
        folder, size, side = self.folder / sinks.LABELS, self.grid.shape, self.grid.side
        sinks.make_labels(folder, size, side, self.source.pixel_size, f"{name} nuclei")
        self._all("labels", sinks.write_labels, labels_jobs(self.work, numbering, work))
        numbering = self._sure_enough(numbering, work)
        at, n = (str(self.folder), self.key), len(numbering.areas)
        found = self._all("measurements", measure_block, [MeasureJob(*at, b) for b in range(len(self.grid))])
        table, boxes = table_of(self.work, found, n), boxes_of(self.work, found, n)
        places = self._count_in_regions(table)
        kept, left_out = wanted(table, self.work.plan.settings.filters)
        number = renumbering(kept)
        if left_out:
            np.save(self.folder / sinks.KEPT, number)
            jobs = labels_jobs(self.work, numbering, work, only_kept=True)
            self._all("labels that are kept", sinks.write_labels, jobs)
        pixels, labels = shown(self.work, found, lambda x: number[x])
        return Result(renumbered(table, kept), boxes[kept], left_out, pixels, labels, places)

    def _sure_enough(self, numbering: Numbering, work: Work) -> Numbering:
        """Drop the nuclei that are less sure than the settings have it, as `NucleiImageProcessor.sure_enough` does."""
        least, at = self.work.plan.settings.least_confidence, (str(self.folder), self.key)
        if not least or self.work.network.processor.confidence_model is None:
            return numbering
        found = self._all("confidence", sure_block, [MeasureJob(*at, b) for b in range(len(self.grid))])
        sure = confidence_of(self.work, join_sums((s for sums in found for s in sums), len(numbering.areas)))
        if sure is None or (kept := sure >= least).all():
            return numbering
        numbering = keep_numbers(self.work, numbering, kept)
        self._all("labels that are sure", sinks.write_labels, labels_jobs(self.work, numbering, work))
        return numbering

    def _count_in_regions(self, table: Table) -> Places | None:
        """Add the column of regions to a table, where somebody asked for them."""
        plan = self.work.plan
        if plan.settings.regions is None:
            return None
        if self.regions is None:
            table["region"] = np.full(len(table["label"]), "")
            return Places((), np.zeros(1, int), "", (no_regions(Path(plan.settings.regions), Path(plan.source)),))
        windows = [plan.grid.window(block) for block in range(len(plan.grid))]
        table["region"], places = region_column_by_windows(table, self.regions, windows)
        return places

    def check_image(self) -> None:
        """Raise an ImageError if the image was changed meanwhile; what was made of it so far goes."""
        try:
            self.work.check_image()
        except ImageError:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def write(self, found: Result, name: str, settings: Settings, labels: str) -> dict[str, tuple[Path, str]]:
        """Write the results. -> where each is, and its name to be."""
        key, pixel_size = self.work.network.key, self.source.pixel_size

        def write_labels(path: Path) -> None:
            if labels == "zarr":
                sinks.write_pyramid(self.folder / sinks.LABELS)
            else:
                sinks.write_tiff(self.folder / sinks.LABELS, path, pixel_size, self._step("label image"))

        def edges() -> Iterator[Outline]:
            return sinks.all_outlines(self.work, found.boxes, self._step("outlines"))

        def overlay() -> bytes:
            return png(draw_overlay(to_display(found.pixels), found.labels, filled=False))

        writers: dict[str, Callable[[Path], object]] = {
            "labels": write_labels,
            "csv": lambda path: sinks.write_csv(path, found.table, settings.decimal),
            "geojson": lambda path: sinks.write_geojson(path, edges(), found.table, f"Nucleus {key}"),
            "roi": lambda path: sinks.write_rois(path, edges(), key),
            "overlay": lambda path: path.write_bytes(overlay()),
            "coloured": lambda path: path.write_bytes(coloured_png(found.labels)),
        }
        made: dict[str, tuple[Path, str]] = {}
        for kind in settings.save:
            ending = ZARR if (kind, labels) == ("labels", "zarr") else KINDS[kind].ending
            made[kind] = self.folder / ending, f"{name}_{ending}"
            writers[kind](made[kind][0])
        return made

    def facts(self, found: Result, work: Work) -> dict[str, Any]:
        plan, table = self.work.plan, found.table
        height, width = plan.shape
        return {
            "height": height,
            "width": width,
            **figures_of(table, plan.shape, found.left_out),
            "saturated": saturated(found.pixels),
            **plan.diameter.facts(),
            "pixel_size_um": self.source.pixel_size,
            "plane": self.source.plane,
            "channels": self.source.channels,
            "notes": [*self.source.notes, *self._notes(found)],
            "block_px": plan.block,
            "parts_too_large": work.too_large,
            **region_facts(Path(plan.source), plan.settings, table, found.places, self.source.pixel_size),
        }

    def _notes(self, found: Result) -> list[str]:
        step = shown_step(self.work.plan)
        pictures = {"overlay", "coloured"} & set(self.work.plan.settings.save)
        median = figures_of(found.table, self.work.plan.shape, {})["median_diameter_px"]
        plan, size = self.work.plan, self.source.pixel_size
        doubts = plan.taken, plan.diameter.doubt(median), pixel_size_doubt(median, size)
        notes = [note for note in (*doubts, told(found.left_out) if found.left_out else "") if note]
        notes += found.places.notes if found.places else ()
        return notes + ([f"Pictures show every {step}th row and column."] if pictures and step > 1 else [])

    def _all(
        self,
        what: str,
        function: Callable[[J], R],
        jobs: list[J],
        total: int | None = None,
        amount: Callable[[R], int] = lambda _: 1,
    ) -> list[R]:
        """Run jobs; the first that fails ends it, what is done stays."""
        found, done, total = [], 0, total or len(jobs)
        outcomes: Any = self.mapper(function, jobs)
        with closing(outcomes):
            for _, outcome in outcomes:
                if isinstance(outcome, Exception):
                    raise outcome
                found.append(outcome)
                done += amount(outcome)
                self.progress(what, done, total)
        return found

    def _step(self, what: str) -> Callable[[int, int], None]:
        return lambda done, total: self.progress(what, done, total)


def labels_jobs(work: Workplace, numbering: Numbering, shared: Work, only_kept: bool = False) -> list[sinks.LabelsJob]:
    """For each block the nuclei that may reach into it: its own, its neighbours' and those of cells."""
    plan, cells = work.plan, {job.cell for job in shared.cells}
    at, jobs = (str(work.folder), plan_key(plan)), []
    for block in range(len(plan.grid)):
        names = [f"block-{b}" for b in (block, *shared.guests[block])]
        names += [f"cell-{c}" for c in plan.cells.touched(plan.grid.window(block)) if c in cells]
        jobs.append(sinks.LabelsJob(*at, block, tuple((name, numbering.offsets[name]) for name in names), only_kept))
    return jobs
