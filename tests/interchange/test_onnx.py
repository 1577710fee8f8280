"""The ONNX files: the bundled networks', as they are published, and what can't be exported."""

import numpy as np
import pytest
import torch

from nuclei_models import UNet
from nuclei_models.inference.loading import load
from nuclei_models.interchange.any_size import AnySize
from nuclei_models.interchange.onnx_file import export_onnx
from tests.support.folders import make_unet, save
from train.release.publish import ROOT

onnxruntime = pytest.importorskip("onnxruntime")

TOLERANCE = 1e-4
SHAPES = [(1, 64, 64), (2, 33, 50), (1, 5, 70), (3, 16, 17), (1, 1, 1)]  # images, height, width


def check(model, session) -> None:
    """The same logits for any batch and size."""
    for batch, height, width in SHAPES:
        x = torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            expected = model(x).logits.numpy()
        [logits] = session.run(["logits"], {"pixel_values": x.numpy()})
        assert logits.dtype == np.float32 and logits.shape == expected.shape
        assert np.abs(logits - expected).max() < TOLERANCE, (batch, height, width)


@pytest.mark.parametrize("key", ["unet", "unetpp"])
def test_the_published_file_gives_the_networks_logits(bundled, key):
    folder = bundled[key]
    assert sorted(path.name for path in (folder / "onnx").iterdir()) == ["model.onnx"]  # the weights inside
    session = onnxruntime.InferenceSession(folder / "onnx" / "model.onnx")
    [given], [got] = session.get_inputs(), session.get_outputs()
    assert given.shape == ["batch", 3, "height", "width"] and len(got.shape) == 4
    check(load(ROOT / "weights" / f"{key}-nuclei")[0], session)


@pytest.mark.parametrize("config", [{"padding": "same"}, {"padding": "mirror"}])
def test_the_traced_padding_is_the_networks_own(config):
    model, traced = make_unet(channels=[4, 8, 8], **config).eval(), make_unet(channels=[4, 8, 8], **config).eval()
    traced = AnySize(traced)
    for batch, height, width in SHAPES:
        x = torch.randn(batch, 3, height, width)
        with torch.inference_mode():
            assert torch.equal(model(x).logits, traced(x)), (height, width)


def test_an_unpadded_network_is_refused(tmp_path):
    folder = save(make_unet(padding="valid"), tmp_path / "valid")
    with pytest.raises(ValueError, match='padding="valid": set "mirror"'):
        export_onnx(folder, tmp_path / "model.onnx")
    assert UNet.from_pretrained(folder).config.padding == "valid" and not (tmp_path / "model.onnx").exists()
