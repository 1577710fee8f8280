"""Native pixel values -> what is shown. For the eye only: the networks get the native values."""

import numpy as np

from ..model.intensity import sample_step, to_rgb

_CONTRASTY = 128  # grey levels between the percentiles, from which an 8-bit colour image is shown as it is
_ROWS = 512  # at a time, so that a large image is not copied whole to float


def to_display(pixels: np.ndarray, low: float = 0.35, high: float = 99.65) -> np.ndarray:
    """Stretch an image so that its contrast is seen.

    One stretch for all channels, so colours keep their balance. An 8-bit RGB image of good contrast, such as a
    bright-field photograph, is left as it is.

    Args:
        pixels: (H, W) or (H, W, C) with 1 to 4 channels, any integer or real type; NaN becomes black.
        low, high: Percentiles that become black and white.

    Returns:
        (H, W, 3), uint8.

    Raises:
        ValueError: Of another shape or empty, or percentiles that aren't 0 <= low < high <= 100.
    """
    if not 0 <= low < high <= 100:
        raise ValueError(f"Percentiles low={low} and high={high}: expected 0 <= low < high <= 100.")
    rgb = to_rgb(pixels)
    used = pixels.reshape(*rgb.shape[:2], -1)[..., :3]  # without the channel that `to_rgb` adds to two
    bottom, top = _percentiles(used, low, high)
    if rgb.dtype == np.uint8 and used.shape[2] == 3 and top - bottom >= _CONTRASTY:
        return np.array(rgb)
    span = top - bottom if top > bottom else 1.0
    shown = np.empty(rgb.shape, np.uint8)
    for start in range(0, len(rgb), _ROWS):
        rows = rgb[start : start + _ROWS].astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            scaled = np.clip((rows - bottom) / span, 0, 1)
        shown[start : start + _ROWS] = np.nan_to_num(scaled) * 255 + 0.5
    if used.shape[2] == 2:
        shown[..., 2] = 0
    return shown


def _percentiles(pixels: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """Of the finite values of every channel together; of every few pixels of a large image. 0, 0 if there are none."""
    step = sample_step(*pixels.shape[:2])
    sample = pixels[::step, ::step].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return 0.0, 0.0
    bottom, top = np.percentile(sample, [low, high])
    return float(bottom), float(top)
