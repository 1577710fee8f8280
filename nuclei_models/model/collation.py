"""Images and truth of unequal sizes -> a batch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from .losses import IGNORED


def collate(items: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
    """Images, with their labels if they have any, of any sizes -> a batch, for a DataLoader or a Trainer.

    Args:
        items: What `processor(image)` or `processor(image, segmentation_maps=labels)` gives, or parts of these:
            `pixel_values` and `labels`, (C, H, W) arrays or tensors, or lists or batches of such.

    Returns:
        The same keys, (B, C, H, W). Smaller images are mirrored on at their lower and right edges, where the labels say
        that nobody knows.

    Raises:
        ValueError: Some items have labels, and others have none.
    """
    kinds = sorted({", ".join(sorted(item.keys())) for item in items})
    if len(kinds) > 1:
        raise ValueError(f"Some items have {kinds[0]}, others {kinds[1]}: expected the same in each.")
    batch = {}
    for key in items[0]:
        parts = [torch.as_tensor(x) for item in items for x in _each_part(item[key])]
        height, width = (max(x.shape[axis] for x in parts) for axis in (-2, -1))
        batch[key] = torch.stack([_extended(x, height, width, is_truth=key == "labels") for x in parts])
    return batch


def _each_part(value: Any) -> Sequence:
    """The arrays (C, H, W) of one, a batch or a list of them."""
    return value if isinstance(value, list | tuple) or value.ndim == 4 else [value]


def _extended(x: torch.Tensor, height: int, width: int, is_truth: bool) -> torch.Tensor:
    """(C, H, W) extended downwards and to the right: mirrored, or if it is truth with `IGNORED`."""
    margins = [(0, 0), (0, height - x.shape[1]), (0, width - x.shape[2])]
    if not any(end for _, end in margins):
        return x
    kind: dict[str, Any] = {"mode": "constant", "constant_values": IGNORED} if is_truth else {"mode": "symmetric"}
    return torch.from_numpy(np.pad(x.numpy(), margins, **kind))


__all__ = ["collate"]
