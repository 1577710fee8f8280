"""The gradient of a transposed convolution's bias, summed apart: the same as PyTorch's."""

import pytest
import torch
from torch import nn

from nuclei_models.training.upsampling import bias_apart


def gradients(up: nn.ConvTranspose2d, x: torch.Tensor, dtype: torch.dtype) -> list[torch.Tensor]:
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        y = up(x)
    assert y.dtype == dtype
    return [y, *torch.autograd.grad((y.float() ** 2).sum(), [x, up.weight, up.bias])]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_those_of_pytorch(dtype):
    torch.manual_seed(0)
    up = nn.ConvTranspose2d(6, 4, kernel_size=2, stride=2).to(memory_format=torch.channels_last)
    x = torch.randn(2, 6, 5, 7).to(memory_format=torch.channels_last)
    expected = gradients(up, x, dtype)
    with bias_apart(up):
        assert "forward" in vars(up)
        found = gradients(up, x, dtype)
    assert "forward" not in vars(up)
    assert found[0].equal(expected[0])
    for one, other in zip(found[1:], expected[1:], strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, rtol=1e-5 if dtype == torch.float32 else 1e-2, atol=1e-4)


def test_a_gpu_computes_them_as_it_does():
    up = nn.ConvTranspose2d(2, 2, 2, stride=2, device="meta")  # any device but the CPU
    with bias_apart(up):
        assert "forward" not in vars(up)
        assert up(torch.zeros(1, 2, 3, 3, device="meta")).shape == (1, 2, 6, 6)


def test_others_are_left_alone():
    model = nn.Sequential(nn.ConvTranspose2d(2, 2, 3, stride=2, padding=1), nn.ConvTranspose2d(2, 2, 2, bias=False))
    with bias_apart(model):
        assert not any("forward" in vars(layer) for layer in model)
