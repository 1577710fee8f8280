"""What is said of a TIFF's pages -> plans: which page is which time point, Z plane and channel of which image.

tifffile knows what ImageJ, Aperio, Hamamatsu, Leica, Akoya and others write; OME-XML is read here, since the other
files of a set are never opened; pages of which nothing is said are told by their number and names. Whatever is said is
compared with the pages that are there before it is believed.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tifffile import TiffFile, TiffPage, TiffPageSeries

from .ome import OmeImage, read_ome
from .planes import NUCLEAR
from .tiff_scale import pixel_size
from .tiff_walk import MAX_PAGES, Chain

MAX_SERIES = 100
MAX_SLIDE_PAGES = 5000  # which tifffile reads one by one
MAX_CHANNELS_LAST = 10  # of tifffile's (height, width, channels), which it stores as a page a row
FEW = 4  # pages of which nothing is said are taken for channels up to here, and for Z planes beyond
_BESIDES = {"thumbnail", "label", "macro", "map", "overview"}  # pictures of a slide that are no image of its cells
_UNBELIEVED = "What it says about its planes doesn't fit its pages, and is not believed."
_PLURALS = {"C": "channels", "Z": "Z planes", "T": "time points"}
UNKNOWN = "Q"  # tifffile's name for an axis of which nothing is known; it also says I


@dataclass(frozen=True)
class Plan:
    """Where the planes of an image are.

    Attributes:
        index: (T, Z, C) of numbers of planes; -1 where this file lacks one.
        pages: Where the pages of these planes begin, in the file; of several planes in one page the first's.
        contiguous: Whether all planes follow each other in the first page's place.
        folded: Rows of a plane, where each row is a page of (width, channels); else 0.
        notes: Sentences for the user.
        as_stored: See `PageReader`.
        guessed: See `Series`.
    """

    format: str
    label: str
    index: np.ndarray
    pages: Sequence[int]
    contiguous: bool = False
    folded: int = 0
    channel_names: tuple[str, ...] = ()
    pixel_size: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    as_stored: bool = False
    guessed: str = ""


def page_at(tiff: TiffFile, offset: int) -> TiffPage:
    tiff.filehandle.seek(offset)
    return TiffPage(tiff, index=0 if offset == tiff.pages.first.offset else 1)


def plans_of(tiff: TiffFile, chain: Chain, name: str) -> list[Plan]:
    """A plan for each image of a file, in order; a slide's pictures of itself aside.

    Args:
        name: Of this file, by which a set of OME-TIFFs refers to it.

    Raises:
        ImageError: A page can't be made out.
    """
    said = tiff.pages.first.description
    if "<OME" in said[:2000]:
        try:
            plans = [_ome_plan(tiff, chain, image) for image in read_ome(said, name)[:MAX_SERIES]]
        except (ValueError, KeyError, SyntaxError):  # ElementTree's errors are SyntaxErrors
            plans = []
        found = [plan for plan in plans if plan is not None]
        return found or _unbelieved(tiff, chain)
    if not _is_described(tiff, len(chain.offsets)):
        return _plain_plans(tiff, chain)
    try:
        series = [s for s in tiff.series if s.name.lower() not in _BESIDES and not s.keyframe.is_reduced]
        if tiff.is_scn:  # an overview comes first
            series.sort(key=lambda s: s.size, reverse=True)
        return [_described_plan(tiff, s) for s in series[:MAX_SERIES]] or _plain_plans(tiff, chain)
    except MemoryError:
        raise
    except Exception:
        return _unbelieved(tiff, chain)


def _unbelieved(tiff: TiffFile, chain: Chain) -> list[Plan]:
    return [replace(plan, notes=(_UNBELIEVED, *plan.notes)) for plan in _plain_plans(tiff, chain)]


def _is_described(tiff: TiffFile, n_pages: int) -> bool:
    kinds = ["shaped", "imagej", "lsm", "mmstack", "fluoview", "stk", "sis", "scanimage"]
    kinds += ["svs", "scn", "qpi", "ndpi", "bif", "avs", "philips"] if n_pages <= MAX_SLIDE_PAGES else []
    return any(getattr(tiff, f"is_{kind}", False) for kind in kinds)


def _described_plan(tiff: TiffFile, series: TiffPageSeries) -> Plan:
    """A plan of what tifffile makes of a description, if the pages are there. Raises ValueError if not."""
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
    folded = _channels_last(series, shape, lead)
    axes, shape = axes[: lead - bool(folded)], shape[: lead - bool(folded)]
    is_imagej = series.kind == "imagej"
    plan = Plan(
        format="ImageJ TIFF" if is_imagej else _FORMATS.get(series.kind, "TIFF"),
        label=series.name or f"{key.imagewidth} x {key.imagelength} pixels",
        index=np.arange(math.prod(shape)).reshape(1, -1, 1),
        pages=pages,
        contiguous=contiguous,
        folded=folded,
        as_stored=is_imagej,
    )
    plan = _measured(tiff, key, plan)
    return _with_axes(plan, axes, shape, _names(tiff, series), 1 if folded else key.samplesperpixel)


_FORMATS = {"svs": "SVS", "ndpi": "NDPI", "scn": "SCN", "qpi": "QPTIFF", "lsm": "LSM", "stk": "STK", "bif": "BIF"}


def _channels_last(series: TiffPageSeries, shape: list[int], lead: int) -> int:
    """Rows of an image that tifffile was given as (.., height, width, channels) without a word on its axes, so that
    each row became a page of (width, channels); 0 of any other."""
    if series.kind != "shaped" or lead < 1 or len(shape) - lead != 2 or "C" in series.axes or "Z" in series.axes:
        return 0
    height, width, n = shape[lead - 1 :]
    return height if 1 < n <= MAX_CHANNELS_LAST and min(height, width) > 2 * n and "Q" in series.axes else 0


def _plain_plans(tiff: TiffFile, chain: Chain) -> list[Plan]:
    """Pages of one size and type are an image, smaller copies aside."""
    groups: dict[tuple, list[int]] = {}
    for offset, signature in zip(chain.offsets, chain.signatures, strict=True):
        groups.setdefault(signature, []).append(offset)
    wanted = {key: group for key, group in groups.items() if not key[0]} or groups
    plans = []
    for group in list(wanted.values())[:MAX_SERIES]:
        page = page_at(tiff, group[0])
        index = np.arange(len(group)).reshape(1, -1, 1)
        plan = Plan("TIFF", f"{page.imagewidth} x {page.imagelength} pixels", index, group)
        names = tuple(_page_name(page_at(tiff, offset)) for offset in group) if 1 < len(group) <= 100 else ()
        plans.append(_with_axes(_measured(tiff, page, plan), UNKNOWN, [len(group)], names, page.samplesperpixel))
    return plans


def _with_axes(plan: Plan, axes: str, shape: list[int], names: tuple[str, ...], samples: int) -> Plan:
    """A plan with its planes in their places along T, Z and C; an axis without a meaning gets one, and it is said.

    Args:
        names: Of channels, or of pages that may be channels.
        samples: Of a pixel: pages with several are no channels.
    """
    notes, guessed = list(plan.notes), ""
    axes, shape = _joined(axes, shape)
    long = {axis: n for axis, n in zip(axes, shape, strict=True) if n > 1}
    pages = next((axis for axis in long if axis not in "TZC"), next(iter(long), "")) if "C" not in long else ""
    named = pages != "" and samples == 1 and len(names) == long[pages]
    if named and _are_channels(names, must_be_stains=pages in "TZ" and len(long) == 1):
        axes = _renamed(axes, pages, "C")
    elif pages == UNKNOWN:
        few = long[pages] <= FEW and samples == 1
        guessed = next((axis for axis in ("CZT" if few else "ZT") if axis not in long), "")
        axes = _renamed(axes, pages, guessed) if guessed else axes
        if guessed:
            notes.append(f"It doesn't say what its {long[pages]} pages are: they are taken for {_PLURALS[guessed]}.")
    for axis, n in zip(axes, shape, strict=True):
        if axis not in "TZC" and n > 1:
            notes.append(f"{n} positions along its axis {axis}: the first is used.")
    index = in_tzc(plan.index.ravel(), axes, shape)
    return replace(
        plan,
        index=index,
        channel_names=names if len(names) == index.shape[2] else (),
        notes=tuple(notes),
        guessed=guessed,
    )


def _joined(axes: str, shape: list[int]) -> tuple[str, list[int]]:
    """With neighbouring axes of which nothing is known as one."""
    out: list[tuple[str, int]] = []
    for axis, n in zip(axes, shape, strict=True):
        axis = UNKNOWN if axis == "I" else axis
        if axis == UNKNOWN and out and out[-1][0] == UNKNOWN:
            out[-1] = UNKNOWN, out[-1][1] * n
        else:
            out.append((axis, n))
    return "".join(axis for axis, _ in out), [n for _, n in out]


def _renamed(axes: str, old: str, new: str) -> str:
    """An axis called otherwise; one that has the new name already has a single position."""
    return axes.replace(new, "_").replace(old, new, 1)


def _are_channels(names: tuple[str, ...], must_be_stains: bool) -> bool:
    """Whether pages are called as channels are: by different words, not by one word and numbers.

    Args:
        must_be_stains: Whether one, but not every one, must be a nuclear stain: of pages that may be planes too.
    """
    words = {re.sub(r"[\W\d_]+", "", name).lower() for name in names}
    stains = sum(bool(NUCLEAR.search(name)) for name in names)
    return len(words) == len(names) and "" not in words and (0 < stains < len(names) or not must_be_stains)


def _names(tiff: TiffFile, series: TiffPageSeries) -> tuple[str, ...]:
    """What the pages of an image, or its channels, are called."""
    if series.kind == "imagej":
        labels = (tiff.imagej_metadata or {}).get("Labels") or []
        channels = dict(zip(series.get_axes(False), series.get_shape(False), strict=True)).get("C", 1)
        labels = labels[:channels] if channels > 1 else labels
        return tuple(
            re.sub(r"^([czt]:\d+/\d+[ -]*)+", "", str(label)).splitlines()[0] if label else "" for label in labels
        )
    if series.kind == "lsm":
        colours = (tiff.lsm_metadata or {}).get("ChannelColors") or {}
        return tuple(map(str, colours.get("ColorNames") or ()))
    if 1 < len(series.pages) <= 100:
        return tuple(_page_name(page_at(tiff, page.offset)) for page in series.pages if page is not None)
    return ()


def _page_name(page: TiffPage) -> str:
    """By PageName, or what Akoya's QPTIFF has in its description."""
    name = page.tags.valueof(285)
    if isinstance(name, str) and name:
        return name
    found = re.search(r"<(Biomarker|Name)>([^<]+)</\1>", page.description[:100_000])
    return found[2] if found and "PerkinElmer-QPI" in page.description[:10_000] else ""


