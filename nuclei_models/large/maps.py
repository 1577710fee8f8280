"""A block of the image -> its maps, in the workplace: the only step that runs the network."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..inference.tiling import predict_logits
from ..jobs.mapper import check
from ..model.windows import Window
from .resample import rescale
from .statistics import normalised
from .workplace import Workplace, workplace


@dataclass(frozen=True)
class MapsJob:
    """A block whose maps are wanted. `folder` and `key` are those of `workplace`."""

    folder: str
    key: str
    block: int


def make_maps(job: MapsJob) -> int:
    """Compute the maps of a block, unless they are there. -> the pixels of the block.

    Raises:
        ImageError: The image can't be read there, or was changed since the run began.
        RunStopped: The network's files or this package's code aren't those that the run began with, or it is over.
        Unwanted: Nobody waits for the block.
    """
    work = workplace(job.folder, job.key)
    window = work.plan.grid.window(job.block)
    if not work.has_whole_maps(job.block):
        maps = maps_of(work, window)
        if Path(work.plan.source).is_file():  # of a folder it is looked at when all is done, as that may take long
            work.check_image()
        work.write_maps(job.block, maps)
    return (window[0].stop - window[0].start) * (window[1].stop - window[1].start)


def maps_of(work: Workplace, window: Window) -> np.ndarray:
    """The maps of a window of the image, (n, h, w) float32: those of the whole image there."""
    plan, network = work.plan, work.network
    model, processor = network.at(plan.settings.level), network.processor
    axes, axes_back = plan.axes(), plan.axes_back()
    core = axes_back[0].needed(window[0]), axes_back[1].needed(window[1])
    margin = model.context + model.stride + round(4 * processor.distance_sigma)  # see `smooth`
    seen = widened(core, plan.seen, margin, model.stride)
    x = network_input(work, (axes[0].needed(seen[0]), axes[1].needed(seen[1])))
    x = rescale(x, axes, seen)
    precision = plan.settings.precision
    logits = predict_logits(model, x.numpy(), tile=max(x.shape[1:]), progress=check, precision=precision)
    inner = tuple(slice(c.start - s.start, c.stop - s.start) for c, s in zip(core, seen, strict=True))
    whole = processor.maps(logits)
    maps = [m[inner] for m in (whole.probability, whole.distance) if m is not None]
    return rescale(torch.from_numpy(np.stack(maps)), axes_back, window).clamp_(0, 1).numpy()


def network_input(work: Workplace, window: Window) -> torch.Tensor:
    """A window of the image, normalised by the whole image's values, not yet rescaled: (3, h, w), float32."""
    plan, processor = work.plan, work.network.processor
    bottom, span = (np.array(values, np.float32) for values in (plan.bottom, plan.span))
    x = normalised(work.source, bottom, span, plan.stain, window)
    return torch.from_numpy(processor.standardise(x))


def widened(core: Window, size: tuple[int, int], margin: int, stride: int) -> Window:
    """The window that the network must see for its core to be the whole image's; cf. `tiling.tiles`.

    Begins at a multiple of the stride, and so sees the pooling grid of the whole image, and ends at one or at the edge.
    """
    return tuple(  # type: ignore[return-value]
        slice(max(c.start - margin, 0) // stride * stride, min(-(-(c.stop + margin) // stride) * stride, n))
        for c, n in zip(core, size, strict=True)
    )
