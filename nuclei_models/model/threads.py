"""Work on arrays spread over as many threads as torch uses here, where there is enough of it."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

ENOUGH = 2**18  # pixels of an image; on fewer, starting threads takes as long as it saves
T = TypeVar("T")


def threads_for(pixels: int) -> int:
    """How many threads pay for an image of so many pixels."""
    return min(torch.get_num_threads(), 4) if pixels >= ENOUGH else 1


def for_each(work: Callable[[T], object], items: Iterable[T], pixels: int) -> None:
    """Do `work` for every item, in any order; no two may write to one place. What it raises is raised.

    Args:
        pixels: Of the image that it is done to.
    """
    threads = threads_for(pixels)
    if threads == 1:
        for item in items:
            work(item)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, items):
            pass
