"""What the networks of version 0.1, which had seen the Bowl alone, find on other laboratories' test images.

    python -m train.studies earlier

Their weights and settings are read from the repository's history. They are run by today's code, which without a fitted
look takes the nuclear diameter from the picture, as version 0.1 did.
"""

import json
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from nuclei_models.inference.bundled import TITLES
from nuclei_models.inference.loading import load
from train.evaluation.evaluate import evaluate
from train.evaluation.lists import samples_of

COMMIT = "997e37d"
LISTS = ("bsst265_test", "tnbc_test", "nuinsseg_test")
FILES = ("config.json", "model.safetensors", "preprocessor_config.json")


def run(out: Path, data: str = "data") -> None:
    """Write a file for each network: list -> figures, means over its images."""
    out.mkdir(parents=True, exist_ok=True)
    for key in TITLES:
        with TemporaryDirectory() as folder:
            for name in FILES:
                path = f"{COMMIT}:weights/{key}-nuclei/{name}"
                saved = subprocess.run(["git", "show", path], capture_output=True, check=True).stdout
                (Path(folder) / name).write_bytes(saved)
            model, processor = load(folder)
            figures = {}
            for split in LISTS:
                samples, strata = samples_of(data, split)
                found, _ = evaluate(model, processor, samples, strata)
                figures[split] = {"ap_50": found["ap"]["0.5"], "bowl_map": found["bowl_map"]}
        (out / f"{key}.json").write_text(json.dumps(figures, indent=1) + "\n")
