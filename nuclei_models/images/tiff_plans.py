"""What is said of a TIFF's pages -> plans: which page is which time point, Z plane and channel of which image.

tifffile knows what ImageJ, Aperio, Hamamatsu, Leica, Akoya and others write. What it makes of it is compared with the
pages that are there before it is believed.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tifffile import TiffFile, TiffPage, TiffPageSeries
from tifffile.tifffile import shaped_description_metadata

from .tiff_axes import UNKNOWN, in_tzc, meaning_of
from .tiff_walk import MAX_PAGES, SUB_PAGES, Chain
from .units import MICROMETRES, Size, plausible

MAX_SERIES = 100
MAX_NAMED = 100  # pages whose names are looked up
MAX_SLIDE_PAGES = 5000  # which tifffile reads one by one
MAX_CHANNELS_LAST = 10  # of tifffile's (height, width, channels), which it stores as a page a row
COARSEST = 10.0  # micrometres; a coarser resolution in inches or centimetres is a printer's or a screen's
_KINDS = ("shaped", "imagej", "lsm", "mmstack", "fluoview", "stk", "sis", "scanimage")
_SLIDES = ("svs", "scn", "qpi", "ndpi", "bif", "avs", "philips")
_FORMATS = {"svs": "SVS", "ndpi": "NDPI", "scn": "SCN", "qpi": "QPTIFF", "lsm": "LSM", "stk": "STK", "bif": "BIF"}
_FORMATS |= {"imagej": "ImageJ TIFF"}
_BESIDES = {"thumbnail", "label", "macro", "map", "overview"}  # pictures of a slide that are no image of its cells
_UNITS = {2: 25400.0, 3: 10000.0}  # inch and centimetre, in micrometres


@dataclass(frozen=True)
class Plan:
    """Where the planes of an image are.

    Attributes:
        index: (T, Z, C) of numbers of planes; -1 where this file lacks one.
        pages: Where the pages of these planes begin, in the file; of several planes in one page the first's.
        contiguous: Whether all planes follow each other in the first page's place.
        folded: Rows of a plane, where each row is a page of (width, channels); else 0.
        notes: Sentences for the user.
        guessed: See `Series`.
    """

    format: str
    label: str
    index: np.ndarray
    pages: Sequence[int]
    contiguous: bool = False
    folded: int = 0
    channel_names: tuple[str, ...] = ()
    pixel_size: Size = None
    notes: tuple[str, ...] = ()
    guessed: str = ""


def page_at(tiff: TiffFile, offset: int) -> TiffPage:
    first = tiff.pages.first
    if offset == first.offset:
        return first
    tiff.filehandle.seek(offset)
    return TiffPage(tiff, index=1)


def described_plans(tiff: TiffFile, chain: Chain) -> list[Plan] | None:
    """A plan for each image that tifffile finds described, a slide's pictures of itself aside; `None` where it knows no
    description. Raises whatever tifffile does, and ValueError, where it doesn't fit the pages."""
    few = len(chain.pages) <= MAX_SLIDE_PAGES
    kinds = _KINDS + (_SLIDES if few else ())
    if not any(getattr(tiff, f"is_{kind}", False) for kind in kinds):
        return None
    if len(chain.pages) == 1 and tiff.is_shaped and _says_only_its_shape(tiff.pages.first):
        return None
    if not few or SUB_PAGES in chain.tags:  # where a description doesn't hold, it compares each page with every other
        tiff._series_generic = lambda: None  # type: ignore[method-assign]
    series = [s for s in tiff.series if s.name.lower() not in _BESIDES and not s.keyframe.is_reduced]
    if tiff.is_scn:  # an overview comes first
        series.sort(key=lambda s: s.size, reverse=True)
    return [_described(tiff, s) for s in series[:MAX_SERIES]]


def _says_only_its_shape(page: TiffPage) -> bool:
    """Whether a page, as tifffile writes most, can do without a closer look, which takes long."""
    return tuple(shaped_description_metadata(page.shaped_description or "")["shape"]) == page.shape


def plain_plans(tiff: TiffFile, chain: Chain) -> list[Plan]:
    """Pages of one size and type are an image, smaller copies aside."""
    groups: dict[tuple, list[int]] = {}
    for offset, signature in chain.pages.items():
        groups.setdefault(signature, []).append(offset)
    wanted = [group for signature, group in groups.items() if not signature[0]] or list(groups.values())
    return [_placed(tiff, group, UNKNOWN, [len(group)]) for group in wanted[:MAX_SERIES]]


