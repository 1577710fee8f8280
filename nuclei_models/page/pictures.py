"""State -> what is seen: the image stretched for the eye, and what the networks found painted on it, as JPEG."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..agreement import Kind
from ..intensity import to_rgb
from ..metrics import bowl_map, count_mask, iou_matrix, match
from ..overlay import PALETTE, colour_index, draw_classes, edges
from .limits import SHOWN_SIDE
from .networks import TITLES
from .state import Analysis, Cut

VIEWS = {"Side by side": "side", "Swipe": "swipe", "Agreement": "agreement", "True mask": "truth"}
PAINTS = {"Outlines": "outline", "Filled": "filled", "Probability": "probability", "Image only": "none"}
# of a nucleus that both networks found, only U-Net, only U-Net++, or that is split differently: blue, orange, yellow,
# purple of Okabe and Ito's palette
AGREEMENT_COLOURS = np.array([[86, 180, 233], [230, 159, 0], [240, 228, 66], [204, 121, 167]], np.uint8)
LEVELS = 4096  # grey levels kept for stretching


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
    """What the viewer shows, see `static/viewer.js`."""
    analysis.cut_all(cut)
    view = look.view if look.view != "truth" or analysis.picture.truth is not None else "side"
    if view == "agreement":
        panes = [_agreement_pane(analysis, cut, look)]
    else:
        panes = [_network_pane(analysis, key, cut, look) for key in analysis.maps]
        if view == "truth":
            panes = [_truth_pane(analysis, look), *panes]
    height, width = analysis.picture.size
    return {"view": view, "width": width, "height": height, "panes": panes}


def preview(pixels: np.ndarray, name: str, look: Look | None = None) -> dict:
    """What the viewer shows before the networks have run."""
    look = look or Look()
    shown = stretch(*shrink(pixels), look)
    pane = {
        "key": "",
        "title": "Your image",
        "caption": "",
        "alt": f"Image {name}, contrast stretched",
        "src": jpeg(shown),
    }
    return {"view": "side", "width": pixels.shape[1], "height": pixels.shape[0], "panes": [pane]}


def _network_pane(analysis: Analysis, key: str, cut: Cut, look: Look) -> dict:
    labels = analysis.labels(key, cut)
    n, title = int(labels.max(initial=0)), TITLES[key]
    picture = probability_picture(analysis, key) if look.paint == "probability" else base(analysis, look)
    truth = analysis.picture.truth if look.view == "truth" else None
    alt = f"{title}: {nuclei(n)}, " + {"probability": "probability map", "none": "not painted"}.get(
        look.paint, look.paint
    )
    painted = _painted(picture, scaled(labels), line_width(analysis.picture.size), look)
    pane = {"key": key, "title": title, "caption": nuclei(n), "alt": alt, "src": jpeg(painted)}
    return pane if truth is None else pane | {"scores": scores(truth, labels)}


def _truth_pane(analysis: Analysis, look: Look) -> dict:
    truth = analysis.picture.truth
    assert truth is not None
    n = len(np.unique(truth)) - 1
    painted = _painted(base(analysis, look), scaled(truth), line_width(analysis.picture.size), look)
    return {
        "key": "",
        "title": "True mask",
        "caption": nuclei(n),
        "alt": f"True mask: {nuclei(n)}",
        "src": jpeg(painted),
    }


def _painted(picture: np.ndarray, labels: np.ndarray, width: int, look: Look) -> np.ndarray:
    """Paint labels, both at the shown size, with edges of this width."""
    if look.paint not in ("outline", "filled"):
        return picture
    edge = edges(labels, width)
    return draw_classes(picture, colour_index(labels), PALETTE, look.opacity if look.paint == "filled" else 0, edge)


def _agreement_pane(analysis: Analysis, cut: Cut, look: Look) -> dict:
    a, b = analysis.maps
    agreement = analysis.agreement(cut)
    only, split = agreement.count(Kind.ONLY), agreement.count(Kind.SPLIT)
    both = agreement.count(Kind.BOTH)[0]
    of_a = np.array([0, 1, 2, 4], np.uint8)[agreement.a][scaled(analysis.labels(a, cut))]  # by Kind
    of_b = np.array([0, 1, 3, 4], np.uint8)[agreement.b][scaled(analysis.labels(b, cut))]
    index = np.maximum(of_a, of_b)  # both 1, only the first 2, only the second 3, split 4
    edge = edges(scaled(analysis.labels(a, cut)), line_width(analysis.picture.size))
    picture = draw_classes(base(analysis, look), index, AGREEMENT_COLOURS, max(look.opacity, 0.3), edge)
    legend = [
        (f"found by both: {both}", 0),
        (f"{TITLES[a]} only: {only[0]}", 1),
        (f"{TITLES[b]} only: {only[1]}", 2),
        (f"split differently: {split[0]} as {split[1]}", 3),
    ]
    caption = f"{agreement.score:.0%} of the nuclei are found by both"
    return {
        "key": a,
        "title": "Agreement",
        "caption": caption,
        "alt": f"Agreement of the networks: {caption}; " + ", ".join(text for text, _ in legend),
        "src": jpeg(picture),
        "legend": [{"text": text, "colour": "#" + AGREEMENT_COLOURS[i].tobytes().hex()} for text, i in legend],
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
    if height >= labels.shape[0]:
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


def base(analysis: Analysis, look: Look) -> np.ndarray:
    """The image as shown, (h, w, 3) uint8."""
    levels, share = analysis.remember("levels", 0, lambda: shrink(analysis.picture.pixels))
    return analysis.remember("base", (look.white, look.gamma), lambda: stretch(levels, share, look))


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
    smooth = Image.Resampling.BOX if height < channel.shape[0] else Image.Resampling.BICUBIC
    return np.asarray(image if image.size == (width, height) else image.resize((width, height), smooth))


def jpeg(picture: np.ndarray) -> str:
    """(h, w, 3) uint8 -> a data URL."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "jpeg", quality=90, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
