"""Measures the network of a peer, with random weights, in the peer's own environment; called by `python -m benchmarks`.

Nothing of this project is imported here but `timing`, which lies beside it.
"""

import argparse
import os
import sys
from contextlib import nullcontext
from unittest.mock import MagicMock

import numpy as np
from timing import grow


def image(size: int, channels: int) -> np.ndarray:
    """(1, channels, size, size), float32."""
    return np.random.default_rng(0).normal(size=(1, channels, size, size)).astype(np.float32)


def by_torch(model, channels: int, precision: str):
    """A torch network, its multiply-adds a pixel, in evaluation mode, channels last, autocast for bfloat16."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    model = model.eval().to(memory_format=torch.channels_last)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(1, channels, 256, 256))

    def prepare(size: int):
        x = torch.from_numpy(image(size, channels)).contiguous(memory_format=torch.channels_last)

        def run() -> None:
            lower = torch.autocast("cpu", torch.bfloat16) if precision == "bfloat16" else nullcontext()
            with torch.inference_mode(), lower:
                model(x)

        return run

    return prepare, counter.get_total_flops() / 2 / 256**2


def smp(args):
    # of torchvision only plain torch is used; its compiled operators may be of another build of torch
    sys.modules["torchvision._meta_registrations"] = MagicMock()
    import segmentation_models_pytorch

    make = segmentation_models_pytorch.UnetPlusPlus
    return by_torch(make("resnet34", encoder_weights=None, in_channels=3, classes=3), 3, args.precision)


def cellpose(args):
    from cellpose.resnet_torch import CPnet

    # as `cellpose.models.CellposeModel` makes it for the nuclei and cyto models
    return by_torch(CPnet([2, 32, 64, 128, 256], nout=3, sz=3, max_pool=True, diam_mean=30.0), 2, args.precision)


def stardist(args):
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tensorflow as tf
    from stardist.models import Config2D, StarDist2D

    model = StarDist2D(Config2D(n_rays=32, grid=(args.grid, args.grid), n_channel_in=1), name=None, basedir=None)
    network = model.keras_model

    def prepare(size: int):
        x = image(size, 1).transpose(0, 2, 3, 1)
        return lambda: network.predict_on_batch(x) and None

    concrete = tf.function(network).get_concrete_function(tf.TensorSpec((1, 256, 256, 1), tf.float32))
    floats = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    flops = tf.compat.v1.profiler.profile(concrete.graph, options=floats | {"output": "none"}).total_float_ops
    return prepare, flops / 2 / 256**2


def openvino(args):
    import openvino as ov

    core = ov.Core()
    precision = {"bfloat16": "bf16", "float32": "f32"}[args.precision]
    compiled = core.compile_model(args.file, "CPU", {"INFERENCE_PRECISION_HINT": precision})

    def prepare(size: int):
        x = image(size, 3)
        return lambda: compiled(x) and None

    return prepare, None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=["smp", "cellpose", "stardist", "openvino"])
    parser.add_argument("file", nargs="?", help="for openvino, the ONNX file")
    parser.add_argument("--grid", type=int, default=2)
    parser.add_argument("--precision", required=True)
    parser.add_argument("--sizes", nargs="+", type=int, required=True)
    parser.add_argument("--budget", type=float, required=True)
    args = parser.parse_args()
    prepare, macs = globals()[args.peer](args)
    grow(args.sizes, args.budget, prepare, **({"macs_per_pixel": macs} if macs else {}))


if __name__ == "__main__":
    main()
