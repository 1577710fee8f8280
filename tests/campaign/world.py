"""A small world in which batch runs are tried: images, a network whose answer is known at once, a worker that lives on,
and a process that can be killed at any step on the disk. For `batches.py`.

The network is a stand-in: its three files hold numbers, and its nuclei depend on each of them, on the settings and on
the version of the code, so that a result made of the wrong ones is another.
"""

import json
import os
import pickle
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from scipy import ndimage

from nuclei_models.batch import overview
from nuclei_models.inference.loading import PROCESSOR
from nuclei_models.inference.network import Network
from nuclei_models.inference.segmentation import Segmentation
from nuclei_models.jobs import settings
from nuclei_models.model.maps import Maps
from nuclei_models.model.repository import CONFIG, WEIGHTS, sha256

SIDE = 24
WRITES = os.O_WRONLY | os.O_RDWR
STEPS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir")


class Killed(BaseException):
    """The process is no more."""


@dataclass
class Disk:
    """The steps that a process takes on the disk, at one of which it may be killed; from then on none is taken.

    Attributes:
        root: What it is about.
        left: Steps until the process is killed; `None` lets it live.
    """

    root: Path
    left: int | None = None

    def watch(self) -> None:
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple) -> None:
        if self.left is None or event not in STEPS or not str(args[0]).startswith(str(self.root)):
            return
        if event == "open" and not (args[2] or 0) & WRITES:
            return
        self.left -= 1
        if self.left < 0:
            raise Killed


class StandIn(Network):
    """See above.

    Attributes:
        numbers: That its files hold.
    """

    numbers: list[int]

    @property
    def levels(self) -> list[int]:
        return []

    @property
    def device(self) -> str:
        return "nothing"

    def segment(self, image: np.ndarray, settings: Any, cut: Any, pixel_size=None, progress=None) -> Segmentation:
        if progress:
            progress(0, 1)
        return Segmentation(nuclei(image, *self.numbers, cut.threshold, now().version), nothing(image.shape[:2]))


def nuclei(image: np.ndarray, weights: int, config: int, fitted: int, threshold: float, version: int) -> np.ndarray:
    """Bright parts of an image; each argument moves what is bright."""
    least = 40 + 3 * weights + 7 * config + 13 * fitted + 23 * version + 90 * threshold
    return ndimage.label(image > least)[0].astype(np.int32)


def nothing(size: tuple[int, int]) -> Maps:
    empty = np.zeros(size, np.float32)
    return Maps(empty, empty)


def load_stand_in(model: str, device: str | None = None) -> StandIn:
    files = [Path(model, name) for name in (WEIGHTS, CONFIG, PROCESSOR)]
    numbers = [json.loads(path.read_text()) for path in files]
    hashes = [sha256(path) for path in files]
    processor = SimpleNamespace(
        threshold=0.5,
        separation=0.5,
        min_area=0.0,
        confidence_model=None,
        least_confidence=0.0,
        least_applied=lambda given=None: given or 0.0,
        instances=lambda *_: None,
        scale_for=lambda *_: 1.0,
        confidence=lambda *_: None,
    )
    device_of = SimpleNamespace(device=torch.device("cpu"))
    found = StandIn("unet", "model", "", hashes[0], device_of, processor)  # type: ignore[arg-type]
    found.config_sha256, found.processor_sha256 = hashes[1], hashes[2]
    found.numbers = numbers
    return found


@dataclass
class Process:
    """What a process has in memory: its version of the code, and the network that it has loaded."""

    version: int = 0
    loaded: dict = field(default_factory=dict)


_now = [Process()]


def now() -> Process:
    """The process that runs."""
    return _now[-1]


@contextmanager
def in_process(process: Process) -> Iterator[None]:
    """What is done meanwhile is done by that process."""
    _now.append(process)
    outer = settings._loaded
    settings._loaded = process.loaded
    try:
        yield
    finally:
        settings._loaded = outer
        _now.pop()


class Cluster:
    """One worker that lives on from run to run. Jobs that a run leaves behind are kept, and may be done late."""

    def __init__(self) -> None:
        self.worker, self.late = Process(), []

    def mapper(self, work: Any, jobs: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        waiting = [(job, pickle.dumps((work, job))) for job in jobs]
        try:
            while waiting:
                job, sent = waiting.pop(0)
                self.late = [sent]  # as a worker that is taken for dead goes on with a job that is begun elsewhere
                yield job, self.do(sent)
        finally:
            self.late += [sent for _, sent in waiting]

    def do(self, sent: bytes) -> Any:
        work, job = pickle.loads(sent)
        with in_process(self.worker):
            try:
                return work(job)
            except Exception as error:
                return error


def image_of(content: int) -> np.ndarray:
    """Blobs of all brightnesses: any change of what decides a result gives others."""
    random = np.random.default_rng(content)
    smooth = ndimage.gaussian_filter(random.uniform(0, 1, (SIDE, SIDE)), 1.5)
    return ((smooth - smooth.min()) / np.ptp(smooth) * 255).astype(np.uint8)


def write_image(path: Path, content: int) -> None:
    tifffile.imwrite(path, image_of(content))


@contextmanager
def stand_ins() -> Iterator[None]:
    """With the stand-in in place of a network, versions in place of the code's hash, and no picture in the report."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(settings, "load_for_inference", load_stand_in)
        patched.setattr(settings, "code_version", lambda: f"0.0.{now().version}")
        patched.setattr(overview, "report", lambda *_: b"")
        yield
