"""Maps -> instances: nucleus probability and distance to a label image. Functions of arrays, no network, no state."""

import numpy as np
from scipy import ndimage
from skimage.segmentation import watershed


def find_instances(
    probability: np.ndarray,
    distance: np.ndarray | None = None,
    threshold: float = 0.5,
    separation: float = 0.5,
    min_area: float = 0.0,
) -> np.ndarray:
    """Cut the mask `probability > threshold` into nuclei by a watershed that starts from their cores.

    The cores are the connected parts of `distance > separation`. A part of the mask without a core is one nucleus.

    Args:
        probability: (H, W), float, of being nucleus, in [0, 1].
        distance: (H, W), float, the normalised distance to the nucleus's edge: 0 at the edge, 1 at the centre. `None`:
            touching nuclei are not told apart.
        threshold: Probability above which a pixel is nucleus.
        separation: Distance above which a pixel is core. Higher cuts more.
        min_area: Pixels. Smaller nuclei are dropped.

    Returns:
        (H, W), int32: 0 background, 1 .. n one number a nucleus, without gaps.

    Raises:
        ValueError: The maps are not two-dimensional or differ in shape.
    """
    if probability.ndim != 2 or (distance is not None and distance.shape != probability.shape):
        other = None if distance is None else distance.shape
        raise ValueError(f"Maps of shapes {probability.shape} and {other}: expected two of one shape (H, W).")
    mask = probability > threshold
    parts, n_parts = ndimage.label(mask)
    if distance is None or n_parts == 0:
        return drop_small(parts.astype(np.int32), min_area)
    cores, n_cores = ndimage.label(mask & (distance > separation))
    has_core = np.zeros(n_parts + 1, bool)
    has_core[parts[cores > 0]] = True
    coreless = mask & ~has_core[parts]
    seeds = np.where(coreless, parts + n_cores, cores)
    return drop_small(watershed(-distance, seeds, mask=mask).astype(np.int32), min_area)


def drop_small(labels: np.ndarray, min_area: float) -> np.ndarray:
    """Remove labels of fewer than `min_area` pixels and number the rest 1 .. n. (H, W) int32 to the same."""
    area = np.bincount(labels.ravel())
    keep = area >= max(min_area, 1)
    keep[0] = False
    number = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
    return number[labels]
