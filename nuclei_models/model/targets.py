"""Label image -> what the network is trained to say, one map a channel (see `losses.py`)."""

import numpy as np
from scipy import ndimage
from skimage import measure, segmentation

from .losses import IGNORED

BORDER_WIDTH = 2  # pixels
UNLABELLED = -1  # in a label image: neither nucleus nor background, left out of the loss


def make_targets(labels: np.ndarray, names: list[str]) -> np.ndarray:
    """Targets for a crop.

    Args:
        labels: (H, W), integers, 0 is background, `UNLABELLED` where nobody knows.
        names: The network's channels: of `background`, `nucleus`, `border`, `distance`.

    Returns:
        (len(names), H, W), float32, in [0, 1], `IGNORED` in every channel where it is unlabelled. Where `border` is a
        channel, `nucleus` is the inside without it.

    Raises:
        KeyError: A name is not known.
    """
    labels = labels.astype(np.int32)
    mask = labels > 0
    distance = edge_distance(labels) if {"border", "distance"} & set(names) else np.zeros(labels.shape, np.float32)
    border = mask & (distance <= BORDER_WIDTH) if "border" in names else np.zeros_like(mask)
    maps = {"background": lambda: ~mask, "nucleus": lambda: mask & ~border, "border": lambda: border}
    maps["distance"] = lambda: normalised(distance, labels)
    targets = np.stack([maps[name]() for name in names]).astype(np.float32)
    targets[:, labels == UNLABELLED] = IGNORED
    return targets


def targets_of(labels: np.ndarray, size: tuple[int, int], seen: tuple[int, int], names: list[str]) -> np.ndarray:
    """Targets for a whole image as the network sees it.

    Args:
        labels: (H, W), integers, see `check_label_image`.
        size: Height and width of the image.
        seen: Those of the image as the network sees it, rescaled.
        names: See `make_targets`.

    Returns:
        (len(names), *seen), float32.
    """
    return make_targets(resize_labels(check_label_image(labels, size, names), seen), names)


def check_label_image(labels: np.ndarray, size: tuple[int, int], names: list[str]) -> np.ndarray:
    """A label image as a user gives it -> (H, W) int32, 0 is background, a number each nucleus.

    Args:
        labels: (H, W), integers or booleans.
        size: Height and width of its image.
        names: The network's channels, see `make_targets`.

    Raises:
        ValueError: It is of another type or size; or it is a mask in which nuclei have no numbers, but the network is
            to tell them apart.
    """
    if labels.ndim != 2 or labels.dtype.kind not in "bui":
        raise ValueError(
            f"A segmentation map of shape {labels.shape} and type {labels.dtype}: expected a label image, (height, "
            f"width) of integers, in which 0 is background and every nucleus has a number."
        )
    if labels.shape != tuple(size):
        raise ValueError(
            f"A segmentation map of {labels.shape[0]} x {labels.shape[1]} pixels for an image of {size[0]} x "
            f"{size[1]}: give both at one size."
        )
    if labels.max(initial=0) > np.iinfo(np.int32).max:
        labels = segmentation.relabel_sequential(labels)[0]
    labels = labels.astype(np.int32)
    told_apart = {"border", "distance"} & set(names)
    value = labels.max(initial=0)
    if told_apart and value in (1, 255) and not ((labels > 0) & (labels != value)).any():
        parts = measure.label(labels > 0, connectivity=2, return_num=True)[1]
        if parts > 1:
            raise ValueError(
                f"A segmentation map has the number {value} on all of its {parts} separate parts: it is a mask, and "
                f"the channels {', '.join(sorted(told_apart))} need a number for each nucleus. If no two nuclei touch, "
                f"skimage.measure.label(mask > 0) gives them."
            )
    return labels


def resize_labels(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) -> `size`, each pixel that of the nearest centre, as torch's "nearest-exact"."""
    rows, columns = (((np.arange(n) + 0.5) * (old / n)).astype(int) for n, old in zip(size, labels.shape, strict=True))
    return labels[rows[:, None], columns]


def split_apart(labels: np.ndarray) -> np.ndarray:
    """Give the parts of a nucleus that don't touch, even at a corner, numbers of their own.

    A crop that is mirrored at its edge shows a nucleus twice; what lies apart counts as another nucleus, for the
    network can't know that it is the same.

    Args:
        labels: (H, W), int32; 0 is background and `UNLABELLED` stays.

    Returns:
        (H, W), int32, numbered 1 .. n.
    """
    parts = measure.label(np.maximum(labels, 0), background=0, connectivity=2).astype(np.int32)
    return np.where(labels == UNLABELLED, UNLABELLED, parts)


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
    nearest = ndimage.distance_transform_edt(inner, return_distances=False, return_indices=True)
    rows, columns = (np.arange(n, dtype=np.int32) for n in labels.shape)
    y, x = nearest[0] - rows[:, None], nearest[1] - columns
    return np.where(labels > 0, np.sqrt(y * y + x * x) + 1, 0).astype(np.float32)


def normalised(distance: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """`edge_distance` divided by its maximum within each nucleus: 1 at the centre. (H, W) float32."""
    numbers = np.maximum(labels, 0)
    top = np.zeros(numbers.max(initial=0) + 1, np.float32)
    np.maximum.at(top, numbers.ravel(), distance.ravel())
    return distance / np.maximum(top[numbers], 1e-6)
