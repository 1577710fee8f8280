"""Seconds of a training step at growing sizes of crop, as lines of JSON. Only torch and `timing`: peers use it too."""

from collections.abc import Callable
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

BATCH = 8  # crops a step


def train(
    model: torch.nn.Module, channels: int, precision: str, logits: Callable | None = None, compiled: bool = False
) -> Callable:
    """What `timing.grow` asks for: at a size, one step forward, backward and of AdamW on crops that are there already.

    Args:
        model: Is trained, channels last, under autocast for bfloat16.
        channels: Of its input.
        precision: "float32" or "bfloat16".
        logits: The maps among what the model returns; `None`: it returns them.
        compiled: By torch.compile, which the first step waits for.
    """
    model = model.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)
    maps = logits or (lambda output: output)
    seen = torch.compile(model, dynamic=False) if compiled else model

    def prepare(size: int) -> Callable[[], None]:
        x = torch.randn(BATCH, channels, size, size).contiguous(memory_format=torch.channels_last)

        def run() -> None:
            with torch.autocast("cpu", torch.bfloat16) if precision == "bfloat16" else nullcontext():
                output = maps(seen(x))
            loss = F.binary_cross_entropy_with_logits(output.float(), torch.full_like(output, 0.5, dtype=torch.float32))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

        return run

    return prepare


def flops_per_pixel(model: torch.nn.Module, channels: int, logits: Callable | None = None, size: int = 64) -> float:
    """Multiplications and additions of a step, forward and backward, for a pixel of a crop."""
    maps = logits or (lambda output: output)
    x = torch.zeros(1, channels, size, size)
    with FlopCounterMode(display=False) as counter:
        maps(model.train()(torch.cat([x, x]))).float().sum().backward()
    model.zero_grad()
    return counter.get_total_flops() / 2 / size**2
