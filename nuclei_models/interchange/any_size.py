"""A network that a tracer can follow for images of any size."""

from pathlib import Path

import torch
from torch import nn

from ..inference.loading import load
from ..model.modeling_nuclei import NucleiPreTrainedModel
from ..model.modeling_unet import UNet

TRACED_SIZE = (2, 5, 7)  # images, and height and width in strides: unlike in all, so that none is taken for another


class AnySize(nn.Module):
    """A network whose mirrored margin is made by indexing, which a graph can hold for sizes that it doesn't know:
    `mirror_pad` chooses by the size between two ways of padding, and a graph has no such choice."""

    def __init__(self, model: NucleiPreTrainedModel):
        super().__init__()
        self.model = model
        model._pad = lambda x: x  # type: ignore[method-assign]

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> logits (B, num_labels, H, W)."""
        height, width = pixel_values.shape[-2:]
        x = pixel_values.index_select(-2, self.mirrored(height)).index_select(-1, self.mirrored(width))
        return self.model(x, return_dict=True).logits[..., :height, :width]

    def mirrored(self, size: int) -> torch.Tensor:
        """Which of the `size` pixels along an axis the network wants to see, to and fro past the edges: (n,) int64."""
        before, after = self.margins(size)
        last = torch.ones(1, dtype=torch.int64) * (size - 1)  # not `full`, by which a trace would keep the number
        i = (torch.arange(size + before + after) - before).remainder((2 * last).clamp(min=1))
        return torch.minimum(i, 2 * last - i).clamp(min=0)

    def margins(self, size: int) -> tuple[int, int]:
        """What the network's own `_pad` adds before and after, as an expression that the tracer can simplify."""
        model, before, rest, step = self.model, 0, 0, self.model.stride
        if isinstance(model, UNet):
            before = model.context if model.config.padding == "mirror" else 0
            rest = model._missing(0)  # sizes that fit are multiples of the stride and this
        else:
            step = model.config.size_divisor
        whole = (size + 2 * before - rest + step - 1) // step * step + rest
        return before, whole - size - before


def traceable(source: str | Path) -> AnySize:
    """A network ready to be traced.

    Args:
        source: As for `load`.

    Raises:
        HubError: It can't be loaded.
        ValueError: A U-Net without padding; its output is smaller than its input.
    """
    model, _ = load(source, device="cpu")
    if getattr(model.config, "padding", "same") == "valid":
        raise ValueError(f'{source} is a U-Net with padding="valid": set "mirror" in its config (same weights).')
    return AnySize(model).eval()


def example_for(model: NucleiPreTrainedModel) -> torch.Tensor:
    """Pixel values to trace a network with, (B, C, H, W)."""
    images, rows, columns = TRACED_SIZE
    return torch.zeros(images, model.config.num_channels, rows * model.stride + 3, columns * model.stride + 5)
