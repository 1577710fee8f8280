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
        image: (H, W) or (H, W, C), native values, for the mean intensity (of the mean over the channels). Of four
            channels the last is transparency, as in `segment`, and does not count.
        pixel_size: Height and width of a pixel in micrometres.
        solidity: Whether to measure it; it takes a convex hull a nucleus, and so most of the time.

    Returns:
        Columns of equal length: `label`, `y_px`, `x_px` (centroid), `area_px`, `diameter_px` (of a disc of the same
        area), `eccentricity` (0 circle .. 1 line), `solidity` (area to that of the convex hull), with an image
        `mean_intensity` (native values), and with a pixel size `area_um2` and `diameter_um`.
    """
    found, total = sums(labels, image)
    hull = None
    if solidity:
        hull = regionprops_table(labels, properties=("solidity",))["solidity"] if len(found) else total[:, 0]
    return columns(found, total, pixel_size, hull)


def sums(
    labels: np.ndarray, image: np.ndarray | None = None, origin: tuple[int, int] = (0, 0)
) -> tuple[np.ndarray, np.ndarray]:
    """What the measurements are made of; those of the parts of a nucleus add up to the whole's.

    Args:
        labels, image: See `measure`.
        origin: Row and column of the first pixel, where these are part of a larger image.

    Returns:
        The labels there are, (n,), and for each the sums over its pixels of 1, y, x, y², x², xy and, with an image, its
        value: (n, 6 or 7), float64.
    """
    at = np.flatnonzero(labels)
    number = labels.ravel()[at]
    y, x = (n.astype(np.float64) for n in np.divmod(at, labels.shape[1]))
    y, x = y + origin[0], x + origin[1]
    found = np.flatnonzero(np.bincount(number))
    summands = [np.ones_like(y), y, x, y * y, x * x, x * y]
    if image is not None:
        values = np.asarray(image).reshape(labels.size, -1)[at]
        colours = values[:, :3] if values.shape[1] == 4 else values  # as `to_rgb`: a fourth channel is transparency
        summands.append(colours.astype(np.float32).mean(1))
    return found, np.stack([np.bincount(number, values)[found] for values in summands], axis=1)


def columns(
    label: np.ndarray,
    total: np.ndarray,
    pixel_size: tuple[float, float] | None = None,
    solidity: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """The columns of `measure` from the `sums` of each nucleus."""
    area = total[:, 0]
    y, x, yy, xx, xy, *intensity = (total[:, 1:] / area[:, None]).T
    table = {
        "label": label,
        "y_px": y,
        "x_px": x,
        "area_px": area,
        "diameter_px": np.sqrt(4 * area / np.pi),
        "eccentricity": _eccentricity(yy - y**2, xx - x**2, xy - x * y),
    }
    if solidity is not None:
        table["solidity"] = solidity
    if intensity:
        table["mean_intensity"] = intensity[0]
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