def _ome_plan(tiff: TiffFile, chain: Chain, image: OmeImage) -> Plan | None:
    """`None` for an image without a page in this file."""
    if sorted(image.axes) != ["C", "T", "Z"] or min(image.sizes.values()) < 1:
        raise ValueError(f"OME-XML with axes {image.axes} of {image.sizes}")
    n_pages, samples = len(chain.offsets), 1
    for planes in image.planes[:1]:
        if 0 <= planes.page < n_pages:
            samples = max(page_at(tiff, chain.offsets[planes.page]).samplesperpixel, 1)
    sizes = image.sizes | {"C": max(image.sizes["C"] // samples, 1)}
    shape = [sizes[axis] for axis in image.axes]
    if math.prod(shape) > MAX_PAGES:
        raise ValueError(f"OME-XML with {math.prod(shape)} planes")
    index = np.full(math.prod(shape), -1)
    n_listed = 0
    for planes in image.planes:
        first = planes.first | {"C": planes.first["C"] // samples}
        start = int(np.ravel_multi_index([first[axis] for axis in image.axes], shape))
        count = min(len(index) if planes.count is None else planes.count, len(index) - start, n_pages - planes.page)
        n_listed += count
        if n_listed > 2 * len(index):
            raise ValueError(f"OME-XML that lists {n_listed} planes of {len(index)}")
        if count > 0 and planes.page >= 0:
            index[start : start + count] = np.arange(planes.page, planes.page + count)
    if (index < 0).all():
        return None
    index, names, notes = _here(in_tzc(index, image.axes, shape), image.channel_names)
    return Plan("OME-TIFF", image.name or "unnamed", index, chain.offsets, channel_names=names,
                pixel_size=image.pixel_size, notes=(*notes, *image.notes))  # fmt: skip


def _here(index: np.ndarray, names: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Without the time points, Z planes and channels of which this file, one of a set, has no plane."""
    is_here = index >= 0
    if is_here.all():
        return index, names, ()
    kept = [np.flatnonzero(is_here.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    if len(names) == index.shape[2]:
        names = tuple(names[c] for c in kept[2])
    return index[np.ix_(*kept)], names, ("Some of its planes are in other files of a set: they are left out.",)


def in_tzc(numbers: np.ndarray, axes: str, shape: list[int]) -> np.ndarray:
    """Numbers in the order of `axes`, slowest first -> (T, Z, C). Of other axes only the first position is kept."""
    numbers = numbers.reshape(shape)
    for i in reversed(range(len(axes))):
        if axes[i] not in "TZC":
            numbers, axes = numbers.take(0, axis=i), axes[:i] + axes[i + 1 :]
    for axis in "TZC":
        if axis not in axes:
            numbers, axes = numbers[..., None], axes + axis
    return numbers.transpose([axes.index(axis) for axis in "TZC"])


def _measured(tiff: TiffFile, page: TiffPage, plan: Plan) -> Plan:
    size, notes = pixel_size(tiff, page, plan.format)
    return replace(plan, pixel_size=size, notes=(*plan.notes, *notes))
