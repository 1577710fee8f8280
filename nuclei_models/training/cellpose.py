"""The masks of a Cellpose `_seg.npy`, without unpickling code.

Such a file is a pickle, and a pickle may run anything. This reader lets it build NumPy arrays and the plain types that
pickle writes by itself; whatever else it names becomes an object that does nothing.
"""

import codecs
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from .samples import DataError

LARGEST = 4 << 30  # bytes of a file


class _Nothing:
    """Stands for whatever the file names and this reader doesn't build."""

    def __init__(self, *args: Any, **kwargs: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, item: Any) -> None:
        pass

    def extend(self, items: Any) -> None:
        pass


def _array(*args: Any) -> np.ndarray:
    """In place of NumPy's `_reconstruct`: an empty array, whose contents follow."""
    return np.ndarray.__new__(np.ndarray, (0,), "b")


def _scalar(dtype: Any, data: bytes = b"") -> Any:
    return np.frombuffer(data, dtype)[0] if isinstance(dtype, np.dtype) and not dtype.hasobject else None


def _from_buffer(buffer: Any, dtype: Any, shape: tuple[int, ...], order: str = "C") -> np.ndarray:
    return np.frombuffer(buffer, dtype).reshape(shape, order="F" if order == "F" else "C")


_BUILT = {
    ("multiarray", "_reconstruct"): _array,
    ("multiarray", "scalar"): _scalar,
    ("numeric", "_frombuffer"): _from_buffer,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "numpy":
            return _BUILT.get((module.split(".")[-1], name), _Nothing)
        if (module, name) == ("_codecs", "encode"):  # how old protocols write bytes
            return lambda text, encoding="latin1": codecs.encode(str(text), "latin1")
        return _Nothing

    def persistent_load(self, pid: Any) -> Any:
        return _Nothing()


def read_masks(path: Path) -> np.ndarray:
    """The masks of a `_seg.npy`: an array of integers.

    Raises:
        DataError: The file is damaged, or holds none.
    """
    way_out = "In Cellpose: File > Save masks as PNG/tif, and give x_cp_masks.png instead."
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path.name}: It is larger than {LARGEST >> 30} GiB. {way_out}")
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            _, _, dtype = read(file)
            if not dtype.hasobject:
                file.seek(0)
                masks: Any = np.load(file, allow_pickle=False)
            else:
                content = _Unpickler(file).load()
                content = content.item() if isinstance(content, np.ndarray) and content.size == 1 else content
                masks = content.get("masks") if isinstance(content, dict) else None
    except DataError:
        raise
    except Exception as error:  # of any type: what a damaged pickle comes to depends on where it is damaged
        raise DataError(f"{path.name}: It is no _seg.npy that can be read ({error}). {way_out}") from error
    if not isinstance(masks, np.ndarray) or masks.dtype.kind not in "iu":
        raise DataError(f"{path.name}: It holds no masks. {way_out}")
    return masks
