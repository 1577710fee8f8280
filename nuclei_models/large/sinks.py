"""Nuclei -> files: the label image as OME-Zarr or tiled BigTIFF, measurements as CSV, outlines as GeoJSON.

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

from ..analysis.measurements import columns
from ..output.export import feature, outlines
from ..output.tables import table_csv
from .nuclei import load_labels
from .numbering import Numbering, numbers_of
from .workplace import Grid, Workplace, workplace

LABELS = "labels.zarr"
TIFF_TILE = 512
ROWS = 100_000  # of a table, at a time
SMALLEST = 1024  # pixels; the coarsest level of the pyramid is no larger
Step = Callable[[int, int], None]


@dataclass(frozen=True)
class LabelsJob:
    """A block whose labels are wanted.

    Attributes:
        names: Under which nuclei that reach into it are saved, and where their numbers begin.
    """

    folder: str
    key: str
    block: int
    names: tuple[tuple[str, int], ...]


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
    """Put a block's labels together and write them. -> its pixels."""
    work = workplace(job.folder, job.key)
    rows, cols = window = work.plan.grid.window(job.block)
    labels = np.zeros((rows.stop - rows.start, cols.stop - cols.start), np.uint32)
    for name, offset in job.names:
        for (y, x), found in load_labels(work, name, window):
            number = numbers_of(work, offset, int(found.max(initial=0)))
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
                yield band[:, left : left + TIFF_TILE]

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


def write_csv(path: Path, numbering: Numbering, pixel_size: tuple[float, float] | None) -> None:
    """The measurements, as `tables.table_csv` but without solidity."""
    with path.open("wb") as file:
        for start in range(0, max(len(numbering.sums), 1), ROWS):
            sums = numbering.sums[start : start + ROWS]
            text = table_csv(columns(np.arange(start + 1, start + 1 + len(sums)), sums, pixel_size))
            file.write(text if start == 0 else text.split(b"\r\n", 1)[1])


def write_geojson(
    path: Path, work: Workplace, numbering: Numbering, pixel_size: tuple[float, float] | None, title: str, step: Step
) -> None:
    """The outlines, as `export.geojson`. A nucleus over the edge of two cells (see `nuclei.py`) has one in each."""
    separator = '{"type": "FeatureCollection", "features": ['
    everything = slice(0, work.plan.shape[0]), slice(0, work.plan.shape[1])
    with path.open("w") as file:
        for done, (name, offset) in enumerate(numbering.offsets.items(), 1):
            for (rows, cols), found in load_labels(work, name, everything):
                number = numbers_of(work, offset, int(found.max(initial=0)))
                for outline in outlines(found):
                    i = int(number[outline.label])
                    if i == 0:
                        continue
                    table = columns(np.array([i]), numbering.sums[i - 1 : i], pixel_size)
                    measured = {key: float(column[0]) for key, column in table.items() if key != "label"}
                    json_text = json.dumps(feature(outline.moved(i, cols.start, rows.start), measured, title))
                    file.write(f"{separator}{json_text}")
                    separator = ", "
            step(done, len(numbering.offsets))
        file.write("]}" if separator == ", " else f"{separator}]}}")
