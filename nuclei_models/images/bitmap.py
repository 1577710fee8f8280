"""PNG, JPEG, BMP, WebP and GIF -> pixels, by Pillow; PNGs of 16-bit colour, which it would reduce, by imagecodecs."""

from typing import BinaryIO, cast

import imagecodecs
import numpy as np
from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from .series import ImageError, Series, check_size

# not `Image.open`, whose guard against huge images neither names their size nor can be set for one call
_PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "PNG": PngImageFile,
    "JPEG": JpegImageFile,
    "BMP": BmpImageFile,
    "WebP": WebPImageFile,
    "GIF": GifImageFile,
}
MAX_JPEG_SCANS = 100  # a progressive JPEG has about ten; thousands of empty ones would take minutes

_DEEP_GREY_ALPHA = "LA;16B"
_DEEP = ("RGB;16B", "RGBA;16B", _DEEP_GREY_ALPHA)  # Pillow's names for samples that it reduces

_DTYPES = {"I;16": "u2", "I;16B": "u2", "I;16L": "u2", "I": "i4", "F": "f4"}
_ORIENTATION = 0x0112
_TURNS = {  # EXIF orientation -> how to set the image upright
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


class _Bounded:
    """A file that is never asked for more than it has: Pillow believes what a chunk says of its length, and Python
    makes room for gigabytes before it finds them missing."""

    def __init__(self, file: BinaryIO):
        self._file, self._size = file, file.seek(0, 2)
        self.seek, self.tell = file.seek, file.tell

    def read(self, n: int = -1) -> bytes:
        if n > 1 << 16:
            n = max(min(n, self._size - self._file.tell()), 0)
        return self._file.read(n)


def open_bitmap(file: BinaryIO, format: str) -> Series:
    """The header of a file of one of the `_PLUGINS`. Raises whatever Pillow raises for a broken one."""
    if format == "JPEG":
        _check_scans(file)
    image = _open(file, format)
    stored = _stored(image)
    turn = _orientation(image)
    width, height = image.size[::-1] if turn >= 5 else image.size
    deep = stored in _DEEP or (format == "PNG" and image.mode == "I")
    is_rgb = image.mode not in ("1", "L", "LA", "La", *_DTYPES) and stored != _DEEP_GREY_ALPHA
    if image.mode in ("P", "PA"):
        is_rgb = not _is_grey_palette(image)
    notes = []
    if getattr(image, "is_animated", False):
        notes.append("It is an animation: its first frame is used.")

    def decode(t: int, z: int, c: int, max_pixels: int) -> tuple[np.ndarray, list[str]]:
        image = _open(file, format)
        check_size(*image.size, 8 if deep else 4, max_pixels)
        pixels, notes = _pixels(image, file, is_rgb)
        if turn in _TURNS:
            pixels = np.ascontiguousarray(_TURNS[turn](pixels))
            notes.append("It was turned upright, as the camera noted in it.")
        return pixels, notes

    return Series(
        format=format,
        label=f"{width} x {height} pixels",
        width=width,
        height=height,
        dtype=np.dtype("u2" if deep else _DTYPES.get(image.mode, "u1")),
        is_rgb=is_rgb,
        sizes={"T": 1, "Z": 1, "C": 1},
        channel_names=(),
        pixel_size=None,
        notes=tuple(notes),
        decode=decode,
    )


def _open(file: BinaryIO, format: str) -> ImageFile.ImageFile:
    bounded = cast(BinaryIO, _Bounded(file))
    bounded.seek(0)
    return _PLUGINS[format](bounded)


def _check_scans(file: BinaryIO) -> None:
    file.seek(0)
    scans = file.read().count(b"\xff\xda")
    if scans > MAX_JPEG_SCANS:
        raise ImageError(f"It is a JPEG of {scans} scans, expected at most {MAX_JPEG_SCANS}. Save it as PNG or TIFF.")


def _stored(image: ImageFile.ImageFile) -> str:
    """Pillow's name for a PNG's stored samples, as in "RGB;16B"; "" for other formats."""
    return str(image.tile[0].args) if image.format == "PNG" and image.tile else ""


def _orientation(image: ImageFile.ImageFile) -> int:
    """1 to 8. Not by `image.getexif`, which decodes a PNG."""
    data = image.info.get("exif")
    if not data:
        return 1
    exif = Image.Exif()
    exif.load(data)
    turn = exif.get(_ORIENTATION, 1)
    return turn if turn in _TURNS else 1


def _is_grey_palette(image: ImageFile.ImageFile) -> bool:
    if image.palette is None:
        return False
    mode, data = image.palette.getdata()
    n = 4 if len(mode.split(";")[0]) == 4 else 3
    colours = np.frombuffer(bytes(data), np.uint8)
    colours = colours[: len(colours) // n * n].reshape(-1, n)[:, :3]
    return bool((colours == colours[:, :1]).all())


def _pixels(image: ImageFile.ImageFile, file: BinaryIO, is_rgb: bool) -> tuple[np.ndarray, list[str]]:
    """Decode to (H, W) or (H, W, 3), and say what was lost."""
    notes = []
    transparent = "transparency" in image.info
    stored = _stored(image)
    if stored in _DEEP:
        file.seek(0)
        pixels = imagecodecs.png_decode(file.read())
        if pixels.dtype != np.uint16 or pixels.shape[:2] != image.size[::-1]:
            raise ValueError(f"{stored} unpacked to {pixels.dtype} {pixels.shape}")
    else:
        image.load()
        if image.mode == "CMYK":
            notes.append("Its CMYK colours were converted to RGB.")
        pixels = np.asarray(_plain(image, is_rgb))
        if image.format == "PNG" and pixels.dtype == np.int32:
            pixels = pixels.astype(np.uint16)
    if pixels.dtype == bool:
        pixels = pixels * np.uint8(255)
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        transparent = transparent or bool((pixels[..., -1] != np.iinfo(pixels.dtype).max).any())
        pixels = pixels[..., :-1]
    if transparent:
        notes.append("It has transparent parts: the transparency is ignored.")
    return (pixels[..., 0] if pixels.ndim == 3 and not is_rgb else pixels), notes


def _plain(image: Image.Image, is_rgb: bool) -> Image.Image:
    """Without palette, CMYK and other colour spaces than RGB."""
    if image.mode in ("1", "L", "LA", "RGB", "RGBA", *_DTYPES):
        return image
    return image.convert("RGB")
