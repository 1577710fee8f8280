"""Tiles give the logits of the whole image, to float tolerance: every network, sizes and tiles, odd ones too."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nuclei_models.inference.runtime import Runtime
from nuclei_models.inference.tiling import PARTS, predict_logits
from nuclei_models.large.maps import widened
from nuclei_models.model.layers import mirror_pad
from tests.support.large import network

KINDS = ["mirror", "same", "unetpp"]
TOLERANCE = 1e-5  # of the largest logit


def picture(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(3, *size)).astype(np.float32)


@torch.inference_mode()
def at_once(model, x: np.ndarray) -> torch.Tensor:
    """The logits by the model itself."""
    return model(torch.from_numpy(x)[None]).logits[0]


def assert_same(found: torch.Tensor, expected: torch.Tensor, tolerance: float = TOLERANCE) -> None:
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=4, deadline=None)
@given(size=st.tuples(st.integers(1, 130), st.integers(1, 130)), tile=st.integers(40, 140), depth=st.integers(1, 3))
def test_any_size_of_image_and_tile(kind, size, tile, depth):
    model = network(kind, (4, 6, 8, 10, 12)[: depth + 1])
    x = picture(size)
    assert_same(predict_logits(model, x, tile=tile, precision="float32"), at_once(model, x))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("size", "tile"),
    [
        ((157, 181), 97),  # nothing a multiple of the stride
        ((128, 192), 64),  # everything
        ((1200, 1), 90),
        ((1, 400), 70),
        ((15, 15), 16),  # smaller than the stride
        ((300, 20), 50),
    ],
)
def test_sizes_at_the_limits(kind, size, tile):
    model = network(kind)
    x = picture(size)
    assert_same(predict_logits(model, x, tile=tile, precision="float32"), at_once(model, x))


@pytest.mark.parametrize(
    ("size", "tile", "parts"),
    [((100_000, 1), 1300, 1), ((1, 4_000), 64, 4), ((2_000, 30), 64, 15), ((130, 130), 64, 9), ((64, 64), 64, 1)],
)
def test_a_part_of_a_narrow_image_has_as_many_pixels_as_a_tile(size, tile, parts):
    told = []
    predict_logits(network("unetpp", (4, 6, 8)), picture(size), tile=tile, progress=lambda *n: told.append(n))
    assert told[-1] == (PARTS * parts, PARTS * parts)


@pytest.mark.parametrize("tile", [80, 1000])
def test_the_unpadded_network_on_a_mirrored_image(tile):
    """The paper's way: the image is continued by mirroring, and unpadded convolutions take what was added."""
    model, unpadded = network("mirror"), network("valid")
    unpadded.load_state_dict(model.state_dict())
    x = picture((180, 212))  # 180 + 2 * 92 and 212 + 2 * 92 are sizes that every pooling halves
    context = unpadded.context
    mirrored = mirror_pad(torch.from_numpy(x)[None], context, context, context, context)[0].numpy()
    expected = at_once(unpadded, mirrored)
    assert expected.shape[1:] == (180, 212)
    assert_same(predict_logits(model, x, tile=tile, precision="float32"), expected)


def part_of(kind: str, core: tuple[slice, ...], margin: int | None = None) -> float:
    """How far a part's logits are from the whole's, seen with this margin around it; of the largest logit."""
    model, x, whole = seen_whole(kind)
    window = widened(core, x.shape[1:], model.context + model.stride if margin is None else margin, model.stride)
    part = np.ascontiguousarray(x[(slice(None), *window)])
    logits = predict_logits(model, part, tile=1000, precision="float32")
    inner = tuple(slice(c.start - w.start, c.stop - w.start) for c, w in zip(core, window, strict=True))
    return float((logits[(..., *inner)] - whole[(..., *core)]).abs().max() / whole.abs().max())


@cache
def seen_whole(kind: str):
    model, x = network(kind), picture((230, 250))
    return model, x, at_once(model, x)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_the_window_for_any_part_of_an_image(kind, data):
    ends = [data.draw(st.lists(st.integers(0, n), min_size=2, max_size=2, unique=True)) for n in (230, 250)]
    assert part_of(kind, tuple(slice(*sorted(pair)) for pair in ends)) <= TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
def test_a_smaller_window_would_not_do(kind):
    assert part_of(kind, (slice(100, 130), slice(110, 140)), margin=32) > 10 * TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
def test_in_the_precision_of_this_machine(kind):
    model, x, _ = seen_whole(kind)
    whole = predict_logits(model, x, tile=1000)
    tolerance = TOLERANCE if Runtime(model).dtype == torch.float32 else 0.02
    assert_same(predict_logits(model, x, tile=150), whole, tolerance)
