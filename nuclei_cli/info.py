"""`nuclei info`: what is in an image file, in a model, or on this machine."""

import json
import platform
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nuclei_models.batch.job import LARGE_PIXELS
from nuclei_models.images.reader import SUPPORTED_EXTENSIONS, ImageError, MicroscopyImage, inspect, read
from nuclei_models.inference.bundled import DEFAULT, bundled
from nuclei_models.inference.device import about_gpu, choose_device
from nuclei_models.inference.network import Network, load_for_inference, load_network
from nuclei_models.inference.runtime import choose
from nuclei_models.inference.segmentation import nuclear_diameter
from nuclei_models.inference.stains import find_channel
from nuclei_models.model.repository import CONFIG, HubError
from nuclei_models.version import __version__

from . import console
from .console import complain


def tell(what: str | None, model: str | None, as_json: bool, series: int | None = None) -> int:
    """Print what there is to know. -> exit code."""
    try:
        facts = of_machine(model) if what is None else of_file(what, model, series)
    except (ImageError, HubError, ValueError) as error:
        complain(f"Error: {error}")
        return console.WRONG_USAGE
    if as_json:
        print(json.dumps(facts, indent=1))
    else:
        console.pairs((name.replace("_", " "), text(value)) for name, value in facts.items() if value not in (None, []))
    return console.OK


def of_file(what: str, model: str | None, series: int | None) -> dict[str, Any]:
    """`of_model` or `of_image`, whichever it is."""
    path = Path(what).expanduser()
    is_model = (path / CONFIG).is_file()
    if not path.exists() and not what.lower().endswith(SUPPORTED_EXTENSIONS):
        is_model = bundled(what) is not None or re.fullmatch(r"[\w.-]+/[\w.-]+(@.+)?", what) is not None
    return of_model(load_network(what)) | made(path) if is_model else of_image(path, model, series)


def of_machine(model: str | None) -> dict[str, Any]:
    """What runs here: versions, and whether networks run on a GPU."""
    device = choose_device()
    return {
        "version": __version__,
        "PyTorch": torch.__version__,
        "Python": platform.python_version(),
        "system": platform.platform(),
        "on_the_GPU": about_gpu(),
        "GPUs": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "device": str(device),
        "precision": str(choose("auto", device)).removeprefix("torch."),
        "model": model or DEFAULT,
    }


def of_image(path: Path, model: str | None, series: int | None = None) -> dict[str, Any]:
    """What an image file holds, and of the plane that would be segmented its values and nuclear diameter.

    Args:
        series: Which image of a file with several.
        model: Whose processor estimates the diameter; by default the bundled one's.

    Raises:
        ImageError, HubError: The file, or the model that was named, can't be read.
    """
    info = inspect(path, series)
    facts: dict[str, Any] = {
        "file": info.name,
        "format": info.format,
        "width": info.width,
        "height": info.height,
        "type": f"{info.dtype}{' RGB' if info.is_rgb else ''}",
        "time_points": info.sizes["T"],
        "Z_planes": info.sizes["Z"],
        "channels": info.sizes["C"],
        "channel_names": list(info.channel_names),
        "pixel_size_um": info.pixel_size and list(info.pixel_size),
        "images_in_file": list(info.series) if len(info.series) > 1 else [],
        "notes": list(info.notes),
    }
    if info.width * info.height > LARGE_PIXELS:
        facts["notes"].append("It is larger than memory may hold: it is segmented part by part.")
        return facts
    network = load_for_inference(model or DEFAULT)
    channel, taken = find_channel(path, network.model, network.processor, series=series)
    image = read(path, channel=channel, series=series)
    finite = image.pixels[np.isfinite(image.pixels)]
    facts["values"] = [finite.min().item(), finite.max().item()] if finite.size else []
    facts |= diameter(image, network)
    return facts | {"notes": [*filter(None, [taken]), *image.notes]}


def diameter(image: MicroscopyImage, network: Network) -> dict[str, Any]:
    """The nuclear diameter that a network assumes of an image, pixels, and how far it can be trusted."""
    assumed = nuclear_diameter(image.pixels, network.model, network.processor, image.pixel_size)
    facts: dict[str, Any] = {"nuclear_diameter_px": None if assumed.pixels is None else round(assumed.pixels, 1)}
    return facts | {"nuclear_diameter_is": "doubtful" if assumed.is_doubtful else "confirmed by what is found"}


def of_model(network: Network) -> dict[str, Any]:
    """What a model is, and the settings that it was saved with."""
    config, processor = network.model.config, network.processor
    return {
        "model": network.source,
        "revision": network.revision or None,
        "architecture": network.title,
        "parameters": sum(p.numel() for p in network.model.parameters()),
        "feature_maps": list(config.channels),
        "pruning_levels": network.levels,
        "output_channels": list(processor.channel_names),
        "threshold": processor.threshold,
        "separation": processor.separation,
        "min_area_px_as_seen": processor.min_area,
        "nuclear_diameters_px": [processor.min_diameter, processor.max_diameter],
        "nuclear_diameter_px": processor.diameter,
        "estimates_the_diameter": processor.diameter is None and processor.diameter_estimator is not None,
        "tells_the_confidence": processor.confidence_model is not None,
        "least_confidence": processor.least_confidence,
        "runs_on": network.device,
        "weights_sha256": network.sha256,
    }


def made(folder: Path) -> dict[str, Any]:
    """How a model came about, where `nuclei train` recorded it."""
    from nuclei_models.training.card import read_record

    record = read_record(folder)
    if record is None:
        return {}
    data = record["data"][0]
    return {
        "made_by": f"nuclei train, from {record['initial']['model']}, with {data['images']} images of {data['folder']}",
        "kept": record["result"]["why"],
    }


def text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ("\n" if any(" " in str(v) for v in value) else ", ").join(map(text, value))
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) and value > 99_999 else str(value)
