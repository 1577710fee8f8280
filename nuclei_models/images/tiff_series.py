"""TIFF's meaning: pages -> images with time points, Z planes, channels and a pixel size.

Read from OME-XML, ImageJ's or tifffile's description, in this order; without them the pages of one size are taken for
Z planes. What a description says is compared with the pages that are there before it is believed.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import BinaryIO
from xml.etree.ElementTree import ParseError

import numpy as np

from . import tiff
from .ome import MICROMETRES, OmeImage, plausible, read_ome
from .series import ImageError, Series
from .tiff import MAX_PAGES, Layout, Page, layout, read_pages
from .tiff_pixels import palette, read_page
from .tiff_window import WindowReader

MAX_SERIES = 100
_KINDS = {"I": "ImageJ TIFF", "{": "TIFF"}
_CENTIMETRE, _INCH = 3, 2
_COARSEST = 10.0  # micrometres; a coarser resolution in inches or centimetres is a printer's or a screen's
_UNBELIEVED = "What it says about its planes doesn't fit its pages: these are taken for Z planes."


@dataclass(frozen=True)
class Plan:
    """Where the planes of an image are.

    Attributes:
        index: (T, Z, C), the number of the page a plane is on; -1 where this file lacks it.
        contiguous: Whether the file has one page for all planes, `first`, and `index` counts planes on from it.
    """

    format: str
    label: str
    index: np.ndarray
    contiguous: bool = False
    first: int = 0
    channel_names: tuple[str, ...] = ()
    pixel_size: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()


def open_tiff(file: BinaryIO, file_size: int, file_name: str, which: int) -> tuple[list[str], Series | None]:
    """The header of a TIFF.

    Args:
        file_name: Of this file, by which a set of OME-TIFFs refers to it.
        which: Which of its images.

    Returns:
        The label of each image, and the one asked for, or `None` if there are fewer.

    Raises:
        ImageError: Broken, or an image that isn't read.
    """
    pages = read_pages(file, file_size)
    plans = _plans(pages, pages[0].text(tiff.IMAGE_DESCRIPTION), file_name)
    labels = [plan.label for plan in plans]
    return labels, _series(pages, plans[which]) if which < len(plans) else None


def _series(pages: list[Page], plan: Plan) -> Series:
    first = plan.first if plan.contiguous else int(plan.index[plan.index >= 0][0])
    page = pages[first]
    lay = layout(page)
    is_imagej = plan.format == "ImageJ TIFF"
    table = palette(page, lay, is_imagej) if lay.kind == "palette" else None
    n_channels = lay.n_channels
    notes = list(plan.notes)
    if page.number(tiff.ORIENTATION, 1) != 1:
        notes.append("It asks to be shown turned or mirrored (TIFF orientation): it is left as stored, as in Fiji.")

    def plane(t: int, z: int, c: int) -> tuple[Page, Layout, int, int, bool]:
        """What `read_page` takes of a plane: page, layout, sample, shift, and whether a palette is for the eye."""
        number = int(plan.index[t, z, c // n_channels])
        if number < 0:
            raise ImageError("That plane is in another file of the same set. Open that file, or join them in Fiji.")
        chosen = page if plan.contiguous else pages[number]
        chosen_lay = layout(chosen)
        if (chosen_lay.width, chosen_lay.height, chosen_lay.dtype, chosen_lay.kind) != (
            (lay.width, lay.height, lay.dtype, lay.kind)
        ):
            raise ImageError(f"Page {number + 1} is of another size or type than page {first + 1}. Save them apart.")
        shift = number * lay.page_bytes if plan.contiguous else 0
        return chosen, chosen_lay, c % n_channels, shift, is_imagej

    def decode(t: int, z: int, c: int, max_pixels: int) -> tuple[np.ndarray, list[str]]:
        chosen, chosen_lay, sample, shift, is_imagej = plane(t, z, c)
        return read_page(chosen, chosen_lay, max_pixels, sample, shift, is_imagej)

    def window(t: int, z: int, c: int) -> Callable[[slice, slice], np.ndarray]:
        return WindowReader(*plane(t, z, c)).read

    names = plan.channel_names
    if len(names) != plan.index.shape[2] * n_channels or not any(names):
        names = ()
    return Series(
        format=plan.format,
        label=plan.label,
        width=lay.width,
        height=lay.height,
        dtype=np.dtype(np.uint8) if table is not None else lay.dtype,
        is_rgb=lay.kind in ("rgb", "cmyk") or (table is not None and table.ndim == 2),
        sizes={"T": plan.index.shape[0], "Z": plan.index.shape[1], "C": plan.index.shape[2] * n_channels},
        channel_names=names,
        pixel_size=plan.pixel_size or _resolution(page, None),
        notes=tuple(notes),
        decode=decode,
        window=window,
    )


# descriptions -> plans


def _plans(pages: list[Page], description: str, file_name: str) -> list[Plan]:
    if "<OME" in description[:2000]:
        try:
            images = read_ome(description, file_name)[:MAX_SERIES]
            plans = [plan for image in images if (plan := _ome_plan(pages, image))]
        except (ValueError, KeyError, ParseError):
            plans = []
        if plans:
            return plans
        return [replace(plan, notes=(_UNBELIEVED,)) for plan in _plain_plans(pages)]
    plans = _plain_plans(pages)
    if description.startswith("ImageJ="):
        plans[0] = _imagej_plan(pages, plans[0], description)
    elif description.startswith('{"shape":'):
        plans[0] = _shaped_plan(pages, plans[0], description)
    return plans


def _plain_plans(pages: list[Page]) -> list[Plan]:
    """Pages of one size and type are an image, thumbnails aside; each page is a Z plane."""
    groups: dict[tuple, list[int]] = {}
    for number, page in enumerate(pages):
        groups.setdefault(page.signature, []).append(number)
    wanted = {key: group for key, group in groups.items() if not key[0]} or groups
    plans = []
    for group in list(wanted.values())[:MAX_SERIES]:
        page = pages[group[0]]
        label = f"{page.number(tiff.IMAGE_WIDTH, 0)} x {page.number(tiff.IMAGE_LENGTH, 0)} pixels"
        plans.append(Plan("TIFF", label, np.array(group).reshape(1, -1, 1), first=group[0]))
    return plans


def _ome_plan(pages: list[Page], image: OmeImage) -> Plan | None:
    """`None` for an image without a page in this file."""
    if sorted(image.axes) != ["C", "T", "Z"] or min(image.sizes.values()) < 1:
        raise ValueError(f"OME-XML with axes {image.axes} of {image.sizes}")
    samples = pages[0].number(tiff.SAMPLES_PER_PIXEL, 1)
    for planes in image.planes[:1]:
        if 0 <= planes.page < len(pages):
            samples = pages[planes.page].number(tiff.SAMPLES_PER_PIXEL, 1)
    sizes = image.sizes | {"C": max(image.sizes["C"] // max(samples, 1), 1)}
    shape = [sizes[axis] for axis in image.axes]
    if math.prod(shape) > MAX_PAGES:
        raise ValueError(f"OME-XML with {math.prod(shape)} planes")
    index = np.full(math.prod(shape), -1)
    n_listed = 0
    for planes in image.planes:
        first = planes.first | {"C": planes.first["C"] // max(samples, 1)}
        start = int(np.ravel_multi_index([first[axis] for axis in image.axes], shape))
        count = len(index) if planes.count is None else planes.count
        count = min(count, len(index) - start, len(pages) - planes.page)
        n_listed += count
        if n_listed > 2 * len(index):
            raise ValueError(f"OME-XML that lists {n_listed} planes of {len(index)}")
        if count > 0 and planes.page >= 0:
            index[start : start + count] = np.arange(planes.page, planes.page + count)
    if (index < 0).all():
        return None
    index, names, notes = _here(_in_tzc(index, image.axes, shape), image.channel_names)
    return Plan(
        format="OME-TIFF",
        label=image.name or "unnamed",
        index=index,
        channel_names=names,
        pixel_size=image.pixel_size,
        notes=notes,
    )


def _here(index: np.ndarray, names: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Without the time points, Z planes and channels of which this file, one of a set, has no plane."""
    is_here = index >= 0
    if is_here.all():
        return index, names, ()
    kept = [np.flatnonzero(is_here.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    if len(names) == index.shape[2]:
        names = tuple(names[c] for c in kept[2])
    return index[np.ix_(*kept)], names, ("Some of its planes are in other files of a set: they are left out.",)


def _imagej_plan(pages: list[Page], plain: Plan, description: str) -> Plan:
    """Of "channels=3\\nslices=12\\nframes=5\\nunit=micron\\n.."; channels are the fastest."""
    said = dict(line.split("=", 1) for line in description.splitlines() if "=" in line)
    plain = replace(plain, format="ImageJ TIFF", pixel_size=_resolution(pages[plain.first], said.get("unit", "")))
    sizes = [_whole(said.get(key)) for key in ("frames", "slices", "channels")]
    if math.prod(sizes) == 1:
        sizes[1] = _whole(said.get("images"))
    return _fitted(pages, plain, "TZC", sizes)


def _shaped_plan(pages: list[Page], plain: Plan, description: str) -> Plan:
    """Of tifffile's {"shape": [5, 512, 512], "axes": "TYX"}."""
    try:
        said = json.loads(description)
        shape = [int(n) for n in said["shape"]]
        axes = str(said.get("axes", ""))
    except (ValueError, TypeError, KeyError):
        return plain
    lay = layout(pages[plain.first])
    n_pixels = lay.width * lay.height * lay.samples
    leading = max((k for k in range(len(shape)) if math.prod(shape[k:]) == n_pixels), default=0)
    shape = shape[:leading]
    if len(axes) < leading or len(set(axes)) != len(axes):
        shape, axes = [math.prod(shape)], "Z"
    return _fitted(pages, plain, axes[: len(shape)], shape)


def _fitted(pages: list[Page], plain: Plan, axes: str, shape: list[int]) -> Plan:
    """A plan with the axes that a description says, if there are as many pages, or planes that follow the only page."""
    lay = layout(pages[plain.first])
    n_pages, n_planes = plain.index.size, math.prod(shape)
    if n_planes != n_pages and lay.samples > 1 and "C" in axes:  # the samples of a pixel counted as channels
        shape = [
            n // lay.samples if axis == "C" and n % lay.samples == 0 else n for axis, n in zip(axes, shape, strict=True)
        ]
        n_planes = math.prod(shape)
    if n_planes == n_pages:
        return replace(plain, index=_in_tzc(plain.index, axes, shape), notes=_left_out(axes, shape))
    if n_pages == 1 and 1 < n_planes <= MAX_PAGES and _are_contiguous(pages[plain.first], lay, n_planes):
        index = _in_tzc(np.arange(n_planes), axes, shape)
        return replace(plain, index=index, contiguous=True, notes=_left_out(axes, shape))
    return replace(plain, notes=(_UNBELIEVED,))


def _are_contiguous(page: Page, lay: Layout, n_planes: int) -> bool:
    offsets = page.values(tiff.STRIP_OFFSETS)
    return lay.compression == 1 and len(offsets) > 0 and int(offsets[0]) + n_planes * lay.page_bytes <= page.file_size


def _in_tzc(numbers: np.ndarray, axes: str, shape: list[int]) -> np.ndarray:
    """Numbers in the order of `axes`, slowest first -> (T, Z, C). Of other axes only the first position is kept."""
    numbers = numbers.reshape(shape)
    for i in reversed(range(len(axes))):
        if axes[i] not in "TZC":
            numbers, axes = numbers.take(0, axis=i), axes[:i] + axes[i + 1 :]
    for axis in "TZC":
        if axis not in axes:
            numbers, axes = numbers[..., None], axes + axis
    return numbers.transpose([axes.index(axis) for axis in "TZC"])


def _left_out(axes: str, shape: list[int]) -> tuple[str, ...]:
    others = [(axis, n) for axis, n in zip(axes, shape, strict=True) if axis not in "TZC" and n > 1]
    return tuple(f"{n} positions along its axis {axis}: the first is used." for axis, n in others)


def _whole(text: str | None) -> int:
    return int(text) if text and text.strip().isdecimal() and len(text) < 10 and int(text) > 0 else 1


def _resolution(page: Page, unit: str | None) -> tuple[float, float] | None:
    """The pixel size, of the pixels per unit in the tags. ImageJ has units of its own; inches and centimetres are
    believed only where a microscope may have such a resolution."""
    per_unit = [page.values(tag) for tag in (tiff.Y_RESOLUTION, tiff.X_RESOLUTION)]
    if not all(len(n) and n[0] > 0 for n in per_unit):
        return None
    code = page.number(tiff.RESOLUTION_UNIT, _INCH)
    length = MICROMETRES.get(unit.replace("\\u00B5", "µ").strip()) if unit else None
    if length is not None:
        return plausible(length / float(per_unit[0][0]), length / float(per_unit[1][0]))
    length = {_INCH: 25400.0, _CENTIMETRE: 10000.0}.get(code)
    if unit or length is None:
        return None
    size = plausible(length / float(per_unit[0][0]), length / float(per_unit[1][0]))
    return size if size and max(size) <= _COARSEST else None
