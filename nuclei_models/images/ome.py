"""OME-XML, the description in an OME-TIFF -> where its planes are (schema 2016-06 and before).

tifffile reads it too, but of a set of files opens the others, or reads none, and makes room for as many planes as the
document states.
"""

import math
from xml.etree.ElementTree import Element, fromstring

import numpy as np
from tifffile import TiffFile

from .tiff_plans import Plan, in_tzc, page_at
from .tiff_walk import MAX_PAGES
from .units import MICROMETRES, Size, plausible

MAX_XML = 32_000_000  # characters


def ome_plans(tiff: TiffFile, pages: list[int], name: str) -> list[Plan]:
    """A plan for each image that has a page in this file.

    Args:
        pages: Where each begins.
        name: Of this file: a set of OME-TIFFs shares one document, and other files aren't opened.

    Raises:
        ValueError, KeyError, ElementTree.ParseError: It isn't OME-XML as the schema says, or doesn't fit the pages.
    """
    xml = tiff.pages.first.description
    if len(xml) > MAX_XML or "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        raise ValueError(f"OME-XML of {len(xml)} characters or with a document type: not read")
    root = fromstring(xml.encode())
    alone = len({uuid.get("FileName") for uuid in root.iterfind(".//{*}UUID")}) == 1  # whatever it is called by now

    def is_here(data: Element) -> bool:
        uuid = data.find("{*}UUID")
        return uuid is None or alone or uuid.text == root.get("UUID") or uuid.get("FileName") == name

    plans = []
    for image in root.iterfind("{*}Image"):
        for pixels in image.iterfind("{*}Pixels"):
            here = [data for data in pixels.iterfind("{*}TiffData") if is_here(data)]
            plans.append(_plan(tiff, pages, image.get("Name") or "unnamed", pixels, here))
    return [plan for plan in plans if plan is not None]


def _plan(tiff: TiffFile, pages: list[int], name: str, pixels: Element, here: list[Element]) -> Plan | None:
    """`here` tells of planes in this file."""
    first = int(here[0].get("IFD", 0)) if here else -1
    samples = max(page_at(tiff, pages[first]).samplesperpixel, 1) if 0 <= first < len(pages) else 1
    axes = pixels.attrib["DimensionOrder"][:1:-1]
    sizes = {axis: int(pixels.attrib[f"Size{axis}"]) for axis in axes}
    if sorted(axes) != ["C", "T", "Z"] or min(sizes.values()) < 1:
        raise ValueError(f"OME-XML with axes {axes} of {sizes}")
    sizes["C"] = max(sizes["C"] // samples, 1)
    shape = list(sizes.values())
    if math.prod(shape) > MAX_PAGES:
        raise ValueError(f"OME-XML with {math.prod(shape)} planes")
    index, n_listed = np.full(math.prod(shape), -1), 0
    for data in here:
        page, place = int(data.get("IFD", 0)), {axis: int(data.get(f"First{axis}", 0)) for axis in axes}
        place["C"] //= samples
        start = int(np.ravel_multi_index([place[axis] for axis in axes], shape))
        count = int(data.get("PlaneCount", data.get("NumPlanes", 1 if "IFD" in data.attrib else len(index))))
        count = min(count, len(index) - start, len(pages) - page)
        n_listed += count
        if n_listed > 2 * len(index):
            raise ValueError(f"OME-XML that lists {n_listed} planes of {len(index)}")
        if count > 0 and page >= 0:
            index[start : start + count] = np.arange(page, page + count)
    if (index < 0).all():
        return None
    names = tuple(channel.get("Name") or "" for channel in pixels.iterfind("{*}Channel"))
    index, names, left_out = _without_others(in_tzc(index, axes, shape), names)
    size, notes = _pixel_size(pixels)
    return Plan("OME-TIFF", name, index, pages, channel_names=names, pixel_size=size, notes=left_out + notes)


def _without_others(index: np.ndarray, names: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Without the time points, Z planes and channels of which this file, one of a set, has no plane."""
    if (index >= 0).all():
        return index, names, ()
    kept = [np.flatnonzero((index >= 0).any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    if len(names) == index.shape[2]:
        names = tuple(names[c] for c in kept[2])
    return index[np.ix_(*kept)], names, ("Some of its planes are in other files of a set: they are left out.",)


def _pixel_size(pixels: Element) -> tuple[Size, tuple[str, ...]]:
    """(y, x), and what is to be said of it."""
    sizes = {}
    for axis in "YX":
        stated, unit = pixels.get(f"PhysicalSize{axis}"), MICROMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        if stated is not None and unit is not None:
            sizes[axis] = float(stated) * unit
    if len(sizes) != 1:
        return (plausible(*sizes.values()) if sizes else None), ()
    ((axis, size),) = sizes.items()
    other = "Y" if axis == "X" else "X"
    note = f"It says how large a pixel is along {axis} ({size:g} µm) and not along {other}: taken for square."
    found = plausible(size, size)
    return found, (note,) if found else ()
