"""What both networks are built of, in plain torch: the convolution block, edge handling, and what follows from their
configuration. It needs no transformers, which takes seconds to be imported.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from .channels import names_of


class ConvBlock(nn.Sequential):
    """Two 3x3 convolutions, each followed by ReLU, optionally with batch normalisation between."""

    def __init__(self, in_channels: int, out_channels: int, padding: int, batch_norm: bool):
        layers: list[nn.Module] = []
        for c_in in (in_channels, out_channels):
            layers.append(nn.Conv2d(c_in, out_channels, kernel_size=3, padding=padding, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm2d(out_channels))
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


class NucleiNetwork(nn.Module):
    """What [`UNet`] and [`UNetPlusPlus`] are but for transformers: the layers that a configuration makes.

    Attributes:
        config: Their configuration, or anything that has its fields.
    """

    config: Any
    if TYPE_CHECKING:  # transformers' base has them, and `PlainNetwork`

        @property
        def device(self) -> torch.device: ...
        @property
        def dtype(self) -> torch.dtype: ...

    def build(self, config: Any) -> None:
        """Make the layers."""
        raise NotImplementedError

    def compute(self, x: torch.Tensor, *, all_heads: bool = False, keep_maps: bool = False) -> "Computed":
        """Run the layers.

        Args:
            x: (B, num_channels, H, W), float, of any size that the network takes.
            all_heads: Whether heads that the logits don't need are computed, too.
            keep_maps: Whether the maps of the blocks are wanted.
        """
        raise NotImplementedError

    def _pad(self, x: torch.Tensor) -> torch.Tensor:
        """Extend the input to a size that the layers take."""
        raise NotImplementedError

    @property
    def num_labels(self) -> int:
        """Output channels."""
        return int(self.config.num_labels)

    @property
    def stride(self) -> int:
        """Pixels of the input to a pixel of the deepest map. Tiles at multiples of it see the same pooling grid."""
        return 2**self.config.depth

    @property
    def context(self) -> int:
        """Pixels that unpadded convolutions consume on each side of the input: 92 for four poolings. An output pixel
        depends on fewer than `context + stride` pixels around it; U-Net++'s longest path is U-Net's."""
        # a 3x3 convolution takes a pixel a side, at a spacing of 2**level; two to a block, on the way down and up
        down_and_up = 2 * sum(2 * 2**level for level in range(self.config.depth))
        return down_and_up + 2 * 2**self.config.depth

    @property
    def channel_names(self) -> list[str]:
        """What each output channel means, in order."""
        return names_of(self.config.id2label)

    def check_input(self, pixel_values: torch.Tensor) -> None:
        """Raise a ValueError that says what was given and expected unless this is (B, num_channels, H, W)."""
        if pixel_values.ndim != 4 or pixel_values.shape[1] != self.config.num_channels or 0 in pixel_values.shape:
            raise ValueError(
                f"pixel_values has shape {tuple(pixel_values.shape)}: expected (batch, {self.config.num_channels}, "
                f"height, width), none of them 0. NucleiImageProcessor makes it from any image."
            )


class Computed(NamedTuple):
    """What the layers made of an input.

    Attributes:
        heads: Logits of every head that was computed, shallowest first.
        logits: What the network says.
        maps: Of every block, in the order that the network's class tells; `None` where they weren't wanted.
    """

    heads: list[torch.Tensor]
    logits: torch.Tensor
    maps: list[torch.Tensor] | None


def center_crop(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """(..., H, W) -> (..., height, width), the centre."""
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width]


def mirror_pad(x: torch.Tensor, top: int, bottom: int, left: int, right: int) -> torch.Tensor:
    """Extend (B, C, H, W) by mirroring at the edge pixel, as often as needed: unlike `F.pad(mode="reflect")` the
    margin may be larger than the image."""
    height, width = x.shape[-2:]
    if max(top, bottom) < height and max(left, right) < width:
        return F.pad(x, (left, right, top, bottom), mode="reflect") if top + bottom + left + right else x
    x = x.index_select(-2, _mirror_index(height, top, bottom, x.device))
    return x.index_select(-1, _mirror_index(width, left, right, x.device))


def _mirror_index(size: int, before: int, after: int, device: torch.device) -> torch.Tensor:
    period = max(2 * (size - 1), 1)
    i = torch.arange(-before, size + after, device=device).remainder(period)
    return torch.minimum(i, period - i) if size > 1 else torch.zeros_like(i)
