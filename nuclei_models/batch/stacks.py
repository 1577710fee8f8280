"""Stacks and films: every plane of a file in one run, to one label stack, one table and one set of outlines."""

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tifffile

from ..analysis.filters import Kept
from ..analysis.linking import link
from ..analysis.measurements import Table
from ..analysis.tracking import track
from ..images.planes import ALL, other_channels
from ..images.reader import ImageError, ImageInfo, MicroscopyImage, inspect, planes, read
from ..jobs.settings import MAX, Settings
from ..output.display import to_display
from ..output.export import MAX_16_BIT, add_rois, feature, outlines
from ..output.files import KINDS
from ..output.overlay import colour_labels, draw_overlay
from ..output.tables import table_csv

MOST = 400_000_000  # pixels of a stack, whose labels are held at once
ENDINGS = {"overlay": "overlay.tif", "coloured": "coloured.tif"}  # a PNG holds no stack


def endings(settings: Settings) -> dict[str, str]:
    """How the names of the results end, by kind."""
    return {kind: KINDS[kind].ending for kind in KINDS} | (ENDINGS if settings.is_stack else {})


def images_of(source: Path, settings: Settings, max_pixels: int) -> Iterator[MicroscopyImage]:
    """The images to be segmented, one after the other: one, or those of a stack, or of each time point the maximum over
    its Z planes.

    Raises:
        ImageError: As `images.read`; or the stack is too large.
    """
    if not settings.is_stack and settings.z != MAX:
        assert not isinstance(settings.z, str) and not isinstance(settings.t, str)
        yield read(source, settings.z, settings.t, settings.channel, settings.series, max_pixels, settings.pixel_size)
        return
    info = _info(source, settings)
    times = info.sizes["T"] if settings.t == ALL else 1
    depth = info.sizes["Z"] if settings.z == ALL else 1
    if (n := times * depth * info.width * info.height) > MOST:
        raise ImageError(
            f"{info.name}: All planes together are {n / 1e6:,.0f} megapixels, at most {MOST / 1e6:,.0f} are held at "
            f"once. Give one --t or --z at a time."
        )
    if settings.z != MAX:
        chosen = settings.z, settings.t, settings.channel, settings.series
        yield from planes(source, *chosen, max_pixels, settings.pixel_size)
        return
    asked: list[int | None] = (
        [*range(times)] if settings.t == ALL else [None if settings.t is None else int(settings.t)]
    )
    for t in asked:
        image = projected(source, t, settings.channel, settings, max_pixels)
        notes = (*image.notes, f"The maximum over {info.sizes['Z']} Z planes is used.")
        yield replace(image, notes=notes)


def projected(source: Path, t: int | None, channel: int | None, settings: Settings, max_pixels: int) -> MicroscopyImage:
    """The maximum over the Z planes, at each pixel; NaN only where all are."""
    first: MicroscopyImage | None = None
    for image in planes(source, ALL, t, channel, settings.series, max_pixels, settings.pixel_size):
        first = image if first is None else replace(first, pixels=np.fmax(first.pixels, image.pixels))
    assert first is not None, "a file has a plane"
    return first


def channels_of(source: Path, image: MicroscopyImage, settings: Settings, max_pixels: int) -> dict[str, np.ndarray]:
    """The other channels of an image, to be measured, by name."""
    info = _info(source, settings)
    others = other_channels(info, image.channels)
    # an axis of one plane isn't asked for: where a file doesn't say what its pages are, it would be taken for them
    z, t = (image.plane[axis] if info.sizes[axis] > 1 else None for axis in "ZT")
    if settings.z == MAX:
        return {name: projected(source, t, c, settings, max_pixels).pixels for c, name in others.items()}
    return {name: read(source, z, t, c, settings.series, max_pixels).pixels for c, name in others.items()}


def _info(source: Path, settings: Settings) -> ImageInfo:
    z = ALL if settings.z == MAX else settings.z
    return inspect(source, settings.series, z, settings.t, settings.channel)


@dataclass(frozen=True)
class Stack:
    """The nuclei of all planes, numbered through.

    Attributes:
        labels: (T, Z, H, W), int64.
        table: Of every nucleus in every plane, with "frame" and "plane", from 0; of tracked ones with "track" and
            "parent".
        places: (frame, plane) of every image, in order.
        count: Number of nuclei; one that goes through linked planes, or a track, counts once.
        divisions: How many there are, of tracked nuclei.
    """

    labels: np.ndarray
    table: Table
    places: list[tuple[int, int]]
    count: int
    divisions: int = 0


