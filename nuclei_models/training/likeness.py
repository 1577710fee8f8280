"""Which images are of one kind, and which show the same."""

import numpy as np
from PIL import Image

from ..model.intensity import intensity_range, normalise, to_rgb
from .samples import Sample

SAME = 0.97  # correlation of thumbnails from which on two images count as near-duplicates


def modality(image: np.ndarray) -> str:
    """fluorescence, brightfield, purple (stained on a stained ground), white (stained on a white ground) or pink."""
    if image.ndim == 2:
        bright = image.mean() / (image.max() or 1) if image.dtype == np.uint16 else image.mean() / 255
        return "fluorescence" if bright < 100 / 255 else "brightfield"
    red, green, blue = np.median(image.reshape(-1, 3), 0)
    if red > blue + 10 and red > green + 40:
        return "pink"
    return "purple" if blue > green + 30 else "white"


def stratum(image: np.ndarray) -> str:
    return f"{modality(image)}-{image.shape[0]}x{image.shape[1]}"


def _thumbnail(image: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, C) of any type -> (32, 32) float, grey."""
    if image.dtype != np.uint8 or (image.ndim == 3 and image.shape[2] != 3):
        rgb = to_rgb(image)
        image = (np.clip(normalise(rgb, *intensity_range(rgb)), 0, 1) * 255).astype(np.uint8)
    return np.asarray(Image.fromarray(image).convert("L").resize((32, 32)), float)


def near_duplicates(samples: list[Sample]) -> list[int]:
    """Group number of each sample: equal for images whose 32 x 32 thumbnails correlate in one of the 8 symmetries."""
    thumbs = np.stack([_thumbnail(sample.image) for sample in samples])
    symmetries = [np.rot90(t, k, (1, 2)) for t in (thumbs, thumbs[:, :, ::-1]) for k in range(4)]

    def standard(t: np.ndarray) -> np.ndarray:
        flat = t.reshape(len(t), -1)
        flat = flat - flat.mean(1, keepdims=True)
        return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)

    base = standard(thumbs)
    like = np.max([base @ standard(t).T for t in symmetries], axis=0) > SAME
    group = list(range(len(samples)))
    for a, b in np.argwhere(np.triu(like, 1)):
        old, new = group[b], group[a]
        group = [new if g == old else g for g in group]
    return group
