"""What rescaling and test-time augmentation bring to finished weights, on the validation list."""

import json
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from nuclei_models import NucleiImageProcessor
from nuclei_models.inference.bundled import TITLES, key_of
from nuclei_models.inference.loading import load
from nuclei_models.inference.segmentation import segment
from nuclei_models.model.intensity import to_rgb
from nuclei_models.model.maps import resize
from nuclei_models.model.modeling_nuclei import NucleiPreTrainedModel
from nuclei_models.training.augment import median_diameter
from nuclei_models.training.packed import load_packed
from nuclei_models.training.samples import Sample
from train.data import read_split
from train.studies.small import judge, means

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
MAX_PIXELS = 2e6  # of a rescaled image; larger ones are cut to their middle, and so is their truth


def rescaled(sample: Sample, scale: float) -> Sample:
    """An image as if taken at another magnification, with its nuclei."""
    if scale == 1:
        return sample
    height, width = sample.labels.shape
    side = int(np.sqrt(MAX_PIXELS) / scale)
    top, left = max(0, height - side) // 2, max(0, width - side) // 2
    part = np.s_[top : top + side, left : left + side]
    rgb, labels = to_rgb(sample.image)[part], sample.labels[part]
    size = [max(1, round(n * scale)) for n in labels.shape]
    image = resize(torch.from_numpy(rgb.transpose(2, 0, 1).astype(np.float32)), size).numpy()
    numbers = Image.fromarray(labels.astype(np.int32)).resize(size[::-1], Image.Resampling.NEAREST)
    return Sample(sample.id, image.transpose(1, 2, 0).round().astype(np.uint8), np.asarray(numbers).astype(np.int32))


def scale(weights: str, out: Path, limit: int | None = None) -> None:
    """Figures at every scale: diameter estimated, told as it truly is, and without any rescaling."""
    model, processor = load(weights)
    samples = load_packed("data/dsb2018", read_split("validation"))[:limit]
    for factor in SCALES:
        shown = [rescaled(s, factor) for s in samples]
        for way in ("estimated", "true", "not rescaled"):
            file = out / f"{Path(weights).name}-{factor:g}-{way.replace(' ', '-')}.json"
            if file.is_file():
                continue
            figures = [
                judge(s.labels, segment(s.image, model, processor, diameter=_diameter(s, way, processor)).labels)
                for s in tqdm(shown, desc=file.stem, unit="image")
            ]
            told = way if way == "not rescaled" else f"diameter {way}"
            _save(file, f"{_title(model)}, x{factor:g}, {told}", means(samples, figures))


def tta(weights: str, out: Path, limit: int | None = None) -> None:
    """Figures and time with and without test-time augmentation."""
    model, processor = load(weights)
    samples = load_packed("data/dsb2018", read_split("validation"))[:limit]
    for way, on in (("without", False), ("with", True)):
        file = out / f"{Path(weights).name}-{way}.json"
        if file.is_file():
            continue
        start = time.perf_counter()
        found = [segment(s.image, model, processor, tta=on).labels for s in tqdm(samples, desc=file.stem, unit="image")]
        seconds = (time.perf_counter() - start) / len(samples)
        figures = [judge(s.labels, labels) for s, labels in zip(samples, found, strict=True)]
        _save(file, f"{_title(model)}, {way}", means(samples, figures), {"seconds an image": round(seconds, 2)})


def _diameter(sample: Sample, way: str, processor: NucleiImageProcessor) -> float | None:
    if way == "estimated":
        return None
    true = median_diameter(sample.labels) if way == "true" else 0
    return true or processor.min_diameter  # a diameter within the range is not rescaled


def _title(model: NucleiPreTrainedModel) -> str:
    return TITLES[key_of(model.config.model_type)]


def _save(file: Path, name: str, figures: dict, more: dict | None = None) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"name": name, "seed": 0, "figures": figures, **(more or {})}, indent=1) + "\n")
