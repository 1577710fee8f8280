"""Pixel values in nuclei, in rings around them and outside. Pixels that aren't finite are left out everywhere."""

from collections.abc import Iterator, Mapping

import numpy as np
from skimage.segmentation import expand_labels

from ..model.members import Members
from ..model.sums import Sums
from ..model.windows import Window

BACKGROUND_PIXELS = 1_000_000  # an image of more is looked at on a grid
STATISTICS = ("mean", "min", "max", "sum", "corrected")
ALL = "intensity"  # the channel that was segmented; of a colour image the mean of its colours
COLOURS = ("red", "green", "blue")

Planes = Mapping[str, np.ndarray]


def planes_of(image: np.ndarray, others: Planes | None = None) -> dict[str, np.ndarray]:
    """An image's channels by the names that they have in the table, (H, W) each.

    Args:
        image: (H, W), or (H, W, C) colours: grey with or without alpha, RGB, RGBA. Alpha is no intensity and left out.
        others: More channels by name, (H, W) each.

    Raises:
        ValueError: The image is of another shape.
    """
    found: dict[str, np.ndarray] = {}
    if image.ndim == 2:
        found[ALL] = image
    elif image.ndim == 3 and image.shape[2] in (3, 4):
        found[ALL] = image[..., :3].mean(2, dtype=np.float64)
        found |= {f"{ALL}_{name}": image[..., i] for i, name in enumerate(COLOURS)}
    elif image.ndim == 3 and image.shape[2] == 2:
        found[ALL] = image.mean(2, dtype=np.float64)
        found |= {f"{ALL}_{i + 1}": image[..., i] for i in range(2)}
    elif image.ndim == 3 and image.shape[2] == 1:
        found[ALL] = image[..., 0]
    else:
        raise ValueError(f"An image of shape {image.shape}: expected (height, width) or (height, width, 1 to 4).")
    return found | {f"{ALL}_{name}": plane for name, plane in (others or {}).items()}


def intensity_sums(labels: np.ndarray, planes: Planes, ring: float = 0, window: Window | None = None) -> Iterator[Sums]:
    """What the intensities of each nucleus are computed from; see `regions.Sums`.

    Args:
        labels: (H, W), integers; 0 is background.
        planes: Channels by name, (H, W) each.
        ring: Width of a ring around each nucleus, pixels; 0 is none. Rings don't reach into other nuclei, and a pixel
            between two nuclei is the nearer one's.
        window: The pixels that count, if these are part of an image; as many pixels around them as the ring is wide,
            and one more, must be there as far as the image goes.

    Yields:
        Of every channel, a column each, "finite", "sum", "least_value" and "greatest_value" over the finite pixels; and
        with a ring "ring_finite", "ring_sum" over those of the ring.
    """
    yield _sums(Members(labels, window), planes, "")
    if ring > 0:
        around = expand_labels(labels, ring)
        around[labels > 0] = 0
        yield _sums(Members(around, window), planes, "ring_")


def background_sample(
    labels: np.ndarray, planes: Planes, size: tuple[int, int], origin: tuple[int, int] = (0, 0)
) -> dict[str, np.ndarray]:
    """Finite pixels outside nuclei by channel: all of an image of up to a megapixel, of a larger one those on a grid.

    Args:
        labels: (H, W), integers; 0 is background.
        size: Height and width of the image that these are part of.
        origin: Row and column of the first pixel in it.
    """
    step = max(1, int(np.ceil(np.sqrt(size[0] * size[1] / BACKGROUND_PIXELS))))
    grid = tuple(slice(-first % step, None, step) for first in origin)
    outside = labels[grid] == 0
    found = {name: plane[grid][outside] for name, plane in planes.items()}
    return {name: values[np.isfinite(values)] for name, values in found.items()}


def background_of(samples: list[dict[str, np.ndarray]]) -> dict[str, float]:
    """The median of the samples of all parts by channel; NaN where there is no background."""
    values = {name: np.concatenate([sample[name] for sample in samples]) for name in (samples[0] if samples else ())}
    return {name: float(np.median(v.astype(np.float64))) if len(v) else float("nan") for name, v in values.items()}


def intensity_columns(
    sums: Mapping[str, np.ndarray], names: list[str], background: Mapping[str, float]
) -> dict[str, np.ndarray]:
    """The table's columns, (n,) each, of `sums` as joined; NaN where a nucleus has no finite pixel."""
    table: dict[str, np.ndarray] = {}
    for i, name in enumerate(names):
        finite, total = sums["finite"][:, i], sums["sum"][:, i]
        some = finite > 0
        mean = _ratio(total, finite)
        table[f"mean_{name}"] = mean
        table[f"min_{name}"] = np.where(some, sums["least_value"][:, i], np.nan)
        table[f"max_{name}"] = np.where(some, sums["greatest_value"][:, i], np.nan)
        table[f"sum_{name}"] = np.where(some, total, np.nan)
        table[f"corrected_{name}"] = mean - background[name]
        if "ring_sum" in sums:
            ring = _ratio(sums["ring_sum"][:, i], sums["ring_finite"][:, i])
            table[f"ring_{name}"] = ring
            table[f"ring_corrected_{name}"] = ring - background[name]
    return table


def _ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def _sums(members: Members, planes: Planes, prefix: str) -> Sums:
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("finite", "sum", "least_value", "greatest_value")}
    for plane in planes.values():
        values = plane.ravel()[members.at].astype(np.float64)
        finite = np.isfinite(values)
        known = finite.all()
        columns["finite"].append(members.add(finite))
        columns["sum"].append(members.add(values if known else np.where(finite, values, 0)))
        columns["least_value"].append(members.least(values if known else np.where(finite, values, np.inf)))
        columns["greatest_value"].append(members.greatest(values if known else np.where(finite, values, -np.inf)))
    kept = columns if not prefix else {name: columns[name] for name in ("finite", "sum")}
    return Sums(members.label, {prefix + name: np.stack(values, axis=1) for name, values in kept.items()})
