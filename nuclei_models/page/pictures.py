"""State -> what is seen: the image stretched for the eye, as JPEG, and what the networks found, as a transparent PNG to
lie over it. So a slider that cuts nuclei anew sends outlines only, and one that changes the contrast only the image."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..analysis.agreement import Kind
from ..analysis.metrics import bowl_map, count_mask, iou_matrix, match
from ..inference.bundled import TITLES
from ..inference.settings import Cut
from ..model.intensity import to_rgb
from ..output.overlay import PALETTE, colour_index, edges
from .limits import SHOWN_SIDE
from .state import Analysis

VIEWS = {"Side by side": "side", "Swipe": "swipe", "Agreement": "agreement", "True mask": "truth"}
PAINTS = {"Outlines": "outline", "Filled": "filled", "Probability": "probability", "Image only": "none"}
# of a nucleus that both networks found, only U-Net, only U-Net++, or that is split differently: blue, orange, yellow,
# purple of Okabe and Ito's palette
AGREEMENT_COLOURS = np.array([[86, 180, 233], [230, 159, 0], [240, 228, 66], [204, 121, 167]], np.uint8)
LEVELS = 4096  # grey levels kept for stretching
ZLIB_RLE = 3  # a strategy of zlib: a quarter faster here, and smaller than its default at this level
IMAGE = "image"  # the name of the base that all panes share


@dataclass(frozen=True)
class Look:
    """How pictures look.

    Attributes:
        view: A value of `VIEWS`.
        paint: A value of `PAINTS`.
        opacity: 0 .. 1, of filled nuclei.
        white: Percentile of the pixel values that is shown white.
        gamma: Below 1 brightens what is dim.
    """

    view: str = "side"
    paint: str = "outline"
    opacity: float = 0.45
    white: float = 99.65
    gamma: float = 1.0


def render(analysis: Analysis, cut: Cut, look: Look) -> dict:
    """What the viewer shows over the images of `bases`, see `static/viewer.js`."""
    view = look.view if look.view != "truth" or analysis.picture.truth is not None else "side"
    if view == "agreement":
        panes = [_agreement_pane(analysis, cut, look)]
    else:
        panes = analysis.each(lambda key: _network_pane(analysis, key, cut, look))
        if view == "truth":
            panes = [_truth_pane(analysis, look), *panes]
    height, width = analysis.picture.size
    return {"view": view, "width": width, "height": height, "panes": panes}


def bases(analysis: Analysis, look: Look) -> dict[str, str]:
    """The images that lie under what `render` gives, as data URLs by the names that its panes call them."""
    if look.paint == "probability" and look.view != "agreement":
        found = analysis.each(lambda key: jpeg(probability_picture(analysis, key)))
        return dict(zip(map(_base_of_network, analysis.maps), found, strict=True)) | {IMAGE: _image(analysis, look)}
    return {IMAGE: _image(analysis, look)}


def preview(pixels: np.ndarray, name: str, look: Look | None = None) -> tuple[dict, dict[str, str]]:
    """What the viewer shows before the networks have run: as `render`, and as `bases`."""
    shown = stretch(*shrink(pixels), look or Look())
    pane = _pane("", "Your image", "", f"Image {name}, contrast stretched")
    value = {"view": "side", "width": pixels.shape[1], "height": pixels.shape[0], "panes": [pane]}
    return value, {IMAGE: jpeg(shown)}


def _pane(key: str, title: str, caption: str, alt: str, base: str = IMAGE, overlay: str = "") -> dict:
    return {"key": key, "title": title, "caption": caption, "alt": alt, "base": base, "overlay": overlay}


def _network_pane(analysis: Analysis, key: str, cut: Cut, look: Look) -> dict:
    labels = analysis.labels(key, cut)
    n, title = int(labels.max(initial=0)), TITLES[key]
    truth = analysis.picture.truth if look.view == "truth" else None
    how = {"probability": "probability map", "none": "not painted"}.get(look.paint, look.paint)
    base = _base_of_network(key) if look.paint == "probability" else IMAGE
    pane = _pane(key, title, nuclei(n), f"{title}: {nuclei(n)}, {how}", base, _painted(labels, look))
    return pane if truth is None else pane | {"scores": scores(truth, labels)}


def _truth_pane(analysis: Analysis, look: Look) -> dict:
    truth = analysis.picture.truth
    assert truth is not None
    n = len(np.unique(truth)) - 1
    return _pane("", "True mask", nuclei(n), f"True mask: {nuclei(n)}", IMAGE, _painted(truth, look))


def _painted(labels: np.ndarray, look: Look) -> str:
    """Labels of the full size -> the overlay of this look; "" where it paints none."""
    if look.paint not in ("outline", "filled"):
        return ""
    shown = scaled(labels)
    edge, index = edges(shown, line_width(labels.shape)), colour_index(shown)
    if look.paint == "outline":
        return overlay_png(np.where(edge, index, 0), PALETTE, 1)
    return overlay_png(index, PALETTE, look.opacity, edge)


def _agreement_pane(analysis: Analysis, cut: Cut, look: Look) -> dict:
    a, b = analysis.maps
    analysis.each(lambda key: analysis.labels(key, cut))
    agreement = analysis.agreement(cut)
    only, split = agreement.count(Kind.ONLY), agreement.count(Kind.SPLIT)
    both = agreement.count(Kind.BOTH)[0]
    shown = scaled(analysis.labels(a, cut))
    of_a = np.array([0, 1, 2, 4], np.uint8)[agreement.a][shown]  # by Kind
    of_b = np.array([0, 1, 3, 4], np.uint8)[agreement.b][scaled(analysis.labels(b, cut))]
    index = np.maximum(of_a, of_b)  # both 1, only the first 2, only the second 3, split 4
    legend = [
        (f"found by both: {both}", 0),
        (f"{TITLES[a]} only: {only[0]}", 1),
        (f"{TITLES[b]} only: {only[1]}", 2),
        (f"split differently: {split[0]} as {split[1]}", 3),
    ]
    caption = f"{agreement.score:.0%} of the nuclei are found by both"
    alt = f"Agreement of the networks: {caption}; " + ", ".join(text for text, _ in legend)
    edge = edges(shown, line_width(analysis.picture.size))
    painted = overlay_png(index, AGREEMENT_COLOURS, max(look.opacity, 0.3), edge)
    patches = [{"text": text, "colour": "#" + AGREEMENT_COLOURS[i].tobytes().hex()} for text, i in legend]
    return _pane(a, "Agreement", caption, alt, IMAGE, painted) | {"legend": patches}


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


def line_width(size: tuple[int, int]) -> int:
    """Of outlines on an image of this size, pixels of the shown picture: thicker where it is enlarged."""
    return 1 if max(size) > SHOWN_SIDE else 2 if max(size) > SHOWN_SIDE // 2 else 4


# full size -> shown size


def shown_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the picture sent for an image: shrunk to `SHOWN_SIDE`, or enlarged by a whole factor."""
    longer = max(size)
    factor = float(SHOWN_SIDE // longer) if longer <= SHOWN_SIDE else SHOWN_SIDE / longer
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def scaled(labels: np.ndarray) -> np.ndarray:
    """(H, W) labels -> the shown size, by the nearest pixel."""
    height, width = shown_size((labels.shape[0], labels.shape[1]))
    if (height, width) == labels.shape:
        return labels
    if max(labels.shape) <= SHOWN_SIDE:  # by a whole factor
        return labels.repeat(height // labels.shape[0], 0).repeat(width // labels.shape[1], 1)
    rows, columns = ((np.arange(n) + 0.5) * full / n for n, full in zip((height, width), labels.shape, strict=True))
    return labels[rows.astype(int)[:, None], columns.astype(int)]


def shrink(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Native pixels -> what the stretching needs, at the shown size.

    Returns:
        (h, w, 3) uint16, 0 .. LEVELS - 1 between the 0.1st and the 100th percentile; and the (LEVELS,) cumulative share
        of pixels.
    """
    rgb = to_rgb(pixels)
    height, width = shown_size((rgb.shape[0], rgb.shape[1]))
    grey = pixels.ndim == 2 or pixels.shape[2] == 1
    channels = [rgb[..., 0]] if grey else [rgb[..., i] for i in range(3)]
    small = np.stack([_resized(channel, height, width) for channel in channels], -1)
    finite = small[np.isfinite(small)]
    bottom, top = (np.percentile(finite, 0.1), finite.max()) if finite.size else (0, 1)
    levels = (small - bottom) * ((LEVELS - 1) / max(top - bottom, 1e-12))
    levels = np.nan_to_num(np.clip(levels, 0, LEVELS - 1)).astype(np.uint16)
    share = np.cumsum(np.bincount(levels.ravel(), minlength=LEVELS)) / levels.size
    return levels, share


def stretch(levels: np.ndarray, share: np.ndarray, look: Look) -> np.ndarray:
    """Levels of `shrink` -> (h, w, 3) uint8: the 0.35th percentile black, `look.white` white."""
    black, white = np.searchsorted(share, [0.0035, look.white / 100])
    ramp = np.clip((np.arange(LEVELS) - black) / max(white - black, 1), 0, 1) ** look.gamma
    picture = (255 * ramp + 0.5).astype(np.uint8)[levels]
    return picture if picture.shape[2] == 3 else picture.repeat(3, 2)


def _image(analysis: Analysis, look: Look) -> str:
    """The image as shown, a data URL."""
    levels, share = analysis.remember("levels", 0, lambda: shrink(analysis.picture.pixels))
    return analysis.remember("image", (look.white, look.gamma), lambda: jpeg(stretch(levels, share, look)))


def _base_of_network(key: str) -> str:
    return f"probability {key}"


def probability_picture(analysis: Analysis, key: str) -> np.ndarray:
    """The probability map, (h, w, 3) uint8: black 0, white 1."""

    def make() -> np.ndarray:
        probability = analysis.maps[key].probability
        small = _resized(probability, *shown_size((probability.shape[0], probability.shape[1])))
        return (np.clip(small, 0, 1) * 255 + 0.5).astype(np.uint8)[..., None].repeat(3, 2)

    return analysis.remember(f"probability {key}", 0, make)


def _resized(channel: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W) of any dtype -> (height, width) float32; averaged when it shrinks."""
    image = Image.fromarray(np.ascontiguousarray(channel, np.float32))
    smooth = Image.Resampling.BOX if max(channel.shape) > SHOWN_SIDE else Image.Resampling.BICUBIC
    return np.asarray(image if image.size == (width, height) else image.resize((width, height), smooth))


def jpeg(picture: np.ndarray) -> str:
    """(h, w, 3) uint8 -> a data URL."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "jpeg", quality=90, subsampling=0)
    return _data_url("jpeg", file)


def overlay_png(index: np.ndarray, colours: np.ndarray, opacity: float, edge: np.ndarray | None = None) -> str:
    """Classes of pixels -> a picture to lay over another, as a data URL.

    Args:
        index: (h, w), uint8: 0 is transparent, i is painted with `colours[i - 1]`.
        colours: (n, 3), uint8.
        opacity: 0 .. 1, of the paint.
        edge: (h, w), bool: where the paint is opaque.
    """
    n = len(colours)
    if edge is not None:
        index = index + n * (edge & (index > 0)).astype(np.uint8)
    image = Image.fromarray(index)
    image.putpalette(np.vstack([np.zeros((1, 3), np.uint8), colours, colours]).tobytes())
    alpha = bytes([0, *[round(255 * opacity)] * n, *[255] * n])
    file = io.BytesIO()
    image.save(file, "png", compress_level=1, compress_type=ZLIB_RLE, transparency=alpha)
    return _data_url("png", file)


def _data_url(kind: str, file: io.BytesIO) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
