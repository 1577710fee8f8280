"""Networks without transformers say what transformers' do, and what is wrong with a folder is still said."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nuclei_models import HubError, load
from nuclei_models.inference.bundled import bundled, bundled_names
from nuclei_models.inference.network import load_for_inference
from nuclei_models.inference.plain import load_plain
from nuclei_models.inference.runtime import Runtime, is_streamed
from nuclei_models.model.processor_settings import NucleiSettings
from tests.support.page import save_networks

X = torch.rand(1, 3, 40, 56, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=["unet", "unetpp"])
def folder(request, tmp_path) -> Path:
    """A network's folder, to be changed."""
    return Path(save_networks(tmp_path)[request.param])


def change(file: Path, **fields) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def test_a_plain_network_says_what_transformers_does(folder):
    model, processor = load(folder)
    found = load_plain(folder)
    assert found is not None
    plain, settings = found
    for name in (*NucleiSettings.__annotations__, "image_mean", "image_std"):
        assert getattr(settings, name) == getattr(processor, name)
    assert plain.state_dict().keys() == model.state_dict().keys() and plain.channel_names == model.channel_names
    with torch.inference_mode():
        assert torch.equal(plain(X).logits, model(X).logits)
    assert is_streamed(plain) and torch.equal(Runtime(plain)(X), Runtime(model)(X))
    if hasattr(model, "prune"):
        assert torch.equal(Runtime(plain.prune(1))(X), Runtime(model.prune(1))(X))


def test_the_networks_that_come_with_the_package_load_plainly():
    for name in bundled_names():
        assert load_plain(bundled(name)) is not None


@pytest.mark.parametrize(
    "file, fields",
    [
        ("config.json", {"weights_sha256": "0" * 64}),
        ("config.json", {"channels": [4, 6]}),
        ("config.json", {"channels": "wide"}),
        ("config.json", {"id2label": {"0": "stroma"}}),
        ("config.json", {"transformers_weights": "other.safetensors"}),
        ("preprocessor_config.json", {"channel_names": ["nucleus"]}),
        ("preprocessor_config.json", {"do_resize": True}),
    ],
)
def test_what_is_wrong_is_said_as_load_says_it(folder, file, fields):
    change(folder / file, **fields)
    with pytest.raises(HubError) as expected:
        load(folder)
    with pytest.raises(HubError) as said:
        load_for_inference(str(folder))
    assert str(said.value) == str(expected.value)


def test_what_only_transformers_knows_is_loaded_by_it(folder):
    change(folder / "config.json", output_hidden_states=True)
    assert load_plain(folder) is None and load_for_inference(str(folder)).model.config.output_hidden_states


def test_segmenting_an_image_does_not_wait_for_what_it_does_not_need(tmp_path):
    folder = save_networks(tmp_path)["unet"]
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(tmp_path / "a.png")
    code = f"""import sys
from nuclei_cli import app
app(["segment", "a.png", "--model", {folder!r}, "--diameter", "20"], standalone_mode=False)
print([name for name in {SLOW} if name in sys.modules])"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr
    assert (tmp_path / "results" / "a_labels.tif").exists()


SLOW = ["transformers", "torchinfo", "sympy", "torch._dynamo", "matplotlib", "pandas", "gradio", "dask", "zarr"]
SLOW += ["huggingface_hub", "httpx", "httpx2", "yaml"]
