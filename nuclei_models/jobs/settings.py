"""What a run over images is to do with each of them, with the model pinned; and the network for it."""

import math
import platform
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..analysis.filters import Filters
from ..analysis.tracking import check_trackable
from ..images.planes import ALL
from ..inference.bundled import bundled
from ..inference.loading import parse_model_id, repository_at
from ..inference.network import Network, load_for_inference, state_of
from ..inference.runtime import choose
from ..inference.settings import Cut, RunSettings
from ..inference.stains import find_channel
from ..model.maps import Maps
from ..model.repository import HubError
from .durable import RunStopped
from .identity import Identity, code_version

MAX = "max"  # of the Z planes


@dataclass(frozen=True, kw_only=True)
class Settings(RunSettings, Cut):
    """What a run is to do with every image: `RunSettings` and a `Cut` with the model pinned, the plane, and the files.

    Threshold, separation and least confidence are those that are applied, never `None`.

    Attributes:
        model: Folder, name of a bundled network, or "owner/name@commit" on the Hub.
        weights_sha256, processor_sha256, config_sha256: Of the model's files, 64 hexadecimal digits.
        series, z, t, channel, pixel_size: See `images.read`; z and t may be "all", and z "max", the
            maximum over all Z planes.
        linked: Whether nuclei that overlap in neighbouring planes of a Z stack get one number.
        tracked: Whether nuclei get one number through all frames of a film; see `analysis.tracking`.
        max_step: The farthest that a tracked nucleus moves between frames, pixels; `None` is a typical diameter.
        ring: Width of the ring around each nucleus that is measured, pixels; 0 is none.
        regions: A file or a folder with the regions in which nuclei are counted, an absolute path; see
            `images.regions`.
        filters: Which nuclei are kept.
        decimal: Sign in the numbers of CSV files, "." or ","; with "," the cells are parted by semicolons.
        device: Where the network runs, see `load`; `None` is automatic.
        save: Kinds of files, keys of `files.KINDS`.
        code: Of the process that made the settings, see `code_version`.
    """

    model: str
    weights_sha256: str
    processor_sha256: str
    threshold: float = field()
    separation: float = field()
    least_confidence: float = field(default=0.0)
    series: int | None = None
    z: int | str | None = None
    t: int | str | None = None
    channel: int | None = None
    pixel_size: float | None = None
    linked: bool = False
    tracked: bool = False
    max_step: float | None = None
    ring: float = 0
    regions: str | None = None
    filters: Filters = field(default_factory=Filters)
    decimal: str = "."
    device: str | None = None
    save: tuple[str, ...] = ("labels", "csv", "overlay")
    config_sha256: str = ""
    code: str = field(default_factory=lambda: code_version())  # asked for when settings are made

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> "Settings":
        """From what `asdict` makes of it."""
        return cls(**dict(said) | {"filters": Filters(**said["filters"])})

    @property
    def is_stack(self) -> bool:
        """Whether the results are of several planes."""
        return ALL in (self.z, self.t)

    @property
    def plane_tag(self) -> str:
        """What the names of results carry where a plane was asked for: "_t0_z3"."""
        asked = {"s": self.series, "t": self.t, "z": self.z, "c": self.channel}
        return "".join(f"_{letter}{value}" for letter, value in asked.items() if value is not None)

    @cached_property
    def identity(self) -> Identity:
        """What decides the results, but for the image. A folder's name and the kinds of files don't; nor do the tile
        and the device, which move a pixel in thousands, so that a run that ran out of memory can go on with others."""
        pinned = {name: getattr(self, name) for name in ("code", "weights_sha256", "config_sha256", "processor_sha256")}
        beside = {*pinned, "model", "tile", "device", "save"}
        decisive = {name: value for name, value in asdict(self).items() if name not in beside}
        return Identity(settings=decisive, **pinned)


def channel_of(path: Path, settings: Settings, network: Network) -> tuple[int | None, str]:
    """The channel of a file that is segmented, and what a person is to be told where they chose none; `None` is what
    `images.read` takes.

    Raises:
        ImageError: As `images.read` does, but not for the size.
    """
    if settings.channel is not None:
        return settings.channel, ""
    z = ALL if settings.z == MAX else settings.z
    return find_channel(path, network.at(settings.level), network.processor, z, settings.t, settings.series)


def network_for(model: str, device: str | None = None) -> Network:
    """The network of a `Settings.model` on a `Settings.device`, loaded once a process, and again if its files have
    changed.

    Raises:
        HubError: It can't be loaded.
        ValueError: There is no such device.
    """
    state = state_of(parse_model_id(model)[0])
    with _loading:
        if (model, device) not in _loaded or _loaded[model, device][0] != state:
            _loaded.clear()
            _loaded[model, device] = state, load_for_inference(model, device)
        return _loaded[model, device][1]


_loaded: dict[tuple[str, str | None], tuple[tuple, Network]] = {}  # one at most
_loading = threading.Lock()


