"""Where the time of a network goes, operation by operation, on a 1024 x 1024 image: into docs/speed.md.

    python -m benchmarks.profiles

Layer by layer, as PyTorch runs the model in bfloat16.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from nuclei_models.inference.bundled import TITLES
from train.release.markdown import fill

from .own import by_forward

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "speed.md"
SIDE = 1024
KINDS = {  # a part of an operation's name -> what it is; the first that fits
    "conv_transpose": "upsampling", "upsample": "upsampling",
    "conv": "convolution",
    "batch_norm": "normalisation",
    "relu": "ReLU", "clamp": "ReLU",
    "cat": "concatenation",
    "pool": "pooling",
    "copy": "copies and casts", "to": "copies and casts",
}  # fmt: skip


def kind(name: str) -> str:
    """Of an operation, by its name in PyTorch."""
    return next((what for part, what in KINDS.items() if part in name), "other")


def by_torch(key: str, side: int = SIDE) -> Counter[str]:
    """Microseconds by kind, of the model itself in bfloat16."""
    run, x = by_forward(key, "bfloat16"), image(side)
    with torch.inference_mode():
        run(x)
        with profile(activities=[ProfilerActivity.CPU]) as recorded:
            run(x)
    spent: Counter[str] = Counter()
    for event in recorded.key_averages():
        spent[kind(event.key.removeprefix("aten::"))] += event.self_cpu_time_total
    return spent


def image(side: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(1, 3, side, side)).astype(np.float32))


def table(profiles: dict[str, Counter[str]]) -> str:
    """Shares of the time, Markdown."""
    kinds = [name for name, _ in sum(profiles.values(), Counter()).most_common()]
    lines = ["| | " + " | ".join(kinds) + " |", "|---" + "|---:" * len(kinds) + "|"]
    for title, spent in profiles.items():
        lines.append(f"| {title} | " + " | ".join(f"{spent[name] / spent.total():.0%}" for name in kinds) + " |")
    return "\n".join(lines)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    profiles = {f"{title}, PyTorch, bfloat16": by_torch(key) for key, title in TITLES.items()}
    text = table(profiles)
    DOCUMENT.write_text(fill(DOCUMENT.read_text(), {"profiles": text}))
    print(text)


if __name__ == "__main__":
    main()
