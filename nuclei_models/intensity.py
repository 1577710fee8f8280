"""Native pixel values -> normalised RGB. The same arithmetic in training and in use."""

import numpy as np


def to_rgb(image: np.ndarray) -> np.ndarray:
    """Bring an image to three channels, values untouched.

    Args:
        image: (H, W), (H, W, 1) grey, (H, W, 2) two stains, (H, W, 3) RGB or (H, W, 4) RGBA (alpha is dropped).

    Returns:
        (H, W, 3) of the same dtype, a view where possible. A missing third channel is zero.

    Raises:
        ValueError: The array is of another shape, or empty.
    """
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or not 1 <= image.shape[2] <= 4 or image.size == 0:
        raise ValueError(
            f"An image of shape {image.shape}: expected (height, width) or (height, width, channels) with 1 to 4 "
            f"channels; choose a plane and channels of a stack first."
        )
    if image.shape[2] == 1:
        return np.broadcast_to(image, (*image.shape[:2], 3))
    if image.shape[2] == 2:
        return np.concatenate([image, np.zeros_like(image[..., :1])], axis=2)
    return image[..., :3]


def intensity_range(rgb: np.ndarray, low: float = 1.0, high: float = 99.8) -> tuple[np.ndarray, np.ndarray]:
    """The values of a whole image that are brought to 0 and 1, a channel at a time, which also evens out the stain.

    Args:
        rgb: (H, W, 3), any dtype; NaN and infinities are ignored.
        low, high: Percentiles.

    Returns:
        `bottom` and `span`, each (3,) float32. The span of a nearly empty channel is at least a quarter of the widest
        channel's, lest its noise be blown up; that of a constant image is 1.
    """
    # every 4th pixel of a large image gives the same percentiles to well under a grey level
    step = max(1, int(np.sqrt(rgb.shape[0] * rgb.shape[1] / 4e6)))
    sample = rgb[::step, ::step].reshape(-1, 3).astype(np.float32)
    if not np.isfinite(sample).all():
        sample = np.where(np.isfinite(sample), sample, np.nan)
        if np.isnan(sample).all(0).any():
            sample = np.nan_to_num(sample)
        bottom, top = np.nanpercentile(sample, [low, high], axis=0)
    else:
        bottom, top = np.percentile(sample, [low, high], axis=0)
    span = top - bottom
    span = np.maximum(span, 0.25 * span.max())
    return bottom.astype(np.float32), np.where(span > 0, span, 1).astype(np.float32)


def normalise(rgb: np.ndarray, bottom: np.ndarray, span: np.ndarray) -> np.ndarray:
    """(H, W, 3) of any dtype -> float32, `bottom` to 0 and `bottom + span` to 1, clipped to [-0.5, 2], NaN to 0."""
    scaled = (rgb.astype(np.float32) - bottom) / span
    return np.clip(np.nan_to_num(scaled, nan=0.0, posinf=2.0, neginf=-0.5), -0.5, 2.0)
