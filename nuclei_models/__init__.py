"""U-Net and U-Net++ that find every cell nucleus in a microscopy image.

    from nuclei_models import load, measure, read, segment

Each name is imported when it is first asked for, so that what needs no network does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import _moved
from .version import __version__

if TYPE_CHECKING:
    from .analysis.filters import Filters, apply_filters
    from .analysis.measurements import measure
    from .images import ImageError, read
    from .inference.loading import load
    from .inference.segmentation import predict, segment
    from .inference.stains import find_channel
    from .model import NucleiImageProcessor, UNet, UNetConfig, UNetPlusPlus, UNetPlusPlusConfig
    from .model.repository import HubError

__all__ = [
    "Filters",
    "HubError",
    "ImageError",
    "NucleiImageProcessor",
    "UNet",
    "UNetConfig",
    "UNetPlusPlus",
    "UNetPlusPlusConfig",
    "__version__",
    "apply_filters",
    "find_channel",
    "load",
    "measure",
    "predict",
    "read",
    "segment",
]

_ROOMS = {
    ".analysis.filters": ("Filters", "apply_filters"),
    ".analysis.measurements": ("measure",),
    ".images": ("ImageError", "read"),
    ".inference.loading": ("load",),
    ".inference.segmentation": ("predict", "segment"),
    ".inference.stains": ("find_channel",),
    ".model": ("NucleiImageProcessor", "UNet", "UNetConfig", "UNetPlusPlus", "UNetPlusPlusConfig"),
    ".model.repository": ("HubError",),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

_moved.install()


def __getattr__(name: str) -> Any:
    if name in _ROOM_OF:
        value = getattr(import_module(_ROOM_OF[name], __name__), name)
        globals()[name] = value
        return value
    if name in _moved.MODULES:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
