"""State -> what the viewer shows: the image stretched for the eye, as JPEG, and the nuclei as geometry to draw over it.

How they are painted is the viewer's matter (`static/viewer/`), and asks for nothing here.
"""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..analysis.agreement import Kind
from ..analysis.metrics import bowl_map, count_mask, iou_matrix, match
from ..inference.settings import Cut
from ..model.intensity import to_rgb
from .geometry import packed
from .limits import SHOWN_SIDE, TILE_SIDE
from .opened import Picture
from .state import Analysis

LEVELS = 4096  # grey levels kept for stretching
# of a nucleus that both networks found, only U-Net, only U-Net++, or that is split differently: blue, orange, yellow,
# purple of Okabe and Ito's palette; the viewer paints them with the same
AGREEMENT_COLOURS = "#5cc4ff", "#ffb000", "#f4ea4a", "#cc79a7"


@dataclass(frozen=True)
class Look:
    """How the image is stretched.

    Attributes:
        white: Percentile of the pixel values that is shown white.
        gamma: Below 1 brightens what is dim.
    """

    white: float = 99.65
    gamma: float = 1.0


@dataclass(frozen=True)
class Levels:
    """What stretching needs.

    Attributes:
        levels: (h, w, 1 or 3) uint16, 0 .. LEVELS - 1 between `bottom` and `top`, at the shown size.
        share: (LEVELS,), cumulative share of pixels.
        bottom, top: Native values, the 0.1st and the 100th percentile.
    """

    levels: np.ndarray
    share: np.ndarray
    bottom: float
    top: float


def render(analysis: Analysis, cut: Cut, sliders: list[float]) -> dict:
    """What the viewer shows of a result over its image, see `static/viewer/main.js`.

    Args:
        sliders: The values of which `cut` was made; the viewer sends them back with its requests.
    """
    picture, truth = analysis.picture, analysis.picture.truth
    return {
        **_frame(picture),
        "cut": sliders,
        "truth": None if truth is None else {"geometry": analysis.remember("truth", 0, lambda: packed(truth))},
        **found(analysis, cut),
    }


def found(analysis: Analysis, cut: Cut) -> dict:
    """The part of this that depends on the sliders."""
    return {
        "version": analysis.mends.version,  # before the nuclei: one that is mended meanwhile makes this out of date
        "networks": analysis.each(lambda key: _network(analysis, key, cut)),
        "diameters": diameters(analysis, cut),
    }


def diameters(analysis: Analysis, cut: Cut) -> dict[str, float | None]:
    """The nuclear diameter that the run assumed and the median of those found, pixels; of the last network."""
    *_, key = analysis.maps
    return {"assumed": analysis.diameters.get(key), "found": analysis.found_diameter(key, cut)}


def preview(picture: Picture) -> tuple[dict, dict[str, str]]:
    """What the viewer shows before the networks have run: as `render`, and the image."""
    value = {**_frame(picture), "cut": [], "networks": [], "truth": None, "diameters": {}}
    return value, {"image": jpeg(stretch(shrink(picture.pixels), Look()))}


def _frame(picture: Picture) -> dict:
    height, width = picture.size
    return {"name": picture.name, "image": picture.fingerprint, "width": width, "height": height}


def _network(analysis: Analysis, key: str, cut: Cut) -> dict:
    labels, truth = analysis.labels(key, cut), analysis.picture.truth
    analysis.found_diameter(key, cut)  # here, as this runs beside the other network's
    return {
        "key": key,
        "title": analysis.titles[key],
        "geometry": packed(labels),
        "mended": sorted(analysis.mended(key, cut)),
        "left_out": {"count": analysis.left_out(key, cut), "below": analysis.least_confidence(key, cut)},
        "scores": "" if truth is None else scores(truth, labels),
    }


def image(analysis: Analysis, look: Look) -> str:
    """The image as shown, a data URL."""
    return analysis.remember("image", look, lambda: jpeg(stretch(_levels(analysis), look)))


def tile(analysis: Analysis, look: Look, column: int, row: int) -> str:
    """A part of `TILE_SIDE` pixels of the image at its own resolution, a data URL.

    Raises:
        ValueError: There is no such part.
    """
    pixels, known = analysis.picture.pixels, _levels(analysis)
    part = pixels[row * TILE_SIDE : (row + 1) * TILE_SIDE, column * TILE_SIDE : (column + 1) * TILE_SIDE]
    if min(column, row) < 0 or not part.size:
        raise ValueError(f"The image has no tile {column}, {row}.")
    levels = _as_levels(_channels(part), known.bottom, known.top)
    return jpeg(stretch(Levels(levels, known.share, known.bottom, known.top), look))


