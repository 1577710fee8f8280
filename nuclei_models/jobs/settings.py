"""What a run over images is to do with each of them, with the model pinned; and the network for it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..analysis.filters import Filters
from ..inference.bundled import bundled
from ..inference.loading import PROCESSOR, parse_model_id
from ..inference.network import Network, load_network
from ..inference.runtime import choose
from ..inference.settings import Cut, RunSettings
from ..model.image_processing_nuclei import Maps
from ..model.repository import Repository, sha256
from ..version import __version__


@dataclass(frozen=True, kw_only=True)
class Settings(RunSettings, Cut):
    """What a run is to do with every image: `RunSettings` and a `Cut` with the model pinned, the plane, and the files.

    The threshold and the separation are those that are applied, never `None`.

    Attributes:
        model: Folder, name of a bundled network, or "owner/name@commit" on the Hub.
        weights_sha256, processor_sha256: Of the model's files, 64 hexadecimal digits.
        series, z, t, channel: See `images.read`.
        ring: Width of the ring around each nucleus that is measured, pixels; 0 is none.
        filters: Which nuclei are kept.
        decimal: Sign in the numbers of CSV files, "." or ","; with "," the cells are parted by semicolons.
        device: Where the network runs, see `load`; `None` is automatic.
        save: Kinds of files, keys of `files.KINDS`.
    """

    model: str
    weights_sha256: str
    processor_sha256: str
    threshold: float = field()
    separation: float = field()
    series: int | None = None
    z: int | None = None
    t: int | None = None
    channel: int | None = None
    ring: float = 0
    filters: Filters = field(default_factory=Filters)
    decimal: str = "."
    device: str | None = None
    save: tuple[str, ...] = ("labels", "csv", "overlay")

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> "Settings":
        """From what `asdict` makes of it."""
        return cls(**dict(said) | {"filters": Filters(**said["filters"])})

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the labels: a result made with the same needn't be made again. A folder's name, the tile,
        the device and the kinds of files don't."""
        decisive = asdict(self)
        for name in ("model", "tile", "device", "save"):
            del decisive[name]
        return {"nuclei_models": __version__} | decisive


@lru_cache(maxsize=1)
def network_for(model: str, device: str | None = None) -> Network:
    """The network of a `Settings.model` on a `Settings.device`, loaded once a process.

    Raises:
        HubError: It can't be loaded.
        ValueError: There is no such device.
    """
    return load_network(model, device=device)


def settings_for(
    model: str,
    threshold: float | None = None,
    separation: float | None = None,
    min_area: float | None = None,
    **options: Any,
) -> Settings:
    """Settings with the model pinned and what isn't given taken from its processor.

    Args:
        model: As for `load`.
        options: Of `Settings`.

    Raises:
        HubError: The model can't be loaded.
        ValueError: It has no such pruning level, there is no such device, or a setting is out of range.
    """
    source, revision = parse_model_id(model)
    is_folder = Path(source).is_dir() and (Path(model).exists() or bundled(model) is None)
    pinned = str(Path(source).absolute()) if is_folder else model  # each machine has its own copy of a bundled one
    network = network_for(pinned, options.get("device"))
    if network.revision:
        revision, pinned = network.revision, f"{network.source}@{network.revision}"
    level = options.get("level")
    if level is not None and level not in network.levels:
        known = f"one of {network.levels}" if network.levels else "none: it can't be pruned"
        raise ValueError(f"level={level}: {network.title} from {network.source} has {known}.")
    path = Repository(source, revision=revision).find(PROCESSOR)
    processor = network.processor
    nothing = np.zeros((1, 1), np.float32)
    # as the next two lines, raises for a setting out of range
    processor.instances(Maps(nothing, nothing), threshold, separation, min_area)
    processor.scale_for(options.get("diameter"))
    choose(options.get("precision", RunSettings.precision), network.model.device)
    if not 0 <= options.get("ring", 0) < 1000:
        raise ValueError(f"ring={options['ring']}: expected its width in pixels, 0 to 1000.")
    if options.get("decimal", ".") not in (".", ","):
        raise ValueError(f"decimal={options['decimal']!r}: expected '.' or ','.")
    if options.get("filters", Filters()).min_confidence is not None and processor.confidence_model is None:
        raise ValueError(
            f"A confidence was asked for, and none was fitted for the weights of {network.source}: leave it out, or "
            f"fit it with train.fit.confidence."
        )
    return Settings(
        model=pinned,
        weights_sha256=network.sha256,
        processor_sha256=sha256(path) if path else "",
        threshold=processor.threshold if threshold is None else threshold,
        separation=processor.separation if separation is None else separation,
        min_area=min_area,
        **options,
    )
