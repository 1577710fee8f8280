"""Memory that is freed after a step of training and asked for again in the next: kept in between.

PyTorch frees the maps of a step on a CPU one by one. glibc gives large ones back to the system at once, which then has
to find, clear and map the same pages anew in every step. Nothing that is computed depends on it.
"""

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD, MMAP_MAX = -1, -2, -3, -4  # of glibc's malloc.h
KEPT = {MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1, TOP_PAD: 64 * 2**20}
# what glibc's own adjusting comes to once a program has freed large blocks, and its default padding
USUAL = {MMAP_MAX: 65536, MMAP_THRESHOLD: 32 * 2**20, TRIM_THRESHOLD: 64 * 2**20, TOP_PAD: 128 * 2**10}


@contextmanager
def kept_between_steps(device: torch.device) -> Iterator[bool]:
    """Have glibc's malloc keep what is freed, for as long as a network trains on a CPU; then give it back.

    Does nothing on a GPU, without glibc (macOS, Windows, Alpine), or where the environment has settings of its own
    (`MALLOC_*_`, `GLIBC_TUNABLES`).

    Yields:
        Whether it is kept.
    """
    library = _glibc() if device.type == "cpu" and not _has_own_settings() else None
    if library is None or not _set(library.mallopt, KEPT):
        yield False
        return
    try:
        yield True
    finally:
        _set(library.mallopt, USUAL)
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    needed = ("gnu_get_libc_version", "mallopt", "malloc_trim")
    return library if all(hasattr(library, name) for name in needed) else None


def _has_own_settings() -> bool:
    named = any(name.startswith("MALLOC_") and name.endswith("_") for name in os.environ)
    return named or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")


def _set(mallopt: Callable[[int, int], int], values: dict[int, int]) -> bool:
    return all(mallopt(name, value) for name, value in values.items())
