"""An image of any size that the page takes is drawn: every layer of every view has the size that is shown."""

import base64
import io

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from nuclei_models import NucleiImageProcessor
from nuclei_models.inference.settings import Cut
from nuclei_models.model.image_processing_nuclei import Maps
from nuclei_models.page import pictures
from nuclei_models.page.limits import MAX_PIXELS
from nuclei_models.page.pictures import PAINTS, VIEWS, Look
from nuclei_models.page.state import Analysis, Picture

# sides at which something changes: the enlargement, the width of outlines, the limit of the page
NEAR_LIMITS = [1, 2, 3, 340, 341, 342, 511, 512, 513, 1023, 1024, 1025, 1026, 2047, 2048, 2049, 4095, 4096, 4097, 4200]
PROCESSOR = NucleiImageProcessor(channel_names=["nucleus", "distance"])

sides = st.one_of(st.sampled_from(NEAR_LIMITS), st.integers(1, 4200))
sizes = st.tuples(sides, sides).filter(lambda size: size[0] * size[1] <= 600_000)  # larger ones below
looks = st.builds(Look, st.sampled_from([*VIEWS.values()]), st.sampled_from([*PAINTS.values()]))


@given(sizes, looks)
@example((500, 1025), Look("side", "outline"))
@example((200, 1026), Look("agreement", "filled"))
@example((1, 4200), Look("truth", "outline"))
@example((4200, 1), Look("swipe", "probability"))
@example((1, 1), Look("truth", "filled"))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_an_image_of_any_size_is_drawn(size, look):
    labels = np.zeros(size, np.int32)
    labels[: size[0] // 2 + 1, : size[1] // 3 + 1] = 1
    labels[-1, -1] = 2
    maps = Maps((labels > 0).astype(np.float32), (labels > 0).astype(np.float32))
    picture = Picture("a", (labels * 90).astype(np.uint8), truth=labels)
    analysis = Analysis(picture, {"unet": maps, "unetpp": maps}, {"unet": PROCESSOR, "unetpp": PROCESSOR})
    height, width = pictures.shown_size(size)
    assert max(height, width) <= 1024
    for shown, side in zip((height, width), size, strict=True):
        assert shown >= 1 and abs(shown - side * max(height, width) / max(size)) <= 1
    drawn = [*pictures.bases(analysis, look).values()]
    drawn += [pane["overlay"] for pane in pictures.render(analysis, Cut(), look)["panes"] if pane["overlay"]]
    value, images = pictures.preview(picture.pixels, "a")
    assert {opened(data).size for data in [*drawn, images["image"]]} == {(width, height)}
    assert (value["height"], value["width"]) == size


def opened(data: str) -> Image.Image:
    """A data URL as a picture."""
    return Image.open(io.BytesIO(base64.b64decode(data.split(",", 1)[1])))


@pytest.mark.parametrize("size", [(4096, 4096), (4200, 3994), (3994, 4200), (4096, 4095), (1025, 4200), (2049, 4095)])
def test_the_largest_images_are_drawn(size):
    """What depends on the size alone, on sizes near the page's limit."""
    assert size[0] * size[1] <= MAX_PIXELS
    labels = np.zeros(size, np.uint8)
    labels[-1, -1] = 1
    shown = pictures.scaled(labels)
    assert shown.shape == pictures.shown_size(size) == pictures._resized(labels, *shown.shape).shape
