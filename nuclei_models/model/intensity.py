"""Native pixel values -> normalised RGB. The same arithmetic in training and in use."""

import numpy as np
from PIL import Image, ImageCms

PLAIN_MODES = ("L", "RGB", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")


def to_rgb(image: np.ndarray) -> np.ndarray:
    """Bring an image to three channels, values untouched.

    Args:
        image: (H, W), (H, W, 1) grey, (H, W, 2) two stains, (H, W, 3) RGB or (H, W, 4) RGBA (alpha is dropped).

    Returns:
        (H, W, 3) of the same dtype, a view where possible. A missing third channel is zero.

    Raises:
        ValueError: The array is of another shape, or empty, or holds no integers, reals or booleans.
    """
    if image.dtype.kind not in "buif":
        raise ValueError(
            f"An image of type {image.dtype}: expected integers or reals; of complex numbers give the magnitude."
        )
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


def pixels_of(image) -> np.ndarray:
    """An image of any kind -> (H, W) or (H, W, C), native values; of a PIL image what is seen, without transparency.

    Args:
        image: A PIL image of any mode, an array or a tensor.
    """
    if not isinstance(image, Image.Image):
        return np.asarray(image)
    if image.mode == "1":
        return np.asarray(image) * np.uint8(255)
    if image.mode in ("LA", "La"):
        return np.asarray(image.convert("LA"))[..., 0]
    if image.mode == "LAB":
        lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        image = ImageCms.profileToProfile(image, lab, rgb, outputMode="RGB")
    return np.asarray(image if image.mode in PLAIN_MODES else image.convert("RGB"))


def to_channels(image: np.ndarray, count: int) -> np.ndarray:
    """Bring an image to so many channels, values untouched: three as `to_rgb`, any other number as it is.

    Raises:
        ValueError: As `to_rgb`; or the image has another number of channels.
    """
    rgb = to_rgb(image)
    if count == 3:
        return rgb
    if image.ndim == 2:
        image = image[..., None]
    if image.shape[2] != count:
        raise ValueError(
            f"An image of shape {image.shape}: expected {count} channel{'s' if count > 1 else ''}, which is what this "
            f"network takes."
        )
    return image


def intensity_range(rgb: np.ndarray, low: float = 1.0, high: float = 99.8) -> tuple[np.ndarray, np.ndarray]:
    """The values of a whole image that are brought to 0 and 1, a channel at a time, which also evens out the stain.

    Args:
        rgb: (H, W, 3) or any other number of channels, any dtype; NaN and infinities are ignored.
        low, high: Percentiles.

    Returns:
        `bottom` and `span`, each (3,) float32, a number for each channel. The span of a nearly empty channel is at
        least a quarter of the widest channel's, so that its noise is not blown up; that of a constant image is 1.
    """
    if is_grey(rgb):
        bottom, span = intensity_range(rgb[..., :1], low, high)
        return np.repeat(bottom, rgb.shape[2]), np.repeat(span, rgb.shape[2])
    step = sample_step(*rgb.shape[:2])
    sample = _float32(rgb[::step, ::step].reshape(-1, rgb.shape[2]))
    if not np.isfinite(sample).all():
        sample = np.where(np.isfinite(sample), sample, np.nan)
        if np.isnan(sample).all(0).any():
            sample = np.nan_to_num(sample)
        bottom, top = np.nanpercentile(sample, [low, high], axis=0)
    else:
        bottom, top = np.percentile(sample, [low, high], axis=0)
    with np.errstate(over="ignore"):  # values of both signs near the ends of float32
        span = top - bottom
        span = np.maximum(span, 0.25 * span.max())
        return bottom.astype(np.float32), np.where(span > 0, span, 1).astype(np.float32)


def is_grey(image: np.ndarray) -> bool:
    """Whether an image (H, W, C) is one channel that is seen C times, as `to_rgb` makes it of a grey one: what is done
    to each channel needs to be done to the first only."""
    return image.shape[2] > 1 and image.strides[2] == 0


def sample_step(height: int, width: int) -> int:
    """The step between the rows and columns that `intensity_range` looks at. Of a large image several million pixels
    give the same percentiles to well under a grey level."""
    return max(1, int(np.sqrt(height * width / 4e6)))


def normalise(rgb: np.ndarray, bottom: np.ndarray, span: np.ndarray) -> np.ndarray:
    """(H, W, 3) of any dtype -> float32, `bottom` to 0 and `bottom + span` to 1, clipped to [-0.5, 2], NaN to 0. What
    `is_grey` stays so, to be read only, where all channels have one range."""
    if is_grey(rgb) and (bottom == bottom[0]).all() and (span == span[0]).all():
        return np.broadcast_to(normalise(rgb[..., :1], bottom[:1], span[:1]), rgb.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = (_float32(rgb) - bottom) / span
    np.clip(scaled, -0.5, 2.0, out=scaled)
    scaled[np.isnan(scaled)] = 0.0
    return scaled


def _float32(values: np.ndarray) -> np.ndarray:
    """What is beyond the range of float32 becomes infinite."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)
