"""Labels and picture -> coloured overlay. Pixels for the eye; nothing is measured here."""

import io

import numpy as np
from PIL import Image

from .display import to_display

# Okabe and Ito's palette without black, yellow last: told apart with any colour vision
PALETTE = np.array(
    [[230, 159, 0], [86, 180, 233], [0, 158, 115], [213, 94, 0], [204, 121, 167], [0, 114, 178], [240, 228, 66]],
    np.uint8,
)


def colour_index(labels: np.ndarray) -> np.ndarray:
    """(H, W) labels -> (H, W) uint8: 0 background, 1 .. 7 the palette's colour; neighbouring numbers differ."""
    numbers = np.arange(int(labels.max(initial=0)) + 1)
    index = ((numbers * 5) % len(PALETTE) + 1).astype(np.uint8)
    index[0] = 0
    return index[labels]


def colour_labels(labels: np.ndarray) -> np.ndarray:
    """(H, W) labels -> (H, W, 3) uint8, black background; neighbouring numbers differ."""
    return paint(colour_index(labels), PALETTE)


def paint(index: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """(H, W) uint8 index -> (H, W, 3) uint8: 0 is black, i is `colours[i - 1]` of (n, 3) uint8."""
    return np.vstack([np.zeros((1, 3), np.uint8), colours])[index]


def edges(labels: np.ndarray, width: int = 1) -> np.ndarray:
    """The nuclei's edge pixels, inside them. (H, W) integers -> (H, W) bool; nuclei that touch have an edge between.

    Args:
        labels: 0 is background.
        width: Pixels.
    """
    edge = np.zeros(labels.shape, bool)
    for step in range(1, width + 1):
        for axis in (0, 1):
            rest = labels.shape[axis] - step
            if rest < 1:
                continue
            first = tuple(slice(0, rest) if a == axis else slice(None) for a in (0, 1))
            last = tuple(slice(step, None) if a == axis else slice(None) for a in (0, 1))
            differs = labels[first] != labels[last]
            edge[first] |= differs
            edge[last] |= differs
    return edge & (labels > 0)


def draw_overlay(
    picture: np.ndarray,
    labels: np.ndarray,
    filled: bool = True,
    opacity: float = 0.45,
    outline: bool = True,
    width: int = 1,
) -> np.ndarray:
    """Paint the nuclei on the picture.

    Args:
        picture: (H, W, 3), uint8, as shown.
        labels: (H, W), integers.
        filled: Fill the nuclei with their colours at `opacity` (0 .. 1).
        outline: Draw their edges, inside, at full strength.
        width: Of the edges, pixels.

    Returns:
        (H, W, 3), uint8.
    """
    edge = edges(labels, width) if outline else None
    return draw_classes(picture, colour_index(labels), PALETTE, opacity if filled else 0.0, edge)


def thumbnail(pixels: np.ndarray, labels: np.ndarray, side: int = 320) -> bytes:
    """A small picture with the nuclei's edges, as JPEG.

    Args:
        pixels: (H, W) or (H, W, C), native values.
        labels: (H, W), integers.
        side: Its longer side, pixels, at most.
    """
    height, width = labels.shape
    scale = min(1.0, side / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    rows, cols = (
        np.minimum(((np.arange(n) + 0.5) / scale).astype(int), m - 1)
        for n, m in zip(size[::-1], (height, width), strict=True)
    )
    small = Image.fromarray(to_display(pixels)).resize(size, Image.Resampling.BOX)
    drawn = draw_overlay(np.asarray(small), labels[np.ix_(rows, cols)], filled=False)
    file = io.BytesIO()
    Image.fromarray(drawn).save(file, "jpeg", quality=82)
    return file.getvalue()


def draw_classes(
    picture: np.ndarray, index: np.ndarray, colours: np.ndarray, opacity: float, edge: np.ndarray | None = None
) -> np.ndarray:
    """Paint classes of pixels on the picture.

    Args:
        picture: (H, W, 3), uint8.
        index: (H, W), uint8: 0 is left as it is, i is painted with `colours[i - 1]`.
        colours: (n, 3), uint8.
        opacity: 0 .. 1, of the paint.
        edge: (H, W), bool: where the paint is opaque.

    Returns:
        (H, W, 3), uint8.
    """
    strength = np.full(len(colours) + 1, round(255 * opacity), np.uint8)
    strength[0] = 0
    alpha = strength[index]
    if edge is not None:
        alpha[edge & (index > 0)] = 255
    coloured = Image.fromarray(index)
    coloured.putpalette(np.vstack([np.zeros((1, 3), np.uint8), colours]).tobytes())
    return np.asarray(Image.composite(coloured.convert("RGB"), Image.fromarray(picture), Image.fromarray(alpha)))
