"""What a network says as part of the targets of another."""

import pytest
import torch

from nuclei_models import UNet, UNetConfig
from nuclei_models.training.teacher import Teacher

NAMES = {0: "background", 1: "nucleus", 2: "border", 3: "distance"}


@pytest.fixture(scope="module")
def model() -> UNet:
    torch.manual_seed(0)
    config = UNetConfig(
        channels=[4, 8], padding="same", id2label=NAMES, label2id={name: i for i, name in NAMES.items()}
    )
    return UNet(config).eval()


@pytest.fixture(scope="module")
def crops() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    classes = torch.nn.functional.one_hot(torch.randint(0, 3, (2, 32, 32)), 3).permute(0, 3, 1, 2).float()
    truth = torch.cat([classes, torch.rand(2, 1, 32, 32)], 1)
    truth[0, :, :4] = -1  # nobody knows
    return torch.randn(2, 3, 32, 32), truth


def test_targets_lie_between_the_truth_and_what_it_says(model, crops):
    pixels, truth = crops
    with torch.no_grad():
        logits = model(pixels).logits
    said = torch.cat([logits[:, :3].softmax(1), logits[:, 3:].sigmoid()], 1)
    for part in (0.0, 0.3, 1.0):
        targets = Teacher(model, part).targets(pixels, truth)
        assert torch.equal(targets[0, :, :4], truth[0, :, :4])  # left out of the loss as before
        known = truth >= 0
        wanted = (1 - part) * truth + part * said
        assert torch.allclose(targets[known], wanted[known], atol=0.02)  # bfloat16 where the processor has it
        assert torch.allclose(targets[1, :3].sum(0), torch.ones(32, 32), atol=1e-5)


def test_one_that_is_not_streamed_sees_the_batch_at_once(model, crops):
    batches = []
    with model.register_forward_pre_hook(lambda _, inputs: batches.append(len(inputs[0]))):
        hooked = Teacher(model, 0.5).targets(*crops)
    assert batches == [2]  # as on a GPU; by bands of rows it sees them one by one
    assert torch.allclose(hooked, Teacher(model, 0.5).targets(*crops), atol=0.02)


def test_other_channels_or_parts_are_refused(model, crops):
    pixels, truth = crops
    with pytest.raises(ValueError, match=r"has 4 channels \(background, nucleus, border, distance\)"):
        Teacher(model, 0.5).targets(pixels, truth[:, :3])
    with pytest.raises(ValueError, match=r"teacher_part is 1.5: expected 0"):
        Teacher(model, 1.5)
