"""What images of other laboratories bring to a small network: the Bowl alone against all five, for as many steps.

Both are judged on `five_validation`, laboratory by laboratory, at the true nuclear diameter, so that the scale is not
what is compared. As everywhere in these studies, thresholds are fitted on one half and judged on the other.
"""

import json
import time
from pathlib import Path

import numpy as np

from nuclei_models import NucleiImageProcessor
from nuclei_models.inference.tiling import predict_logits
from nuclei_models.model.modeling_nuclei import NucleiPreTrainedModel
from nuclei_models.training.augment import median_diameter
from nuclei_models.training.packed import load_packed
from nuclei_models.training.samples import Sample, laboratory
from train.data import read_split
from train.fit.thresholds import centre
from train.studies.schemes import SCHEMES
from train.studies.small import DIAMETERS, cross_fit, train_small

SCHEME = SCHEMES["border and distance"]
SIDE = 640  # pixels: of larger images the centre
FIVE = [
    "data=data",
    "train_split=five_train",
    "shares={dsb2018: 0.38, nuinsseg: 0.24, tnbc: 0.11, bsst265: 0.17, mnfinder: 0.1}",
]
TRAINED_ON = {"the Bowl alone": [], "all five": FIVE}


def run(seeds: tuple[int, ...], folder: Path, data: str = "data") -> None:
    """Train on each, judge, and write a file for each network; one whose file is there is not run again."""
    samples = [centre(sample, SIDE) for sample in load_packed(data, read_split("five_validation"))]
    processor = NucleiImageProcessor.from_pretrained(DIAMETERS)
    for seed in seeds:
        for number, (name, overrides) in enumerate(TRAINED_ON.items(), 1):
            file = folder / f"{number}-{seed}.json"
            if file.is_file():
                continue
            start = time.perf_counter()
            model = train_small(SCHEME, overrides, seed)
            minutes = (time.perf_counter() - start) / 60
            figures = _judged(model, processor, samples)
            by_laboratory: dict[str, list[float]] = {}
            for sample, row in zip(samples, figures, strict=True):
                by_laboratory.setdefault(laboratory(sample.id), []).append(row["bowl_map"])
            means = {key: round(float(np.mean(values)), 4) for key, values in by_laboratory.items()}
            record = {"name": name, "seed": seed, "minutes": round(minutes, 1), "bowl_map": means}
            folder.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(record, indent=1) + "\n")
            print(record, flush=True)


def _judged(
    model: NucleiPreTrainedModel, processor: NucleiImageProcessor, samples: list[Sample]
) -> list[dict[str, float]]:
    """Figures of every image."""
    maps = []
    for sample in samples:
        x = processor.prepare(sample.image, median_diameter(sample.labels) or None)
        size = sample.labels.shape
        maps.append((SCHEME.maps(predict_logits(model, x), size), size[0] / x.shape[1]))
    return cross_fit(samples, list(SCHEME.settings), lambda i, setting: SCHEME.decode(*maps[i], *setting))[0]
