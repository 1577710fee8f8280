"""`nuclei export`: a network as files for other programs."""

from collections.abc import Callable
from pathlib import Path

from transformers.utils import logging

from nuclei_models.inference.bundled import DEFAULT
from nuclei_models.interchange.bioimageio import export_bioimageio
from nuclei_models.interchange.onnx_file import export_onnx
from nuclei_models.interchange.torchscript import export_torchscript
from nuclei_models.jobs.durable import RunStopped
from nuclei_models.model.repository import HubError

from . import console
from .console import complain, say

ENDINGS = {"onnx": ".onnx", "torchscript": ".pt", "bioimageio": ".bioimageio.zip"}


def export(model: str | None, formats: list[str], out: Path) -> int:
    """Write a network in each of these formats into the folder `out`. -> exit code."""
    logging.disable_progress_bar()  # of every model that is loaded
    source = model or DEFAULT
    name = Path(source.partition("@")[0]).name
    try:
        if not formats:
            raise ValueError("No format was given: add --onnx, --torchscript or --bioimageio.")
        for kind in formats:
            path = out / f"{name}{ENDINGS[kind]}"
            WRITERS[kind](source, path)
            say(str(path))
    except (HubError, ValueError, ImportError) as error:
        complain(f"Error: {error}")
        return console.WRONG_USAGE
    except RunStopped as error:
        complain(f"Stopped: {error}")
        return console.STOPPED
    return console.OK


WRITERS: dict[str, Callable[[str, Path], None]] = {
    "onnx": export_onnx,
    "torchscript": export_torchscript,
    "bioimageio": export_bioimageio,
}
