"""Make a bundled checkpoint of a finished run: weights in half precision, processor, training record.

    python -m train.fit.bundle --run runs/unet-settle --config train/configs/unet-settle.yaml --out weights/unet-nuclei

Then: train.fit.scale, train.fit.thresholds, train.fit.confidence, train.evaluation.evaluate, train.release.card.
"""

import argparse
import json
import shutil
from pathlib import Path

import yaml

from nuclei_models import NucleiImageProcessor
from nuclei_models.inference.loading import load
from train.release.origin import origin


def bundle(run: Path, config: Path, out: Path) -> None:
    """Write config.json, preprocessor_config.json, model.safetensors (float16; loads as float32), training.json,
    training.yaml, log.json and curves.png to `out`.

    Args:
        run: Output folder of train.train.
        config: The experiment that was run, which becomes training.yaml.
        out: A folder under weights/.
    """
    model, processor = load(run / "best")
    half = {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    model.save_pretrained(out, state_dict=half)
    save_processor(processor, out)
    log = json.loads((run / "log.json").read_text())
    best = json.loads((run / "best/validation.json").read_text())
    record = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": max(entry["step"] for entry in log),
        "best_step": best.pop("step"),
        **{key: round(value, 4) for key, value in best.items()},
        **origin(yaml.safe_load(config.read_text(encoding="utf-8"))),
    }
    (out / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    (out / "model.safetensors").chmod(0o644)  # safetensors writes for the owner alone
    for name in ("log.json", "curves.png"):
        shutil.copy(run / name, out / name)
    shutil.copy(config, out / "training.yaml")


def save_processor(processor: NucleiImageProcessor, folder: Path) -> None:
    """Write preprocessor_config.json, without the code that transformers copies beside it: publishing adds that."""
    processor.save_pretrained(folder)
    for code in folder.glob("*.py"):
        code.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    bundle(args.run, args.config, args.out)


if __name__ == "__main__":
    main()
