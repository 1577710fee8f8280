"""The differential stage: random images of every type and size by every way there is; all must find the same nuclei.

The ways: the library, the page's handler and its endpoint, the command, the command on a Dask cluster, transformers'
pipeline, and part by part as an image that is larger than memory.
"""

import csv
import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import numpy as np
import pytest
import tifffile
from distributed import Client, LocalCluster
from PIL import Image
from scipy import ndimage
from transformers import pipeline

from nuclei_models import load, measure, read, segment
from nuclei_models.batch import overview
from nuclei_models.inference.network import Network
from nuclei_models.inference.settings import Cut, RunSettings
from nuclei_models.jobs.cluster import DaskMapper
from nuclei_models.jobs.settings import settings_for
from nuclei_models.large import segment_large
from nuclei_models.large.workplace import FULL
from nuclei_models.model.maps import Maps
from nuclei_models.page.api import Api
from nuclei_models.page.handlers import Page
from nuclei_models.page.networks import Networks
from nuclei_models.page.opened import Picture
from tests.support.page import save_networks

from .batches import SHM, quiet
from .expected import once

cli = import_module("nuclei_cli.segment")
MOST = 48  # pixels of a side; the smaller, the more can be tried
TYPES = ("u1", "u2", "u4", "i2", "f4", "rgb", "rgba", "png", "png16", "jpg", "bmp")
BLOCK = 32
PREDICT = Network.predict
IN_A_ROW = 20  # cases with the same network, which is loaded again after another
QUIET = {  # what a cluster does by the clock takes longer than the work
    "distributed.admin.tick.interval": "1h",
    "distributed.admin.system-monitor.interval": "1h",
    "distributed.worker.profile.enabled": False,
    "distributed.scheduler.worker-ttl": None,
}
NEAR = 1e-4  # of the threshold: where maps are kept in 16 bits, such a pixel may move, see docs/large.md
ROUGH = 0.02  # of it where a network runs in another precision


