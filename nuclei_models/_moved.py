"""Import paths of version 0.1.0 that our documents showed: they still work, with a DeprecationWarning, until 0.3."""

import sys
import warnings
from importlib import import_module
from types import ModuleType
from typing import Any

MODULES = {
    "hub": "inference.loading",
    "measure": "analysis.measurements",
    "segment": "inference.segmentation",
    "settings": "jobs.settings",
    "cluster": "jobs.cluster",
}


class _Moved(ModuleType):
    """A module under its old name: what is asked of it comes from the new one."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        package, _, old = self.__name__.rpartition(".")
        value = getattr(import_module(f"{package}.{MODULES[old]}"), name)
        new = f"{package}.{MODULES[old]}"
        warnings.warn(f"{self.__name__} has moved to {new}, see CHANGELOG.md.", DeprecationWarning, stacklevel=2)
        return value


def install() -> None:
    """Enter the old names among the imported modules.

    A module that is there already is not set as an attribute of its package, so `nuclei_models.segment` remains the
    function, and `from nuclei_models.segment import segment` works as well.
    """
    package = __name__.rpartition(".")[0]
    for old in MODULES:
        name = f"{package}.{old}"
        sys.modules.setdefault(name, _Moved(name))
