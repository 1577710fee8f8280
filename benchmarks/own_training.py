"""Measures the training of one of our networks, in this process; called by `python -m benchmarks training`.

    python benchmarks/own_training.py step unet --precision bfloat16 --sizes 160 256 --budget 30
    python benchmarks/own_training.py compiled unet ...
    python benchmarks/own_training.py training unet ...

A step is the arithmetic alone, on crops that are there, as it is or compiled; a training is `finetune` with its loader,
on the examples.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median_low

import numpy as np
import steps
from PIL import Image
from timing import grow, peak_megabytes, say

ROOT = Path(__file__).resolve().parent.parent
WARM_UP, MOST = 2, 40  # steps that don't count; and those of a size at most
SMALL = (16, 32, 64, 128, 256)  # feature maps of the small U-Net


def network(key: str, code: Path = ROOT):
    """A version's bundled network, or "small": a U-Net of half the width, random weights. -> (model, processor)."""
    from nuclei_models import NucleiImageProcessor, UNet, UNetConfig
    from nuclei_models.inference.loading import load

    if key == "small":
        names = ["background", "nucleus", "border", "distance"]
        config = UNetConfig(channels=list(SMALL), padding="same", batch_norm=True, id2label=dict(enumerate(names)))
        return UNet(config), NucleiImageProcessor(channel_names=names)
    return load(code / "weights" / f"{key}-nuclei", device="cpu")


def samples() -> list:
    """The examples with their truth."""
    from nuclei_models.images.reader import read
    from nuclei_models.training.samples import Sample

    found = []
    for path in sorted((ROOT / "examples").glob("*_labels.png")):
        name = path.stem.removesuffix("_labels")
        with Image.open(path) as labels:
            found.append(Sample(name, read(path.with_name(f"{name}.png")).pixels, np.array(labels, np.int32)))
    return found


def train(key: str, size: int, seconds: float, code: Path = ROOT) -> dict:
    """Seconds of a step, and of it the wait for its crops; in a training for so many seconds.

    Returns:
        Of `timing.grow`: seconds, best, runs, parts, peak_mb; and losses.
    """
    from nuclei_models.training import finetune as room
    from nuclei_models.training.recipe import Recipe

    model, processor = network(key, code)
    recipe = Recipe(steps=MOST, validations=1)
    recipe = replace(recipe, augment=replace(recipe.augment, crop_size=size)).for_network(model, processor)
    waits: list[float] = []
    ends: list[float] = []

    class Watched(room.TimedTrainer):
        def get_batch_samples(self, *args, **kwargs):
            start = time.perf_counter()
            result = super().get_batch_samples(*args, **kwargs)
            waits.append(time.perf_counter() - start)
            return result

    room.TimedTrainer = Watched  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as out:
        room.finetune(model, processor, samples(), [], Path(out), seconds, recipe,
                      report=lambda *_: ends.append(time.perf_counter()))  # fmt: skip
    room.TimedTrainer = Watched.__base__  # type: ignore[misc, assignment]
    took, waited = np.diff(ends)[WARM_UP:], np.array(waits[1 : len(ends)])[WARM_UP:]
    if not len(took):
        raise SystemExit(f"{seconds:.0f} s are too few for {WARM_UP + 2} steps at {size} pixels.")
    middle = median_low(took.tolist())
    return {
        "seconds": middle,
        "best": float(took.min()),
        "runs": len(took),
        "parts": {"loader": middle * float(waited.sum() / took.sum())},
        "peak_mb": peak_megabytes(),
    }


def step(key: str, precision: str, compiled: bool = False) -> Callable:
    model, _ = network(key)
    return steps.train(model, 3, precision, logits=lambda output: output.logits, compiled=compiled)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("how", choices=["step", "compiled", "training"])
    parser.add_argument("network", choices=["unet", "unetpp", "small"])
    parser.add_argument("--code", type=Path, default=ROOT, help="a checkout of another version, to train with that")
    parser.add_argument("--precision", default="bfloat16", choices=["float32", "bfloat16"])
    parser.add_argument("--sizes", nargs="+", type=int, required=True)
    parser.add_argument("--budget", type=float, required=True, help="seconds")
    args = parser.parse_args()
    sys.path.insert(0, str(args.code))
    facts = {
        "flops_per_pixel": steps.flops_per_pixel(network(args.network, args.code)[0], 3, lambda output: output.logits)
    }
    if args.how != "training":
        grow(args.sizes, args.budget, step(args.network, args.precision, args.how == "compiled"), **facts)
        return
    say(facts=facts)
    pixels = sum(size**2 for size in args.sizes)
    for size in sorted(args.sizes):
        say(size=size, **train(args.network, size, args.budget * size**2 / pixels, args.code))


if __name__ == "__main__":
    main()
