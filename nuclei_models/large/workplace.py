"""The folder in which a large image is worked on: the plan, maps and nuclei so far. All jobs of an image share it.

It lies beside the results, on whatever file system they are on; workers on other machines must see it under the same
path. Every file in it is whole or not there, so that a run that was stopped goes on where it was; one that can't be
read is made again. Its name is the key of what decides the result, so that work that another run left behind on a
cluster has nowhere to write that matters here.
"""

import json
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

from ..images.ngff import few_chunks
from ..images.planes import other_channels
from ..images.reader import inspect
from ..images.series import ImageError
from ..images.source import Source
from ..inference.network import Network
from ..jobs.durable import PART, RunStopped
from ..jobs.identity import Identity, image_by_stamp
from ..jobs.settings import Settings, check_code, network_of
from ..jobs.stamps import stamp
from ..model.scale import Diameter
from ..model.windows import Window
from .resample import Axis

PLAN = "plan.json"
FULL = 65535  # the maps are stored as 16-bit numbers; this is 1


@dataclass(frozen=True)
class Grid:
    """An image cut into square blocks, numbered row by row."""

    shape: tuple[int, int]
    side: int

    @property
    def down(self) -> int:
        return -(-self.shape[0] // self.side)

    @property
    def across(self) -> int:
        return -(-self.shape[1] // self.side)

    def __len__(self) -> int:
        return self.down * self.across

    def window(self, number: int) -> Window:
        y, x = (n * self.side for n in divmod(number, self.across))
        return slice(y, min(y + self.side, self.shape[0])), slice(x, min(x + self.side, self.shape[1]))

    def touched(self, window: Window) -> Iterator[int]:
        """The blocks that a window lies in."""
        rows, cols = (range(w.start // self.side, -(-w.stop // self.side)) for w in window)
        return (y * self.across + x for y in rows for x in cols)


@dataclass(frozen=True)
class Plan:
    """What is done to one image, settled before its first block.

    Attributes:
        source: The image's absolute path; `stamp` its size and time of the last change.
        shape: (height, width); `seen` is that of the image as the network sees it, rescaled.
        bottom, span: Of the whole image, see `intensity_range`.
        diameter: The nuclear diameter assumed.
        channel: What is read, see `Settings.channel`; chosen for the user where they chose none.
        stain: What the network is shown alone, of a merge of several stains; else `None`.
        taken: A sentence for the user on either, or "".
        min_area: Of a nucleus, pixels.
        block: Side of a block, pixels.
        largest_part: Side of the largest box around a connected part of the mask that is cut into nuclei as a whole.
    """

    source: str
    stamp: tuple[int, int]
    settings: Settings
    shape: tuple[int, int]
    seen: tuple[int, int]
    bottom: tuple[float, ...]
    span: tuple[float, ...]
    diameter: Diameter
    channel: int | None
    stain: int | None
    taken: str
    min_area: float
    block: int
    largest_part: int

    @property
    def grid(self) -> Grid:
        return Grid(self.shape, self.block)

    @property
    def cells(self) -> Grid:
        """The grid in which larger parts are cut into nuclei; it does not depend on the blocks."""
        return Grid(self.shape, max(self.largest_part // 2, 1))

    def axes(self) -> tuple[Axis, Axis]:
        """From the image to what the network sees."""
        return Axis(self.shape[0], self.seen[0]), Axis(self.shape[1], self.seen[1])

    def axes_back(self) -> tuple[Axis, Axis]:
        return Axis(self.seen[0], self.shape[0]), Axis(self.seen[1], self.shape[1])

    @property
    def identity(self) -> Identity:
        """What decides the result."""
        return self.settings.identity.of(image_by_stamp(Path(self.source), self.stamp))

    def goes_on(self, wanted: Identity, largest_part: int, block: int | None) -> bool:
        """Whether the plan is for this work. The folder of the model doesn't matter, nor do the kinds of files and the
        memory."""
        return self.identity.key == wanted.key and self.largest_part == largest_part and block in (None, self.block)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    @staticmethod
    def from_json(text: str) -> "Plan":
        said = json.loads(text, object_hook=_with_tuples)
        return Plan(
            **said | {"settings": Settings.from_dict(said["settings"]), "diameter": Diameter(**said["diameter"])}
        )


def reached(window: Window, shape: tuple[int, int], reach: int) -> Window:
    """A window and what lies so many pixels around it in the image."""
    rows, cols = (slice(max(w.start - reach, 0), min(w.stop + reach, n)) for w, n in zip(window, shape, strict=True))
    return rows, cols


def _with_tuples(said: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in said.items()}


class Workplace:
    """The folder, opened. A process opens it once, see `workplace`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.plan = Plan.from_json((folder / PLAN).read_text())

    @staticmethod
    def make(folder: Path, plan: Plan, channels: int) -> Path:
        """Begin, or go on; the plan is written last.

        Args:
            folder: Named by the plan's key.
            channels: Maps to a pixel: probability, and distance where the network has it.

        Returns:
            The folder.
        """
        if read_plan(folder) is not None:
            write_whole(folder / PLAN, plan.to_json().encode())  # the model may have moved since
            return folder
        if folder.exists():
            shutil.rmtree(folder)
        zarr.create_array(
            folder / "maps.zarr",
            shape=(channels, *plan.shape),
            chunks=(channels, plan.block, plan.block),
            dtype="uint16",
            compressors=[BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"), Crc32cCodec()],
            overwrite=True,
        )
        (folder / "nuclei").mkdir(exist_ok=True)
        write_whole(folder / PLAN, plan.to_json().encode())
        return folder

    def check_image(self) -> None:
        """Raise an ImageError if the image isn't as it was when the plan was made."""
        if stamp(Path(self.plan.source)) != self.plan.stamp:
            raise ImageError(f"{self.source.name}: It was changed while it was read. Give the command again.")

    @cached_property
    def source(self) -> Source:
        s = self.plan.settings
        return Source(self.plan.source, s.z, s.t, self.plan.channel, s.series, s.pixel_size)

    @cached_property
    def others(self) -> dict[str, Source]:
        """The image's other channels by name, to be measured."""
        path, taken, s = self.plan.source, self.source, self.plan.settings
        info = inspect(path, s.series, s.z, s.t, self.plan.channel)
        # an axis of one plane isn't asked for: where a file doesn't say what its pages are, it would be taken for them
        z, t = (taken.plane[axis] if info.sizes[axis] > 1 else None for axis in "ZT")
        others = other_channels(info, taken.channels)
        return {name: Source(path, z, t, number, s.series) for number, name in others.items()}

    @cached_property
    def network(self) -> Network:
        return network_of(self.plan.settings)

    @cached_property
    def _maps(self) -> zarr.Array:
        # a chunk that is there says that its block is done; open_array's own `config` is not heeded (Zarr 3.1.6)
        with zarr.config.set({"array.write_empty_chunks": True}):
            return zarr.open_array(self.folder / "maps.zarr", mode="r+")

    def has_maps(self, block: int) -> bool:
        """Whether the maps of a block are there."""
        return self._chunk(block).exists()

    def has_whole_maps(self, block: int) -> bool:
        """Whether they are there and can be read; if they are there and can't, they go."""
        if not self.has_maps(block):
            return False
        try:
            self._maps[(slice(None), *self.plan.grid.window(block))]
        except Exception:  # of any type: what damaged bytes come to depends on the codec
            self._chunk(block).unlink(missing_ok=True)
            return False
        return True

    def _chunk(self, block: int) -> Path:
        y, x = divmod(block, self.plan.grid.across)
        return self.folder / "maps.zarr" / "c" / "0" / str(y) / str(x)

    def write_maps(self, block: int, maps: np.ndarray) -> None:
        """(n, h, w) float, in [0, 1].

        Raises:
            RunStopped: The folder is gone, as the run that it belongs to is over.
        """
        if not (self.folder / PLAN).exists():
            raise RunStopped(f"{self.folder} is gone: the run that it belongs to is over.")
        self._maps[(slice(None), *self.plan.grid.window(block))] = np.rint(maps * np.float32(FULL)).astype(np.uint16)

    def read_maps(self, window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        """Probability and distance, if there is one, of a window: (h, w) float32 each, in [0, 1]."""
        probability, *rest = self._stored(slice(None), window)
        return probability, rest[0] if rest else None

    def read_mask(self, window: Window) -> np.ndarray:
        """Where there is nucleus: (h, w), bool."""
        return self._stored(0, window) > self.plan.settings.threshold

    def _stored(self, which: int | slice, window: Window) -> np.ndarray:
        """Maps of a window, float32 in [0, 1]. Zarr would take a missing chunk for zeros: raises RunStopped instead."""
        if not all(self.has_maps(block) for block in self.plan.grid.touched(window)):
            raise RunStopped(f"Files in {self.folder} aren't seen from here yet, or were removed: start it again.")
        try:
            with few_chunks(self._maps):
                stored = np.asarray(self._maps[(which, *window)])
        except Exception as error:  # of any type, as above
            gone = [block for block in self.plan.grid.touched(window) if not self.has_whole_maps(block)]
            if not gone:
                raise
            raise RunStopped(f"Files in {self.folder} are damaged: start it again, and they are made again.") from error
        maps = stored.astype(np.float32)
        maps /= np.float32(FULL)
        return maps

    def nuclei_file(self, name: str) -> Path:
        return self.folder / "nuclei" / f"{name}.npz"


@lru_cache(maxsize=1)
def workplace(folder: str, key: str) -> Workplace:
    """The workplace of a job, opened once a process.

    Args:
        key: Of its plan, see `plan_key`, so that another plan of the same folder isn't taken for it.

    Raises:
        RunStopped: It isn't seen from here, was begun anew, or by another version of this package.
    """
    if not Path(folder, PLAN).exists():
        raise RunStopped(
            f"{folder} isn't seen from here: its run is over, or this machine doesn't see the results' folder "
            f"under the same path as the one that began the run. All machines must have it under one path."
        )
    work = Workplace(Path(folder))
    if plan_key(work.plan) != key:
        raise RunStopped(f"{folder} was begun anew by another run: wait until it ends.")
    check_code(work.plan.settings)
    return work


def read_plan(folder: Path) -> Plan | None:
    """The plan in a folder; `None` where there is none, or none that can be understood."""
    try:
        return Plan.from_json((folder / PLAN).read_text())
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def plan_key(plan: Plan) -> str:
    """Of all that decides what is in a workplace: the result, and how the image is cut. The names of folders don't."""
    return sha256(f"{plan.identity.key} {plan.block} {plan.largest_part}".encode()).hexdigest()[:16]


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that is whole or not there, if the process is killed; see `durable` for power cuts."""
    part = path.with_name(f".{secrets.token_hex(8)}{PART}")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
