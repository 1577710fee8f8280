"""Images of known nuclear diameter -> what the two perceptrons of the scale learn from: features and logarithms.

Images are rescaled, dressed as in training, and spoilt as microscopes and mosaics spoil them: an unfilled corner,
specks of debris that are brighter than any nucleus. Every draw comes from the generator that is passed in.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch

from nuclei_models.inference.network import Network
from nuclei_models.inference.tiling import predict_logits
from nuclei_models.model.diameter import scale_features
from nuclei_models.model.intensity import intensity_range, normalise
from nuclei_models.model.maps import resize
from nuclei_models.model.scale import look_features
from nuclei_models.training.augment import AugmentConfig, Crops, disturb, dress
from nuclei_models.training.samples import Sample

PICTURE_PIXELS = 0.6e6  # of a rescaled image
SIDE = 448  # pixels that the network sees, of a look's window; as in `inference/scale.py`
SMALLEST, LARGEST = 5.0, 260.0  # pixels; diameters that are practised
FURTHEST = 2.6  # octaves between an assumed diameter and the true one
DRESS = AugmentConfig(
    invert=0.04, stain=0.03, tint=0.05, to_grey=0.05, noise=0.1, blur=0.13, faint=0.1, gain=0.2, offset=0.08
)


class Example(NamedTuple):
    """Features, the base-2 logarithm that they should tell, and the image's id."""

    features: np.ndarray
    target: float
    id: str


def pictures(samples: Iterable[Sample], each: int, rng: np.random.Generator, spoil: bool) -> Iterator[Example]:
    """Features of the picture alone, to the logarithm of the diameter; of each image at its own scale and at others."""
    for sample in samples:
        crops = Crops(sample)
        if not crops.diameter:
            continue
        low, high = max(0.2, SMALLEST / crops.diameter), min(5.0, 0.7 * LARGEST / crops.diameter)
        for k in range(each):
            scale = 1.0 if k == 0 else float(np.exp(rng.uniform(np.log(low), np.log(high))))
            ys, xs = _part(crops.labels.shape, int(PICTURE_PIXELS**0.5 / scale), rng)
            picture = rescaled(crops.rgb[ys, xs].astype(np.float32), scale)
            picture = spoilt(picture, rng, crops.is_colour) if spoil else normalise(picture, *intensity_range(picture))
            yield Example(scale_features(picture), float(np.log2(crops.diameter * scale)), sample.id)


def looks(
    samples: Iterable[Sample], network: Network, each: int, rng: np.random.Generator, spoil: bool
) -> Iterator[Example]:
    """Features of what the network finds at an assumed diameter, to the logarithm of the true over the assumed one."""
    model, processor = network.model, network.processor
    for sample in samples:
        crops = Crops(sample)
        for k in range(each if crops.diameter else 0):
            octaves = rng.uniform(-0.3, 0.3) if k == 0 else rng.uniform(-FURTHEST, FURTHEST)
            assumed = float(np.clip(crops.diameter * 2**octaves, SMALLEST, LARGEST))
            scale = processor.scale_for(assumed)
            window = _part(crops.labels.shape, int(SIDE / scale), rng)
            if not (crops.labels[window] > 0).any():
                continue
            part = crops.rgb[window].astype(np.float32)
            dressed = spoil and rng.random() < 0.6
            picture = spoilt(part, rng, crops.is_colour) if dressed else normalise(part, *crops.range)
            x = processor.rescale(picture, scale)
            maps = processor.maps(predict_logits(model, x))
            seen = x.transpose(1, 2, 0) * processor.image_std + processor.image_mean
            labels = processor.instances(maps)
            features = look_features(seen, maps.probability, maps.distance, labels, assumed * scale)
            yield Example(features, float(np.log2(crops.diameter / assumed)), sample.id)


def rescaled(image: np.ndarray, scale: float) -> np.ndarray:
    """(H, W, 3) float32 to (H', W', 3)."""
    if scale == 1:
        return image
    size = [max(1, round(n * scale)) for n in image.shape[:2]]
    return resize(torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))), size).numpy().transpose(1, 2, 0)


def spoilt(image: np.ndarray, rng: np.random.Generator, is_colour: bool) -> np.ndarray:
    """(H, W, 3) float32, native values -> normalised, now and then with an empty corner, debris or another dress."""
    height, width = image.shape[:2]
    image = image.copy()
    if rng.random() < 0.12:
        corner = slice(0, int(height * rng.uniform(0.1, 0.6))), slice(0, int(width * rng.uniform(0.1, 1)))
        image[corner] = rng.choice([0.0, image.min()])
    if rng.random() < 0.1:
        y, x = np.mgrid[:height, :width]
        for _ in range(rng.integers(1, 5)):
            radius = rng.uniform(2, 25)
            speck = (y - rng.integers(height)) ** 2 + (x - rng.integers(width)) ** 2 < radius**2
            image[speck] = image.max() * rng.uniform(1, 2)
    image = normalise(image, *intensity_range(image)).astype(np.float32)
    if rng.random() < 0.5:
        image = disturb(dress(image, rng, DRESS, is_colour), rng, DRESS)
    return image


def _part(shape: tuple[int, ...], side: int, rng: np.random.Generator) -> tuple[slice, slice]:
    """A random window of at most `side` pixels a side."""
    y, x = (int(rng.integers(max(n - side, 0) + 1)) for n in shape[:2])
    return slice(y, y + side), slice(x, x + side)
