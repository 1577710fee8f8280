"""How fast the networks train and predict on a CUDA GPU, as shares of what the card does in a matrix product.

    python -m benchmarks.gpu            measure on the GPU that is here: gpu.json
    python -m benchmarks.gpu --write    the table into docs/speed.md

The network alone, on random pixels that are on the card already: bfloat16 by autocast, channels last, nothing compiled.
The peak is a product of two 8192 x 8192 matrices in bfloat16, in the same process. FLOPs are counted by PyTorch.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from train.experiment import Experiment
from train.release.markdown import fill

RESULTS = Path(__file__).resolve().parent / "gpu.json"
PAGE = Path(__file__).resolve().parents[1] / "docs/speed.md"
RECIPES = {"unet-five": "U-Net", "unetpp-five": "U-Net++", "unet-small-five": "U-Net, a quarter as wide"}
WARM_UP, TIMES = 5, 20
SIDE = 8192  # of the matrices
BATCH, EDGE = 8, 512  # of a prediction
CROPS, CROP = 32, 256  # of a step
Row = dict[str, float]


def measure(device: torch.device) -> dict[str, Any]:
    """The card's name, its peak in TFLOP/s, and each network's figures."""
    a = torch.randn(SIDE, SIDE, device=device, dtype=torch.bfloat16)
    peak = 2 * SIDE**3 / _seconds(lambda: a @ a) / 1e12
    rows = {name: _network(name, device, peak) for name in RECIPES}
    return {"device": torch.cuda.get_device_name(device), "torch": torch.__version__, "peak_tflops": peak} | rows


def _network(name: str, device: torch.device, peak: float) -> Row:
    torch.cuda.reset_peak_memory_stats(device)
    model, _ = Experiment.read(f"train/configs/{name}.yaml", ["initial=null"]).build()
    model = model.eval().to(memory_format=torch.channels_last)
    model = model.to(device)
    images, crops = _pixels(BATCH, EDGE, device), _pixels(CROPS, CROP, device)
    one = _pixels(1, 256, device)
    targets = torch.rand(CROPS, model.config.num_labels, CROP, CROP, device=device)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
        predicted = _flops(lambda: model(pixel_values=images))
        seconds = _seconds(lambda: model(pixel_values=images))
        single = _seconds(lambda: model(pixel_values=one))
    model.train()

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16):
            loss = model(pixel_values=crops, labels=targets).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    trained = _flops(step)
    step_seconds = _seconds(step)
    return {
        "infer_8x512_ms": seconds * 1e3,
        "infer_MP_s": BATCH * EDGE**2 / 1e6 / seconds,
        "infer_share": predicted / seconds / 1e12 / peak,
        "single_256_ms": single * 1e3,
        "step_32x256_ms": step_seconds * 1e3,
        "step_share": trained / step_seconds / 1e12 / peak,
        "mem_GB": torch.cuda.max_memory_allocated(device) / 1e9,
    }


def _pixels(n: int, side: int, device: torch.device) -> torch.Tensor:
    return torch.randn(n, 3, side, side, device=device).contiguous(memory_format=torch.channels_last)


def _flops(f: Callable[[], Any]) -> int:
    with FlopCounterMode(display=False) as counter:
        f()
    return counter.get_total_flops()


def _seconds(f: Callable[[], Any]) -> float:
    for _ in range(WARM_UP):
        f()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(TIMES):
        f()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / TIMES


def table(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    where = f"On one {results['device']}, PyTorch {results['torch']}"
    lines = [f"{where}; its peak was {results['peak_tflops']:.0f} TFLOP/s.", "",
             "| network | prediction, megapixels a second | share of the peak | one image of 256 x 256 | "
             "training, crops of 256 x 256 a second | share of the peak | memory |",
             "|---" + "|---:" * 6 + "|"]  # fmt: skip
    for name, title in RECIPES.items():
        r: Row = results[name]
        cells = (
            f"{r['infer_MP_s']:.0f}",
            f"{r['infer_share']:.0%}",
            f"{r['single_256_ms']:.1f} ms",
            f"{CROPS / r['step_32x256_ms'] * 1e3:.0f}",
            f"{r['step_share']:.0%}",
            f"{r['mem_GB']:.1f} GB",
        )
        lines.append("| " + " | ".join([title, *cells]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="measure nothing: write docs/speed.md")
    args = parser.parse_args()
    if args.write:
        PAGE.write_text(fill(PAGE.read_text(), {"gpu": table(json.loads(RESULTS.read_text()))}))
        return
    if not torch.cuda.is_available():
        raise SystemExit("There is no CUDA GPU here. On a CPU: python -m benchmarks")
    RESULTS.write_text(json.dumps(measure(torch.device("cuda")), indent=1) + "\n")


if __name__ == "__main__":
    main()
