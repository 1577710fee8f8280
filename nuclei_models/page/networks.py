"""The two networks as the page runs them: loaded once, counted, pruned on demand, cancelled between layers."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from ..hub import load, parse_model_id
from ..image_processing_nuclei import Maps, NucleiImageProcessor
from ..modeling_nuclei import ConvBlock, NucleiPreTrainedModel
from ..modeling_unetpp import UNetPlusPlus
from ..repository import WEIGHTS, Repository, sha256
from ..segment import predict
from ..tiling import Progress
from .limits import SEGMENT_SECONDS

try:  # ZeroGPU Spaces; elsewhere there is no such package, or it does nothing
    import spaces

    on_gpu = spaces.GPU(duration=SEGMENT_SECONDS)
except ImportError:

    def on_gpu(function: Callable) -> Callable:
        return function


ROOT = Path(__file__).resolve().parents[2]
TITLES = {"unet": "U-Net", "unetpp": "U-Net++"}
VARIABLES = {"unet": "UNET_MODEL", "unetpp": "UNETPP_MODEL"}


class Cancelled(Exception):
    """The visitor pressed Cancel."""


@dataclass(frozen=True)
class RunSettings:
    """What makes the network run again when it changes.

    Attributes:
        diameter: Typical nuclear diameter in pixels; `None` is automatic.
        tta: Test-time augmentation.
        level: Of the pruned U-Net++, 1 .. depth; `None` is the whole network. U-Net has no levels.
    """

    diameter: float | None = None
    tta: bool = False
    level: int | None = None


@dataclass
class Network:
    """A loaded network and where it came from.

    Attributes:
        key: "unet" or "unetpp".
        source: Folder's name, or id on the Hub.
        revision: Commit or tag on the Hub; "" for a folder.
        sha256: Of `model.safetensors`, 64 hexadecimal digits.
    """

    key: str
    source: str
    revision: str
    sha256: str
    model: NucleiPreTrainedModel
    processor: NucleiImageProcessor
    pruned: dict[int, UNetPlusPlus] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return TITLES[self.key]

    @property
    def levels(self) -> list[int]:
        """Pruning levels to choose from, the smallest first; empty where the network can't be pruned."""
        config = self.model.config
        prunable = isinstance(self.model, UNetPlusPlus) and config.deep_supervision
        return list(range(1, config.depth + 1)) if prunable else []

    def at(self, level: int | None) -> NucleiPreTrainedModel:
        """The network, or its part of a pruning level."""
        if level is None or not self.levels:
            return self.model
        assert isinstance(self.model, UNetPlusPlus)
        if level not in self.pruned:
            self.pruned[level] = self.model.prune(level).eval()
        return self.pruned[level]


class Networks:
    """Both networks, one run at a time.

    Attributes:
        runs: How often a network has been run since the start.
    """

    def __init__(self, sources: dict[str, str] | None = None):
        """Load them.

        Args:
            sources: Folder, or "owner/name@revision" on the Hub, by "unet" and "unetpp"; by default those of
                `sources_from_environment`.

        Raises:
            HubError: A network can't be loaded.
        """
        sources = sources or sources_from_environment()
        self.by_key = {key: load_network(key, sources[key]) for key in TITLES}
        self.runs = 0
        self._one_at_a_time = threading.Lock()

    def __iter__(self) -> Iterator[Network]:
        return iter(self.by_key.values())

    def __getitem__(self, key: str) -> Network:
        return self.by_key[key]

    def predict(
        self,
        key: str,
        pixels: np.ndarray,
        settings: RunSettings,
        progress: Progress | None = None,
        check: Callable[[], None] | None = None,
    ) -> Maps:
        """Run one network on an image.

        Args:
            key: "unet" or "unetpp".
            pixels: (H, W[, C]), native values.
            settings: See `RunSettings`; its level concerns U-Net++ only.
            progress: Called with (tiles done, tiles in all).
            check: Called before every layer; raise `Cancelled` from it to stop.
        """
        network = self[key]
        with self._one_at_a_time:
            self.runs += 1
            return _predict(network.at(settings.level), network.processor, pixels, settings, progress, check)


@on_gpu
def _predict(model, processor, pixels, settings: RunSettings, progress, check) -> Maps:
    with checked(model, check):
        return predict(pixels, model, processor, diameter=settings.diameter, tta=settings.tta, progress=progress)


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
    """The bundled weights, unless UNET_MODEL or UNETPP_MODEL names a folder or "owner/name@revision"."""
    return {key: os.environ.get(VARIABLES[key]) or str(ROOT / "weights" / f"{key}-nuclei") for key in TITLES}


def load_network(key: str, source: str) -> Network:
    """Load one network; on the GPU if there is one."""
    model, processor = load(source)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    cast(Any, model).to(device, memory_format=torch.channels_last).eval()
    name, revision = parse_model_id(source)
    is_folder = Path(name).is_dir()
    weights = Repository(name, revision=revision).find(WEIGHTS)
    return Network(
        key=key,
        source=Path(name).name if is_folder else name,
        revision="" if is_folder else (getattr(model.config, "_commit_hash", None) or revision or "main"),
        sha256=sha256(weights) if weights else "",
        model=model,
        processor=processor,
    )
