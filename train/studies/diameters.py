"""How well the nuclear diameter is found, before the networks looked for it and since.

    python -m train.studies diameters

Before, the picture alone was judged, by an estimate that was fitted on the Bowl; it is read from the repository's
history with the weights of version 0.1. Since then the picture is judged by an estimate that was fitted on all five
laboratories, and the networks look. All are tried on `five_validation`, each laboratory at its own scale and all of
them at others. The networks' figures are those that `train.fit.scale` wrote beside the weights.
"""

import json
import subprocess
from functools import partial
from pathlib import Path

from nuclei_models import NucleiImageProcessor
from nuclei_models.inference.bundled import TITLES
from nuclei_models.model.scale import Diameter
from nuclei_models.training.samples import Sample
from train.fit.scale import judge, tried

BEFORE = "997e37d"  # the commit
SCALES = (1.0, 0.25, 4.0)
SPLIT = "five_validation"


def alone(sample: Sample, scale: float, processor: NucleiImageProcessor) -> tuple[float, Diameter] | None:
    """The true diameter and what the picture alone says, as `train.fit.scale.found`."""
    known = tried(sample, scale)
    return None if known is None else (known[0], Diameter(processor.belief(known[1]).diameter))


def run(folder: Path, data: str = "data") -> None:
    """Write a file for each way of finding the diameter."""
    path = "weights/unet-nuclei/preprocessor_config.json"
    saved = json.loads(subprocess.run(["git", "show", f"{BEFORE}:{path}"], capture_output=True, check=True).stdout)
    today = NucleiImageProcessor.from_pretrained(Path(path).parent)
    before = NucleiImageProcessor(
        channel_names=list(today.channel_names), diameter_estimator=saved["diameter_estimator"]
    )
    pictures = {"the picture alone, version 0.1": before, "the picture alone": today}
    found = {name: judge(SPLIT, data, partial(alone, processor=p), SCALES) for name, p in pictures.items()}
    for key, title in TITLES.items():
        found[f"{title} looks"] = json.loads(Path(f"weights/{key}-nuclei/diameter.json").read_text())
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, figures) in enumerate(found.items(), 1):
        (folder / f"{number}.json").write_text(json.dumps({"name": name, "figures": figures}, indent=1) + "\n")
