"""U-Net++, as in Z. Zhou et al., "UNet++: A Nested U-Net Architecture for Medical Image Segmentation", DLMIA 2018, and
"UNet++: Redesigning Skip Connections to Exploit Multiscale Features in Image Segmentation", IEEE TMI 2020.

The network is the grid X[i][j] of figure 1 of both papers: i is the row (the number of poolings above), j the column
along the skip pathway. Column 0 is the encoder. Of the default configuration, with the input's height H and width W:

    X[0][0] -- X[0][1] -- X[0][2] -- X[0][3] -- X[0][4]      32 channels, H x W        heads on X[0][1..4]
        X[1][0] -- X[1][1] -- X[1][2] -- X[1][3]             64 channels, H/2 x W/2
            X[2][0] -- X[2][1] -- X[2][2]                   128 channels, H/4 x W/4
                X[3][0] -- X[3][1]                          256 channels, H/8 x W/8
                    X[4][0]                                 512 channels, H/16 x W/16
"""

import copy
from typing import Any, Self

import torch
from torch import nn

from .layers import Computed, ConvBlock, NucleiNetwork, mirror_pad


class UNetPlusPlusLayers(NucleiNetwork):
    """The U-Net++ in plain torch. [`UNetPlusPlus`] is the same as a transformers model.

    Attributes:
        nodes: `nodes[i][j]` is the convolution block of X[i][j].
        up: `up[i][j - 1]` brings X[i + 1][j - 1] to the size and channels of row i, for X[i][j].
        heads: 1x1 convolutions; with deep supervision on X[0][1] .. X[0][depth], else on X[0][depth] alone.
    """

    nodes: Any
    up: Any

    def build(self, config) -> None:
        """Make the layers of a `UNetPlusPlusConfig`."""
        c, depth = list(config.channels), config.depth

        def block(c_in: int, i: int) -> ConvBlock:
            return ConvBlock(c_in, c[i], padding=1, batch_norm=config.batch_norm)

        self.pool = nn.MaxPool2d(kernel_size=2, stride=2)
        self.nodes = nn.ModuleList()
        self.up = nn.ModuleList()
        for i in range(depth + 1):
            encoder = block(config.num_channels if i == 0 else c[i - 1], i)
            # X[i][j] takes the j earlier nodes of its row and the upsampled X[i + 1][j - 1], c[i] channels each
            decoder = [block((j + 1) * c[i], i) for j in range(1, depth - i + 1)]
            self.nodes.append(nn.ModuleList([encoder, *decoder]))
            self.up.append(
                nn.ModuleList(nn.ConvTranspose2d(c[i + 1], c[i], kernel_size=2, stride=2) for _ in range(depth - i))
            )
        self.dropout = nn.Dropout2d(config.dropout)
        n_heads = depth if config.deep_supervision else 1
        self.heads = nn.ModuleList(nn.Conv2d(c[0], config.num_labels, kernel_size=1) for _ in range(n_heads))

    def compute(self, x: torch.Tensor, *, all_heads: bool = False, keep_maps: bool = False) -> Computed:
        """(B, num_channels, H, W), any height and width -> logits (B, num_labels, H, W).

        The maps are those of every node, X[0][0], X[0][1] .. row by row.
        """
        height, width = x.shape[-2:]
        X = self.grid(self._pad(x))
        heads = [
            head(x)[..., :height, :width]
            for head, x in zip(self.heads, X[0][-len(self.heads) :], strict=True)
            if all_heads or self._is_needed(head)
        ]
        accurate = self.config.inference_mode == "accurate"
        logits = torch.stack(heads).mean(0) if accurate and len(heads) > 1 else heads[-1]
        return Computed(heads, logits, [x for row in X for x in row] if keep_maps else None)

    def grid(self, x: torch.Tensor) -> list[list[torch.Tensor]]:
        """Every node of the grid for an input (B, num_channels, H, W), H and W multiples of 2**depth.

        Returns:
            X with X[i][j] of shape (B, channels[i], H / 2**i, W / 2**i).
        """
        depth = self.config.depth
        X: list[list[torch.Tensor]] = []
        for i in range(depth + 1):  # down the encoder, and after each row the diagonal of nodes it completes
            below = self.nodes[i][0](x if i == 0 else self.pool(X[i - 1][0]))
            X.append([self.dropout(below) if i == depth else below])
            for j in range(1, i + 1):
                k = i - j  # X[k][j] has all it needs: its row up to j - 1 and X[k + 1][j - 1]
                up = self.up[k][j - 1](X[k + 1][j - 1])  # (B, channels[k], H / 2**k, W / 2**k)
                X[k].append(self.nodes[k][j](torch.cat([*X[k], up], dim=1)))  # cat: (j + 1) * channels[k]
        return X

    def prune(self, level: int) -> Self:
        """A standalone smaller network L1 .. L{depth}: the part of the grid that head `level` needs, with that head.

        Its logits equal `head_logits[level - 1]` of this network. The weights are copied.

        Raises:
            ValueError: There is no such level, or no head on it (without deep supervision only the last has one).
        """
        depth = self.config.depth
        levels = list(range(1, depth + 1)) if self.config.deep_supervision else [depth]
        if level not in levels:
            raise ValueError(
                f"prune({level}): this network has heads on levels {levels}"
                + ("." if self.config.deep_supervision else "; train it with deep_supervision=True to prune it.")
            )
        config = copy.deepcopy(self.config)
        config.channels = list(config.channels)[: level + 1]
        config.deep_supervision = False
        pruned = type(self)(config).to(device=self.device, dtype=self.dtype)
        kept = {f"heads.0.{k}": v for k, v in self.heads[levels.index(level)].state_dict().items()}
        wanted = pruned.state_dict().keys()
        kept |= {k: v for k, v in self.state_dict().items() if k in wanted and not k.startswith("heads.")}
        pruned.load_state_dict(kept)
        return pruned.train(self.training)

    def _is_needed(self, head: nn.Module) -> bool:
        """Whether the logits need it."""
        return self.config.inference_mode != "fast" or head is self.heads[-1]

    def _pad(self, x: torch.Tensor) -> torch.Tensor:
        bottom, right = (-size % self.config.size_divisor for size in x.shape[-2:])
        return mirror_pad(x, 0, bottom, 0, right)
