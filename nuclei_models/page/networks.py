"""The networks as the page runs them: loaded once, counted, pruned on demand, cancelled between layers."""

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
import torch

from ..inference.bundled import FURTHER, TITLES, bundled
from ..inference.levels import read_levels
from ..inference.network import FullNetwork, load_network
from ..inference.runtime import is_streamed
from ..inference.settings import RunSettings
from ..inference.stains import find_channel
from ..inference.tiling import Progress
from ..model.layers import ConvBlock
from ..model.maps import Maps
from .limits import MAX_WORK, RUN_SECONDS, SEGMENT_SECONDS

try:  # of Hugging Face Spaces; elsewhere there is no such package
    import spaces
except ImportError:
    spaces = None

LOADED: WeakValueDictionary[int, FullNetwork] = WeakValueDictionary()  # by id
STANDARD = ("unet", "unetpp")  # the two that are compared where nobody chooses others
VARIABLES = {"unet": "UNET_MODEL", "unetpp": "UNETPP_MODEL", "unet-small": "UNET_SMALL_MODEL"}


class Cancelled(Exception):
    """The visitor pressed Cancel."""


class Turns:
    """A lock that those who wait get in the order in which they came: a run over many images lets others in between."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._next = self._now = 0

    def __enter__(self) -> None:
        with self._changed:
            mine, self._next = self._next, self._next + 1
            self._changed.wait_for(lambda: self._now == mine)

    def __exit__(self, *error: object) -> None:
        with self._changed:
            self._now += 1
            self._changed.notify_all()


class Networks:
    """The two networks that are compared, and others to choose in their place; one run at a time.

    Attributes:
        by_key: The two, the small one where it is there, and those that were trained on the page.
        sources: Where each was loaded from.
        runs: How often a network has been run since the start.
        measured: The levels of U-Net++, where they were measured.
    """

    def __init__(self, sources: dict[str, str] | None = None, device: str | None = None):
        """Load them.

        Args:
            sources: Folder, or "owner/name@revision" on the Hub, by "unet", "unetpp" and, if it is to be offered,
                "unet-small"; by default those of
                `sources_from_environment`.
            device: Where they run, see `load`.

        Raises:
            HubError: A network can't be loaded.
            ValueError: There is no such device.
        """
        sources = sources or sources_from_environment()
        self.sources, self.device = dict(sources), device
        keys = [*TITLES, *(key for key in FURTHER if key in sources)]
        self.by_key = {key: load_network(sources[key], key, device) for key in keys}
        for key in keys[len(TITLES) :]:
            self.by_key[key].name = FURTHER[key]
        LOADED.update({id(network): network for network in self.by_key.values()})
        self.measured = read_levels(self["unetpp"], sources["unetpp"])
        self.runs = 0
        self._one_at_a_time = Turns()

    def __iter__(self) -> Iterator[FullNetwork]:
        return (self.by_key[key] for key in TITLES)

    def __getitem__(self, key: str) -> FullNetwork:
        return self.by_key[key]

    def add(self, folder: Path, start: str, title: str) -> str:
        """Load one more, that was trained on the page. -> its key.

        Raises:
            HubError: It can't be loaded.
        """
        key = f"own{self.trained + 1}"
        network = replace(load_network(str(folder), start, self.device), key=key, name=title)
        LOADED[id(network)] = network
        self.sources[key] = str(folder)
        self.by_key[key] = network
        return key

    @property
    def trained(self) -> int:
        """How many were trained on the page."""
        return sum(key not in TITLES | FURTHER for key in self.by_key)

    def choices(self) -> list[tuple[str, str]]:
        """Titles and keys to choose from."""
        return [(network.title, key) for key, network in self.by_key.items()]

    def pair(self, first: str | None, second: str | None) -> tuple[str, str]:
        """Two networks to compare.

        Raises:
            ValueError: They are the same, or there is no such.
        """
        keys = first or STANDARD[0], second or STANDARD[1]
        if keys[0] == keys[1] or not all(key in self.by_key for key in keys):
            raise ValueError("Choose two different networks to compare.")
        return keys

    def predict(
        self,
        key: str,
        pixels: np.ndarray,
        settings: RunSettings,
        progress: Progress | None = None,
        check: Callable[[], None] | None = None,
        pixel_size: tuple[float, float] | None = None,
    ) -> Maps:
        """Run one network on an image.

        Args:
            key: One of `by_key`.
            pixels: (H, W[, C]), native values.
            settings: See `RunSettings`; its level concerns U-Net++ only.
            progress: Called with (parts done, parts in all).
            check: Called before every layer; raise `Cancelled` from it to stop.
            pixel_size: Height and width of a pixel in micrometres, where they are known: evidence for the diameter.

        Raises:
            ValueError: A setting is out of range, or it would be or is more work than `limits` allow.
        """
        network = self[key]
        if settings.diameter:
            check_work(pixels.shape[:2], settings.tta, network.processor.scale_for(settings.diameter))
        with self._one_at_a_time:
            self.runs += 1
            until = time_limit(check)
            if on_shared_gpu is not _predict:
                return on_shared_gpu(id(network), pixels, settings, pixel_size)
            try:
                model = network.at(settings.level)
                with nullcontext() if is_streamed(model) else checked(model, until):  # bands report often enough
                    return _predict(id(network), pixels, settings, pixel_size, told(until, progress))
            finally:
                give_back_memory()

    def find_channel(
        self,
        key: str,
        path: str,
        z: int | None,
        t: int | None,
        series: int | None,
        check: Callable[[], None] | None = None,
    ) -> tuple[int | None, str]:
        """`stains.find_channel` by one network, but on a shared GPU; `check` as in `predict`."""
        if on_shared_gpu is not _predict:
            return None, ""
        network, until = self[key], time_limit(check)
        with self._one_at_a_time, nullcontext() if is_streamed(network.model) else checked(network.model, until):
            return find_channel(path, network.model, network.processor, z, t, series)


def give_back_memory() -> None:
    """Tell the C library to return what is free: with a thread a visitor it keeps some for each, more and more."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)


