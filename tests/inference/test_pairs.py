"""A network and a processor that don't belong together are refused, wherever they meet."""

import numpy as np
import pytest
import torch

from nuclei_models import HubError, NucleiImageProcessor, load, predict, segment
from tests.support.folders import make_unet

FOUR = {0: "background", 1: "nucleus", 2: "border", 3: "distance"}
IMAGE = np.zeros((24, 24), np.uint8)
MISFITS = {
    "other channels": (
        make_unet(num_labels=2),
        NucleiImageProcessor(),
        "the processor's are background, nucleus, border",
    ),
    "fewer channels": (
        make_unet(id2label=FOUR),
        NucleiImageProcessor(channel_names=["nucleus"]),
        "processor's are nucleus",
    ),
    "one input channel": (
        make_unet(id2label=FOUR, num_channels=1),
        NucleiImageProcessor(),
        "takes images of 1 channels",
    ),
    "four input channels": (make_unet(id2label=FOUR, num_channels=4), NucleiImageProcessor(), "images of 4 channels"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_segment_and_predict(case):
    model, processor, sentence = MISFITS[case]
    for function in (segment, predict):
        with pytest.raises(ValueError, match=sentence):
            function(IMAGE, model, processor)


@pytest.mark.parametrize("case", MISFITS)
def test_load(case, tmp_path):
    model, processor, sentence = MISFITS[case]
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    with pytest.raises(HubError, match=f"config.json and preprocessor_config.json of .* don't fit.*{sentence}"):
        load(tmp_path)


def test_other_classes():
    with pytest.raises(ValueError, match="Linear was given where UNet"):
        segment(IMAGE, torch.nn.Linear(1, 1), NucleiImageProcessor())
    with pytest.raises(ValueError, match="object was given where NucleiImageProcessor"):
        segment(IMAGE, make_unet(id2label=FOUR), object())


def test_logits_of_another_network():
    with pytest.raises(ValueError, match="Logits of 2 channels"):
        NucleiImageProcessor().post_process_instance_segmentation(make_unet(num_labels=2)(torch.zeros(1, 3, 16, 16)))
