"""What a case does, and what must hold whatever the case is."""

import ctypes
import shutil
import traceback
import warnings
from pathlib import Path

import numpy as np

from nuclei_models.images import ngff
from nuclei_models.images.reader import ImageError, MicroscopyImage, inspect, read
from nuclei_models.images.source import Source
from nuclei_models.model.image_processing_nuclei import NucleiImageProcessor

from .arrays import build, tiny_network
from .folders import MARK, unpack
from .worker import Finding

MAX_PIXELS = 1_000_000  # of a case's image
PREPARED_PIXELS = 100_000  # images up to this are prepared for a network too
M_PERTURB = -6  # of glibc's malloc.h
PACKAGE = Path(__file__).parents[2] / "nuclei_models"


def any_case(case: bytes | dict, folder: Path) -> str:
    """A file or a recipe for an array, so that one process can try both."""
    return file_case(case, folder) if isinstance(case, bytes) else array_case(case, folder)


# a file


def file_case(data: bytes, folder: Path) -> str:
    """Bytes as a file -> "image" or "refused". The reader gives an image that is what its header said, or an ImageError
    fit to be shown; and what is read can be prepared for a network."""
    path = _written(data, folder)
    try:
        info = inspect(path)
        fill_memory_with(0x5A)
        image = read(path, max_pixels=MAX_PIXELS)
    except ImageError as error:
        check_message(error, folder)
        if data[:2] in (b"II", b"MM"):  # too large as a whole, perhaps
            _window(path, None)
        return "refused"
    pixels = image.pixels
    expect((info.height, info.width) == pixels.shape[:2], f"{info.height, info.width} said, {pixels.shape} read")
    expect(info.dtype == pixels.dtype, f"{info.dtype} said, {pixels.dtype} read")
    expect(info.is_rgb == (pixels.ndim == 3), f"is_rgb={info.is_rgb}, {pixels.shape} read")
    expect(0 < info.height * info.width <= MAX_PIXELS, f"{info.height} x {info.width} pixels")
    expect(pixels.dtype.kind in "uif" and pixels.dtype.isnative, f"{pixels.dtype}")
    expect(min(info.sizes.values()) >= 1, f"{info.sizes}")
    expect(all(note.isprintable() for note in image.notes), f"{image.notes}")
    fill_memory_with(0xA5)
    again = read(path, max_pixels=MAX_PIXELS).pixels
    expect(same(pixels, again), "pixels that were never written: what others left in memory can be seen")
    _last_plane(path, image)
    _window(path, pixels)
    if info.height * info.width <= PREPARED_PIXELS:
        check_prepared(NucleiImageProcessor().prepare(pixels))
    return "image"


def _written(data: bytes, folder: Path) -> Path:
    if not data.startswith(MARK):
        path = folder / "case.bin"
        path.write_bytes(data)
        return path
    path = folder / "case.zarr"
    shutil.rmtree(path, ignore_errors=True)
    unpack(data, path)
    ngff.MAX_CHUNK = MAX_PIXELS  # in this process; as small as images are here
    return path


def _window(path: Path, whole: np.ndarray | None) -> None:
    """A part of the image must be a part of the whole."""
    try:
        source = Source(path)
    except ImageError as error:
        return check_message(error, path.parent)
    rows, cols = (slice(n // 3, min(n // 3 + 50, n)) for n in source.shape)
    try:
        part = source.read(rows, cols)
    except ImageError as error:
        return check_message(error, path.parent)
    finally:
        source.close()
    return expect(whole is None or same(part, whole[rows, cols]), "a part that differs from the whole")


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def fill_memory_with(byte: int) -> None:
    """Have malloc hand out memory that is filled with this."""
    ctypes.CDLL(None).mallopt(M_PERTURB, byte)


def _last_plane(path: Path, image: MicroscopyImage) -> None:
    last = {axis.lower(): image.sizes[axis] - 1 for axis in "TZ"}
    try:
        read(path, **last, channel=image.sizes["C"] - 1, max_pixels=MAX_PIXELS)
    except ImageError as error:
        check_message(error, path.parent)


def check_message(error: ImageError, folder: Path) -> None:
    message = str(error)
    expect(message.isprintable() and len(message) < 700, f"a message that can't be shown: {message!r}")
    expect(str(folder) not in message, f"a message that tells the folder: {message}")
    causes = [error.__cause__, error.__context__]
    expect(not any(isinstance(cause, MemoryError) for cause in causes), f"memory ran out: {message}")


# an array


def array_case(recipe: dict, folder: Path) -> str:
    """A recipe for an array and settings -> "labels" or "refused". The processor and `segment` give what they promise,
    or a ValueError of this project's own."""
    from nuclei_models.inference.segmentation import segment

    model, processor = tiny_network()
    image, settings = build(recipe)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            diameter = processor.estimate_diameter(image)
            x = processor.prepare(image, settings.get("diameter"))
            found = segment(image, model, processor, **settings)
        except ValueError as error:
            check_own(error)
            return "refused"
    expect(diameter is not None and 1 < diameter < 1000, f"diameter {diameter}")
    check_prepared(x)
    labels, probability = found.labels, found.maps.probability
    expect(labels.dtype == np.int32 and labels.shape == image.shape[:2], f"labels {labels.dtype} {labels.shape}")
    expect(np.array_equal(np.unique(labels[labels > 0]), np.arange(1, found.count + 1)), "labels with gaps")
    expect(np.isfinite(probability).all() and 0 <= probability.min() <= probability.max() <= 1, "maps outside 0 .. 1")
    return "labels"


def check_prepared(x: np.ndarray) -> None:
    expect(x.dtype == np.float32 and x.ndim == 3 and len(x) == 3 and x.size > 0, f"prepared {x.dtype} {x.shape}")
    expect(bool(np.isfinite(x).all()), "prepared values that are not finite")


def check_own(error: Exception) -> None:
    """The error was raised by this project, as a sentence; not by a library that was given nonsense."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    own = PACKAGE in Path(frame.filename).parents
    expect(own, f"not our own error: {type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno})")
    expect(len(str(error)) > 20, f"an error that says little: {error!r}")


def expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Finding(otherwise)