def check_work(size: tuple[int, ...], tta: bool, scale: float) -> None:
    """Raise a ValueError if an image of this height and width, rescaled, seen from all sides, is above `MAX_WORK`."""
    views, pixels = (8 if tta else 1), size[0] * size[1]
    if pixels * scale**2 * views > MAX_WORK:
        enlarged = f", enlarged {scale:.1f} times in each direction for nuclei so small" if scale > 1 else ""
        seen = ", and seen in 8 views" if tta else ""
        raise ValueError(
            f"An image of {pixels / 1e6:.1f} megapixels{enlarged}{seen} is more work than this page takes on "
            f"({pixels * scale**2 * views / 1e6:,.0f} megapixels, at most {MAX_WORK / 1e6:.0f}). Cut out a part"
            f"{', switch the test-time augmentation off' if tta else ''} or give a larger nuclear diameter."
        )


def time_limit(check: Callable[[], None] | None) -> Callable[[], None]:
    """`check`, which also raises a ValueError once `RUN_SECONDS` have passed from now."""
    end = time.monotonic() + RUN_SECONDS

    def both() -> None:
        if check is not None:
            check()
        if time.monotonic() > end:
            raise ValueError(f"This took more than {RUN_SECONDS // 60} minutes and was stopped. Cut out a part of it.")

    return both


def told(check: Callable[[], None], progress: Progress | None) -> Progress:
    """Progress that is checked too."""

    def both(done: int, total: int) -> None:
        check()
        if progress is not None:
            progress(done, total)

    return both


def _predict(
    number: int,
    pixels: np.ndarray,
    settings: RunSettings,
    pixel_size: tuple[float, float] | None = None,
    progress: Progress | None = None,
) -> Maps:
    check_scale = partial(check_work, pixels.shape[:2], settings.tta)
    return LOADED[number].predict(pixels, settings, pixel_size, progress, check_scale)


# On ZeroGPU, where many Spaces share GPUs, this runs in a process forked from this one and gets its arguments pickled:
# so the network goes by number, and there is no progress and no check on the way. Everywhere else it is `_predict`.
on_shared_gpu = spaces.GPU(duration=SEGMENT_SECONDS)(_predict) if spaces else _predict


@contextmanager
def checked(model: torch.nn.Module, check: Callable[[], None] | None) -> Iterator[None]:
    """Call `check` before every convolution block, so that a long run can be left in the middle of a tile."""

    def before(module: torch.nn.Module, inputs: tuple) -> None:
        if check is not None:
            check()

    handles = [m.register_forward_pre_hook(before) for m in model.modules() if isinstance(m, ConvBlock)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def sources_from_environment() -> dict[str, str]:
    """The bundled networks, unless UNET_MODEL, UNETPP_MODEL or UNET_SMALL_MODEL names a folder or
    "owner/name@revision". The small one is left out where it neither is bundled nor named."""
    named = {key: os.environ.get(variable) for key, variable in VARIABLES.items()}
    keys = [key for key in VARIABLES if key in TITLES or named[key] or bundled(f"{key}-nuclei")]
    return {key: named[key] or f"{key}-nuclei" for key in keys}
