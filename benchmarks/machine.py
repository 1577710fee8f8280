"""The machine: what it is, and the fastest that it multiplies matrices; measured by `python -m benchmarks.machine`."""

import argparse
import json
import os
import platform
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from nuclei_models.inference.runtime import has_bfloat16


def describe() -> dict:
    """Processor, cores, memory and versions; no names of hosts or users."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "bfloat16": has_bfloat16(torch.device("cpu")),
        "amx": torch.cpu._is_amx_tile_supported(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


@torch.inference_mode()
def peak(dtype: torch.dtype, seconds: float) -> float:
    """The most multiplications and additions a second, in TFLOP/s, that matrix products reach here.

    By `torch.matmul` (MKL or oneDNN) and by 1x1 convolutions (oneDNN), each with matrices that fit the caches: the
    first is slow in float32 on some processors.

    Args:
        seconds: For each of the two ways.
    """
    n, rows = 1024, 4096
    a, b = torch.randn(n, n).to(dtype), torch.randn(n, n).to(dtype)
    x = torch.randn(1, 512, 64, rows // 64).to(dtype).contiguous(memory_format=torch.channels_last)
    w = torch.randn(512, 512, 1, 1).to(dtype)
    ways = ((lambda: a @ b, 2 * n**3), (lambda: F.conv2d(x, w), 2 * rows * 512 * 512))
    return max(operations / _best(work, seconds) for work, operations in ways) / 1e12


def _best(work, seconds: float) -> float:
    work()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each way of multiplying")
    seconds = parser.parse_args().seconds
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    peaks = {name: round(peak(dtype, seconds), 4) for name, dtype in dtypes.items()}
    print(json.dumps({"machine": describe(), "peak_tflops": peaks}))


if __name__ == "__main__":
    main()
