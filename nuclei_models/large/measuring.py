"""Label image, image and maps -> measurements, block by block, and the image made small enough to be looked at.

A nucleus over the edge of blocks is measured in each; what they find of it adds up (`model/sums.py`).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ..analysis.intensity import background_of, background_sample, intensity_sums, planes_of
from ..analysis.measurements import Table, columns
from ..model.confidence import confidence, features, reach_of
from ..model.maps import pixel_area
from ..model.sums import HALO, Sums, join, map_sums, shape_sums
from ..model.windows import Window
from .sinks import open_labels
from .workplace import Plan, Workplace, reached, workplace

SHOWN = 4096  # pixels, the longer side of an overlay; of a larger image every few pixels are shown
GLANCED = 1024  # pixels, where only the report shows the image


@dataclass(frozen=True)
class MeasureJob:
    """A block whose nuclei are to be measured."""

    folder: str
    key: str
    block: int


@dataclass(frozen=True)
class Measured:
    """What a block comes to.

    Attributes:
        sums: See `regions.Sums`.
        background: See `background_sample`.
        pixels, labels: Every few rows and columns of the block, to be shown.
    """

    block: int
    sums: list[Sums]
    background: dict[str, np.ndarray]
    pixels: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class _Block:
    """A block's labels, with as much around them as its measurements depend on.

    Attributes:
        own, near: The block and what is read, as windows of the image; `inside` is the block in what is read.
        labels: (h, w), int64, of what is read.
        reach: See `reach_of`.
    """

    own: Window
    near: Window
    inside: Window
    labels: np.ndarray
    reach: int
    size: tuple[int, int]

    @classmethod
    def of(cls, work: Workplace, number: int, least: int = 0) -> "_Block":
        own, size = work.plan.grid.window(number), work.plan.shape
        reach = reach_of(pixel_area(size, work.plan.seen))
        near = reached(own, size, max(HALO, reach, least) + 1)
        rows, cols = (slice(o.start - n.start, o.stop - n.start) for o, n in zip(own, near, strict=True))
        labels = np.asarray(open_labels(work.folder)[near]).astype(np.int64)
        return cls(own, near, (rows, cols), labels, reach, size)

    @property
    def shape(self) -> Sums:
        return shape_sums(self.labels, self.inside, (self.near[0].start, self.near[1].start), self.size)

    def said(self, work: Workplace) -> Iterable[Sums]:
        """What the network said of the nuclei."""
        return map_sums(self.labels, *work.read_maps(self.near), self.reach, self.inside)


def measure_block(job: MeasureJob) -> Measured:
    """Measure what lies in a block. Raises ImageError where the image can't be read there."""
    work = workplace(job.folder, job.key)
    ring = work.plan.settings.ring
    block = _Block.of(work, job.block, int(np.ceil(ring)))
    own, near, inside, labels = block.own, block.near, block.inside, block.labels
    pixels = work.source.read(*near)
    planes = planes_of(pixels, {name: source.read(*near) for name, source in work.others.items()})
    sums = [block.shape, *intensity_sums(labels, planes, ring, inside)]
    if work.network.processor.confidence_model is not None:
        sums += block.said(work)
    ours = {name: plane[inside] for name, plane in planes.items()}
    background = background_sample(labels[inside], ours, work.plan.shape, (own[0].start, own[1].start))
    grid = tuple(slice(-o.start % shown_step(work.plan), None, shown_step(work.plan)) for o in own)
    seen = pixels[inside][grid].copy(), labels[inside][grid].copy()  # not views, which would hold the whole block
    return Measured(job.block, sums, background, *seen)


def sure_block(job: MeasureJob) -> list[Sums]:
    """What the confidence in the nuclei that lie in a block is computed from."""
    work = workplace(job.folder, job.key)
    block = _Block.of(work, job.block)
    return [block.shape, *block.said(work)]


def confidence_of(work: Workplace, sums: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """How sure one can be of each nucleus, (n,), from the sums over the whole image; `None` where it wasn't fitted."""
    model: Mapping | None = work.network.processor.confidence_model
    if model is None:
        return None
    return confidence(model["alone"], features(sums, pixel_area(work.plan.shape, work.plan.seen)))


def table_of(work: Workplace, found: list[Measured], n: int) -> Table:
    """The table of `measure`, but for solidity, of the nuclei 1 .. n.

    Args:
        found: Of all blocks, in any order.
    """
    sums = join((s for one in found for s in one.sums), n)
    background = background_of([one.background for one in found])
    table = columns(sums, list(background), background, work.source.pixel_size)
    sure = confidence_of(work, sums)
    if sure is not None:
        table["confidence"] = sure
    return table


def boxes_of(work: Workplace, found: list[Measured], n: int) -> np.ndarray:
    """First row and column, and last, of the nuclei 1 .. n: (n, 4), int64."""
    shapes = [Sums(s.label, {k: v for k, v in s.values.items() if k.endswith("corner")}) for m in found for s in m.sums]
    sums = join((s for s in shapes if s.values), n)
    return np.column_stack([sums["least_corner"], sums["greatest_corner"]]).astype(np.int64)


def shown_step(plan: Plan) -> int:
    """The step between the rows and columns that are shown: of what is only glanced at in the report it is larger."""
    pictures = {"overlay", "coloured"} & set(plan.settings.save)
    return max(1, -(-max(plan.shape) // (SHOWN if pictures else GLANCED)))


def shown(work: Workplace, found: list[Measured], number: Callable[[np.ndarray], np.ndarray]) -> tuple:
    """The image and its labels, made small: (h, w[, C]) native values and (h, w) int64.

    Args:
        number: From the labels as they were measured to those that are kept.
    """
    step, (height, width) = shown_step(work.plan), work.plan.shape
    size = -(-height // step), -(-width // step)
    first = found[0].pixels
    pixels, labels = np.zeros((*size, *first.shape[2:]), first.dtype), np.zeros(size, np.int64)
    for one in found:
        rows, cols = work.plan.grid.window(one.block)
        top, left = -(-rows.start // step), -(-cols.start // step)
        there = slice(top, top + one.labels.shape[0]), slice(left, left + one.labels.shape[1])
        pixels[there], labels[there] = one.pixels, number(one.labels)
    return pixels, labels
