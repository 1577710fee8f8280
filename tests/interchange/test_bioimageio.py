"""Packages for bioimage.io, without bioimageio.core, whose own test `.ci/bioimageio` runs."""

import hashlib
import io
import shutil
import zipfile

import numpy as np
import pytest
import torch
import yaml

from nuclei_models import NucleiImageProcessor
from nuclei_models.inference import golden
from nuclei_models.inference.bundled import bundled
from nuclei_models.inference.golden import SIDE
from nuclei_models.inference.loading import load
from nuclei_models.interchange.bioimageio import drawn, export_bioimageio, preprocessing, tensors_of
from nuclei_models.model.repository import WEIGHTS
from tests.support.folders import make_unet
from tests.support.page import save_networks

pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> str:
    return save_networks(tmp_path_factory.mktemp("networks"))["unetpp"]


@pytest.fixture(scope="module")
def package(source, tmp_path_factory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("package") / "model.bioimageio.zip"
    export_bioimageio(source, path)
    with zipfile.ZipFile(path) as held:
        return {name: held.read(name) for name in held.namelist()}


def array(data: bytes) -> np.ndarray:
    return np.load(io.BytesIO(data))


def described(node) -> list[dict]:
    """Every file that rdf.yaml names, wherever."""
    if isinstance(node, dict):
        return ([node] if "source" in node else []) + [f for value in node.values() for f in described(value)]
    return [f for value in node for f in described(value)] if isinstance(node, list) else []


def test_every_file_is_described_with_its_hash(package):
    files = described(yaml.safe_load(package["rdf.yaml"]))
    assert {f["source"] for f in files} == package.keys() - {"rdf.yaml"}
    for f in files:
        assert hashlib.sha256(package[f["source"]]).hexdigest() == f["sha256"]


def test_both_formats_give_the_stored_output_from_the_stored_input(package, source):
    """The preprocessing by the words in rdf.yaml, in numpy, and the network in both formats."""
    onnxruntime = pytest.importorskip("onnxruntime")
    x = array(package["test_input.npy"])
    assert x.shape == (1, 3, SIDE, SIDE) and x.dtype == np.float32 and x.max() > 100
    scale, clip, linear = (step["kwargs"] for step in yaml.safe_load(package["rdf.yaml"])["inputs"][0]["preprocessing"])
    low, high = np.percentile(x, [scale["min_percentile"], scale["max_percentile"]], axis=(2, 3), keepdims=True)
    x = np.clip((x - low) / (high - low), clip["min"], clip["max"]) * linear["gain"] + linear["offset"]
    x = x.astype(np.float32)
    wanted = array(package["test_output.npy"])
    assert wanted.shape == (1, 2, SIDE, SIDE) and np.ptp(wanted) > 1
    script = torch.jit.load(io.BytesIO(package["model.pt"]))
    with torch.inference_mode():
        assert np.abs(script(torch.from_numpy(x)).numpy() - wanted).max() < 1e-3
        assert np.abs(load(source, device="cpu")[0](torch.from_numpy(x)).logits.numpy() - wanted).max() < 1e-3
    [onnx] = onnxruntime.InferenceSession(package["model.onnx"]).run(None, {"pixel_values": x})
    assert np.abs(onnx - wanted).max() < 1e-3


def test_the_preprocessing_is_the_processors(source):
    _, processor = load(source)
    rgb = drawn()
    kinds = [step["id"] for step in preprocessing(processor)]
    assert kinds == ["scale_range", "clip", "scale_linear"]
    gain, offset = preprocessing(processor)[2]["kwargs"].values()
    normalised = (processor.rescale(processor.normalised(rgb), 1.0) - offset) / gain
    assert abs(np.percentile(normalised, 1)) < 0.01 and normalised.max() > 0.99


def test_a_bundled_networks_tensors_are_the_golden_ones_unless_its_weights_have_changed(tmp_path):
    folder = bundled("unet-nuclei")
    model, processor = load(folder, device="cpu")
    assert np.array_equal(tensors_of(model, processor, folder).logits, golden.read(folder).logits)
    shutil.copy(folder / golden.FILE, tmp_path)
    (tmp_path / WEIGHTS).write_bytes(b"others")
    assert np.array_equal(tensors_of(model, processor, tmp_path).image, drawn())


def test_what_can_not_be_exported_is_refused_and_nothing_is_left(tmp_path, source):
    grey = tmp_path / "grey"
    make_unet(num_channels=1).save_pretrained(grey)
    NucleiImageProcessor(channel_names=["nucleus"], num_channels=1).save_pretrained(grey)
    with pytest.raises(ValueError, match="takes 1 channels: expected a network of RGB images"):
        export_bioimageio(grey, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_the_command(nuclei, source, tmp_path):
    code, printed = nuclei("export", source, "--torchscript", "--out", "files")
    assert code == 0 and (tmp_path / "files" / "unetpp.pt").is_file() and "unetpp.pt" in printed
    code, printed = nuclei("export", source)
    assert code == 2 and "add --onnx, --torchscript or --bioimageio" in printed
    assert nuclei("export", "nowhere", "--onnx")[0] == 2
