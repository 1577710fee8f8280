"""What was aimed at, and what was measured: Markdown from a run's results."""

import json
from pathlib import Path
from typing import Any

SIZE = 1024  # pixels a side
LEVELS = Path(__file__).resolve().parent.parent / "weights" / "unetpp-nuclei" / "levels.json"
STARDIST = 0.864  # AP at .5 on its 50 test images, Schmidt et al. 2018, table 1

Results = dict[str, Any]


def table(results: Results) -> str:
    """Every aim with its figure.

    Args:
        results: Of `python -m benchmarks`.
    """
    lines = ["| aim, 1024 x 1024, bfloat16 | measured | reached |", "|---|---|---|"]
    rows = [
        _share(results, "unet64", "U-Net 64..1024", 0.7),
        _share(results, "unetpp", "U-Net++", 0.5),
        _times(
            results, "unetpp", "smp-bf16", "U-Net++ level with segmentation_models_pytorch's Unet++ (resnet34)", 1.0
        ),
        _times(results, "l3", "unetpp-bands-bf16", "L3 1.7 times as fast as U-Net++", 1.7),
        _times(results, "l2", "unetpp-bands-bf16", "L2 3 times as fast as U-Net++", 3.0),
        _after(results),
        _faster_than_stardist(results),
    ]
    return "\n".join([*lines, *(f"| {aim} | {said} | {'yes' if met else 'no'} |" for aim, said, met in rows)])


def seconds(results: Results, key: str) -> float:
    """A megapixel, as measured at `SIZE`; infinite where it wasn't."""
    sizes = results["contenders"].get(key, {}).get("sizes", {})
    return sizes[str(SIZE)]["seconds"] / SIZE**2 * 1e6 if str(SIZE) in sizes else float("inf")


def _share(results: Results, key: str, title: str, aim: float) -> tuple[str, str, bool]:
    found = results["contenders"][f"{key}-bands-bf16"]
    share = 2e6 * found["macs_per_pixel"] / seconds(results, f"{key}-bands-bf16") / 1e12
    share /= results["peak_tflops"]["bfloat16"]
    return f"{title} at {aim:.0%} of the matrix peak", f"{share:.0%}", share >= aim


def _times(results: Results, key: str, other: str, title: str, aim: float) -> tuple[str, str, bool]:
    ours, theirs = seconds(results, f"{key}-bands-bf16"), seconds(results, other)
    return title, f"{theirs / ours:.2f} times ({ours:.2f} against {theirs:.2f} s a megapixel)", theirs / ours >= aim


def _after(results: Results) -> tuple[str, str, bool]:
    shares = {}
    for found in results["contenders"].values():
        at = found.get("sizes", {}).get(str(SIZE), {})
        if at.get("parts") and found["precision"] == "bfloat16":
            shares[found["title"]] = at["parts"]["after"] / at["seconds"]
    said = ", ".join(f"{title} {share:.0%}" for title, share in shares.items())
    return "what follows the network under 15% of the time from file to labels", said, max(shares.values()) < 0.15


def _faster_than_stardist(results: Results) -> tuple[str, str, bool]:
    """StarDist's own AP is of its test images, ours of the validation list: a level far below it there is no rival."""
    theirs = seconds(results, "stardist2-f32")
    rows = {row["level"]: row for row in json.loads(LEVELS.read_text())["levels"]}
    said, met = [], False
    for level in (1, 2, 3):
        ours, ap = seconds(results, f"l{level}-bands-bf16"), rows[level]["ap_50"]
        said.append(f"L{level} {ours:.2f} s and AP at .5 of {ap:.2f}")
        met = met or (ours < theirs and ap > STARDIST)
    aim = "a published variant faster than StarDist's grid 2 at a better quality"
    return aim, f"{', '.join(said)}, against {theirs:.2f} s and {STARDIST:.2f} as published", met
