"""Pictures without nuclei, to fit the warning on: photographs and textures that scikit-image brings, and made-up
blanks, noise, text and drawings. The same ones every time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from skimage import data
from skimage.color import rgb2gray

from nuclei_models.training.samples import Sample

# by scikit-image's names; its images of cells and stained tissue are left out
PHOTOGRAPHS = "astronaut camera chelsea clock coffee coins horse hubble_deep_field microaneurysms moon retina rocket"
PHOTOGRAPHS += " stereo_motorcycle"
TEXTURES = "brick grass gravel"
DRAWINGS = "colorwheel logo checkerboard"
TEXTS = "page text"
SIDE = 384  # longest, pixels
WORDS = "the cell nucleus is the largest organelle and holds most of the DNA 0123456789 mitosis in figure 3 we show"


@dataclass(frozen=True)
class Picture:
    """A picture without nuclei.

    Attributes:
        name: Of this one.
        group: Pictures of one group are made from one source; none may be fitted on while another is tried.
        kind: "photograph", "texture", "drawing", "text", "blank" or "noise".
        pixels: (H, W) or (H, W, 3).
    """

    name: str
    group: str
    kind: str
    pixels: np.ndarray


def pictures() -> Iterator[Picture]:
    """All but the blank fields of real images, for which see `blank_fields`."""
    kinds = {"photograph": PHOTOGRAPHS, "texture": TEXTURES, "drawing": DRAWINGS, "text": TEXTS}
    for kind, names in kinds.items():
        for name in names.split():
            for variant, pixels in _variants(_bundled(name)):
                yield Picture(f"{name}, {variant}", name, kind, pixels)
    for name, (kind, make) in MADE.items():
        for seed in range(4):
            yield Picture(f"{name} {seed}", f"{name} {seed}", kind, make(np.random.default_rng(seed)))


def blank_fields(samples: list[Sample], most: int = 24, side: int = 128) -> Iterator[Picture]:
    """Squares without a nucleus, cut from real images: at most one of each."""
    found = 0
    for sample in samples:
        clear = ndimage.maximum_filter(sample.labels > 0, side)[side // 2 : -side // 2, side // 2 : -side // 2]
        places: np.ndarray = np.argwhere(~clear)
        if len(places) and found < most:
            y, x = places[len(places) // 2]
            pixels = sample.image[y : y + side, x : x + side]
            found += 1
            yield Picture(f"blank field of {sample.id}", sample.id, "blank", np.ascontiguousarray(pixels))


def _bundled(name: str) -> np.ndarray:
    found = getattr(data, name)()
    pixels = np.asarray(found[0] if isinstance(found, tuple) else found)
    pixels = pixels[..., :3] if pixels.ndim == 3 else pixels
    return pixels.astype(np.uint8) * 255 if pixels.dtype == bool else pixels


def _variants(pixels: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """As a whole, a part at full resolution, and grey and inverted, as in fluorescence."""
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    whole = np.asarray(image)
    yield "whole", whole
    y, x = (max(n - 256, 0) // 2 for n in pixels.shape[:2])
    yield "part", np.ascontiguousarray(pixels[y : y + 256, x : x + 256])
    grey = rgb2gray(whole) * 255 if whole.ndim == 3 else whole
    yield "grey, inverted", (255 - grey).astype(np.uint8)


# made up, by a random generator


def _noise(random: np.random.Generator, sigma: float) -> np.ndarray:
    values = ndimage.gaussian_filter(random.normal(size=(256, 256)), sigma)
    return np.clip(values / values.std() * 40 + 128, 0, 255).astype(np.uint8)


def _salt(random: np.random.Generator) -> np.ndarray:
    return random.choice([0, 128, 255], (256, 256), p=[0.05, 0.9, 0.05]).astype(np.uint8)


def _blank(random: np.random.Generator, level: float, noise: float, slope: float) -> np.ndarray:
    y, x = np.mgrid[:256, :256] / 256 - 0.5
    light = level * (1 - slope * (y**2 + x**2 + 0.3 * x))
    return np.clip(random.normal(light, noise) if noise else light, 0, 65535).round().astype(np.uint16)


def _text(random: np.random.Generator, size: int, inverted: bool) -> np.ndarray:
    image = Image.new("L", (320, 256), 255)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size)
    for y in range(4, 256, int(size * 1.4)):
        draw.text((4, y), " ".join(random.permutation(WORDS.split())), fill=0, font=font)
    return 255 - np.asarray(image) if inverted else np.asarray(image)


def _lines(random: np.random.Generator) -> np.ndarray:
    image = Image.new("L", (256, 256), 20)
    draw = ImageDraw.Draw(image)
    for _ in range(30):
        draw.line(
            random.integers(0, 256, 4).tolist(), fill=int(random.integers(80, 256)), width=int(random.integers(1, 6))
        )
    return np.asarray(image)


def _stripes(random: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[:256, :256]
    angle, period = random.uniform(0, np.pi), random.uniform(6, 40)
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period)
    return (wave * 100 + 128 + random.normal(0, 5, wave.shape)).clip(0, 255).astype(np.uint8)


MADE: dict[str, tuple[str, Callable[[np.random.Generator], np.ndarray]]] = {
    "noise of a pixel": ("noise", partial(_noise, sigma=0)),
    "noise of 2 pixels": ("noise", partial(_noise, sigma=2)),
    "noise of 8 pixels": ("noise", partial(_noise, sigma=8)),
    "salt and pepper": ("noise", _salt),
    "blank and constant": ("blank", partial(_blank, level=500, noise=0, slope=0)),
    "blank and dark": ("blank", partial(_blank, level=110, noise=3, slope=0)),
    "blank and unevenly lit": ("blank", partial(_blank, level=3000, noise=30, slope=0.5)),
    "blank and bright": ("blank", partial(_blank, level=40000, noise=150, slope=0.1)),
    "small print": ("text", partial(_text, size=11, inverted=False)),
    "print": ("text", partial(_text, size=18, inverted=False)),
    "large print, inverted": ("text", partial(_text, size=34, inverted=True)),
    "lines": ("drawing", _lines),
    "stripes": ("drawing", _stripes),
}