def network_of(settings: Settings) -> Network:
    """The network that settings were made for: where work is done, this is what to do it with.

    Raises:
        RunStopped: Its files, or this package, aren't those that the settings were made with; or it can't be loaded.
    """
    check_code(settings)
    try:
        network = network_for(settings.model, settings.device)
    except HubError as error:
        raise RunStopped(f"The model can't be loaded any more: {error}") from error
    for what, own, wanted in (
        ("weights", network.sha256, settings.weights_sha256),
        ("processor's settings", network.processor_sha256, settings.processor_sha256),
        ("configuration", network.config_sha256, settings.config_sha256),
    ):
        if own != wanted:
            raise RunStopped(f"{settings.model} was changed since the run began (its {what}): start it again.")
    return network


def check_code(settings: Settings) -> None:
    """Raise RunStopped unless this process has the code that the settings were made with."""
    if settings.code != code_version():
        raise RunStopped(
            f"The run was begun by nuclei-models {settings.code}, and {platform.node() or 'this machine'} has "
            f"{code_version()}: install the same version on all machines, and start it again."
        )


def pinned_model(model: str) -> str:
    """A folder's absolute path, the name of a bundled network, of which each machine has its own copy, or
    "owner/name@commit": what means the same files for as long as a run takes.

    Raises:
        HubError: There is no such model.
    """
    source, revision = parse_model_id(model)
    if Path(source).is_dir():
        return model if bundled(model) is not None and not Path(model).exists() else str(Path(source).absolute())
    return f"{source}@{repository_at(source, revision=revision).commit or revision or 'main'}"


def settings_for(
    model: str,
    threshold: float | None = None,
    separation: float | None = None,
    min_area: float | None = None,
    least_confidence: float | None = None,
    **options: Any,
) -> Settings:
    """Settings with the model pinned and what isn't given taken from its processor.

    Args:
        model: As for `load`.
        least_confidence: By default the processor's, or the filters' `min_confidence` where that is lower: who asks for
            less sure nuclei gets them.
        options: Of `Settings`.

    Raises:
        HubError: The model can't be loaded.
        ValueError: It has no such pruning level, there is no such device, or a setting is out of range.
    """
    network = network_for(pinned := pinned_model(model), options.get("device"))
    level = options.get("level")
    if level is not None and level not in network.levels:
        known = f"one of {network.levels}" if network.levels else "none: it can't be pruned"
        raise ValueError(f"level={level}: {network.title} from {network.source} has {known}.")
    processor, asked = network.processor, options.get("filters", Filters()).min_confidence
    if least_confidence is None and asked is not None:
        least_confidence = min(asked, processor.least_confidence)
    nothing = np.zeros((1, 1), np.float32)
    # as the next two lines, raises for a setting out of range
    processor.instances(Maps(nothing, nothing), threshold, separation, min_area, least_confidence)
    processor.scale_for(options.get("diameter"))
    choose(options.get("precision", RunSettings.precision), network.model.device)
    if options.get("linked") and options.get("z") != ALL:
        raise ValueError(f"linked=True with z={options.get('z')!r}: only the planes of z='all' can be linked.")
    _check_tracking(**{name: options.get(name) for name in ("tracked", "max_step", "t", "z")})
    if not 0 <= options.get("ring", 0) < 1000:
        raise ValueError(f"ring={options['ring']}: expected its width in pixels, 0 to 1000.")
    if (regions := options.get("regions")) is not None and not Path(regions).exists():
        raise ValueError(f"regions={regions}: there is no such file or folder.")
    if options.get("decimal", ".") not in (".", ","):
        raise ValueError(f"decimal={options['decimal']!r}: expected '.' or ','.")
    if asked is not None and processor.confidence_model is None:
        raise ValueError(
            f"A confidence was asked for, and none was fitted for the weights of {network.source}: leave it out, or "
            f"fit it with train.fit.confidence."
        )
    return Settings(
        model=pinned,
        weights_sha256=network.sha256,
        processor_sha256=network.processor_sha256,
        config_sha256=network.config_sha256,
        threshold=processor.threshold if threshold is None else threshold,
        separation=processor.separation if separation is None else separation,
        min_area=min_area,
        least_confidence=processor.least_applied(least_confidence),
        **options,
    )


def _check_tracking(tracked: bool | None, max_step: float | None, t: int | str | None, z: int | str | None) -> None:
    """Raise ValueError for what can't be tracked."""
    if tracked and (t != ALL or z == ALL):
        raise ValueError(
            f"tracked=True with t={t!r} and z={z!r}: nuclei are followed through t='all', in one Z plane or z='max'."
        )
    if max_step is not None and (not tracked or not 0 < max_step < math.inf):
        raise ValueError(
            f"max_step={max_step:g} with tracked={bool(tracked)}: expected pixels above 0, and tracked=True."
        )
    if tracked:
        try:
            check_trackable()
        except ImportError as error:
            raise ValueError(str(error)) from error
