"""A network loaded for use, and where it came from: what the page and the command line run."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from ..model.image_processing_nuclei import Maps, NucleiImageProcessor
from ..model.modeling_nuclei import NucleiPreTrainedModel
from ..model.modeling_unetpp import UNetPlusPlus
from ..model.repository import CONFIG, WEIGHTS, HubError, sha256
from .bundled import TITLES, key_of
from .device import describe
from .loading import PROCESSOR, load, parse_model_id, repository_at
from .segmentation import Segmentation, predict
from .settings import Cut, RunSettings
from .tiling import Progress


@dataclass
class Network:
    """A loaded network and where it came from.

    Attributes:
        key: "unet" or "unetpp".
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
    model: NucleiPreTrainedModel
    processor: NucleiImageProcessor
    pruned: dict[int, UNetPlusPlus] = field(default_factory=dict)
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


def load_network(source: str, key: str | None = None, device: str | None = None) -> Network:
    """Load a network.

    Args:
        source: Folder, or "owner/name@revision" on the Hub.
        key: "unet" or "unetpp"; by default what it is.
        device: See `load`.

    Raises:
        HubError: It can't be loaded, or its folder was changed meanwhile, twice.
        ValueError: There is no such device, or nothing follows the "@" of an id.
    """
    name, revision = parse_model_id(source)
    for _ in range(2):
        before = state_of(name)
        repository = repository_at(name, revision=revision)
        model, processor = load(name, revision=repository.commit or revision, device=device)
        cast(Any, model).to(memory_format=torch.channels_last).eval()
        found = (repository.find(file) for file in (WEIGHTS, CONFIG, PROCESSOR))
        weights, config, fitted = (sha256(path) if path else "" for path in found)
        if state_of(name) == before:
            return Network(
                key=key or key_of(model.config.model_type),
                source=Path(name).name if repository.is_folder else name,
                revision="" if repository.is_folder else (repository.commit or revision or "main"),
                sha256=weights,
                model=model,
                processor=processor,
                config_sha256=config,
                processor_sha256=fitted,
            )
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
