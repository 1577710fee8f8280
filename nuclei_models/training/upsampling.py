"""Transposed convolutions that are trained on a CPU: the gradient of their bias, summed apart from the others.

oneDNN computes it together with that of the weights, and is many times slower for it than for the weights alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import Function


@contextmanager
def bias_apart(model: nn.Module) -> Iterator[None]:
    """Have the transposed convolutions of a model on a CPU compute their gradients in this way, then as before.

    What they compute forward is the same.
    """
    changed = [module for module in model.modules() if isinstance(module, nn.ConvTranspose2d) and _is_plain(module)]
    for module in changed:
        module.forward = partial(_forward, module)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for module in changed:
            del module.forward


def _is_plain(module: nn.ConvTranspose2d) -> bool:
    """Whether it lies on a CPU, has a bias, and is what `_Upsampled` computes."""
    if module.bias is None or module.weight.device.type != "cpu" or module.groups != 1:
        return False
    return (*module.padding, *module.output_padding, *module.dilation) == (0, 0, 0, 0, 1, 1)


def _forward(module: nn.ConvTranspose2d, x: torch.Tensor) -> torch.Tensor:
    values = [x, module.weight, cast(torch.Tensor, module.bias)]
    if torch.is_autocast_enabled("cpu"):
        values = [value.to(torch.get_autocast_dtype("cpu")) for value in values]
    return _Upsampled.apply(*values, module.stride)


class _Upsampled(Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, stride: tuple[int, int]):
        ctx.save_for_backward(x, weight)
        ctx.stride = list(stride)
        return F.conv_transpose2d(x, weight, bias, stride)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor):
        x, weight = ctx.saved_tensors
        of_x, of_weight, _ = torch.ops.aten.convolution_backward(
            gradient, x, weight, None, ctx.stride, [0, 0], [1, 1], True, [0, 0], 1, [*ctx.needs_input_grad[:2], False]
        )
        return of_x, of_weight, gradient.sum((0, 2, 3)), None
