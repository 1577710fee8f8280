"""Label image -> measurements, one row a nucleus, with units in the column names."""

import numpy as np
from skimage.measure import regionprops_table


def measure(
    labels: np.ndarray,
    image: np.ndarray | None = None,
    pixel_size: tuple[float, float] | None = None,
    solidity: bool = True,
) -> dict[str, np.ndarray]:
    """Measure every nucleus.

    Args:
        labels: (H, W), int32; 0 is background, 1 .. n one number a nucleus.
        image: (H, W) or (H, W, C), native values, for the mean intensity (of the mean over the channels).
        pixel_size: Height and width of a pixel in micrometres.
        solidity: Whether to measure it; it takes a convex hull a nucleus, and so most of the time.

    Returns:
        Columns of equal length: `label`, `y_px`, `x_px` (centroid), `area_px`, `diameter_px` (of a disc of the same
        area), `eccentricity` (0 circle .. 1 line), `solidity` (area to that of the convex hull), with an image
        `mean_intensity` (native values), and with a pixel size `area_um2` and `diameter_um`.
    """
    at = np.flatnonzero(labels)
    number = labels.ravel()[at]
    y, x = (n.astype(np.float64) for n in np.divmod(at, labels.shape[1]))
    area = np.bincount(number).astype(np.float64)
    found = np.flatnonzero(area)
    area = area[found]

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(number, values)[found] / area

    y_mean, x_mean = mean(y), mean(x)
    table = {
        "label": found,
        "y_px": y_mean,
        "x_px": x_mean,
        "area_px": area,
        "diameter_px": np.sqrt(4 * area / np.pi),
        "eccentricity": _eccentricity(mean(y * y) - y_mean**2, mean(x * x) - x_mean**2, mean(x * y) - x_mean * y_mean),
    }
    if solidity:
        table["solidity"] = regionprops_table(labels, properties=("solidity",))["solidity"] if len(found) else area
    if image is not None:
        pixels = np.asarray(image).reshape(labels.size, -1)[at].astype(np.float32).mean(1)
        table["mean_intensity"] = mean(pixels)
    if pixel_size is not None:
        area_of_pixel = pixel_size[0] * pixel_size[1]
        table["area_um2"] = table["area_px"] * area_of_pixel
        table["diameter_um"] = table["diameter_px"] * np.sqrt(area_of_pixel)
    return table


def _eccentricity(yy: np.ndarray, xx: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Of the ellipses with these second central moments, (n,) each: sqrt(1 - (minor axis / major axis)^2)."""
    half_sum, root = (yy + xx) / 2, np.sqrt(((yy - xx) / 2) ** 2 + xy**2)
    major, minor = half_sum + root, np.maximum(half_sum - root, 0)
    return np.sqrt(1 - np.divide(minor, major, out=np.ones_like(major), where=major > 1e-9))
