"""Nuclei that are left out for low confidence are counted on the page, and a slider brings them back."""

import json

import numpy as np
import pytest
from scipy import ndimage

from nuclei_models import NucleiImageProcessor
from nuclei_models.inference.settings import Cut
from nuclei_models.model.maps import Maps
from nuclei_models.page import numbers, pictures
from nuclei_models.page.opened import Picture
from nuclei_models.page.state import Analysis
from tests.support.large import CONFIDENCE
from tests.support.page import unpacked

LEAST = {"unet": 0.5, "unetpp": 0.6}
SIZE = (90, 110)


@pytest.fixture
def analysis() -> Analysis:
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=SIZE), 3)
    p = np.clip(0.5 + 4 * noise, 0, 1).astype(np.float32)
    made = {
        key: NucleiImageProcessor(confidence_model={"alone": CONFIDENCE}, least_confidence=least)
        for key, least in LEAST.items()
    }
    maps = Maps(p, ndimage.gaussian_filter(p, 1))
    return Analysis(Picture("cells", (p * 255).astype(np.uint8)), dict.fromkeys(LEAST, maps), made)


@pytest.mark.parametrize("asked", [None, 0, 0.55, 0.7])
def test_the_nuclei_that_are_left_out_are_counted(analysis, asked):
    cut = Cut(least_confidence=asked)
    shown = {network["key"]: network for network in pictures.render(analysis, cut, [])["networks"]}
    for key, fitted in LEAST.items():
        processor, maps = analysis.processors[key], analysis.maps[key]
        least, found = fitted if asked is None else asked, processor.cut(maps)
        unsure = int((processor.confidence(maps, found) < least).sum())
        assert (unsure > 0) == (asked != 0)
        assert shown[key]["left_out"] == {"count": unsure, "below": least}
        assert unpacked(shown[key]["geometry"], SIZE).max() == found.max() - unsure
        assert np.array_equal(analysis.labels(key, cut), processor.instances(maps, least_confidence=asked))
        assert f"<td>{unsure} (below {least:g})</td>" in numbers.summary(analysis, cut)
    json.dumps(shown)


def test_other_sliders_count_with_it(analysis):
    for cut in (Cut(), Cut(least_confidence=0.7), Cut(min_area=60, least_confidence=0.7), Cut(min_area=60), Cut(0.6)):
        for key, processor in analysis.processors.items():
            asked = processor.instances(analysis.maps[key], cut.threshold, None, cut.min_area, cut.least_confidence)
            assert np.array_equal(analysis.labels(key, cut), asked)
            all_of_them = processor.cut(analysis.maps[key], cut.threshold, None, cut.min_area).max()
            assert analysis.left_out(key, cut) == all_of_them - asked.max()
