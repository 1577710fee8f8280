"""An image of any size that the page takes is drawn: the whole and its parts have the sizes that the viewer expects."""

import base64
import io

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from nuclei_models import NucleiImageProcessor
from nuclei_models.inference.settings import Cut
from nuclei_models.model.maps import Maps
from nuclei_models.page import pictures
from nuclei_models.page.limits import MAX_PIXELS, SHOWN_SIDE, TILE_SIDE
from nuclei_models.page.opened import Picture
from nuclei_models.page.pictures import Look
from nuclei_models.page.state import Analysis
from tests.support.page import unpacked

# sides at which something changes: the size that is shown, a tile's, the limit of the page
NEAR_LIMITS = [1, 2, 3, 1023, 1024, 1025, 1026, 2047, 2048, 2049, 4095, 4096, 4097, 4200]
PROCESSOR = NucleiImageProcessor(channel_names=["nucleus", "distance"])

sides = st.one_of(st.sampled_from(NEAR_LIMITS), st.integers(1, 4200))
sizes = st.tuples(sides, sides).filter(lambda size: size[0] * size[1] <= 600_000)  # larger ones below


@given(sizes)
@example((500, 1025))
@example((1, 4200))
@example((4200, 1))
@example((1, 1))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_an_image_of_any_size_is_drawn(size):
    labels = np.zeros(size, np.int32)
    labels[: size[0] // 2 + 1, : size[1] // 3 + 1] = 1
    labels[-1, -1] = 2
    maps = Maps((labels > 0).astype(np.float32), (labels > 0).astype(np.float32))
    picture = Picture("a", (labels * 90).astype(np.uint8), truth=labels)
    analysis = Analysis(picture, {"unet": maps, "unetpp": maps}, {"unet": PROCESSOR, "unetpp": PROCESSOR})
    height, width = pictures.shown_size(size)
    assert max(height, width) <= SHOWN_SIDE
    for shown, side in zip((height, width), size, strict=True):
        assert shown >= 1 and abs(shown - side * max(height, width) / max(size)) <= 1
    value, images = pictures.preview(picture)
    drawn = [images["image"], pictures.image(analysis, Look()), pictures.probability(analysis, "unet")]
    assert {opened(data).size for data in drawn} == {(width, height)}
    assert (value["height"], value["width"]) == size
    column, row = (size[1] - 1) // TILE_SIDE, (size[0] - 1) // TILE_SIDE
    wanted = size[1] - column * TILE_SIDE, size[0] - row * TILE_SIDE
    assert opened(pictures.tile(analysis, Look(), column, row)).size == wanted
    for there in ((column + 1, row), (column, row + 1), (-1, 0)):
        with pytest.raises(ValueError, match="no tile"):
            pictures.tile(analysis, Look(), *there)
    truth = pictures.render(analysis, Cut(), [0.5, 0.5, 0])["truth"]
    assert np.array_equal(unpacked(truth["geometry"], size), labels)


def opened(data: str) -> Image.Image:
    """A data URL as a picture."""
    return Image.open(io.BytesIO(base64.b64decode(data.split(",", 1)[1])))


@pytest.mark.parametrize("size", [(4096, 4096), (4200, 3994), (3994, 4200), (1025, 4200)])
def test_the_largest_images_are_drawn(size):
    """What depends on the size alone, on sizes near the page's limit."""
    assert size[0] * size[1] <= MAX_PIXELS
    shown = pictures.shrink(np.zeros(size, np.uint8)).levels
    assert shown.shape == (*pictures.shown_size(size), 1)
