"""A network's golden tensors, stored beside the weights: an image, what the processor makes of it, and what the network
says of that. Whoever changes code, a library or a machine sees by them whether the network still says the same.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ..model.layers import NucleiNetwork
from ..model.processing import NucleiProcessing
from ..model.repository import WEIGHTS, sha256

FILE = "golden.safetensors"
SIDE = 128  # pixels


@dataclass(frozen=True)
class Golden:
    """Golden tensors.

    Attributes:
        image: (SIDE, SIDE, 3), uint8, native values.
        pixel_values: (1, 3, SIDE, SIDE), float32: the image as the network sees it, not rescaled.
        logits: (1, C, SIDE, SIDE), float32, computed in float32 on a CPU.
        weights_sha256: Of the weights that gave the logits.
    """

    image: np.ndarray
    pixel_values: torch.Tensor
    logits: torch.Tensor
    weights_sha256: str


def compute(model: NucleiNetwork, processor: NucleiProcessing, image: np.ndarray, folder: Path) -> Golden:
    """Golden tensors of a network on the CPU.

    Args:
        image: (H, W, 3), uint8, at least SIDE a side: its middle is taken.
        folder: Where the network's weights are.
    """
    top, left = ((n - SIDE) // 2 for n in image.shape[:2])
    image = np.ascontiguousarray(image[top : top + SIDE, left : left + SIDE])
    pixel_values = torch.from_numpy(processor.prepare(image, processor.min_diameter))[None]  # the scale is 1
    with torch.inference_mode():
        logits = model.eval()(pixel_values, return_dict=True).logits
    return Golden(image, pixel_values, logits, sha256(folder / WEIGHTS))


def write(golden: Golden, folder: Path) -> Path:
    """Store golden tensors beside the weights. -> the file."""
    tensors = {"image": torch.from_numpy(golden.image), "pixel_values": golden.pixel_values, "logits": golden.logits}
    save_file(
        {name: t.clone().contiguous() for name, t in tensors.items()},
        folder / FILE,
        metadata={"weights_sha256": golden.weights_sha256},
    )
    (folder / FILE).chmod(0o644)  # safetensors writes files that no one else can read
    return folder / FILE


def read(folder: Path) -> Golden | None:
    """The golden tensors of the network in a folder, if there are any."""
    if not (folder / FILE).is_file():
        return None
    with safe_open(folder / FILE, framework="pt") as file:
        parts = {name: file.get_tensor(name) for name in ("image", "pixel_values", "logits")}
        known = (file.metadata() or {}).get("weights_sha256", "")
    return Golden(parts["image"].numpy(), parts["pixel_values"], parts["logits"], known)
