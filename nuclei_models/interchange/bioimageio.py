"""A network as a package for bioimage.io, whose programs (ilastik, deepImageJ, BiaPy, ..) run it as it is described.

The package holds the network as ONNX and TorchScript, the weights as they are here, and an image with the logits that
belong to it, by which every program can test itself. `rdf.yaml` describes all of this with a SHA-256 of each file. How
logits become nuclei can't be described there; the package's README.md says it.
"""

import hashlib
import io
import shutil
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

from ..inference import golden
from ..inference.bundled import TITLES, key_of
from ..inference.golden import Golden
from ..inference.loading import PROCESSOR, load, parse_model_id
from ..jobs import durable
from ..model.channels import class_count
from ..model.image_processing_nuclei import NucleiImageProcessor
from ..model.modeling_nuclei import NucleiPreTrainedModel
from ..model.repository import CONFIG, WEIGHTS, Repository, sha256
from ..version import __version__
from .onnx_file import OPSET, export_onnx
from .torchscript import export_torchscript

FORMAT = "0.5.4"
CITED = {
    "unet": ("Ronneberger, Fischer, Brox: U-Net, MICCAI 2015", "10.1007/978-3-319-24574-4_28"),
    "unetpp": ("Zhou et al.: UNet++, IEEE Transactions on Medical Imaging 2020", "10.1109/TMI.2019.2959609"),
}


def export_bioimageio(source: str | Path, path: Path) -> None:
    """Write the package of a network.

    Args:
        source: As for `load`.
        path: Zip file to write.

    Raises:
        HubError: The network can't be loaded.
        ValueError: A U-Net without padding, or a network of other than three channels.
        ImportError: The packages for ONNX aren't installed.
    """
    model, processor = load(source, device="cpu")
    if model.config.num_channels != 3:
        raise ValueError(f"{source} takes {model.config.num_channels} channels: expected a network of RGB images.")
    with TemporaryDirectory(prefix="bioimageio-") as folder:
        out = Path(folder)
        export_onnx(source, out / "model.onnx")
        export_torchscript(source, out / "model.pt")
        name, revision = parse_model_id(str(source))
        repository = Repository(name, revision=revision)
        found = [repository.find(file) for file in (WEIGHTS, CONFIG, PROCESSOR)]
        own = [file for file in found if file is not None]  # all of them: they were loaded
        for file in own:
            shutil.copyfile(file, out / file.name)
        tensors = tensors_of(model, processor, own[0].parent)
        np.save(out / "test_input.npy", tensors.image.transpose(2, 0, 1)[None].astype(np.float32))
        np.save(out / "test_output.npy", tensors.logits.numpy())
        title = TITLES[key_of(model.config.model_type)]
        Image.fromarray(tensors.image).resize((512, 512)).save(out / "cover.png")
        (out / "README.md").write_text(readme(title, processor))
        (out / "rdf.yaml").write_text(yaml.safe_dump(description(title, model, processor, out), sort_keys=False))
        durable.write_all({path: zipped(out)})


def tensors_of(model: NucleiPreTrainedModel, processor: NucleiImageProcessor, folder: Path) -> Golden:
    """The golden tensors stored beside the weights, if they are of these weights; others are made of a drawn image."""
    stored = golden.read(folder)
    if stored is not None and stored.weights_sha256 == sha256(folder / WEIGHTS):
        return stored
    return golden.compute(model, processor, drawn(), folder)


def drawn() -> np.ndarray:
    """Bright discs on a darker ground that isn't quite even: (SIDE, SIDE, 3), uint8."""
    y, x = np.mgrid[: golden.SIDE, : golden.SIDE]
    centres = [(18 + 30 * i, 20 + 30 * j + 6 * (i % 2)) for i in range(4) for j in range(4)]
    discs = sum(np.exp(-((((y - cy) ** 2 + (x - cx) ** 2) / 64) ** 2)) for cy, cx in centres)
    grey = 20 + 200 * np.clip(discs, 0, 1) + (7 * x + 11 * y) % 13
    return np.repeat(grey[..., None].astype(np.uint8), 3, axis=2)