def stacked(kept: list[Kept], places: list[tuple[int, int]], settings: Settings) -> Stack:
    """Put planes together.

    Args:
        kept: Of every plane, time point by time point.
        places: Their time points and Z planes; of a projection the plane is 0.
        settings: Whether nuclei of neighbouring planes are linked, and those of a film tracked.
    """
    n_times = len({t for t, _ in places})
    found, parents = _numbered([one.labels for one in kept], len(kept) // n_times, settings)
    tables = []
    for one, labels, (t, z) in zip(kept, found, places, strict=True):
        number = _numbers(one.labels, labels)
        place = {"label": number} | ({} if parents is None else {"track": number, "parent": parents[number]})
        place |= {"frame": np.full(len(number), t), "plane": np.full(len(number), z)}
        tables.append(place | {name: column for name, column in one.table.items() if name != "label"})
    table = {name: np.concatenate([one[name] for one in tables]) for name in tables[0]}
    layers = np.stack(found)
    divisions = 0 if parents is None else len(set(parents[parents > 0]))
    return Stack(layers.reshape(n_times, -1, *layers.shape[1:]), table, places, int(layers.max(initial=0)), divisions)


def _numbered(planes: list[np.ndarray], depth: int, settings: Settings) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Label images with numbers for the whole stack, and the parents of tracked nuclei.

    Args:
        depth: Planes of a time point.
    """
    if settings.tracked:
        tracks = track(planes, settings.max_step)
        return tracks.labels, tracks.parents
    found: list[np.ndarray] = []
    last = 0
    for i in range(0, len(planes), depth):
        some = planes[i : i + depth]
        found += [np.where(one > 0, one + last, 0) for one in (link(some) if settings.linked else _apart(some))]
        last = max(last, *(int(one.max(initial=0)) for one in found[i:]))
    return found, None


def _apart(planes: list[np.ndarray]) -> list[np.ndarray]:
    """Numbers that go on from plane to plane."""
    starts = np.cumsum([0, *(int(labels.max(initial=0)) for labels in planes)])
    return [np.where(labels > 0, labels + start, 0) for labels, start in zip(planes, starts, strict=False)]


def _numbers(labels: np.ndarray, numbered: np.ndarray) -> np.ndarray:
    """The new numbers of the nuclei 1 .. n."""
    found = np.zeros(int(labels.max(initial=0)) + 1, np.int64)
    found[labels.ravel()] = numbered.ravel()
    return found[1:]


def make_stack_files(
    stack: Stack, images: list[np.ndarray], pixel_size: tuple[float, float] | None, network: str, settings: Settings
) -> dict[str, bytes]:
    """The files of a stack, as `files.make_files` makes those of an image.

    Args:
        images: Native pixels of every plane, in order.
    """
    layers = stack.labels.reshape(-1, *stack.labels.shape[2:])

    def drawn() -> np.ndarray:
        return np.stack([draw_overlay(to_display(p), x, filled=False) for p, x in zip(images, layers, strict=True)])

    makers: dict[str, Callable[[], bytes]] = {
        "labels": lambda: label_stack_tiff(stack.labels, pixel_size),
        "coloured": lambda: _tiff(np.stack([colour_labels(x) for x in layers]), stack.labels.shape, pixel_size, {}),
        "overlay": lambda: _tiff(drawn(), stack.labels.shape, pixel_size, {}),
        "csv": lambda: table_csv(stack.table, settings.decimal),
        "roi": lambda: _rois(stack, layers, network),
        "geojson": lambda: _geojson(stack, layers, f"Nucleus {network}"),
    }
    named = endings(settings)
    return {named[kind]: makers[kind]() for kind in settings.save}


def label_stack_tiff(labels: np.ndarray, pixel_size: tuple[float, float] | None) -> bytes:
    """(T, Z, H, W) -> an ImageJ hyperstack with its axes, 16 bit, or float of 32 where there are more nuclei."""
    top = int(labels.max(initial=0))
    kept = labels.astype(np.uint16 if top <= MAX_16_BIT else np.float32)
    return _tiff(kept, labels.shape, pixel_size, {"min": 0, "max": max(top, 1)})


def _tiff(pixels: np.ndarray, shape: tuple[int, ...], pixel_size: tuple[float, float] | None, shown: dict) -> bytes:
    colour = pixels.ndim == 4 and pixels.dtype == np.uint8
    pixels = pixels.reshape(*shape, 3) if colour else pixels
    kept = [axis for axis, n in zip("TZ", shape[:2], strict=True) if n > 1]
    pixels = pixels.reshape([n for n in shape[:2] if n > 1] + list(pixels.shape[2:]))
    metadata = {"axes": "".join(kept) + ("YXS" if colour else "YX"), **shown}
    resolution = None if pixel_size is None else (1 / pixel_size[1], 1 / pixel_size[0])
    if resolution:
        metadata["unit"] = "um"
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, imagej=True, resolution=resolution, metadata=metadata, compression="zlib")
    return file.getvalue()


def _rois(stack: Stack, layers: np.ndarray, network: str) -> bytes:
    """Each outline at its plane and time point, as positions of the label stack."""
    depth = stack.labels.shape[1]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for i, labels in enumerate(layers):
            t, z = divmod(i, depth)
            add_rois(archive, outlines(labels), f"{network}-t{t:03}-z{z:03}", z, t)
    return file.getvalue()


def _geojson(stack: Stack, layers: np.ndarray, name: str) -> bytes:
    features = []
    columns = {key: column for key, column in stack.table.items() if key != "label"}
    rows = {
        key: i
        for i, key in enumerate(zip(*(stack.table[k].tolist() for k in ("frame", "plane", "label")), strict=True))
    }
    for (t, z), labels in zip(stack.places, layers, strict=True):
        for outline in outlines(labels):
            i = rows[t, z, outline.label]
            one = feature(outline, {key: column[i] for key, column in columns.items()}, f"{name}")
            one["id"] = one["id"][:-8] + f"{t:04x}{z:04x}"
            one["geometry"]["plane"] = {"c": -1, "z": z, "t": t}  # as QuPath writes it
            features.append(one)
    return json.dumps({"type": "FeatureCollection", "features": features}, allow_nan=False).encode()
