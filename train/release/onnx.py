"""Bring a network to ONNX, for use outside PyTorch and Python.

    python -m train.release.onnx --onnx --weights weights/unet-nuclei weights/unetpp-nuclei

writes `onnx/model.onnx` into each folder: input `pixel_values` (batch, channels, height, width), float32, any batch and
any size; output `logits` (batch, labels, height, width). `train.release.publish` puts it beside the weights. It
wants `pip install nuclei-models[onnx]`.
"""

import argparse
import logging
import warnings
from pathlib import Path

import torch
from torch import nn
from torch.export import Dim

from nuclei_models import UNet
from nuclei_models.inference.loading import load
from nuclei_models.model.modeling_nuclei import NucleiPreTrainedModel

OPSET = 18
TRACED_SIZE = (2, 5, 7)  # images, and height and width in strides: unlike in all, so that none is taken for another


class AnySize(nn.Module):
    """A network whose mirrored margin is made by indexing, which a graph can hold for sizes that it doesn't know:
    `mirror_pad` chooses by the size between two ways of padding, and a graph has no such choice."""

    def __init__(self, model: NucleiPreTrainedModel):
        super().__init__()
        self.model = model
        model._pad = lambda x: x  # type: ignore[assignment]

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> logits (B, num_labels, H, W)."""
        height, width = pixel_values.shape[-2:]
        x = pixel_values.index_select(-2, self.mirrored(height)).index_select(-1, self.mirrored(width))
        return self.model(x, return_dict=True).logits[..., :height, :width]

    def mirrored(self, size: int) -> torch.Tensor:
        """Which of the `size` pixels along an axis the network wants to see, to and fro past the edges: (n,) int64."""
        before, after = self.margins(size)
        last = torch.full((1,), size - 1)
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


def export_onnx(weights: Path, path: Path) -> None:
    """Write the ONNX file of a network.

    Args:
        weights: Folder, or id on the Hub.
        path: File to write.

    Raises:
        ValueError: A U-Net without padding; its output is smaller than its input.
        ImportError: The packages for it aren't installed.
    """
    try:
        import onnxscript  # noqa: F401 (torch.onnx needs it)
    except ImportError as error:
        raise ImportError("ONNX export needs more packages: pip install nuclei-models[onnx]") from error
    model, _ = load(weights)
    if getattr(model.config, "padding", "same") == "valid":
        raise ValueError(f'{weights} is a U-Net with padding="valid": set "mirror" in its config (same weights).')
    images, rows, columns = TRACED_SIZE
    example = torch.zeros(images, model.config.num_channels, rows * model.stride + 3, columns * model.stride + 5)
    sizes = {0: Dim("batch"), 2: Dim("height", min=1), 3: Dim("width", min=1)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on torch's own workings, as are the logger's
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            AnySize(model).eval(),
            (example,),
            path,
            input_names=["pixel_values"],
            output_names=["logits"],
            dynamic_shapes=(sizes,),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--onnx", action="store_true", required=True, help="the format; there is one so far")
    parser.add_argument(
        "--weights",
        nargs="+",
        type=Path,
        default=[Path("weights/unet-nuclei"), Path("weights/unetpp-nuclei")],
        help="folders of networks; the default is the bundled ones",
    )
    args = parser.parse_args()
    for folder in args.weights:
        export_onnx(folder, folder / "onnx" / "model.onnx")
        print(folder / "onnx" / "model.onnx")


if __name__ == "__main__":
    main()
