"""Any plane, channel or colour of any file can be asked for, one at a time or one after the other."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import tifffile

from nuclei_models.images import ImageError, inspect, planes, read
from nuclei_models.images.source import Source
from tests.support.images import GREY, RGB, STACK, Save, check


@pytest.mark.parametrize("name", ["merge.png", "merge.tif", "merge.bmp"])
def test_colours_are_channels_to_ask_for(save: Save, name: str):
    path = save(RGB, name, **({"photometric": "rgb"} if name == "merge.tif" else {}))
    assert inspect(path).channel_choices == ("red", "green", "blue")
    assert check(path, RGB).channels == (0, 1, 2)
    for colour in range(3):
        assert check(path, RGB[..., colour], channel=colour).channels == (colour,)
    check(path, RGB[..., [2, 0]], channel=[2, 0])
    assert not Source(path, channel=2).is_rgb


def test_all_planes_of_a_stack(save: Save):
    path = save(STACK, imagej=True, metadata={"axes": "TZCYX"})
    for given, expected in [
        ({}, [(t, z) for t in range(2) for z in range(3)]),
        ({"z": None}, [(0, 1), (1, 1)]),
        ({"t": None, "z": slice(1, None)}, [(0, 1), (0, 2)]),
        ({"t": [1, 0], "z": 2}, [(1, 2), (0, 2)]),
    ]:
        found = list(planes(path, channel=3, **given))
        assert [(image.plane["T"], image.plane["Z"]) for image in found] == expected
        for image, (t, z) in zip(found, expected, strict=True):
            np.testing.assert_array_equal(image.pixels, STACK[t, z, 3])


@pytest.mark.parametrize("wrong", [{"z": [0, 3]}, {"t": 2}, {"z": []}, {"channel": 4}])
def test_planes_that_are_not_there(save: Save, wrong: dict):
    with pytest.raises(ImageError, match="0 to "):
        next(planes(save(STACK, imagej=True, metadata={"axes": "TZCYX"}), **wrong))
    with pytest.raises(TypeError):
        next(planes(save(STACK), z="every"))


def test_a_series_that_was_asked_for_is_not_remarked_on(tmp_path: Path):
    path = tmp_path / "two.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(GREY, metadata={"axes": "YX", "Name": "overview"})
        file.write(255 - GREY, metadata={"axes": "YX", "Name": "detail"})
    assert "the first (overview) is used" in check(path, GREY).notes[0]
    for series, pixels in itertools.product([0, 1], [(GREY, 255 - GREY)]):
        assert read(path, series=series).notes == ()
        np.testing.assert_array_equal(read(path, series=series).pixels, pixels[series])
