"""U-Net, as in O. Ronneberger, P. Fischer, T. Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation",
MICCAI 2015, figure 1 and section 2. Read it beside that figure: the contracting path goes down the left side, the
expansive path up the right, and the grey arrows are the crops.

The shapes in the comments are those of the default configuration on the paper's 572 x 572 input.
"""

import torch
from torch import nn

from .layers import Computed, ConvBlock, NucleiNetwork, center_crop, mirror_pad


class UNetLayers(NucleiNetwork):
    """The U-Net in plain torch. [`UNet`] is the same as a transformers model."""

    def build(self, config) -> None:
        """Make the layers of a `UNetConfig`."""
        widths = list(config.channels)
        pad = 1 if config.padding == "same" else 0

        self.contracting = nn.ModuleList(
            ConvBlock(c_in, c_out, pad, config.batch_norm)
            for c_in, c_out in zip([config.num_channels, *widths[:-2]], widths[:-1], strict=True)
        )
        self.pool = nn.MaxPool2d(kernel_size=2, stride=2)
        self.bottleneck = ConvBlock(widths[-2], widths[-1], pad, config.batch_norm)
        self.dropout = nn.Dropout2d(config.dropout)
        deep_to_shallow = list(zip(widths[:0:-1], widths[-2::-1], strict=True))  # (1024, 512), (512, 256), ...
        self.up = nn.ModuleList(nn.ConvTranspose2d(low, high, kernel_size=2, stride=2) for low, high in deep_to_shallow)
        self.expansive = nn.ModuleList(ConvBlock(2 * high, high, pad, config.batch_norm) for _, high in deep_to_shallow)
        self.head = nn.Conv2d(widths[0], config.num_labels, kernel_size=1)

    def compute(self, x: torch.Tensor, *, all_heads: bool = False, keep_maps: bool = False) -> Computed:
        """(B, num_channels, H, W) -> logits (B, num_labels, H, W); with `padding="valid"`, smaller by `2 * context`.

        The maps are those of every block, in the order in which they are computed.
        """
        height, width = self.output_size(*x.shape[-2:])
        x = self._pad(x)  # (B, 3, 572, 572)

        skips = []
        for block in self.contracting:
            x = block(x)  # (B, 64, 568, 568), (B, 128, 280, 280), (B, 256, 136, 136), (B, 512, 64, 64)
            skips.append(x)
            x = self.pool(x)  # (B, 64, 284, 284) ... (B, 512, 32, 32)

        x = self.dropout(self.bottleneck(x))  # (B, 1024, 28, 28)
        maps = [*skips, x] if keep_maps else None

        for up, block, skip in zip(self.up, self.expansive, reversed(skips), strict=True):
            x = up(x)  # (B, 512, 56, 56), (B, 256, 104, 104), (B, 128, 200, 200), (B, 64, 392, 392)
            x = torch.cat([center_crop(skip, *x.shape[-2:]), x], dim=1)  # (B, 1024, 56, 56) ... (B, 128, 392, 392)
            x = block(x)  # (B, 512, 52, 52) ... (B, 64, 388, 388)
            if maps is not None:
                maps.append(x)

        logits = self.head(x)[..., :height, :width]  # (B, num_labels, 388, 388)
        return Computed([logits], logits, maps)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the logits for an input of this size."""
        if self.config.padding != "valid":
            return height, width
        lost = 2 * self.context
        if min(height, width) <= lost:
            raise ValueError(
                f"An image of {height} x {width} leaves nothing: the unpadded convolutions take {lost} pixels: "
                f'give at least {lost + 1} x {lost + 1}, or set padding="mirror" (same weights).'
            )
        return height - lost, width - lost

    def _pad(self, x: torch.Tensor) -> torch.Tensor:
        """Mirror the image so that every pooling sees an even size (and, for "mirror", so that no pixel is lost)."""
        context = self.context if self.config.padding == "mirror" else 0
        extra = [self._missing(size + 2 * context) for size in x.shape[-2:]]
        return mirror_pad(x, context, context + extra[0], context, context + extra[1])

    def _missing(self, size: int) -> int:
        # sizes that fit: multiples of the stride; unpadded, n * stride + in_offset
        in_offset = 0 if self.config.padding == "same" else 4 * self.stride + 4 * (self.stride - 1)
        return -(size - in_offset) % self.stride
