"""Label image -> what the network is trained to say, one map a channel (see `nuclei_models/model/losses.py`)."""

import numpy as np
from scipy import ndimage

BORDER_WIDTH = 2  # pixels


def make_targets(labels: np.ndarray, names: list[str]) -> np.ndarray:
    """Targets for a crop.

    Args:
        labels: (H, W), integers, 0 is background.
        names: The network's channels: of `background`, `nucleus`, `border`, `distance`.

    Returns:
        (len(names), H, W), float32, in [0, 1]. Where `border` is a channel, `nucleus` is the inside without it.

    Raises:
        KeyError: A name is not known.
    """
    labels = labels.astype(np.int32)
    mask = labels > 0
    border = mask & (edge_distance(labels) <= BORDER_WIDTH) if "border" in names else np.zeros_like(mask)
    maps = {"background": lambda: ~mask, "nucleus": lambda: mask & ~border, "border": lambda: border}
    maps["distance"] = lambda: normalised_distance(labels)
    return np.stack([maps[name]() for name in names]).astype(np.float32)


def edge_distance(labels: np.ndarray) -> np.ndarray:
    """Distance in pixels of each nucleus pixel to the nearest pixel that is not of its nucleus. (H, W) float32."""
    inner = np.zeros(labels.shape, bool)  # pixels whose four neighbours are of the same nucleus
    p = np.pad(labels, 1, mode="edge")
    for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
        inner |= p[dy : dy + labels.shape[0], dx : dx + labels.shape[1]] != labels
    inner = (labels > 0) & ~inner
    if inner.all():  # one nucleus fills the crop: its edge is out of sight
        return np.full(labels.shape, max(labels.shape), np.float32)
    # scipy's transform, because OpenCV's differs in the last bit from call to call
    return np.where(labels > 0, ndimage.distance_transform_edt(inner) + 1, 0).astype(np.float32)


def normalised_distance(labels: np.ndarray) -> np.ndarray:
    """`edge_distance` divided by its maximum within each nucleus: 1 at the centre. (H, W) float32."""
    distance = edge_distance(labels)
    top = ndimage.maximum(distance, labels, index=np.arange(labels.max() + 1))
    return distance / np.maximum(np.asarray(top, np.float32)[labels], 1e-6)