def probability(analysis: Analysis, key: str) -> str:
    """A network's probability map, a data URL: black 0, white 1."""

    def make() -> str:
        found = analysis.maps[key].probability
        small = _resized(found, *shown_size((found.shape[0], found.shape[1])))
        return jpeg((np.clip(small, 0, 1) * 255 + 0.5).astype(np.uint8)[..., None].repeat(3, 2))

    return analysis.remember(f"probability {key}", 0, make)


def agreement(analysis: Analysis, cut: Cut) -> dict:
    """The `Kind` of every nucleus of both networks by its number, and what is to be said of it."""
    found = analysis.agreement(cut)
    a, b = analysis.maps
    only, split = found.count(Kind.ONLY), found.count(Kind.SPLIT)
    legend = [
        f"found by both: {found.count(Kind.BOTH)[0]}",
        f"{analysis.titles[a]} only: {only[0]}",
        f"{analysis.titles[b]} only: {only[1]}",
        f"split differently: {split[0]} as {split[1]}",
    ]
    return {
        "kinds": [found.a.tolist(), found.b.tolist()],
        "caption": f"{found.score:.0%} of the nuclei are found by both",
        "legend": [{"text": t, "colour": c} for t, c in zip(legend, AGREEMENT_COLOURS, strict=True)],
    }


def scores(truth: np.ndarray, labels: np.ndarray) -> str:
    """How well a network did, in words."""
    iou = iou_matrix(truth, labels)
    at_half = match(iou, 0.5)
    mask = count_mask(truth, labels)
    return (
        f"{at_half.tp} of {iou.shape[0]} found, {at_half.fp} wrong (IoU at least 0.5: F1 {at_half.f1:.3f}); "
        f"mask IoU {mask.iou:.3f}; mean AP {bowl_map(iou):.3f}"
    )


def nuclei(n: int) -> str:
    return "1 nucleus" if n == 1 else f"{n:,} nuclei"


# full size -> shown size


def shown_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the picture sent for an image: its own, or shrunk to `SHOWN_SIDE`."""
    factor = min(1.0, SHOWN_SIDE / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def shrink(pixels: np.ndarray) -> Levels:
    """Native pixels, (H, W) or (H, W, C) -> what the stretching needs."""
    channels = _channels(pixels)
    size = shown_size((pixels.shape[0], pixels.shape[1]))
    small = np.stack([_resized(channels[..., i], *size) for i in range(channels.shape[2])], -1)
    finite = small[np.isfinite(small)]
    bottom, top = (float(np.percentile(finite, 0.1)), float(finite.max())) if finite.size else (0.0, 1.0)
    levels = _as_levels(small, bottom, top)
    share = np.cumsum(np.bincount(levels.ravel(), minlength=LEVELS)) / levels.size
    return Levels(levels, share, bottom, top)


def stretch(known: Levels, look: Look) -> np.ndarray:
    """Levels -> (h, w, 3) uint8: the 0.35th percentile black, `look.white` white."""
    black, white = np.searchsorted(known.share, [0.0035, look.white / 100])
    ramp = np.clip((np.arange(LEVELS) - black) / max(white - black, 1), 0, 1) ** look.gamma
    picture = (255 * ramp + 0.5).astype(np.uint8)[known.levels]
    return picture if picture.shape[2] == 3 else picture.repeat(3, 2)


def _levels(analysis: Analysis) -> Levels:
    return analysis.remember("levels", 0, lambda: shrink(analysis.picture.pixels))


def _channels(pixels: np.ndarray) -> np.ndarray:
    """(H, W[, C]) -> (H, W, 1 or 3), native values."""
    grey = pixels.ndim == 2 or pixels.shape[2] == 1
    return to_rgb(pixels)[..., : 1 if grey else 3]


def _as_levels(channels: np.ndarray, bottom: float, top: float) -> np.ndarray:
    levels = (channels.astype(np.float32) - bottom) * ((LEVELS - 1) / max(top - bottom, 1e-12))
    return np.nan_to_num(np.clip(levels, 0, LEVELS - 1)).astype(np.uint16)


def _resized(channel: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W) of any dtype -> (height, width) float32, averaged."""
    image = Image.fromarray(np.ascontiguousarray(channel, np.float32))
    return np.asarray(image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BOX))


def jpeg(picture: np.ndarray) -> str:
    """(h, w, 3) uint8 -> a data URL."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "jpeg", quality=92, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
