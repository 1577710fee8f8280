"""A network as a TorchScript file, for programs that run PyTorch without this package."""

import warnings
from pathlib import Path

import torch

from .any_size import example_for, traceable


def export_torchscript(source: str | Path, path: Path) -> None:
    """Write the TorchScript file of a network: (B, C, H, W) float32 pixel values, any batch and any size, to logits
    (B, num_labels, H, W).

    Args:
        source: As for `load`.
        path: File to write.

    Raises:
        HubError: The network can't be loaded.
        ValueError: A U-Net without padding; its output is smaller than its input.
    """
    network = traceable(source)
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # torch.jit is deprecated; bioimage.io's programs run it
        torch.jit.trace(network, example_for(network.model), check_trace=False).save(str(path))