def image(random: np.random.Generator, kind: str, shape: tuple[int, int]) -> np.ndarray:
    """Blobs, (H, W) or (H, W, C)."""
    smooth = ndimage.gaussian_filter(random.uniform(0, 1, shape), random.uniform(1.5, 5))
    unit = (smooth - smooth.min()) / max(np.ptp(smooth), 1e-6)
    if kind in ("rgb", "rgba", "jpg", "bmp"):
        colours = np.stack([unit, unit * 0.7, unit[::-1] * 0.5], -1)
        alpha = np.full((*shape, 1), 0.5) if kind == "rgba" else np.zeros((*shape, 0))
        return (np.concatenate([colours, alpha], -1) * 255).astype(np.uint8)
    dtype = np.dtype({"png": "u1", "png16": "u2"}.get(kind, kind))
    return unit.astype(dtype) if dtype.kind == "f" else (unit * (np.iinfo(dtype).max // 3)).astype(dtype)


def save(folder: Path, kind: str, pixels: np.ndarray) -> Path:
    if kind in ("png", "png16", "jpg", "bmp"):
        path = folder / f"x.{kind.removesuffix('16')}"
        Image.fromarray(pixels).save(path)
    else:
        path = folder / "x.tif"
        colour = "rgb" if pixels.ndim == 3 else "minisblack"
        tifffile.imwrite(path, pixels, photometric=colour, resolution=(20_000, 20_000), resolutionunit="CENTIMETER")
    return path


class Ways:
    """Every way from a file to labels and numbers.

    Args:
        folder: For networks and results.
        cluster: A mapper.
        patched: For what differs while a case is tried.
    """

    def __init__(self, folder: Path, cluster: DaskMapper, patched: pytest.MonkeyPatch):
        self.folder, self.cluster, self.patched = folder, cluster, patched
        self.sources = save_networks(folder / "networks")
        self.networks = Networks(self.sources)
        self.loaded = {key: load(source, device="cpu") for key, source in self.sources.items()}
        self.endpoint = Api(self.networks, lambda request: nullcontext(lambda: None))
        self.page = Page(self.networks, [])

    def compare(self, path: Path, key: str, cut: dict[str, float], diameter: float | None) -> Iterator[tuple[str, str]]:
        """-> (way, what is wrong), "" where nothing is."""
        model, processor = self.loaded[key]
        picture = read(path)
        self.patched.setattr(Network, "predict", once(PREDICT))
        wanted = segment(picture.pixels, model, processor, **cut, diameter=diameter, pixel_size=picture.pixel_size)
        labels, table = wanted.labels, measure(wanted.labels, picture.pixels, picture.pixel_size)

        found, facts = self.endpoint.segment(str(path), key, **cut, diameter=diameter)
        yield "endpoint", differs(labels, tifffile.imread(found)) or counts(labels, facts["nuclei"])

        asked = Picture("x", picture.pixels, picture.pixel_size)
        analysis = self.page.run(asked, RunSettings(diameter), None, None)
        shown = analysis.table(key, Cut(**cut))
        yield "page", differs(labels, analysis.labels(key, Cut(**cut))) or numbers(table, shown)

        for way, mapper in (("command", None), ("cluster", self.cluster)):
            out = Path(tempfile.mkdtemp(dir=self.folder))
            code = self.command(path, out, key, cut | {"diameter": diameter}, mapper)
            if code:
                yield way, f"it ended with {code}"
                continue
            with (out / "x_measurements.csv").open() as file:
                rows = list(csv.DictReader(file))
            listed = {name: np.array([float(row[name] or "nan") for row in rows]) for name in table}
            yield way, differs(labels, tifffile.imread(out / "x_labels.tif")) or numbers(table, listed)

        if picture.pixels.dtype == np.uint8 and picture.pixels.shape[-1] != 4 and not cut and diameter is None:
            near = np.abs(wanted.maps.probability - processor.threshold) < ROUGH
            yield "pipeline", foreground(labels, self.by_pipeline(picture.pixels, model, processor), near)

        wishes = settings_for(self.sources[key], **cut, diameter=diameter, save=("labels",))
        parts = segment_large(path, Path(tempfile.mkdtemp(dir=self.folder)), wishes, block=BLOCK)
        found = tifffile.imread(parts.files["labels"])
        if diameter is None:
            yield "part by part", renumbered(processor.instances(stored(wanted.maps), **cut), found)
        else:  # what is rescaled window by window is rounded otherwise
            near = np.abs(wanted.maps.probability - cut.get("threshold", processor.threshold)) < NEAR
            yield "part by part", foreground(labels, found, near)

    def command(self, path: Path, out: Path, key: str, options: dict[str, Any], mapper: DaskMapper | None) -> int:
        asked = options | {"save": ("labels", "csv"), "regions": None}
        plain = cli.mapper_for
        if mapper is not None:
            cli.mapper_for = lambda scheduler, stack: mapper
        try:
            scheduler = None if mapper is None else "x"
            return cli.segment_images([str(path)], out, False, self.sources[key], asked, {}, scheduler, False, True)
        finally:
            cli.mapper_for = plain

    @staticmethod
    def by_pipeline(pixels: np.ndarray, model: Any, processor: Any) -> np.ndarray:
        pipe = pipeline("image-segmentation", model=model, image_processor=processor)
        found = pipe(Image.fromarray(pixels), subtask="instance", threshold=0.0)
        together = np.zeros(pixels.shape[:2], int)
        for number, one in enumerate(found, 1):
            together[np.asarray(one["mask"]) > 0] = number
        return together


def differs(wanted: np.ndarray, found: np.ndarray) -> str:
    """What is wrong with a label image."""
    if wanted.shape != found.shape:
        return f"it is {found.shape}, expected {wanted.shape}"
    wrong = int((wanted != found).sum())
    return f"{wrong} of {wanted.size} pixels differ" if wrong else ""


def stored(maps: Maps) -> Maps:
    """As a large image's maps come back from the disk."""

    def rounded(values: np.ndarray) -> np.ndarray:
        return np.rint(values * np.float32(FULL)).astype(np.uint16).astype(np.float32) / np.float32(FULL)

    return maps._replace(probability=rounded(maps.probability), distance=rounded(maps.distance))


def renumbered(wanted: np.ndarray, found: np.ndarray) -> str:
    """What is wrong with a label image whose nuclei are to be the same, numbered in any order."""
    if wanted.shape != found.shape:
        return f"it is {found.shape}, expected {wanted.shape}"
    pairs = np.unique(np.stack([wanted.ravel(), found.ravel()]), axis=1)
    apart = len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]
    if apart and not ((pairs[0] == 0) != (pairs[1] == 0)).any():
        return ""
    return f"{found.max(initial=0)} nuclei, expected {wanted.max(initial=0)}, some of other pixels"


def foreground(wanted: np.ndarray, found: np.ndarray, near: np.ndarray) -> str:
    """What is wrong with a label image in which pixels near the threshold, and nuclei with such pixels, may differ."""
    if wanted.shape != found.shape:
        return f"it is {found.shape}, expected {wanted.shape}"
    beside = ndimage.binary_dilation(near, np.ones((3, 3)))
    may = beside | np.isin(wanted, np.setdiff1d(wanted[beside], 0)) | np.isin(found, np.setdiff1d(found[beside], 0))
    wrong = int(((wanted > 0) != (found > 0))[~may].sum())
    return f"{wrong} of {wanted.size} pixels are nucleus in one only" if wrong else ""


def counts(labels: np.ndarray, told: int) -> str:
    return "" if told == labels.max(initial=0) else f"{told} nuclei are told of, there are {labels.max()}"


def numbers(wanted: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> str:
    """What is wrong with a table: every column that both have must be the same, to the six digits of a file."""
    shared = [name for name in wanted if name in found]
    if "area_px" not in shared:
        return f"there are only {list(found)}"
    for name in shared:
        same = np.allclose(wanted[name], found[name], rtol=2e-5, atol=1e-6, equal_nan=True)
        if len(wanted[name]) != len(found[name]) or not same:
            return f"{name} is {found[name][:3]}.., expected {wanted[name][:3]}.."
    return ""


@contextmanager
def ways() -> Iterator[Ways]:
    with ExitStack() as stack:
        memory = SHM if SHM.is_dir() else None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="campaign-", dir=memory)))
        options: dict[str, Any] = {"threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": logging.CRITICAL}
        stack.enter_context(dask.config.set(QUIET))
        cluster = stack.enter_context(LocalCluster(n_workers=1, processes=False, **options))
        client = stack.enter_context(Client(cluster))
        stack.enter_context(quiet())
        patched = stack.enter_context(pytest.MonkeyPatch.context())
        patched.setattr(overview, "report", lambda *_: b"")  # takes as long as the rest, and tells no number of its own
        yield Ways(folder, DaskMapper(client, threads=1), patched)


def differential(cases: int, tell: Callable[[str], None], first: int = 0) -> dict[str, SimpleNamespace]:
    """Try images. -> by way, how many were `tried`, and `wrong`, a line each."""
    tried, wrong = Counter[str](), Counter[str]()
    with ways() as every:
        for n in range(first, first + cases):
            random = np.random.default_rng(n)
            kind = TYPES[n % len(TYPES)]
            shape = tuple(int(side) for side in random.choice([1, 2, 7, 16, 27, 36, MOST], 2))
            cut = {"threshold": 0.35, "min_area": 12.0} if random.integers(2) else {}
            diameter = float(random.choice([12.0, 40.0])) if random.integers(2) else None
            with tempfile.TemporaryDirectory(dir=every.folder) as folder:
                path = save(Path(folder), kind, image(random, kind, shape))
                for way, problem in every.compare(path, ("unet", "unetpp")[n // IN_A_ROW % 2], cut, diameter):
                    tried[way] += 1
                    if problem:
                        wrong[way] += 1
                        tell(f"case {n}, {kind} {shape}, {cut}, diameter {diameter}: {way}: {problem}")
    return {way: SimpleNamespace(tried=tried[way], wrong=wrong[way]) for way in tried}
