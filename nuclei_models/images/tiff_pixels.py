"""A TIFF page -> pixels: plain bytes to numbers, and numbers to grey, colour or a channel."""

import math
from typing import Any

import numpy as np
from PIL import Image

from . import tiff
from .series import ImageError, check_size
from .tiff import Layout, Page
from .tiff_codecs import RESAVE, unpack

_SMALL = 1 << 24  # pixels of padding that are no harm


def read_page(
    page: Page, lay: Layout, max_pixels: int, sample: int = 0, shift: int = 0, palette_is_display: bool = False
) -> tuple[np.ndarray, list[str]]:
    """Read a page's pixels.

    Args:
        max_pixels: Largest plane that is unpacked.
        sample: Which channel, where the layout's kind is "channels".
        shift: Bytes from the page's own pixels to those wanted (planes without a page of their own).
        palette_is_display: Whether a palette only colours a grey image for the eye, as in ImageJ.

    Returns:
        (H, W) or, for colour, (H, W, 3); and sentences for the user.

    Raises:
        ImageError: Too large, cut short, damaged or of a kind that isn't read.
    """
    check_size(lay.width, lay.height, lay.samples * lay.dtype.itemsize, max_pixels)
    if math.prod(lay.padded) > 4 * lay.width * lay.height + _SMALL:
        raise ImageError(
            f"Its tiles of {lay.tile} (height, width) are far larger than its {lay.width} x {lay.height} pixels: it is "
            f"damaged. Export it again."
        )
    if lay.photometric == 6 and lay.compression != 7:
        raise ImageError(f"Its colours are YCbCr without JPEG compression, which isn't read. {RESAVE}")
    if lay.planar:
        wanted = [sample] if lay.kind == "channels" else range(lay.samples)
        samples = np.concatenate([_plane(page, lay, plane, shift) for plane in wanted], axis=2)
    else:
        samples = _plane(page, lay, 0, shift)
        samples = samples[..., sample : sample + 1] if lay.kind == "channels" else samples
    return _meaning(page, lay, samples, palette_is_display)


# stored bytes -> numbers


def _plane(page: Page, lay: Layout, plane: int, shift: int) -> np.ndarray:
    """The samples that are stored together: (H, W, samples_together), the layout's dtype."""
    data = unpack(page, lay, plane, shift)
    predictor = 1 if lay.compression in (1, 7) else lay.predictor
    if predictor not in (1, 2, 3) or (predictor != 1 and lay.bits < 8) or (predictor == 3 and lay.dtype.kind != "f"):
        raise ImageError(
            f"It is compressed with predictor {predictor} on {lay.dtype} pixels, which isn't read. {RESAVE}"
        )
    if predictor == 3:
        samples = _undo_float_predictor(data, lay)
    else:
        samples = _numbers(data, lay, page.order)
        samples = _undo_predictor(samples, lay) if predictor == 2 else samples
    return samples[: lay.height, : lay.width]


def _numbers(data: np.ndarray, lay: Layout, order: str) -> np.ndarray:
    """(H, bytes) uint8 -> (H, W, samples_together) of the layout's dtype, padding included."""
    height, width = lay.padded
    samples = lay.samples_together
    if lay.bits in (8, 16, 32, 64):
        stored = np.dtype(order + lay.dtype.str[1:])
        return data.view(stored).reshape(height, width, samples).astype(lay.dtype, copy=False)
    block_width = lay.tile[1] if lay.tile else width
    blocks = data.reshape(height, -1, lay.row_bytes(block_width))
    numbers = np.zeros((height, blocks.shape[1], block_width * samples), lay.dtype)
    for row, out in zip(blocks, numbers, strict=True):  # a row at a time: a bit takes a byte here
        bits = np.unpackbits(row, axis=-1)[:, : out.shape[1] * lay.bits].reshape(*out.shape, lay.bits)
        for i in range(lay.bits):
            out |= bits[..., i].astype(lay.dtype) << lay.dtype.type(lay.bits - 1 - i)
    return numbers.reshape(height, width, samples)


