"""The bundled networks still say of an image what they said when their golden tensors were stored."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from nuclei_models.inference import golden
from nuclei_models.inference.bundled import bundled, bundled_names
from nuclei_models.inference.loading import load
from nuclei_models.inference.runtime import Runtime
from nuclei_models.model.repository import WEIGHTS, sha256
from tests.support.blobs import blob_picture
from tests.support.folders import make_unet, save


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    assert a.shape == b.shape and a.dtype == b.dtype
    return float((a - b).abs().max() / b.abs().max())


@pytest.fixture(scope="module", params=bundled_names())
def folder(request):
    return bundled(request.param)


class TestBundled:
    @pytest.fixture(scope="class")
    def stored(self, folder) -> golden.Golden:
        found = golden.read(folder)
        assert found is not None and found.weights_sha256 == sha256(folder / WEIGHTS), (
            "The weights have changed. Run: python -m train.release.golden"
        )
        return found

    @pytest.fixture(scope="class")
    def loaded(self, folder):
        return load(folder, device="cpu")

    def test_the_processor_makes_the_stored_input(self, stored, loaded):
        x = torch.from_numpy(loaded[1].prepare(stored.image, loaded[1].min_diameter))[None]
        assert difference(x, stored.pixel_values) < 1e-5
        assert stored.pixel_values.shape == (1, 3, golden.SIDE, golden.SIDE) and stored.pixel_values.std() > 0.5

    def test_the_network_says_the_stored_output(self, stored, loaded):
        with torch.inference_mode():
            assert difference(loaded[0](stored.pixel_values).logits, stored.logits) < 1e-3
        assert difference(Runtime(loaded[0], "float32")(stored.pixel_values), stored.logits) < 1e-3

    def test_the_stored_output_is_of_nuclei(self, stored, loaded):
        labels = loaded[1].instances(loaded[1].maps(stored.logits[0]))
        assert labels.max() >= 5 and 0.05 < (labels > 0).mean() < 0.9


def test_changed_weights_are_noticed(tmp_path):
    model = make_unet().eval()
    folder = save(model, tmp_path)
    processor = load(folder)[1]
    golden.write(golden.compute(model, processor, blob_picture(scale=3), folder), folder)
    stored = golden.read(folder)
    assert stored.weights_sha256 == sha256(folder / WEIGHTS) and stored.image.shape == (128, 128, 3)
    with torch.inference_mode():
        assert difference(model(stored.pixel_values).logits, stored.logits) < 1e-6
        model.head.weight.mul_(1.01)
        assert difference(model(stored.pixel_values).logits, stored.logits) > 1e-3
    weights = {name: tensor * 1.01 for name, tensor in load_file(folder / WEIGHTS).items()}
    save_file(weights, folder / WEIGHTS)
    assert golden.read(folder).weights_sha256 != sha256(folder / WEIGHTS)


def test_a_network_without(tmp_path):
    assert golden.read(tmp_path) is None
