"""How fast the networks train and predict on a CUDA GPU, as shares of what the card does in a matrix product.

    python -m benchmarks.gpu               measure on the GPU that is here: gpu.json
    python -m benchmarks.gpu --compiled    compiled, too: gpu_compiled.json
    python -m benchmarks.gpu --write       the tables into docs/speed.md

The network alone, on random pixels that are on the card already: bfloat16 by autocast, channels last; as it is, and
compiled by torch.compile, of which a single image also runs as one CUDA graph. Compiling needs a C compiler; where it
fails, the reason is kept. The peak is a product of two 8192 x 8192 matrices in bfloat16, in the same process. FLOPs are
counted by PyTorch.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

from train.experiment import Experiment
from train.release.markdown import fill

HERE = Path(__file__).resolve().parent
RESULTS, COMPILED = HERE / "gpu.json", HERE / "gpu_compiled.json"
PAGE = HERE.parent / "docs/speed.md"
RECIPES = {"unet-five": "U-Net", "unetpp-five": "U-Net++", "unet-small-five": "U-Net, a quarter as wide"}
WARM_UP, TIMES = 5, 20
SIDE = 8192  # of the matrices
BATCH, EDGE = 8, 512  # of a prediction
CROPS, CROP = 32, 256  # of a step
Row = dict[str, Any]


def measure(device: torch.device, out: Path, compiled: bool = False) -> None:
    """The card's name, its peak in TFLOP/s, and each network's figures, written to a file as they come.

    Args:
        compiled: Also those of the compiled networks, once all others are there.
    """
    a = torch.randn(SIDE, SIDE, device=device, dtype=torch.bfloat16)
    peak = 2 * SIDE**3 / _seconds(lambda: a @ a) / 1e12
    card = torch.cuda.get_device_name(device)
    results: dict[str, Any] = {"device": card, "torch": torch.__version__, "peak_tflops": peak}
    for name in RECIPES:
        results[name] = _network(name, device, peak)
        out.write_text(json.dumps(results, indent=1) + "\n")
    for name in RECIPES if compiled else ():
        results[name]["compiled"] = _compiled(name, device)
        out.write_text(json.dumps(results, indent=1) + "\n")


def _build(name: str, device: torch.device) -> PreTrainedModel:
    model, _ = Experiment.read(f"train/configs/{name}.yaml", ["initial=null"]).build()
    return model.eval().to(memory_format=torch.channels_last).to(device)


def _network(name: str, device: torch.device, peak: float) -> Row:
    torch.cuda.reset_peak_memory_stats(device)
    model = _build(name, device)
    images, one = _pixels(BATCH, EDGE, device), _pixels(1, 256, device)
    flops = _flops(lambda: _predict(model, images))
    seconds, single = _seconds(lambda: _predict(model, images)), _seconds(lambda: _predict(model, one))
    step = _step(model, device)
    step_flops, step_seconds = _flops(step), _seconds(step)
    return {
        "infer_8x512_ms": seconds * 1e3,
        "infer_MP_s": BATCH * EDGE**2 / 1e6 / seconds,
        "infer_share": flops / seconds / 1e12 / peak,
        "single_256_ms": single * 1e3,
        "step_32x256_ms": step_seconds * 1e3,
        "step_share": step_flops / step_seconds / 1e12 / peak,
        "mem_GB": torch.cuda.max_memory_allocated(device) / 1e9,
    }


def _compiled(name: str, device: torch.device) -> dict[str, Any]:
    """The same times of a compiled network, and the seconds until the first answer; or why there are none."""
    images, one = _pixels(BATCH, EDGE, device), _pixels(1, 256, device)
    found: dict[str, Any] = {}
    try:
        start = time.perf_counter()
        model = torch.compile(_build(name, device))
        _predict(model, images)
        torch.cuda.synchronize()
        found["seconds_to_compile"] = time.perf_counter() - start
        found["infer_8x512_ms"] = _seconds(lambda: _predict(model, images)) * 1e3
        torch._dynamo.reset()
        graph = torch.compile(_build(name, device), mode="reduce-overhead")
        found["single_256_ms"] = _seconds(lambda: _predict(graph, one)) * 1e3
        torch._dynamo.reset()
        start = time.perf_counter()
        trained = _build(name, device)
        trained.compile()
        step = _step(trained, device)
        step()
        torch.cuda.synchronize()
        found["seconds_to_compile_step"] = time.perf_counter() - start
        found["step_32x256_ms"] = _seconds(step) * 1e3
    except Exception as error:  # whatever the compiler says is the result
        found["failed"] = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"
    torch._dynamo.reset()
    return found


def _predict(model: Callable[..., Any], images: torch.Tensor) -> Any:
    with torch.no_grad(), torch.autocast(images.device.type, torch.bfloat16):
        return model(pixel_values=images).logits


def _step(model: PreTrainedModel, device: torch.device) -> Callable[[], None]:
    """A training step on crops that are there already."""
    crops = _pixels(CROPS, CROP, device)
    assert model.config.num_labels
    targets = torch.rand(CROPS, model.config.num_labels, CROP, CROP, device=device)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    model.train()

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16):
            loss = model(pixel_values=crops, labels=targets).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


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


def table(results: dict[str, Any], beside: dict[str, Any]) -> str:
    """The results, and those of the compiled networks from `beside`, as Markdown."""
    where = f"On one {results['device']}, PyTorch {results['torch']}"
    measured = {title: results[name] for name, title in RECIPES.items() if name in results}
    rows = {title: beside.get(name, {}).get("compiled", {}) for name, title in RECIPES.items()}
    compiled = {title: row for title, row in rows.items() if "step_32x256_ms" in row}
    lines = [f"{where}; its peak was {results['peak_tflops']:.0f} TFLOP/s.", "",
             "| network | prediction, megapixels a second | share of the peak | one image of 256 x 256 | "
             "training, crops of 256 x 256 a second | share of the peak | memory |",
             "|---" + "|---:" * 6 + "|"]  # fmt: skip
    for title, row in measured.items():
        shares, memory = (f"{row['infer_share']:.0%}", f"{row['step_share']:.0%}"), f"{row['mem_GB']:.1f} GB"
        predicted, single, trained = _speeds(row)
        lines.append(f"| {title} | {predicted} | {shares[0]} | {single} | {trained} | {shares[1]} | {memory} |")
    if compiled:
        lines += ["", "| compiled | prediction, megapixels a second | one image of 256 x 256, as a CUDA graph | "
                  "training, crops of 256 x 256 a second | seconds to compile prediction, training |",
                  "|---" + "|---:" * 4 + "|"]  # fmt: skip
    for title, row in compiled.items():
        seconds = f"{row['seconds_to_compile']:.0f}, {row['seconds_to_compile_step']:.0f}"
        lines.append(f"| {title} | {' | '.join(_speeds(row))} | {seconds} |")
    return "\n".join(lines)


def _speeds(row: Row) -> tuple[str, str, str]:
    """Megapixels a second, milliseconds of one image, crops a second."""
    single = row["single_256_ms"]
    return (
        f"{BATCH * EDGE**2 / 1e3 / row['infer_8x512_ms']:.0f}",
        f"{single:.1f} ms" if single >= 1 else f"{single:.2f} ms",
        f"{CROPS / row['step_32x256_ms'] * 1e3:.0f}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compiled", action="store_true", help="also measure the networks compiled")
    parser.add_argument("--write", action="store_true", help="measure nothing: write docs/speed.md")
    args = parser.parse_args()
    if args.write:
        text = table(*(json.loads(file.read_text()) for file in (RESULTS, COMPILED)))
        PAGE.write_text(fill(PAGE.read_text(), {"gpu": text}))
        return
    if not torch.cuda.is_available():
        raise SystemExit("There is no CUDA GPU here. On a CPU: python -m benchmarks")
    measure(torch.device("cuda"), COMPILED if args.compiled else RESULTS, args.compiled)


if __name__ == "__main__":
    main()