def _described(tiff: TiffFile, series: TiffPageSeries) -> Plan:
    shape, axes = list(series.get_shape(squeeze=False)), series.get_axes(squeeze=False)
    key: Any = series.keyframe
    n_pixels = math.prod(key.shape)
    lead = next((k for k in range(len(shape) - 1, -1, -1) if math.prod(shape[k:]) >= n_pixels), 0)
    if math.prod(shape[lead:]) != n_pixels:
        raise ValueError(f"{axes} {shape} in pages of {key.shape}")
    pages, n = [page.offset for page in series.pages if page is not None], math.prod(shape[:lead])
    contiguous = len(pages) == 1 and n > 1
    fits = n <= MAX_PAGES and key.is_contiguous and key.dataoffsets[0] + n * key.nbytes <= tiff.filehandle.size
    if (contiguous and not fits) or not (contiguous or len(pages) == n):
        raise ValueError(f"{n} planes in {len(pages)} pages")
    # (.., height, width, channels) given to tifffile without a word on its axes: each row became a page
    folded = 0
    if series.kind == "shaped" and lead and len(shape) - lead == 2 and UNKNOWN in axes and not {"C", "Z"} & set(axes):
        height, width, channels = shape[lead - 1 :]
        folded = height if 1 < channels <= MAX_CHANNELS_LAST and min(height, width) > 2 * channels else 0
    axes, shape = axes[: lead - bool(folded)].replace("I", UNKNOWN), shape[: lead - bool(folded)]
    if set(axes) == {UNKNOWN}:
        axes, shape = UNKNOWN, [math.prod(shape)]
    return _placed(tiff, pages, axes, shape, series, contiguous=contiguous, folded=folded)


def _placed(
    tiff: TiffFile, pages: list[int], axes: str, shape: list[int], series: TiffPageSeries | None = None, **more: Any
) -> Plan:
    """A plan of pages along axes, slowest first."""
    page, names = page_at(tiff, pages[0]), _names(tiff, pages, series)
    axes, guessed, notes = meaning_of(axes, shape, names, 1 if more.get("folded") else page.samplesperpixel)
    format = _FORMATS.get(series.kind, "TIFF") if series else "TIFF"
    size, size_notes = _pixel_size(tiff, page, format)
    index = in_tzc(np.arange(math.prod(shape)), axes, shape)
    return Plan(
        format=format,
        label=(series.name if series else "") or f"{page.imagewidth} x {page.imagelength} pixels",
        index=index,
        pages=pages,
        channel_names=names if len(names) == index.shape[2] else (),
        pixel_size=size,
        notes=(*size_notes, *notes),
        guessed=guessed,
        **more,
    )


def _names(tiff: TiffFile, pages: list[int], series: TiffPageSeries | None) -> tuple[str, ...]:
    """What the pages of an image, or its channels, are called."""
    if series and series.kind == "imagej":
        labels = (tiff.imagej_metadata or {}).get("Labels") or []
        channels = dict(zip(series.get_axes(False), series.get_shape(False), strict=True)).get("C", 1)
        labels = labels[:channels] if channels > 1 else labels
        labels = [re.sub(r"^([czt]:\d+/\d+[ -]*)+", "", str(label)) for label in labels]
        return tuple(label.splitlines()[0] if label else "" for label in labels)
    if series and series.kind == "lsm":
        colours = (tiff.lsm_metadata or {}).get("ChannelColors") or {}
        return tuple(map(str, colours.get("ColorNames") or ()))
    return tuple(_page_name(page_at(tiff, offset)) for offset in pages) if 1 < len(pages) <= MAX_NAMED else ()


def _page_name(page: TiffPage) -> str:
    """By PageName, or what Akoya's QPTIFF has in its description."""
    name = page.tags.valueof(285)
    if isinstance(name, str) and name:
        return name
    found = re.search(r"<(Biomarker|Name)>([^<]+)</\1>", page.description[:100_000])
    return found[2] if found and "PerkinElmer-QPI" in page.description[:10_000] else ""


def _pixel_size(tiff: TiffFile, page: TiffPage, format: str) -> tuple[Size, tuple[str, ...]]:
    """By a maker's entry, ImageJ's unit, or a resolution that a microscope may have: (y, x), and what is to be said."""
    if format == "SVS" and (mpp := re.search(r"\bMPP ?= ?(\d+\.?\d*)", page.description[:10_000])):
        return plausible(float(mpp[1]), float(mpp[1])), ()
    if format == "LSM" and (lsm := tiff.lsm_metadata):
        return plausible(lsm.get("VoxelSizeY", 0) * 1e6, lsm.get("VoxelSizeX", 0) * 1e6), ()
    unit = (tiff.imagej_metadata or {}).get("unit", "") if format == "ImageJ TIFF" else ""
    unit = str(unit).replace("\\u00B5", "µ").strip()
    length = MICROMETRES.get(unit) if unit else _UNITS.get(page.tags.valueof(296, 2))
    stated = [page.tags.valueof(tag) for tag in (283, 282)]
    y, x = (v[0] / v[1] if isinstance(v, tuple) and len(v) == 2 and v[1] else 0.0 for v in stated)
    size = plausible(length / y, length / x) if length and y and x else None
    if size is None or length not in _UNITS.values() or max(size) <= COARSEST:
        return size, ()
    per = f"{x:.4g} pixels per {'inch' if length == _UNITS[2] else 'cm'}"
    note = f"Its resolution of {per} is a printer's or a screen's: it is not taken for a pixel size."
    return None, (note,) if unit else ()
