"""A network as an ONNX file, for use outside PyTorch and Python."""

import logging
import warnings
from pathlib import Path

import torch
from torch.export import Dim

from .any_size import example_for, traceable

OPSET = 18


def export_onnx(source: str | Path, path: Path) -> None:
    """Write the ONNX file of a network.

    Its input is `pixel_values` (batch, channels, height, width), float32, any batch and any size; its output `logits`
    (batch, labels, height, width).

    Args:
        source: As for `load`.
        path: File to write.

    Raises:
        HubError: The network can't be loaded.
        ValueError: A U-Net without padding; its output is smaller than its input.
        ImportError: The packages for it aren't installed.
    """
    try:
        import onnxscript  # noqa: F401 (torch.onnx needs it)
    except ImportError as error:
        raise ImportError(f'ONNX needs more packages ({error}): pip install "nuclei-models[onnx]".') from error
    network = traceable(source)
    sizes = {0: Dim("batch"), 2: Dim("height", min=1), 3: Dim("width", min=1)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on torch's own workings, as are the logger's
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            network,
            (example_for(network.model),),
            path,
            input_names=["pixel_values"],
            output_names=["logits"],
            dynamic_shapes=(sizes,),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