def _undo_predictor(samples: np.ndarray, lay: Layout) -> np.ndarray:
    """Predictor 2 stores the differences of neighbours in a row of a strip or tile. (H, W, S) to the same."""
    integers = np.array(samples).view(f"u{lay.dtype.itemsize}")
    block_width = lay.tile[1] if lay.tile else samples.shape[1]
    for left in range(0, samples.shape[1], block_width):
        block = integers[:, left : left + block_width]
        np.cumsum(block, axis=1, dtype=block.dtype, out=block)
    return integers.view(lay.dtype)


def _undo_float_predictor(data: np.ndarray, lay: Layout) -> np.ndarray:
    """Predictor 3 (Adobe Photoshop's TIFF technical note 3) stores, of a row of a strip or tile, all the highest bytes,
    then all the next, whatever the byte order, and of these the differences. (H, bytes) uint8 -> (H, W, S)."""
    height, width = lay.padded
    samples, size = lay.samples_together, lay.dtype.itemsize
    out = np.empty((height, width, samples), lay.dtype)
    block_width = lay.tile[1] if lay.tile else width
    for left in range(0, width, block_width):
        block = data[:, left * samples * size : (left + block_width) * samples * size]
        differences = block.reshape(height, -1, samples)
        by_byte = np.cumsum(differences, axis=1, dtype=np.uint8).reshape(height, size, -1)
        floats = np.ascontiguousarray(by_byte.swapaxes(1, 2)).view(f">f{size}")
        out[:, left : left + block_width] = floats.reshape(height, -1, samples)
    return out


# numbers -> what they mean


def palette(page: Page, lay: Layout, is_display: bool) -> np.ndarray | None:
    """The colours of a palette: (n, 3) or, if all are grey, (n,), uint8. `None` where the stored values are the image.

    That is so if the palette only colours them for the eye: ImageJ's lookup table, or any that rises in all colours.
    """
    table = page.values(tiff.COLOR_MAP)
    if lay.bits > 16 or len(table) != 3 << lay.bits:
        raise ImageError(f"Its palette has {len(table)} numbers, expected {3 << min(lay.bits, 16)}. Export it again.")
    colours = table.reshape(3, -1).T.astype(np.uint16)
    if is_display or (np.diff(colours.astype(np.int32), axis=0) >= 0).all():
        return None
    colours = (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8)
    return colours[:, 0] if (colours == colours[:, :1]).all() else colours


def _meaning(page: Page, lay: Layout, samples: np.ndarray, palette_is_display: bool) -> tuple[np.ndarray, list[str]]:
    """(H, W, S) as stored -> (H, W) grey or (H, W, 3) colour, and what was done."""
    notes = []
    if lay.alpha and lay.kind != "channels":
        if (samples[..., -1] != _top(lay)).any():
            notes.append("It has transparent parts: the transparency is ignored.")
        samples = samples[..., :-1]
    if lay.kind == "rgb":
        if samples.shape[2] > 3:
            notes.append(f"It has {samples.shape[2] - 3} more channels beside red, green and blue: they are ignored.")
        return samples[..., :3], notes
    if lay.kind == "cmyk":
        if lay.dtype != np.uint8:
            raise ImageError(f"Its colours are CMYK of type {lay.dtype}, expected 8-bit. Save it as RGB.")
        image = Image.fromarray(np.ascontiguousarray(samples[..., :4]), "CMYK")
        return np.asarray(image.convert("RGB")), ["Its CMYK colours were converted to RGB."]
    grey = samples[..., 0]
    if lay.kind == "palette":
        table = palette(page, lay, palette_is_display)
        if table is not None:
            return table[grey], notes
        notes.append("Its colour table only colours grey values for the eye: the values beneath are used.")
    if lay.photometric == 0 and lay.dtype.kind == "u":
        grey = (_top(lay) - grey).astype(lay.dtype)
        notes.append("It is stored with 0 as white: it was inverted.")
    if lay.bits == 1:
        grey = grey * np.uint8(255)
    return grey, notes


def _top(lay: Layout) -> Any:
    """The highest value of a sample; 1 for reals."""
    if lay.dtype.kind == "f":
        return lay.dtype.type(1)
    return lay.dtype.type((1 << lay.bits - (lay.dtype.kind == "i")) - 1)
