"""TorchScript files: the network's logits for any batch and size."""

import pytest
import torch

from nuclei_models import UNetPlusPlus, UNetPlusPlusConfig
from nuclei_models.interchange.torchscript import export_torchscript
from tests.interchange.test_onnx import SHAPES
from tests.support.folders import make_unet, save


@pytest.mark.parametrize("kind", ["same", "mirror", "unetpp"])
def test_the_file_gives_the_networks_logits_for_any_size(tmp_path, kind):
    torch.manual_seed(0)
    if kind == "unetpp":
        model = UNetPlusPlus(UNetPlusPlusConfig(channels=[4, 8, 8], deep_supervision=True)).eval()
    else:
        model = make_unet(channels=[4, 8, 8], padding=kind).eval()
    export_torchscript(save(model, tmp_path / "model"), tmp_path / "out" / "model.pt")
    script = torch.jit.load(str(tmp_path / "out" / "model.pt"))
    for batch, height, width in SHAPES:
        x = torch.randn(batch, 3, height, width)
        with torch.inference_mode():
            assert torch.allclose(model(x).logits, script(x), atol=1e-5), (height, width)
