"""A network loaded for use, and where it came from: what the page and the command line run."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import torch

from ..model.layers import NucleiNetwork
from ..model.maps import Maps
from ..model.processing import NucleiProcessing
from ..model.repository import CONFIG, PROCESSOR, WEIGHTS, HubError, sha256
from ..model.unetpp import UNetPlusPlusLayers
from .bundled import TITLES, key_of, title_of
from .device import choose_device, describe
from .loading import load, parse_model_id, repository_at
from .plain import load_plain
from .segmentation import Segmentation, predict
from .settings import Cut, RunSettings
from .tiling import Progress

if TYPE_CHECKING:  # they import transformers, which takes seconds
    from ..model.image_processing_nuclei import NucleiImageProcessor
    from ..model.modeling_nuclei import NucleiPreTrainedModel


@dataclass
class Network:
    """A loaded network and where it came from.

    Attributes:
        key: "unet" or "unetpp"; on the page also "unet-small", and "own1" of one that was trained there.
        source: Folder's name, or id on the Hub.
        revision: Commit or tag on the Hub; "" for a folder.
        sha256: Of `model.safetensors`, 64 hexadecimal digits.
        config_sha256, processor_sha256: Of the other files that decide what it finds.
        name: What it is called, where it isn't by its kind.
    """

    key: str
    source: str
    revision: str
    sha256: str
    model: NucleiNetwork
    processor: NucleiProcessing
    pruned: dict[int, UNetPlusPlusLayers] = field(default_factory=dict)
    config_sha256: str = ""
    processor_sha256: str = ""
    name: str = ""

    @property
    def title(self) -> str:
        return self.name or TITLES[self.key]

    @property
    def device(self) -> str:
        """Where it runs, in words."""
        return describe(self.model.device)

    @property
    def levels(self) -> list[int]:
        """Pruning levels to choose from, the smallest first; empty where the network can't be pruned."""
        config = self.model.config
        prunable = isinstance(self.model, UNetPlusPlusLayers) and config.deep_supervision
        return list(range(1, config.depth + 1)) if prunable else []

    def at(self, level: int | None) -> NucleiNetwork:
        """The network, or its part of a pruning level."""
        if level is None or not self.levels:
            return self.model
        assert isinstance(self.model, UNetPlusPlusLayers)
        if level not in self.pruned:
            self.pruned[level] = self.model.prune(level).eval()
        return self.pruned[level]

    def predict(
        self,
        image: np.ndarray,
        settings: RunSettings,
        pixel_size: tuple[float, float] | None = None,
        progress: Progress | None = None,
        check_scale: Callable[[float], None] | None = None,
    ) -> Maps:
        """`segmentation.predict` by these settings, on the network of their level."""
        known = settings.for_predict() | {"pixel_size": pixel_size, "check_scale": check_scale}
        return predict(image, self.at(settings.level), self.processor, progress=progress, **known)

    def segment(
        self,
        image: np.ndarray,
        settings: RunSettings,
        cut: Cut,
        pixel_size: tuple[float, float] | None = None,
        progress: Progress | None = None,
    ) -> Segmentation:
        """`segmentation.segment` by these settings, on the network of their level."""
        maps = self.predict(image, settings, pixel_size, progress)
        found = self.processor.instances(maps, **cut.for_processor(), least_confidence=cut.least_confidence)
        return Segmentation(found, maps)


@dataclass
class FullNetwork(Network):
    """One that can be trained and saved, too."""

    model: "NucleiPreTrainedModel"
    processor: "NucleiImageProcessor"


def load_network(source: str, key: str | None = None, device: str | None = None) -> FullNetwork:
    """Load a network.

    Args:
        source: Folder, or "owner/name@revision" on the Hub.
        key: "unet" or "unetpp"; by default what it is.
        device: See `load`.

    Raises:
        HubError: It can't be loaded, or its folder was changed meanwhile, twice.
        ValueError: There is no such device, or nothing follows the "@" of an id.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()

    def full(name: str, revision: str | None) -> FullNetwork:
        model, processor = load(name, revision=revision, device=device)
        return FullNetwork(key or "", "", "", "", model, processor)

    return _load(source, full)


def load_for_inference(source: str, device: str | None = None) -> Network:
    """Load a network that can find nuclei and no more, sooner where that is possible; see `plain.py`.

    Args:
        source, device: See `load_network`.

    Raises:
        HubError, ValueError: See `load_network`.
    """

    def plain(name: str, revision: str | None) -> Network:
        found = load_plain(Path(name)) if Path(name).is_dir() else None
        if found is None:
            return load_network(source, device=device)
        return Network("", "", "", "", found[0].to(choose_device(device)), found[1])

    return _load(source, plain)


N = TypeVar("N", bound=Network)


def _load(source: str, how: Callable[[str, str | None], N]) -> N:
    """A network, with where it came from; `how` makes it of a folder, or an id at a revision."""
    name, revision = parse_model_id(source)
    for _ in range(2):
        before = state_of(name)
        repository = repository_at(name, revision=revision)
        network = how(name, repository.commit or revision)
        cast(Any, network.model).to(memory_format=torch.channels_last).eval()
        found = (repository.find(file) for file in (WEIGHTS, CONFIG, PROCESSOR))
        network.sha256, network.config_sha256, network.processor_sha256 = (
            sha256(path) if path else "" for path in found
        )
        if state_of(name) == before:
            network.key = network.key or key_of(network.model.config.model_type)
            network.source = Path(name).name if repository.is_folder else name
            network.name = title_of(network.source, network.model.config.model_type)
            network.revision = "" if repository.is_folder else (repository.commit or revision or "main")
            return network
    raise HubError(f"{name!r} is being changed: wait until it is saved, then try again.")


def state_of(source: str) -> tuple:
    """What shows whether the files in a model's folder were changed; () for a model on the Hub."""
    stats = [_stat(Path(source, name)) for name in (WEIGHTS, CONFIG, PROCESSOR)] if Path(source).is_dir() else []
    return tuple(stats)


def _stat(path: Path) -> tuple[int, ...] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino
