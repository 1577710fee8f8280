"""Nuclei -> files: the label image as OME-Zarr or tiled BigTIFF, measurements as CSV, outlines as GeoJSON and ROIs.

All are written piece by piece into the workplace, and get their names when they are whole.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr

from ..analysis.measurements import Table
from ..output.export import Outline, feature, outlines, write_roi_zip
from ..output.tables import table_csv
from .nuclei import load_labels
from .numbering import numbers_of
from .workplace import Grid, Workplace, reached, workplace

LABELS = "labels.zarr"
KEPT = "kept.npy"  # the numbers that nuclei keep, by those that they had
OUTLINED = 64_000_000  # pixels that are held at once to outline what lies in them
TIFF_TILE = 512
ROWS = 100_000  # of a table, at a time
SMALLEST = 1024  # pixels; the coarsest level of the pyramid is no larger
Step = Callable[[int, int], None]


@dataclass(frozen=True)
class LabelsJob:
    """A block whose labels are wanted.

    Attributes:
        names: Under which nuclei that reach into it are saved, and where their numbers begin.
        only_kept: Whether nuclei get the numbers that `KEPT` tells, and those that are left out none.
    """

    folder: str
    key: str
    block: int
    names: tuple[tuple[str, int], ...]
    only_kept: bool = False


def make_labels(folder: Path, shape: tuple[int, int], block: int, pixel_size: tuple[float, float] | None, name: str):
    """An empty label image, OME-Zarr 0.4 (Zarr 2), which today's viewers open: a pyramid by powers of two.

    Args:
        block: Side of the blocks that are written, a multiple of the chunks.
    """
    chunk = block
    while chunk > 1024 and chunk % 2 == 0:
        chunk //= 2
    root = zarr.open_group(folder, mode="w", zarr_format=2)
    levels = [shape]
    while max(levels[-1]) > SMALLEST:
        levels.append((-(-levels[-1][0] // 2), -(-levels[-1][1] // 2)))
    for level, size in enumerate(levels):
        root.create_array(
            str(level),
            shape=size,
            chunks=(chunk, chunk),
            dtype="uint32",
            chunk_key_encoding={"name": "v2", "separator": "/"},
        )
    unit = {"unit": "micrometer"} if pixel_size else {}
    y, x = pixel_size or (1.0, 1.0)
    datasets: Any = [
        {"path": str(n), "coordinateTransformations": [{"type": "scale", "scale": [y * 2**n, x * 2**n]}]}
        for n in range(len(levels))
    ]
    axes: Any = [{"name": axis, "type": "space", **unit} for axis in "yx"]
    root.attrs["multiscales"] = [
        {"version": "0.4", "name": name, "axes": axes, "datasets": datasets, "type": "nearest"}
    ]
    root.attrs["image-label"] = {"version": "0.4"}


def open_labels(folder: Path) -> zarr.Array:
    """The finest level of the label image in a folder."""
    return zarr.open_array(folder / LABELS / "0", mode="r+")


def write_labels(job: LabelsJob) -> int:
    """Put a block's labels together and write them. -> its pixels.

    Done twice, as after a worker died, it gives the same: it reads nothing that it writes.
    """
    work = workplace(job.folder, job.key)
    kept = np.load(work.folder / KEPT, mmap_mode="r") if job.only_kept else None
    rows, cols = window = work.plan.grid.window(job.block)
    labels = np.zeros((rows.stop - rows.start, cols.stop - cols.start), np.uint32)
    for name, offset in job.names:
        for (y, x), found in load_labels(work, name, window):
            number = numbers_of(work, offset, int(found.max(initial=0)))
            number = number if kept is None else kept[number]
            top, left = max(y.start, rows.start), max(x.start, cols.start)
            bottom, right = min(y.stop, rows.stop), min(x.stop, cols.stop)
            part = number[found[top - y.start : bottom - y.start, left - x.start : right - x.start]]
            target = labels[top - rows.start : bottom - rows.start, left - cols.start : right - cols.start]
            np.copyto(target, part, where=part > 0)
    open_labels(work.folder)[window] = labels
    return labels.size


def write_pyramid(folder: Path) -> None:
    """Fill the coarser levels, each with every second pixel of the one before."""
    for level in range(1, len(list(zarr.open_group(folder, mode="r").array_keys()))):
        fine, coarse = (zarr.open_array(folder / str(n), mode="r+") for n in (level - 1, level))
        grid = Grid((coarse.shape[0], coarse.shape[1]), coarse.chunks[0])
        for i in range(len(grid)):
            rows, cols = grid.window(i)
            coarse[rows, cols] = np.asarray(
                fine[2 * rows.start : 2 * rows.stop : 2, 2 * cols.start : 2 * cols.stop : 2]
            )


def write_tiff(labels: Path, path: Path, pixel_size: tuple[float, float] | None, step: Step) -> None:
    """The label image as one tiled, compressed BigTIFF of 32 bits, row of tiles by row of tiles."""
    array = zarr.open_array(labels / "0", mode="r")
    height, width = array.shape

    def tiles() -> Iterator[np.ndarray]:
        for top in range(0, height, TIFF_TILE):
            step(top, height)
            band = np.asarray(array[top : top + TIFF_TILE])
            for left in range(0, width, TIFF_TILE):
                part = band[:, left : left + TIFF_TILE]
                # whole tiles: of an image one pixel wide tifffile writes a narrower one as zeros
                yield np.pad(part, [(0, TIFF_TILE - n) for n in part.shape])

    per_cm = None if pixel_size is None else (10_000 / pixel_size[1], 10_000 / pixel_size[0])
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        writer.write(
            tiles(),
            shape=(height, width),
            dtype=np.uint32,
            tile=(TIFF_TILE, TIFF_TILE),
            compression="zlib",
            predictor=True,
            resolution=per_cm,
            resolutionunit="NONE" if per_cm is None else "CENTIMETER",
            metadata=None,
            maxworkers=1,
        )
    step(height, height)


def write_csv(path: Path, table: Table, decimal: str) -> None:
    """The measurements, as `tables.table_csv`."""
    with path.open("wb") as file:
        for start in range(0, max(len(table["label"]), 1), ROWS):
            text = table_csv({name: column[start : start + ROWS] for name, column in table.items()}, decimal)
            file.write(text if start == 0 else text.split(b"\r\n", 1)[1])


def all_outlines(work: Workplace, boxes: np.ndarray, step: Step) -> Iterator[Outline]:
    """The outline of every nucleus, in the image's coordinates, from the label image.

    Args:
        boxes: (n, 4), first row and column and last of each, int64.
    """
    grid = work.plan.grid
    owner = boxes[:, 0] // grid.side * grid.across + boxes[:, 1] // grid.side
    order = np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[order], np.arange(len(grid) + 1))
    for block in range(len(grid)):
        mine = order[starts[block] : starts[block + 1]]
        near = reached(grid.window(block), work.plan.shape, grid.side)
        fits = (boxes[mine, 2] < near[0].stop) & (boxes[mine, 3] < near[1].stop)
        if fits.any():
            yield from _outlines(work, mine[fits] + 1, boxes[mine[fits]])
        for i in mine[~fits]:
            yield from _outlines(work, np.array([i + 1]), boxes[[i]])
        step(block + 1, len(grid))


def _outlines(work: Workplace, numbers: np.ndarray, boxes: np.ndarray) -> Iterator[Outline]:
    """Of these nuclei, from one window around them. One too large to be held is outlined more coarsely."""
    (top, left), (bottom, right) = boxes[:, :2].min(0), boxes[:, 2:].max(0) + 1
    coarse = max(1, int(np.ceil(np.sqrt((bottom - top) * (right - left) / OUTLINED))))
    labels = np.asarray(open_labels(work.folder)[top:bottom:coarse, left:right:coarse])
    wanted = np.zeros(int(labels.max(initial=0)) + 1, np.int32)
    wanted[numbers] = np.arange(1, len(numbers) + 1)
    for outline in outlines(wanted[labels]):
        yield outline.moved(int(numbers[outline.label - 1]), int(left), int(top), coarse)


def write_geojson(path: Path, found: Iterator[Outline], table: Table, title: str) -> None:
    """The outlines, as `export.geojson`."""
    separator = '{"type": "FeatureCollection", "features": ['
    with path.open("w") as file:
        for outline in found:
            measured = {key: column[outline.label - 1] for key, column in table.items() if key != "label"}
            file.write(f"{separator}{json.dumps(feature(outline, measured, title), allow_nan=False)}")
            separator = ", "
        file.write("]}" if separator == ", " else f"{separator}]}}")


def write_rois(path: Path, found: Iterator[Outline], name: str) -> None:
    """The outlines, as `export.roi_zip`."""
    with path.open("wb") as file:
        write_roi_zip(file, found, name)
