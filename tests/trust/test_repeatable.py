"""The same image, weights and settings give the same labels."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from nuclei_models import NucleiImageProcessor
from nuclei_models.images.reader import read
from nuclei_models.inference.loading import load
from nuclei_models.inference.segmentation import segment
from tests.support.blobs import blob_finder, blob_picture

ROOT = Path(__file__).parents[2]
IMAGE = ROOT / "examples" / "fluorescence-small.png"
DIAMETER = 16.0  # given where the scale has tests of its own; the network sees the image as it is
CODE = """
import numpy, sys, torch
torch.set_num_threads(1)
from nuclei_models.inference.loading import load
from nuclei_models.images.reader import read
from nuclei_models.inference.segmentation import segment
numpy.save(sys.argv[2], segment(read(sys.argv[1]).pixels, *load("weights/unet-nuclei")).labels)
"""


def test_the_same_image_gives_the_same_labels_again(tmp_path):
    """In another process, with another number of threads."""
    command = [sys.executable, "-c", CODE, str(IMAGE), str(tmp_path / "labels.npy")]
    subprocess.run(command, cwd=ROOT, check=True)
    labels = segment(read(IMAGE).pixels, *load(ROOT / "weights" / "unet-nuclei")).labels
    assert labels.max() > 5
    np.testing.assert_array_equal(labels, np.load(tmp_path / "labels.npy"))


@pytest.mark.parametrize("key", ["unet", "unetpp"])
def test_the_number_of_threads_makes_no_difference(key):
    model, processor = load(ROOT / "weights" / f"{key}-nuclei")
    pixels = read(IMAGE).pixels
    threads = torch.get_num_threads()
    try:
        found = []
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            found.append(segment(pixels, model, processor).labels)
    finally:
        torch.set_num_threads(threads)
    assert found[0].max() > 5
    for labels in found[1:]:  # the same sums in the same order
        np.testing.assert_array_equal(labels, found[0])


@pytest.mark.parametrize("key", ["unet", "unetpp"])
def test_tiles_move_less_than_a_pixel_in_a_thousand(key):
    """Sums in another order may move a pixel that lies on the threshold."""
    model, processor = load(ROOT / "weights" / f"{key}-nuclei")
    pixels = read(IMAGE).pixels[:160, :160]
    whole = segment(pixels, model, processor, diameter=DIAMETER).labels
    assert whole.max() > 5
    for tile in (64, 128):
        labels = segment(pixels, model, processor, diameter=DIAMETER, tile=tile).labels
        assert labels.max() == whole.max()
        assert (labels != whole).mean() < 1e-3


def test_tiles_make_no_difference_to_the_last_pixel_where_nothing_lies_on_the_threshold():
    pixels, model = blob_picture(4), blob_finder("unetpp")
    processor = NucleiImageProcessor(channel_names=["background", "nucleus", "border"])
    whole = segment(pixels, model, processor, diameter=24).labels
    assert whole.max() == 80
    for tile in (16, 50, 100):
        np.testing.assert_array_equal(segment(pixels, model, processor, diameter=24, tile=tile).labels, whole)
