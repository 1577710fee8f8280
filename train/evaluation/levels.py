"""Measure each pruning level of a U-Net++: how large it is, how fast, and how well it finds nuclei.

    python -m train.evaluation.levels --weights weights/unetpp-nuclei

runs L1 .. of the network, and the whole, on the validation list and on one large random image, and writes `levels.json`
beside the weights; the page shows its figures where a level is chosen. All levels cut nuclei with the settings that
were fitted for the whole network, as the page does. Times are of this machine: compare them with each other only.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from nuclei_models import NucleiImageProcessor, UNetPlusPlus
from nuclei_models.inference.levels import FILE, measured_with
from nuclei_models.inference.network import load_network
from nuclei_models.inference.tiling import predict_logits
from nuclei_models.model.modeling_nuclei import NucleiPreTrainedModel
from nuclei_models.training.packed import load_packed
from nuclei_models.training.samples import Sample
from train.data import read_split
from train.evaluation.evaluate import evaluate

QUALITY = {"nucleus_iou": "nucleus IoU", "dice": "Dice", "bowl_map": "Bowl mAP", "ap_50": "AP at .5", "f1": "F1 at .5"}


def levels_of(model: NucleiPreTrainedModel) -> dict[int, UNetPlusPlus]:
    """Level -> network, the smallest first; the last is the whole as it is run, not pruned.

    Raises:
        ValueError: It has no heads to prune to.
    """
    if not isinstance(model, UNetPlusPlus) or not model.config.deep_supervision:
        raise ValueError(f"{type(model).__name__} has no levels: expected a U-Net++ trained with deep_supervision.")
    depth = model.config.depth
    return {level: model.prune(level).eval() for level in range(1, depth)} | {depth: model.eval()}


def multiply_adds(model: UNetPlusPlus, side: int = 256) -> int:
    """Multiplications with an addition, for one pixel of an image."""
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        model(torch.zeros(1, model.config.num_channels, side, side, device=model.device))
    return round(counter.get_total_flops() / 2 / side**2)


def time_all(models: dict[int, UNetPlusPlus], side: int, rounds: int) -> dict[int, float]:
    """Seconds a megapixel; the least of several rounds, in each of which all take their turn."""
    image = np.random.default_rng(0).normal(size=(3, side, side)).astype(np.float32)
    seconds: dict[int, list[float]] = {level: [] for level in models}
    for _ in range(rounds):
        for level, model in models.items():
            start = time.perf_counter()
            predict_logits(model, image)
            seconds[level].append(time.perf_counter() - start)
    return {level: min(taken) / side**2 * 1e6 for level, taken in seconds.items()}


def measure(
    model: NucleiPreTrainedModel,
    processor: NucleiImageProcessor,
    samples: list[Sample],
    side: int = 768,
    rounds: int = 3,
) -> list[dict[str, Any]]:
    """The figures of every level.

    Args:
        model, processor: As loaded.
        samples: Images with truth.
        side: Of the image for the times, pixels.
        rounds: See `time_all`.

    Returns:
        A dictionary a level, the smallest first: `level`, `parameters`, `multiply_adds` (a pixel), `seconds` (a
        megapixel) and the keys of `QUALITY` (means by image).
    """
    models = levels_of(model)
    seconds = time_all(models, side, rounds)
    report = []
    for level, network in models.items():
        figures, _ = evaluate(network, processor, samples, {s.id: "" for s in samples})
        figures["ap_50"] = figures["ap"]["0.5"]
        size = {
            "level": level,
            "parameters": sum(p.numel() for p in network.parameters()),
            "multiply_adds": multiply_adds(network),
            "seconds": round(seconds[level], 3),
        }
        report.append(size | {key: figures[key] for key in QUALITY})
    return report


def table(report: list[dict[str, Any]]) -> str:
    """The levels as Markdown."""
    headings = [
        "level",
        "parameters",
        "multiply-adds a pixel",
        "seconds a megapixel",
        "times faster",
        *QUALITY.values(),
    ]
    lines = ["| " + " | ".join(headings) + " |", "|---" + "|---:" * (len(headings) - 1) + "|"]
    for row in report:
        cells = [f"L{row['level']}", f"{row['parameters']:,}", f"{row['multiply_adds']:,}", f"{row['seconds']:.2f}"]
        cells += [f"{report[-1]['seconds'] / row['seconds']:.1f}", *(f"{row[key]:.3f}" for key in QUALITY)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="folder of a U-Net++ with deep supervision")
    parser.add_argument("--data", default="data/dsb2018", help="packed folder, see train.data")
    parser.add_argument("--split", default="validation")
    args = parser.parse_args()
    network = load_network(str(args.weights))
    try:
        report = measure(network.model, network.processor, load_packed(args.data, read_split(args.split)))
    except ValueError as error:
        parser.exit(1, f"{args.weights}: {error}\n")
    facts = measured_with(network) | {"split": args.split, "threads": torch.get_num_threads(), "levels": report}
    (args.weights / FILE).write_text(json.dumps(facts, indent=1) + "\n")
    print(table(report))


if __name__ == "__main__":
    main()