def description(
    title: str, model: NucleiPreTrainedModel, processor: NucleiImageProcessor, folder: Path
) -> dict[str, Any]:
    """What stands in rdf.yaml.

    Args:
        folder: The package's other files.
    """
    key = key_of(model.config.model_type)
    step = model.stride

    def file(name: str, **more: Any) -> dict[str, Any]:
        return {"source": name, "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()} | more

    space = [{"type": "space", "id": axis, "size": {"min": 4 * step, "step": step}} for axis in ("y", "x")]
    same = [{"type": "space", "id": axis, "size": {"tensor_id": "raw", "axis_id": axis}} for axis in ("y", "x")]
    return {
        "format_version": FORMAT,
        "type": "model",
        "name": f"{title} for cell nuclei",
        "description": f"{title} that finds every cell nucleus in a microscopy image: class, border and distance maps.",
        "version": __version__,
        "authors": [{"name": "The nuclei-models contributors"}],
        "license": "MIT",
        "cite": [{"text": text, "doi": doi} for text, doi in (CITED[key],)],
        "tags": ["nuclei", "instance-segmentation", "fluorescence", "histology", "unet", "pytorch", "2d"],
        "documentation": file("README.md"),
        "covers": [file("cover.png")],
        "attachments": [file(name) for name in (WEIGHTS, CONFIG, PROCESSOR)],
        "inputs": [
            {
                "id": "raw",
                "description": "RGB image, native values; of a grey image all three channels are the same.",
                "axes": [
                    {"type": "batch"},
                    {"type": "channel", "channel_names": ["red", "green", "blue"]},
                    *space,
                ],
                "test_tensor": file("test_input.npy"),
                "data": {"type": "float32"},
                "preprocessing": preprocessing(processor),
            }
        ],
        "outputs": [
            {
                "id": "logits",
                "description": "Logits. README.md says how they become probabilities, and these nuclei.",
                "axes": [
                    {"type": "batch"},
                    {"type": "channel", "channel_names": list(processor.channel_names)},
                    *same,
                ],
                "test_tensor": file("test_output.npy"),
                "data": {"type": "float32"},
            }
        ],
        "weights": {
            "torchscript": file("model.pt", pytorch_version=torch.__version__.split("+")[0]),
            "onnx": file("model.onnx", opset_version=OPSET, parent="torchscript"),
        },
    }


def preprocessing(processor: NucleiImageProcessor) -> list[dict[str, Any]]:
    """`NucleiImageProcessor.prepare` in bioimage.io's words, as far as these reach.

    They have no word for the least span of a channel that is nearly empty beside the others, nor for the rescaling.
    """
    percentiles = {"min_percentile": processor.low_percentile, "max_percentile": processor.high_percentile}
    gain, offset = 1 / processor.image_std, -processor.image_mean / processor.image_std
    return [
        {"id": "scale_range", "kwargs": {"axes": ["y", "x"], **percentiles}},
        {"id": "clip", "kwargs": {"min": -0.5, "max": 2.0}},
        {"id": "scale_linear", "kwargs": {"gain": float(gain), "offset": float(offset)}},
    ]


def after(processor: NucleiImageProcessor) -> str:
    """How logits become probabilities."""
    names = list(processor.channel_names)
    n = class_count(names)
    classes = f"The softmax of {', '.join(names[:n])} gives the probability of nucleus, 1 - {names[0]}."
    rest = (
        f" The sigmoid of {', '.join(names[n:])} is 1 in the middle of a nucleus and 0 at its edge."
        if names[n:]
        else ""
    )
    return (f"The sigmoid of {names[0]} gives its probability." if n == 1 else classes) + rest


def readme(title: str, processor: NucleiImageProcessor) -> str:
    """The package's documentation."""
    return f"""# {title} for cell nuclei

The network says of every pixel how likely it is to be nucleus, and how far from the nucleus's edge it lies. Its
channels are {", ".join(processor.channel_names)}.

## Before the network

Rescale the image so that its nuclei have a diameter of {processor.min_diameter:g} to {processor.max_diameter:g} pixels.
The normalisation is described in `rdf.yaml`.

## After the network

{after(processor)}

A pixel is nucleus where that probability is above {processor.threshold:g}. Touching nuclei are cut apart by a watershed
that starts from the cores, where the distance is above {processor.separation:g}. The Python package nuclei-models does
all of this, and estimates the diameter:

```python
from nuclei_models import load, read, segment

found = segment(read("cells.png").pixels, *load("folder-of-this-package"))
```

## Limits

Look at the result before you count with it. Nuclei that overlap in depth, and images unlike those that it was trained
on, are often wrong. Code and weights are under the MIT licence.

## Validation

Run `bioimageio test` on this package: both formats must give the stored output from the stored input.
"""


def zipped(folder: Path) -> bytes:
    """The files of a folder, in the order of their names."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as package:
        for path in sorted(folder.iterdir()):
            package.writestr(zipfile.ZipInfo(path.name, (1980, 1, 1, 0, 0, 0)), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return held.getvalue()
