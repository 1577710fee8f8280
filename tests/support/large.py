"""What the tests of large images share: networks, images of discs, and nuclei cut out of maps without a network."""

from pathlib import Path

import numpy as np
import tifffile
import torch

from nuclei_models import NucleiImageProcessor, UNet, UNetConfig, UNetPlusPlus, UNetPlusPlusConfig
from nuclei_models.jobs.settings import Settings, settings_for
from nuclei_models.large import run, sinks
from nuclei_models.large.nuclei import find_nuclei, find_nuclei_of_cell
from nuclei_models.large.numbering import number_nuclei
from nuclei_models.large.parts import EdgesJob, find_edges, join, share_out
from nuclei_models.large.workplace import Plan, Workplace, plan_key, workplace
from nuclei_models.model.confidence import FEATURES
from nuclei_models.model.instances import find_instances
from nuclei_models.model.scale import Diameter

ID2LABEL = {0: "background", 1: "nucleus", 2: "border", 3: "distance"}
CONFIDENCE = {  # made up, but every feature counts
    "features": list(FEATURES),
    "mean": [0.5] * len(FEATURES),
    "std": [1.0] * len(FEATURES),
    "weights": [0.4, 0.8, 0.4, 0.9, 0.6, -0.7, 0.05, -0.3, 0.4, -0.5, -0.4, 0.3],
    "bias": 0.2,
}
CUT = {"threshold": 0.5, "separation": 0.5, "min_area": 0.0}


def network(kind: str, channels: tuple[int, ...] = (4, 6, 8, 10, 12)):
    """A network of random weights: a U-Net of that padding, or "unetpp"."""
    torch.manual_seed(0)
    options = {"channels": list(channels), "id2label": ID2LABEL, "batch_norm": True}
    if kind == "unetpp":
        return UNetPlusPlus(UNetPlusPlusConfig(**options, deep_supervision=True)).eval()
    return UNet(UNetConfig(**options, padding=kind)).eval()


def seeing(folder: Path, diameter: float | None = 24.0, **options) -> str:
    """Save a U-Net that sees something: brighter than its surroundings is nucleus, and brighter still a core."""
    model = network("same", (4, 8))
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    for block in (model.contracting[0], model.expansive[0]):  # channel 0 of the image goes straight through to the end
        for conv, norm in ((block[0], block[1]), (block[3], block[4])):
            torch.nn.init.constant_(norm.weight, 1.0)
            with torch.no_grad():
                conv.weight[0, 0, 1, 1] = 0.6
                conv.weight[0, 0] += 0.05
    with torch.no_grad():
        model.head.weight[1, 0], model.head.bias[1] = 12.0, -6.0
        model.head.weight[3, 0], model.head.bias[3] = 6.0, -5.0
        model.head.bias[2] = -20.0
    model.save_pretrained(folder)
    options = {"confidence_model": {"alone": CONFIDENCE}} | options
    NucleiImageProcessor(diameter=diameter, threshold=0.5, separation=0.5, **options).save_pretrained(folder)
    return str(folder)


def settings(folder: Path, **options) -> Settings:
    return settings_for(seeing(folder), **{"save": ("labels", "csv", "geojson")} | options)


def blobs(shape: tuple[int, int], seed: int = 0, spacing: int = 26) -> np.ndarray:
    """Bright discs that fade to their edges, many of which touch: uint16."""
    rng = np.random.default_rng(seed)
    image = rng.normal(400, 30, shape).astype(np.float32)
    n = shape[0] * shape[1] // spacing**2
    for y, x, radius in zip(
        rng.integers(-5, shape[0] + 5, n), rng.integers(-5, shape[1] + 5, n), rng.uniform(6, 14, n), strict=True
    ):
        top, left = max(y - 15, 0), max(x - 15, 0)
        part = image[top : y + 16, left : x + 16]
        rows, cols = np.mgrid[top : top + part.shape[0], left : left + part.shape[1]]
        np.maximum(part, 400 + 3000 * np.clip(1.3 - np.hypot(rows - y, cols - x) / radius, 0, 1), out=part)
    return image.clip(0, 65535).astype(np.uint16)


def cut_by_blocks(
    folder: Path, maps: np.ndarray, block: int, largest_part: int = 4096, min_area: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """The label image that blocks of a side make of maps (n, H, W) in [0, 1], and the nuclei's areas."""
    folder.mkdir(parents=True)
    shape = maps.shape[1:]
    tifffile.imwrite(folder / "image.tif", (maps[0] * 200).astype(np.uint8))
    plan = Plan(
        source=str(folder / "image.tif"),
        stamp=(0, 0),
        settings=Settings(model="", weights_sha256="", processor_sha256="", **CUT | {"min_area": min_area}),
        shape=shape,
        seen=shape,
        bottom=(0.0,) * 3,
        span=(1.0,) * 3,
        diameter=Diameter(),
        channel=None,
        stain=None,
        taken="",
        min_area=min_area,
        block=block,
        largest_part=largest_part,
    )
    Workplace.make(folder, plan, len(maps))
    at = str(folder), plan_key(plan)
    work, grid = workplace(*at), plan.grid
    for b in range(len(grid)):
        work.write_maps(b, maps[(slice(None), *grid.window(b))])
    edges = [find_edges(EdgesJob(*at, b)) for b in range(len(grid))]
    shared = share_out(*at, plan, join(grid, edges))
    names = [f"block-{job.block}" for job in shared.nuclei if find_nuclei(job) >= 0]
    names += [f"cell-{job.cell}" for job in shared.cells if find_nuclei_of_cell(job) >= 0]
    numbering = number_nuclei(work, names)
    sinks.make_labels(folder / sinks.LABELS, shape, block, None, "test")
    for job in run.labels_jobs(work, numbering, shared):
        sinks.write_labels(job)
    return np.asarray(sinks.open_labels(folder)[:]).astype(np.int32), numbering.areas


def stored(maps: np.ndarray) -> np.ndarray:
    """Maps as the workplace keeps them."""
    return np.rint(maps.astype(np.float32) * np.float32(65535)).astype(np.uint16).astype(np.float32) / np.float32(65535)


def cut_whole(maps: np.ndarray, min_area: float = 0.0) -> np.ndarray:
    maps = stored(maps)
    return find_instances(maps[0], maps[1] if len(maps) > 1 else None, **CUT | {"min_area": min_area})


def wanted(model: Path, **options) -> Settings:
    """The settings of a run with this model; labels, table and outlines unless `save` is given."""
    return settings_for(str(model), **{"save": ("labels", "csv", "geojson")} | options)
