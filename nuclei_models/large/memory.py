"""How much memory there is, how much a network takes, and so how large a part of an image can be worked on."""

import threading
from pathlib import Path

import numpy as np
import psutil
import torch

from ..inference.tiling import predict_logits
from ..model.layers import NucleiNetwork

# pixels of a block, the largest first; coarse, so that a little more memory doesn't cut the same image differently
BLOCKS = (4096, 3072, 2048, 1536, 1024, 768, 512, 384, 256, 128)
PER_PIXEL = 100  # bytes beside the stored ones, to normalise and rescale a pixel, or to cut maps into nuclei there
MOST = 2_500_000_000  # bytes that a process takes unless told: with more, blocks would grow and hardly be faster
_CGROUP = [Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")]


def available() -> int:
    """Bytes of memory that this process may still take: what is free here, or what a container leaves."""
    free = psutil.virtual_memory().available
    for limit in _CGROUP:
        try:
            free = min(free, int(limit.read_text()) - psutil.Process().memory_info().rss)
        except (OSError, ValueError):  # no such limit here, or "max"
            continue
    return max(free, 0)


def by_default() -> int:
    """Bytes that a process takes unless told: half of what is there, at most `MOST`."""
    return min(available() // 2, MOST)


def block_size(
    model: NucleiNetwork,
    memory: int,
    shape: tuple[int, int],
    scale: float,
    bytes_per_pixel: int,
    least: int = 1,
) -> int:
    """The side of the largest square blocks of an image whose segmentation fits.

    Args:
        memory: Bytes that this process may take in all.
        shape: Height and width of the image.
        scale: Pixels of the network's input to one of the image, along a side.
        bytes_per_pixel: Of the image as it is stored.
        least: Of how many blocks the image should have, to share them out; blocks of 512 are small enough for any.

    Returns:
        Pixels of the image: 128 where not even that fits, as there is no smaller way.
    """
    free = memory - psutil.Process().memory_info().rss
    a_row, a_pixel = network_bytes(model)
    a_pixel = max(a_pixel, 4 * (model.config.num_channels + 2 * model.num_labels))  # input and logits, float32
    on_card = model.device.type == "cuda"
    for block in BLOCKS[:-1]:
        if block > 512 and -(-shape[0] // block) * -(-shape[1] // block) < least:
            continue
        seen = block * scale + 2 * (model.context + 2 * model.stride)
        network = seen * (a_row + a_pixel * seen)
        image = (seen / scale) ** 2 * (bytes_per_pixel + PER_PIXEL)
        if on_card and network > 0.9 * torch.cuda.mem_get_info(model.device)[0]:
            continue
        if max(image, 0 if on_card else network + 12 * seen**2) <= free:
            return block
    return BLOCKS[-1]


def network_bytes(model: NucleiNetwork, width: int = 1024) -> tuple[float, float]:
    """What the network takes for an input of h x w pixels: w * (first + second * h) bytes, measured by running it."""
    _peak(model, 64, 64, 0)
    before = psutil.Process().memory_info().rss
    low, high = (_peak(model, h, width, before) / width for h in (width // 2, width))
    a_pixel = max(high - low, 0) / (width - width // 2)
    return (high - a_pixel * width, a_pixel) if a_pixel * width < high else (0.0, high / width)


def _peak(model: NucleiNetwork, height: int, width: int, before: int) -> int:
    """Most bytes that the network takes, while it runs, above what was taken before."""
    x = np.zeros((model.config.num_channels, height, width), np.float32)
    if model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(model.device)
        allocated = torch.cuda.memory_allocated(model.device)
        predict_logits(model, x, tile=max(height, width))
        return torch.cuda.max_memory_allocated(model.device) - allocated
    seen, over, process = [0], threading.Event(), psutil.Process()

    def watch() -> None:
        while not over.wait(0.002):
            seen.append(process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        predict_logits(model, x, tile=max(height, width))
    finally:
        over.set()
        watcher.join()
    return max(max(seen) - before, 0)
