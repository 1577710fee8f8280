"""A sample -> a training crop: geometry, pasted nuclei, then dress (stain, contrast), then faults of the microscope.

Every draw comes from the generator that is passed in, so a crop is a function of its seed alone.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from scipy import ndimage
from skimage.color import hed2rgb, rgb2hed

from ..model.intensity import intensity_range, is_grey, normalise, to_rgb
from ..model.targets import split_apart
from .samples import Sample

cv2.setNumThreads(0)  # the loader's workers are the parallelism


@dataclass(frozen=True)
class AugmentConfig:
    """Probabilities and ranges; what each does is told beside it in `train/configs/*.yaml`."""

    crop_size: int = 160
    min_diameter: float = 12.0
    max_diameter: float = 48.0
    on_nucleus: float = 0.7
    elastic: float = 0.2
    paste: float = 0.0
    to_grey: float = 0.25
    invert: float = 0.15
    tint: float = 0.1
    stain: float = 0.1
    hed_jitter: float = 0.5
    channel_shuffle: float = 0.1
    gain: float = 0.4
    offset: float = 0.15
    gamma: float = 0.3
    shade: float = 0.1
    blur: float = 0.15
    noise: float = 0.2
    dim: float = 0.0
    faint: float = 0.0
    corner: float = 0.0


class Crops:
    """Crops of one sample, its normalisation and nuclei computed once."""

    def __init__(self, sample: Sample):
        self.rgb = to_rgb(sample.image)
        self.labels = sample.labels
        self.is_colour = sample.image.ndim == 3
        self.range = intensity_range(self.rgb)
        area = np.bincount(np.maximum(sample.labels, 0).ravel())[1:]
        self.diameter = median_diameter(sample.labels)
        self.nuclei = np.flatnonzero(area) + 1
        self.boxes = ndimage.find_objects(np.maximum(sample.labels, 0))

    def draw(self, rng: np.random.Generator, config: AugmentConfig) -> tuple[np.ndarray, np.ndarray]:
        """A random crop.

        Returns:
            (crop, crop, 3) float32, normalised to about 0 .. 1, and (crop, crop) int32 labels.
        """
        wanted = np.exp(rng.uniform(np.log(config.min_diameter), np.log(config.max_diameter)))
        image, labels = self._warp(rng, config, wanted)
        if rng.random() < config.paste:
            image, labels = paste(image, labels, *self._warp(rng, config, wanted), rng)
        labels = split_apart(labels)
        image = normalise(image, *self.range)
        if not self.is_colour and rng.random() < config.dim:
            image = dim_some(image, labels, rng)
        image = dress(image, rng, config, self.is_colour)
        image = disturb(image, rng, config)
        return empty_corner(image, labels, rng) if rng.random() < config.corner else (image, labels)

    def _warp(self, rng: np.random.Generator, config: AugmentConfig, wanted: float) -> tuple[np.ndarray, np.ndarray]:
        """Cut, rotate, mirror, scale to the wanted nuclear diameter (pixels) and bend, in one interpolation."""
        size = config.crop_size
        scale = wanted / self.diameter if self.diameter else np.exp(rng.uniform(-0.7, 0.7))
        angle = rng.uniform(0, 2 * np.pi)
        mirror = rng.choice([-1, 1])
        y, x = self._centre(rng, config.on_nucleus)

        grid_y, grid_x = _grid(size)
        if rng.random() < config.elastic:
            bend = rng.normal(0, size / 40, (2, 5, 5)).astype(np.float32)
            grid_y = grid_y + cv2.resize(bend[0], (size, size), interpolation=cv2.INTER_CUBIC)
            grid_x = grid_x + cv2.resize(bend[1], (size, size), interpolation=cv2.INTER_CUBIC)
        cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
        map_x = (x + mirror * (cos * grid_x - sin * grid_y)).astype(np.float32)
        map_y = (y + sin * grid_x + cos * grid_y).astype(np.float32)

        sigma = 0.45 / scale if scale < 0.7 else 0.0  # against aliasing
        rows, columns = self._seen(map_y, 0, sigma), self._seen(map_x, 1, sigma)
        pixels = np.ascontiguousarray(self.rgb[rows, columns] if self.is_colour else self.rgb[rows, columns, 0])
        if sigma:
            pixels = cv2.GaussianBlur(pixels, (0, 0), sigma)
        map_x, map_y = map_x - columns.start, map_y - rows.start
        mode = cv2.BORDER_REFLECT_101
        image = cv2.remap(pixels, map_x, map_y, cv2.INTER_LINEAR, borderMode=mode)
        numbers = self.labels[rows, columns].astype(np.float32)
        labels = cv2.remap(numbers, map_x, map_y, cv2.INTER_NEAREST, borderMode=mode)
        if not self.is_colour:  # one channel seen three times, see `is_grey`
            image = np.broadcast_to(image[..., None], (*image.shape, 3))
        return image, labels.astype(np.int32)

    def _seen(self, places: np.ndarray, axis: int, sigma: float) -> slice:
        """The rows or columns that a crop is made of; beyond an edge the image is mirrored."""
        end = self.labels.shape[axis]
        margin = 2 + int(np.ceil(5 * sigma))
        first, last = int(np.floor(places.min())) - margin, int(np.ceil(places.max())) + margin
        low = 0 if first < 0 else first
        high = end if last >= end else last + 1
        if first < 0:
            high = min(end, max(high, 1 - first))
        if last >= end:
            low = max(0, min(low, 2 * (end - 1) - last))
        return slice(low, high)

    def _centre(self, rng: np.random.Generator, on_nucleus: float) -> tuple[float, float]:
        height, width = self.labels.shape
        if len(self.nuclei) and rng.random() < on_nucleus:
            number = rng.choice(self.nuclei)
            box = self.boxes[number - 1]
            ys, xs = np.nonzero(self.labels[box] == number)
            k = rng.integers(len(ys))
            return float(ys[k] + box[0].start), float(xs[k] + box[1].start)
        return rng.uniform(0, height - 1), rng.uniform(0, width - 1)


@lru_cache(maxsize=4)
def _grid(size: int) -> np.ndarray:
    """The pixels of a square from its centre, y and x: (2, size, size), float32, to be read only."""
    grid = np.mgrid[:size, :size].astype(np.float32) - (size - 1) / 2
    grid.flags.writeable = False
    return grid


def median_diameter(labels: np.ndarray) -> float:
    """Median over the nuclei of the diameter of a disc of the same area, pixels; 0 without nuclei."""
    area = np.bincount(np.maximum(labels, 0).ravel())[1:]
    area = area[area > 0]
    return float(np.sqrt(4 * np.median(area) / np.pi)) if len(area) else 0.0


def paste(
    image: np.ndarray, labels: np.ndarray, other: np.ndarray, other_labels: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Lay some nuclei of another crop of the same image over this one, so that more of them touch and overlap.

    Copy-paste as in the 2018 Data Science Bowl's first place, here within an image, so that the light fits.

    Args:
        image, other: (H, W, 3), float.
        labels, other_labels: (H, W), int32.

    Returns:
        The new image and labels, of the same shapes; what is covered of a nucleus is no longer its.
    """
    numbers = np.unique(other_labels[other_labels > 0])
    chosen = rng.permutation(numbers)[: rng.integers(1, max(2, len(numbers) // 2 + 1))]
    mask = np.isin(other_labels, chosen)
    alpha = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7)[..., None]
    labels = np.where(mask, other_labels + labels.max(initial=0), labels)  # unlabelled ground is not pasted
    return image * (1 - alpha) + other * alpha, labels.astype(np.int32)


def dress(image: np.ndarray, rng: np.random.Generator, config: AugmentConfig, is_colour: bool) -> np.ndarray:
    """Give the same shapes another look: other stains, grey, inverted, tinted. (H, W, 3) float32 to the same."""
    if is_colour and rng.random() < config.hed_jitter:
        hed = rgb2hed(np.clip(image, 0, 1))
        hed = hed * rng.uniform(0.7, 1.4, 3) + rng.uniform(-0.02, 0.02, 3)
        image = hed2rgb(hed).astype(np.float32)
    if is_colour and rng.random() < config.to_grey:
        mix = rng.dirichlet(np.ones(3)).astype(np.float32)
        image = np.repeat((image @ mix)[..., None], 3, axis=2)
        is_colour = False
    if is_colour and rng.random() < config.channel_shuffle:
        image = image[..., rng.permutation(3)]
    if not is_colour:
        draw = rng.random()
        if draw < config.stain:
            return stained(image, rng)
        if draw < config.stain + config.tint:
            image = image * rng.dirichlet(np.full(3, 0.5)).astype(np.float32) * 1.5
    if rng.random() < config.invert:
        image = 1 - image
    return image


def stained(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Fluorescence as if in a stained section: its signal absorbs like haematoxylin, on a ground of eosin.

    Beer-Lambert's law with the absorption vectors of Ruifrok and Johnston 2001, each drawn a little at random.
    """
    vectors = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]]) * rng.uniform(0.7, 1.3, (2, 3))
    ground = cv2.resize(rng.random((6, 6)).astype(np.float32), image.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    haematoxylin = np.clip(image[..., 0], 0, 1.5) * rng.uniform(0.5, 1.8)
    absorbed = haematoxylin[..., None] * vectors[0] + (ground * rng.uniform(0, 0.7))[..., None] * vectors[1]
    return np.exp(-absorbed).astype(np.float32)


def dim_some(image: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Dim some of the nuclei to .25 to .7 of what they rise above the ground: dim ones beside bright ones are common.

    Args:
        image: (H, W, 3) float32, normalised, grey fluorescence.
        labels: (H, W) int32.
    """
    numbers = np.unique(labels[labels > 0])
    ground = image[labels == 0]
    if len(numbers) < 2 or not len(ground) or image[labels > 0].mean() < ground.mean():
        return image  # bright-field: nuclei are darker than the ground
    factor = np.ones(labels.max() + 1, np.float32)
    factor[rng.permutation(numbers)[: rng.integers(1, len(numbers) // 2 + 1)]] = rng.uniform(0.25, 0.7)
    factors = cv2.GaussianBlur(factor[np.maximum(labels, 0)], (0, 0), 1.0)[..., None]
    floor = np.median(ground)
    return (floor + (image - floor) * factors).astype(np.float32)


def empty_corner(image: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Blank a corner, as where a mosaic of fields was not filled: one value, below or at the ground, and no nuclei."""
    height, width = labels.shape
    high, wide = (int(n * rng.uniform(0.1, 0.6)) for n in (height, width))
    if rng.random() < 0.3:  # a whole side
        high = height
    ys = slice(0, high) if rng.random() < 0.5 else slice(height - high, height)
    xs = slice(0, wide) if rng.random() < 0.5 else slice(width - wide, width)
    image, labels = image.copy(), labels.copy()
    image[ys, xs] = rng.choice([image.min(), np.percentile(image, 5)])
    labels[ys, xs] = 0
    return image, split_apart(labels)


def disturb(image: np.ndarray, rng: np.random.Generator, config: AugmentConfig) -> np.ndarray:
    """Contrast, uneven light, defocus and noise. (H, W, 3) float32 to the same; what `is_grey` may stay so."""
    shape = image.shape
    if is_grey(image):
        image = image[..., :1]
    if rng.random() < config.faint:  # as where a few bright specks took the whole range
        image = image * np.exp(rng.uniform(-1.6, -0.4))
    if rng.random() < config.gamma:
        image = np.sign(image) * np.abs(image) ** np.exp(rng.uniform(-0.5, 0.5))
    image = image * np.exp(rng.uniform(-config.gain, config.gain)) + rng.uniform(-config.offset, config.offset)
    if rng.random() < config.shade:
        light = cv2.resize(rng.random((3, 3)).astype(np.float32), image.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        image = image + (light * rng.uniform(0.1, 0.4))[..., None]
    if rng.random() < config.blur:
        image = cv2.GaussianBlur(np.broadcast_to(image, shape), (0, 0), rng.uniform(0.5, 2.0))
    if rng.random() < config.noise:
        noise = rng.normal(0, rng.uniform(0.01, 0.1), (*image.shape[:2], 3 if rng.random() < 0.3 else 1))
        image = image + noise
    return np.broadcast_to(image.astype(np.float32), shape)
