"""Measures one of our networks, in this process; called by `python -m benchmarks`.

python -m benchmarks.own segment unetpp --precision bfloat16 --sizes 256 1024 --budget 60
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from nuclei_models import UNet, UNetConfig
from nuclei_models.analysis.measurements import measure
from nuclei_models.images.reader import read
from nuclei_models.inference import segmentation
from nuclei_models.inference.loading import load
from nuclei_models.inference.runtime import Runtime, choose

from .contenders import folder, onnx
from .timing import grow

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "examples" / "fluorescence-dense.png"


def network(key: str):
    """The bundled network or pruned level; "unet64", the paper's width, has random weights."""
    if key == "unet64":
        torch.manual_seed(0)
        names = {0: "background", 1: "nucleus", 2: "border", 3: "distance"}
        return UNet(UNetConfig(padding="same", batch_norm=True, id2label=names)).eval(), None
    model, processor = load(ROOT / "weights" / folder(key), device="cpu")
    return (model.prune(int(key[1])) if key[0] == "l" else model).eval(), processor


def picture(size: int) -> np.ndarray:
    """(size, size) uint8, an example image mirrored as often as needed: nuclei as dense as in it, everywhere."""
    pixels = read(PICTURE).pixels
    return np.pad(pixels, [(0, max(size - n, 0)) for n in pixels.shape], mode="reflect")[:size, :size]


def macs(model, size: int = 256) -> float:
    """Multiply-adds a pixel of the image."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(1, 3, size, size))
    return counter.get_total_flops() / 2 / size**2


def whole(key: str, precision: str) -> Callable:
    """File to label image; of it, the seconds of the network, of what follows its last run, and apart from it those of
    the table of the nuclei."""
    model, processor = network(key)
    folder = Path(tempfile.mkdtemp())  # for as long as the process
    spent: Counter[str] = Counter()

    def timed(part: str, function: Callable) -> Callable:
        def run(*args):
            start = time.perf_counter()
            result = function(*args)
            spent[part] += time.perf_counter() - start
            return result

        return run

    def looked(*args):
        found = find(*args)
        spent["after"] = 0.0  # maps of looks come before the network sees the image
        return found

    find, segmentation.find_diameter = segmentation.find_diameter, looked
    segmentation.predict_logits = timed("network", segmentation.predict_logits)
    processor.maps, processor.instances = timed("after", processor.maps), timed("after", processor.instances)
    table = timed("apart", measure)

    def prepare(size: int) -> Callable[[], dict]:
        path = folder / f"{size}.png"
        Image.fromarray(picture(size)).save(path)

        def run() -> dict:
            spent.clear()
            pixels = read(path).pixels
            table(segmentation.segment(pixels, model, processor, precision=precision).labels, pixels)
            return dict(spent)

        return run

    return prepare


def bare(how: str, key: str, precision: str) -> Callable:
    """Tensor to logits, by our runtime, as the model itself (eager), compiled, or by ONNX Runtime."""
    run = {"bands": by_bands, "eager": by_forward, "compile": by_compile, "onnx": by_onnx}[how](key, precision)

    def prepare(size: int) -> Callable[[], None]:
        x = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 3, size, size)).astype(np.float32))

        def once() -> None:
            with torch.inference_mode():
                run(x)

        return once

    return prepare


def by_bands(key: str, precision: str) -> Callable:
    return Runtime(network(key)[0], precision)


def by_forward(key: str, precision: str) -> Callable:
    model, dtype = network(key)[0], choose(precision, torch.device("cpu"))
    model.to(memory_format=torch.channels_last)

    def run(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            return model(x.contiguous(memory_format=torch.channels_last)).logits.float()

    return run


def by_compile(key: str, precision: str) -> Callable:
    from torch._inductor import config

    config.freezing = True  # folds normalisation, packs weights
    model, dtype = network(key)[0], choose(precision, torch.device("cpu"))
    model = model.to(dtype).to(memory_format=torch.channels_last)
    compiled = torch.compile(model, dynamic=False)
    return lambda x: compiled(x.to(dtype).contiguous(memory_format=torch.channels_last)).logits.float()


def by_onnx(key: str, precision: str) -> Callable:
    import onnxruntime

    path = onnx_file(key)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options)
    return lambda x: session.run(None, {"pixel_values": x.numpy()})[0]


def onnx_file(key: str) -> Path:
    """The network as ONNX, made where it isn't there."""
    from nuclei_models.interchange.onnx_file import export_onnx

    path = Path(onnx(key))
    if not newer(path, ROOT / "weights" / path.stem / "model.safetensors"):
        path.parent.mkdir(parents=True, exist_ok=True)
        export_onnx(ROOT / "weights" / path.stem, path)
    return path


def newer(made: Path, source: Path) -> bool:
    """Whether it is there and was made after its source."""
    return made.is_file() and made.stat().st_mtime >= source.stat().st_mtime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("how", choices=["segment", "bands", "eager", "compile", "onnx"])
    parser.add_argument("network", help="unet, unetpp, l1 .. l3, or unet64")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--sizes", nargs="+", type=int, required=True)
    parser.add_argument("--budget", type=float, required=True, help="seconds")
    args = parser.parse_args()
    prepare = whole(args.network, args.precision) if args.how == "segment" else bare(
        args.how, args.network, args.precision
    )  # fmt: skip
    grow(args.sizes, args.budget, prepare, macs_per_pixel=macs(network(args.network)[0]))


if __name__ == "__main__":
    main()
