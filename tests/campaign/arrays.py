"""Arrays and settings as recipes: plain dictionaries that JSON can keep, and the arrays they stand for."""

from functools import cache
from typing import Any

import numpy as np
from hypothesis import strategies as st

NUMBERS = ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32"]
NUMBERS += ["float64", ">u2", ">f4"]
NO_NUMBERS = ["complex64", "object", "U3", "datetime64[s]"]
FILLS = ["zeros", "largest", "smallest", "noise", "ramp", "one pixel", "blobs", "nan", "inf", "mixed", "tiny", "huge"]
SHAPES = [[], [0], [7], [0, 0], [0, 5], [5, 0], [1, 1], [1, 2], [1, 100_000], [100_000, 1], [2, 3], [33, 47], [64, 64]]
SHAPES += [[1, 1, 1], [1, 1, 4], [16, 16, 0], [16, 16, 2], [17, 19, 3], [9, 40, 4], [16, 16, 5], [2, 16, 16, 3]]
BAD = [None, 0, -1, 1e-300, 1e-6, 0.5, 7.0, 24.0, 500, 1e9, 1e300, "nan", "inf", "-inf", "24", [1]]

some = st.sampled_from([None, 0.3, 0.5, 0.9, 7.0, 24.0]) | st.sampled_from(BAD)
side = st.integers(1, 90)
shapes = st.sampled_from(SHAPES) | st.tuples(side, side).map(list) | st.tuples(side, side, st.integers(0, 5)).map(list)
recipes = st.fixed_dictionaries(
    {
        "shape": shapes,
        "dtype": st.sampled_from(NUMBERS * 2 + NO_NUMBERS),
        "fill": st.sampled_from(FILLS),
        "seed": st.integers(0, 999),
    },
    optional={
        "diameter": some,
        "threshold": some,
        "separation": some,
        "min_area": some,
        "tile": st.sampled_from([1000, 10**9]),
        "tta": st.booleans(),
    },
)


def build(recipe: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
    """The array of a recipe, and the settings for `segment`."""
    shape, dtype = tuple(recipe["shape"]), np.dtype(recipe["dtype"])
    if dtype.kind in "OUM":
        return np.full(shape, {"O": None, "U": "abc", "M": 0}[dtype.kind], dtype), {}
    with np.errstate(all="ignore"):
        values = fill(recipe["fill"], shape, dtype, np.random.default_rng(recipe["seed"]))
    names = ("diameter", "threshold", "separation", "min_area", "tile", "tta")
    numbers = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}
    settings = {name: recipe[name] for name in names if name in recipe}
    return values, {k: numbers.get(v, v) if isinstance(v, str) else v for k, v in settings.items()}


def fill(name: str, shape: tuple[int, ...], dtype: np.dtype, random: np.random.Generator) -> np.ndarray:
    real = dtype.kind in "fc"
    largest = 1 if dtype.kind == "b" else np.finfo(dtype).max if real else np.iinfo(dtype).max
    smallest = 0 if dtype.kind == "b" else np.finfo(dtype).min if real else np.iinfo(dtype).min
    out = np.zeros(shape, dtype)
    if name == "largest":
        out[...] = largest
    elif name == "smallest":
        out[...] = smallest
    elif name == "noise":
        out = (random.random(shape) * 200).astype(dtype)
    elif name == "ramp":
        out = (np.arange(out.size).reshape(shape) % 251).astype(dtype)
    elif name == "one pixel" and out.size:
        out.flat[out.size // 2] = largest
    elif name == "blobs":
        out = (random.random(shape) > 0.8).repeat(2, -1)[..., : shape[-1]].astype(dtype) * 100 if shape else out
        out = out.astype(dtype)
    elif name in ("nan", "inf") and real:
        out[...] = float(name)
    elif name == "mixed" and real:
        out = random.choice([0, 1, np.nan, np.inf, -np.inf, 5], shape).astype(dtype)
    elif name == "tiny" and real:
        out = (random.random(shape) * np.finfo(dtype).tiny).astype(dtype)
    elif name == "huge" and real:
        out = random.choice([smallest, 0, largest], shape).astype(dtype)
    return out


@cache
def tiny_network():
    """A small random U-Net++, for weights don't matter here, and a processor with the bundled diameter estimate."""
    import torch

    from nuclei_models import UNetPlusPlus, UNetPlusPlusConfig
    from nuclei_models.model.image_processing_nuclei import NucleiImageProcessor

    from .targets import PACKAGE

    torch.manual_seed(0)
    torch.set_num_threads(1)
    names = ("background", "nucleus", "border", "distance")
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    model = UNetPlusPlus(UNetPlusPlusConfig(channels=[4, 8, 8], **labels)).eval()
    return model, NucleiImageProcessor.from_pretrained(PACKAGE.parent / "weights" / "unetpp-nuclei")
