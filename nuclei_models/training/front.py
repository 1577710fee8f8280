"""A network and a person's images -> a network for these images, in a given time, and never worse than the start."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from transformers.utils import logging

from ..inference.device import choose_device
from ..inference.network import Network, load_network
from ..jobs import durable
from . import processes, result
from .reading import Data, read_folder
from .recipe import Recipe
from .samples import DataError, Sample
from .split import split, split_given
from .tuning import Progress, Tuning

WORK = ".training"  # folder of an unfinished run, in that of the result
CLOCK = "clock.json"  # in it: the seconds of an interrupted run
COLOURS, LEARNT = 3, ("background", "nucleus", "border", "distance")


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' bars for every model that is saved or loaded."""
    was_shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_shown:
            logging.enable_progress_bar()


@quiet()
def train(
    folder: str | Path,
    out: str | Path,
    *,
    model: str,
    minutes: float = 20.0,
    held_out: str | Path | None = None,
    group: str | None = None,
    binary_masks: bool = False,
    channel: int | None = None,
    device: str | None = None,
    overwrite: bool = False,
    recipe: Recipe | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> result.Result:
    """Train a network on your own images.

    The images of the folder are paired with their truth and checked. A part is held out, or with few images each part
    in its turn; the start is measured on it, the network is trained on the rest, and both are compared. The result is
    whichever is better on the held-out images.

    Args:
        folder: Images with their truth, see `folders.py`.
        out: Folder for the result: a model as `load` takes it, README.md, report.html and training.json.
        model: The network to begin with: a folder, or owner/name@revision on the Hub.
        minutes: Of everything together, on this machine.
        held_out: A folder of images with truth to measure on, none of which is trained on.
        group: Regular expression for what images of one patient, slide or day have in common in their names; they stay
            on one side.
        binary_masks: Take the connected parts of masks for nuclei.
        channel: Of images with several, from 0.
        device: "cpu", "cuda", "cuda:1" or "mps"; by default a GPU if there is one.
        overwrite: Begin anew, and replace what is in `out`.
        recipe: How it is trained.
        progress: Called now and then. A KeyboardInterrupt while it trains keeps the best so far.

    Returns:
        What came of it. The same call after an interruption goes on; after the end it returns what there is.

    Raises:
        DataError: Something is wrong with the images, or with `out`. The message says what to do.
        HubError: The model can't be loaded.
        ValueError: There is no such device.
        RunStopped: The result can't be written.
    """
    if not minutes > 0:
        raise DataError(f"minutes={minutes}: expected a time above 0.")
    recipe, out = recipe or Recipe(), Path(out).expanduser().absolute()
    tell = progress or (lambda said: None)
    began = time.monotonic()
    tell(Progress("reading", 60 * minutes))
    data = read_folder(folder, binary_masks=binary_masks, channel=channel)
    apart = read_folder(held_out, binary_masks=binary_masks, channel=channel) if held_out else None
    processes.join(choose_device(device))
    network = load_network(model, device=device)
    check_network(network)
    if getattr(network.model.config, "padding", None) == "valid":
        network.model.config.padding = "mirror"  # the same weights
        data.notes.append("The network is unpadded and would lose the edge of an image: the image is mirrored there.")
    divided = split_given(data.samples, apart.samples) if apart else split(data.samples, group, recipe.seed)
    samples = data.samples + (_renamed(apart) if apart else [])
    identity = result.identity(network, data, apart, minutes, group, recipe)
    is_main = processes.is_first()
    if (known := result.finished(out, identity)) and not overwrite:
        return known
    work = out / WORK
    with durable.locked(out, out / f"{WORK}.lock") if is_main else nullcontext():
        if is_main:
            result.check_folder(out, identity, overwrite, work)
            durable.write_all({work / result.IDENTITY: json.dumps(identity).encode()})
        processes.wait()
        began -= _spent(work)
        tuning = Tuning(network, model, samples, divided, work, 60 * minutes, recipe, tell, began)
        try:
            chosen, trained, processor = tuning.go()
        finally:
            if is_main:
                durable.write_all({work / CLOCK: json.dumps(tuning.taken).encode()})
        tell(Progress("writing", tuning.left))
        made = result.make(tuning, chosen, trained, processor, data, apart, identity)
        if is_main:
            result.save(made, tuning, trained, processor, out)
            if not tuning.interrupted:
                shutil.rmtree(work, ignore_errors=True)
    if is_main:
        (out / f"{WORK}.lock").unlink(missing_ok=True)
    return made


def _spent(work: Path) -> float:
    """Seconds that this run had before it was interrupted."""
    clock = work / CLOCK
    return float(json.loads(clock.read_text())) if clock.is_file() else 0.0


def check_network(network: Network) -> None:
    """Raise a DataError unless it can be trained here."""
    channels = network.model.config.num_channels
    if channels != COLOURS:
        raise DataError(
            f"{network.source} takes images of {channels} channel{'s' * (channels != 1)}, but the crops have "
            f"{COLOURS} colours: begin with another network, or train it in Python, as docs/hub.md shows."
        )
    offsets = [name for name in network.model.channel_names if name not in LEARNT]
    if offsets:
        raise DataError(f"{network.source} has the channels {', '.join(offsets)}, for which there is no loss here.")


def _renamed(apart: Data) -> list[Sample]:
    """The held-out samples, under names that no sample to train on has."""
    return [
        Sample(f"{apart.folder}: {sample.id}", sample.image, sample.labels, sample.pixel_size)
        for sample in apart.samples
    ]
