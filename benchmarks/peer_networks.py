"""Measures the network of a peer, with random weights, in the peer's own environment; called by `python -m benchmarks`.

Nothing of this project is imported here but `timing` and `steps`, which lie beside it.
"""

import argparse
import importlib.util
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import numpy as np
from timing import grow

TILE, OVERLAP = 256, 0.1  # of Cellpose 4, pixels and share
SAM = 1024  # pixels a side, to which Segment Anything brings every image
Prepare = Callable[[int], Callable[[], Any]]


def image(size: int, channels: int) -> np.ndarray:
    """(1, channels, size, size), float32."""
    return np.random.default_rng(0).normal(size=(1, channels, size, size)).astype(np.float32)


class Unused(MetaPathFinder, Loader):
    """Stands in for torchvision, which some peers import and whose networks don't use, where it isn't installed."""

    def find_spec(self, fullname: str, path=None, target=None) -> ModuleSpec | None:
        if fullname.partition(".")[0] != "torchvision":
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Hollow(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__version__ = "0"  # type: ignore[attr-defined]


class _Hollow(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Name(name, (), {})


class _Name(type):
    """A class of any name, with whatever is looked for on it."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Name(name, (), {})


def without_torchvision() -> None:
    """Import what comes next without torchvision, if there is none."""
    if importlib.util.find_spec("torchvision") is None:
        sys.meta_path.append(Unused())


def by_torch(model, channels: int, args, logits: Callable | None = None, seen: int = 256) -> tuple[Prepare, dict]:
    """A torch network as the contender of a run, channels last, autocast for bfloat16: predicts, or trains.

    Args:
        logits: The maps among what the network returns; `None`: it returns them.
        seen: Pixels a side at which its multiply-adds are counted.
    """
    import torch

    if args.train:
        import steps

        facts = {"flops_per_pixel": steps.flops_per_pixel(model, channels, logits)}
        return steps.train(model, channels, args.precision, logits), facts
    model = model.eval().to(memory_format=torch.channels_last)
    macs = counted(lambda: model(torch.zeros(1, channels, seen, seen))) / seen**2

    def prepare(size: int):
        x = torch.from_numpy(image(size, channels)).contiguous(memory_format=torch.channels_last)

        def run() -> None:
            lower = torch.autocast("cpu", torch.bfloat16) if args.precision == "bfloat16" else nullcontext()
            with torch.inference_mode(), lower:
                model(x)

        return run

    return prepare, {"macs_per_pixel": macs}


def counted(work: Callable[[], Any]) -> float:
    """Multiply-adds, as torch counts them."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        work()
    return counter.get_total_flops() / 2


def smp(args):
    without_torchvision()
    import segmentation_models_pytorch

    make = segmentation_models_pytorch.UnetPlusPlus
    # timm's resnet34 is the network that torchvision's is
    return by_torch(make("tu-resnet34", encoder_weights=None, in_channels=3, classes=3), 3, args)


def cellpose(args):
    from cellpose.resnet_torch import CPnet

    # as `cellpose.models.CellposeModel` makes it for the nuclei and cyto models
    model = CPnet([2, 32, 64, 128, 256], nout=3, sz=3, max_pool=True, diam_mean=30.0)
    return by_torch(model, 2, args, logits=lambda output: output[0])


def cellpose4(args):
    without_torchvision()
    import torch
    from cellpose import core, transforms, vit

    dtype = {"bfloat16": torch.bfloat16, "float32": torch.float32}[args.precision]
    model = vit.CPSAM(dtype=dtype).eval()
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    with torch.device("meta"):
        shapes = vit.CPSAM(dtype=dtype).eval().to(dtype)
        one = counted(lambda: shapes(torch.zeros(1, 3, TILE, TILE, dtype=dtype)))
    (size,) = args.sizes  # too slow to be timed at several, or as a whole
    tiles, *_ = transforms.make_tiles(np.zeros((3, size, size), np.float32), bsize=TILE, tile_overlap=OVERLAP)
    count = tiles.shape[0] * tiles.shape[1]
    x = image(TILE, 3).transpose(0, 2, 3, 1)

    def prepare(size: int):
        return lambda: core.run_net(model, x, bsize=TILE, tile_overlap=OVERLAP) and None

    return prepare, {"macs_per_pixel": one * count / size**2, "parts_of": count}


def microsam(args):
    without_torchvision()
    from segment_anything import sam_model_registry

    prepare, facts = by_torch(sam_model_registry["vit_b"]().image_encoder, 3, args, seen=SAM)
    return lambda size: prepare(SAM), facts


def instanseg(args):
    without_torchvision()
    from instanseg.utils.models.InstanSeg_UNet import InstanSeg_UNet

    # as `instanseg.utils.model_loader` makes it for nuclei, by the defaults of its training: coordinates, sigma, seeds
    return by_torch(InstanSeg_UNet(3, [[2, 2, 1]], layers=[256, 128, 64, 32], norm="BATCH"), 3, args)


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
    return prepare, {"macs_per_pixel": flops / 2 / 256**2}


def openvino(args):
    import openvino as ov

    core = ov.Core()
    precision = {"bfloat16": "bf16", "float32": "f32"}[args.precision]
    compiled = core.compile_model(args.file, "CPU", {"INFERENCE_PRECISION_HINT": precision})

    def prepare(size: int):
        x = image(size, 3)
        return lambda: compiled(x) and None

    return prepare, {}


PEERS = {f.__name__: f for f in (smp, cellpose, cellpose4, microsam, instanseg, stardist, openvino)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("file", nargs="?", help="for openvino, the ONNX file")
    parser.add_argument("--grid", type=int, default=2)
    parser.add_argument("--train", action="store_true", help="time training steps")
    parser.add_argument("--precision", required=True)
    parser.add_argument("--sizes", nargs="+", type=int, required=True)
    parser.add_argument("--budget", type=float, required=True)
    args = parser.parse_args()
    prepare, facts = PEERS[args.peer](args)
    grow(args.sizes, args.budget, prepare, **facts)


if __name__ == "__main__":
    main()
