"""A small folder of images with their truth to try training on: python -m nuclei_models.training.example my-images

The nuclei are drawn: bright rings with dark insides, some touching, on uneven ground with bright specks that are no
nuclei. A network that knows stained nuclei only in part finds them. The pictures are nobody's work: CC0.
"""

import sys
from pathlib import Path

import numpy as np
from scipy import ndimage

SIDE, NUCLEI = 128, 16


def draw(seed: int, side: int = SIDE, nuclei: int = NUCLEI) -> tuple[np.ndarray, np.ndarray]:
    """An image (side, side) uint8 and its label image int32, a function of the seed alone."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    labels: np.ndarray = np.zeros((side, side), np.int32)
    for number in range(1, nuclei + 1):
        cy, cx = rng.uniform(4, side - 4, 2)
        long, short, turn = rng.uniform(8, 11), rng.uniform(6.5, 8), rng.uniform(0, np.pi)
        u, v = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn), (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
        ellipse = (u / long) ** 2 + (v / short) ** 2 < 1
        if (labels[ellipse] > 0).mean() < 0.15:
            labels[ellipse & (labels == 0)] = number
    numbers, dense = np.unique(labels, return_inverse=True)
    labels = dense.reshape(side, side).astype(np.int32)
    inside = np.zeros(labels.shape)
    for number in range(1, len(numbers)):
        inside = np.maximum(inside, np.minimum(ndimage.distance_transform_edt(labels == number), 9))
    ring = np.exp(-(((inside - 2) / 1.5) ** 2)) * (inside > 0)
    ground = ndimage.gaussian_filter(rng.normal(size=labels.shape), 20)
    picture = 60 + 40 * ground / np.abs(ground).max() + 110 * ring - 25 * (inside > 4)
    for cy, cx in rng.uniform(0, side, (20, 2)):
        picture += 120 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 4) * (labels == 0)
    picture = ndimage.gaussian_filter(picture, 0.8) + rng.normal(0, 6, labels.shape)
    return np.clip(picture, 0, 255).astype(np.uint8), labels


def write_example(folder: str | Path, images: int = 12, side: int = SIDE, nuclei: int = NUCLEI) -> Path:
    """Write `images/field-01.tif` .. with `labels/` of the same names into a folder, and return it."""
    import tifffile

    folder = Path(folder)
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for number in range(1, images + 1):
        image, labels = draw(number, side, nuclei)
        tifffile.imwrite(folder / "images" / f"field-{number:02}.tif", image)
        tifffile.imwrite(folder / "labels" / f"field-{number:02}.tif", labels.astype(np.uint16))
    return folder


if __name__ == "__main__":
    print(write_example(sys.argv[1] if len(sys.argv) > 1 else "my-images"))
