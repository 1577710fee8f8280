"""The nuclear diameter of difficult images, with the bundled networks: it is right, or it is said to be doubtful."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.transform import rescale

from nuclei_models.inference.loading import load
from nuclei_models.inference.segmentation import median_diameter, nuclear_diameter, segment
from nuclei_models.model.scale import Diameter

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=["unet-nuclei", "unetpp-nuclei"])
def network(request):
    return load(request.param)


def example(name: str) -> tuple[np.ndarray, float]:
    """An example image and its true median diameter."""
    image, labels = (np.asarray(Image.open(ROOT / f"examples/{name}{end}.png")) for end in ("", "_labels"))
    diameter = median_diameter(labels.astype(np.int32))
    assert diameter is not None
    return image, diameter


def is_right(found: Diameter, true: float, factor: float = 1.5) -> bool:
    return found.pixels is not None and max(found.pixels / true, true / found.pixels) <= factor


def assert_right_or_doubtful(image: np.ndarray, true: float, network) -> None:
    found = nuclear_diameter(image, *network)
    assert is_right(found, true) or found.is_doubtful, f"{found.pixels:.0f} for {true:.0f}"


def test_large_speckled_nuclei(network):
    image, true = example("fluorescence-speckled")
    found = nuclear_diameter(image, *network)
    assert true > 100 and is_right(found, true) and not found.is_doubtful


def test_an_unfilled_corner_of_a_mosaic(network):
    image, true = example("fluorescence-sharp")
    image = image.astype(np.uint16) * 8 + 1500  # a camera's offset
    image[: image.shape[0] * 2 // 5, : image.shape[1] // 2] = 0
    assert_right_or_doubtful(image, true, network)


def test_saturated_debris(network):
    image, true = example("fluorescence-dense")
    image = image.astype(np.uint16) * 20
    rng = np.random.default_rng(0)
    for y, x in rng.integers(0, min(image.shape[:2]) - 8, (3, 2)):
        image[y : y + 7, x : x + 7] = 65535
    assert_right_or_doubtful(image, true, network)


@pytest.mark.parametrize("scale", [0.25, 0.5, 2, 4])
@pytest.mark.parametrize("name", ["fluorescence-sharp", "fluorescence-dense", "purple-large"])
def test_magnifications(network, name, scale):
    image, true = example(name)
    if not 7 <= true * scale <= 210:
        pytest.skip("no microscope shows nuclei of this size")
    image = image[:256, :256]
    rescaled = rescale(image, scale, order=1, anti_aliasing=scale < 1, channel_axis=2 if image.ndim == 3 else None)
    assert_right_or_doubtful((rescaled * 255).astype(np.uint8), true * scale, network)


def test_nuclei_of_two_sizes(network):
    image, true = example("fluorescence-sharp")
    large = (rescale(image, 2, order=1)[: image.shape[0]] * 255).astype(np.uint8)
    found = nuclear_diameter(np.concatenate([image, large[:, : image.shape[1]]], 1), *network)
    assert is_right(found, true * 2**0.5, 2.1) or found.is_doubtful


def test_an_empty_image(network):
    noise = np.random.default_rng(0).normal(100, 4, (128, 128)).astype(np.uint8)
    found = segment(noise, *network)
    assert found.maps.diameter.is_doubtful
    assert "nothing in the picture confirms it" in found.doubt or "those found are" in found.doubt


def test_a_stated_diameter_goes_before_everything(network):
    image, _ = example("fluorescence-sharp")
    maps = segment(image, *network, diameter=33.0).maps
    assert (maps.diameter.pixels, maps.diameter.given, maps.diameter.looks) == (33.0, True, 0)
