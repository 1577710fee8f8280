"""A large image -> files of results: what is asked is checked, the steps are taken, and the results get their names."""

import errno
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..jobs.durable import RunStopped, locked, rename, sync_all
from ..jobs.mapper import Mapper, one_by_one
from ..jobs.settings import MAX, Settings
from ..jobs.stamps import work_folder
from ..output.overlay import thumbnail
from .run import Progress, Run

LARGEST_PART = 4096  # pixels, see `Plan`; a larger one would not fit into 3 GB

Publish = Callable[[dict[str, tuple[Path, str]], dict[str, Any], bytes], dict[str, Path]]  # see `segment_large`


@dataclass(frozen=True)
class Large:
    """What became of a large image.

    Attributes:
        files: Results by the kind that was asked for. Of an image of more than 4,096 pixels a side, pictures show every
            few pixels.
        thumbnail: See `overlay.thumbnail`.
        facts: As in the records of `batch`: "nuclei", "height", "width", "median_diameter_px", ..; and "block_px" and
            "parts_too_large", connected parts of the mask that had to be cut in cells.
    """

    files: dict[str, Path]
    thumbnail: bytes
    facts: dict[str, Any]

    @property
    def nuclei(self) -> int:
        return int(self.facts["nuclei"])


def segment_large(
    path: str | os.PathLike,
    out_folder: str | os.PathLike,
    settings: Settings,
    mapper: Mapper | None = None,
    *,
    name: str | None = None,
    memory: int | None = None,
    block: int | None = None,
    labels: str | None = None,
    progress: Progress | None = None,
    largest_part: int = LARGEST_PART,
    publish: Publish | None = None,
) -> Large:
    """Segment an image of any size.

    Given again after it was stopped, it goes on where it was. Memory stays below a bound whatever the image's size.

    Args:
        path: TIFF in strips or tiles, OME-Zarr; other formats of `images.read` as far as memory holds them.
        out_folder: For the results. While the work is going on, it holds a folder `.{name}.nuclei-work`, and in it one
            named by what decides the result.
        settings: From `settings_for`; `tile` does not matter.
        mapper: Where the work is done: takes a function and jobs, both of which can be pickled, and yields each job
            with what it came to, in any order. The default works in this process; see `cluster.dask_mapper`.
        name: Of the results; the default is the image's.
        memory: Bytes that a process may take. The default is `mapper.memory`, or `memory.by_default`.
        block: Side of the blocks, pixels, a multiple of 16 and at most `largest_part`; by default as the memory allows.
        labels: "tif" or "zarr"; by default "zarr" for an image that is one, else "tif".
        progress: Called with the step's name and how far it is.
        largest_part: Side, in pixels, of the largest box around touching nuclei in which they are cut apart together.
        publish: Called with the results (by kind the path of each and its name to be), the facts and the thumbnail,
            while no other can work on the image; gives them their names. The default replaces what has these names.

    Raises:
        ImageError: The image can't be read.
        RunStopped: The disk is full, another run works on the same image, or the weights have changed meanwhile.
        ValueError: A setting that can't be had for large images, or out of range.
    """
    started = time.perf_counter()
    path, out = Path(path).absolute(), Path(out_folder).absolute()
    name = name or path.stem.removesuffix(".ome")
    labels = labels or ("zarr" if path.is_dir() else "tif")
    if labels not in ("tif", "zarr"):
        raise ValueError(f"labels={labels!r}: expected 'tif' or 'zarr'.")
    if largest_part < 16:
        raise ValueError(f"largest_part={largest_part}: expected at least 16 pixels.")
    if block is not None and (block % 16 or not 16 <= block <= largest_part):
        raise ValueError(f"block={block}: expected a multiple of 16, at most largest_part, {largest_part}.")
    if settings.is_stack or settings.z == MAX:
        raise ValueError(
            f"z={settings.z!r}, t={settings.t!r}: of an image larger than memory give one plane at a time."
        )
    if settings.tta:
        raise ValueError("Test-time augmentation is not available for images larger than memory: leave it out.")
    folder = out / work_folder(name)
    try:
        with locked(folder, folder / "lock"):
            run = Run(folder, mapper or one_by_one, progress or (lambda *_: None))
            run.begin(path, settings, memory, block, largest_part)
            numbering, work = run.nuclei()
            measured = run.measured(numbering, work, name)
            made = run.write(measured, name, settings, labels)
            facts = run.facts(measured, work) | {"seconds": round(time.perf_counter() - started, 3)}
            picture = thumbnail(measured.pixels, measured.labels)
            run.check_image()  # which was read again, to be measured
            files = (publish or named_in(out))(made, facts, picture)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise RunStopped(
            f"The disk is full, {out}: make room, then start it again: it goes on where it was."
        ) from error
    return Large(files, picture, facts)


def named_in(out: Path) -> Publish:
    """Gives results their names in a folder, in place of those of an earlier run."""

    def publish(made: dict[str, tuple[Path, str]], facts: dict[str, Any], picture: bytes) -> dict[str, Path]:
        sync_all()  # so that a power cut can't leave names without contents
        rename({path: out / name for path, name in made.values()})
        return {kind: out / name for kind, (_, name) in made.items()}

    return publish
