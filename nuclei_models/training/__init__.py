"""Networks trained: images with their truth to crops, to steps, to weights. It needs the extra `[train]`.

from nuclei_models.training import train

result = train("my-images", "my-model", model="weights/unet-nuclei", minutes=20)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .front import train
    from .reading import read_folder
    from .result import Result
    from .samples import DataError
    from .tuning import Progress

_HOMES = {"train": ".front", "Progress": ".tuning", "Result": ".result", "DataError": ".samples"}
_HOMES["read_folder"] = ".reading"

__all__ = ["DataError", "Progress", "Result", "read_folder", "train"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
