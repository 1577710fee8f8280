"""Saving and loading folders: what goes in comes out, and a spoiled folder is refused in one sentence."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import HFValidationError
from safetensors.torch import load_file

from nuclei_models import UNet, UNetPlusPlus, UNetPlusPlusConfig
from nuclei_models.inference.loading import load, parse_model_id
from nuclei_models.model.repository import HubError, sha256
from tests.support.folders import (
    cut_in_half,
    edit_config,
    edit_weights,
    flip_a_byte,
    keep_only_a_pickle,
    make_unet,
    save,
)


@pytest.fixture(scope="module")
def unet_folder(tmp_path_factory) -> Path:
    return save(make_unet(), tmp_path_factory.mktemp("models") / "unet")


@pytest.fixture
def folder(unet_folder, tmp_path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(unet_folder, tmp_path / "model")


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_a_saved_model_carries_its_hash_and_comes_back_the_same(folder):
    config = json.loads((folder / "config.json").read_text())
    assert config["weights_sha256"] == sha256(folder / "model.safetensors")
    model = UNet.from_pretrained(folder)
    assert same_weights(model, make_unet())
    assert not hasattr(model.config, "weights_sha256")

    with torch.no_grad():
        model.head.bias.add_(1)
    model.save_pretrained(folder)  # over the old one
    assert same_weights(UNet.from_pretrained(folder), model)
    assert not list(folder.glob(".saving-*"))


def test_load_picks_the_class_and_brings_the_processor(unet_folder, tmp_path):
    torch.manual_seed(0)
    plusplus = UNetPlusPlus(UNetPlusPlusConfig(channels=[4, 8], deep_supervision=True))
    model, processor = load(unet_folder)
    other, _ = load(save(plusplus, tmp_path / "plusplus"), dtype="bfloat16")
    assert type(model) is UNet and type(other) is UNetPlusPlus and not model.training
    assert processor.diameter == 24.0
    assert other.dtype == torch.bfloat16


def test_transformers_own_arguments_still_work(unet_folder):
    model, info = UNet.from_pretrained(unet_folder, output_loading_info=True)
    assert info["missing_keys"] == [] or info["missing_keys"] == set()
    assert UNet.from_pretrained(unet_folder, padding="mirror").config.padding == "mirror"
    copied = UNet.from_pretrained(None, config=model.config, state_dict=model.state_dict())
    assert same_weights(copied, model)
    wider = UNet.from_pretrained(unet_folder, num_labels=3, ignore_mismatched_sizes=True)
    assert wider.head.out_channels == 3 and torch.equal(wider.up[0].weight, model.up[0].weight)


def test_weights_stored_in_half_precision_load_as_the_config_says(tmp_path):
    model = make_unet()
    halved = {key: tensor.half() for key, tensor in model.state_dict().items()}
    model.save_pretrained(tmp_path, state_dict=dict(halved))
    assert {tensor.dtype for tensor in load_file(tmp_path / "model.safetensors").values()} == {torch.float16}
    loaded = UNet.from_pretrained(tmp_path)
    assert {tensor.dtype for tensor in loaded.state_dict().values()} == {torch.float32}
    assert all(torch.equal(loaded.state_dict()[key], tensor.float()) for key, tensor in halved.items())


def test_a_save_that_fails_leaves_the_old_model(folder, monkeypatch):
    def write_half(tensors, path, **kwargs):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr("transformers.modeling_utils.safe_save_file", write_half)
        make_unet(1).save_pretrained(folder)
    with pytest.raises(ValueError, match="max_shard_size"):
        make_unet(1).save_pretrained(folder, max_shard_size=2000)
    with pytest.raises(ValueError, match="variant"):
        make_unet(1).save_pretrained(folder, variant="fp16")
    make_unet(1).save_pretrained(folder, is_main_process=False)
    assert same_weights(UNet.from_pretrained(folder), make_unet())
    assert not list(folder.glob(".saving-*"))


def drop_hash_and_cut(folder: Path) -> None:
    edit_config(folder, weights_sha256=None)
    cut_in_half(folder / "model.safetensors")


SPOILED = {
    "same size, other bytes": (lambda f: flip_a_byte(f / "model.safetensors"), "is damaged .* save the folder again"),
    "cut short": (lambda f: cut_in_half(f / "model.safetensors"), "is damaged"),
    "cut short, no hash": (drop_hash_and_cut, "is cut short or no safetensors file"),
    "only a pickle": (keep_only_a_pickle, "has no model.safetensors; other formats .*pickles"),
    "no config": (lambda f: (f / "config.json").unlink(), "has no config.json"),
    "config cut short": (lambda f: cut_in_half(f / "config.json"), "config.json of .* isn't valid JSON"),
    "config a list": (lambda f: (f / "config.json").write_text("[]"), "isn't a JSON object"),
    "field of a wrong type": (lambda f: edit_config(f, channels="many"), "is malformed .*'channels'"),
    "field of a wrong value": (lambda f: edit_config(f, padding="wide"), "is malformed .*padding='wide'"),
    "labels malformed": (lambda f: edit_config(f, id2label="nucleus"), "config.json of .* is malformed"),
    "another class's": (lambda f: edit_config(f, model_type="nuclei_unetpp"), "'nuclei_unetpp' where 'nuclei_unet'"),
    "a foreign model": (lambda f: edit_config(f, model_type="segformer"), "'segformer' where 'nuclei_unet'"),
    "no model_type": (lambda f: edit_config(f, model_type=None), "model_type None where 'nuclei_unet'"),
    "points elsewhere": (lambda f: edit_config(f, transformers_weights="adapter_model.bin"), "names other weights"),
    "other shapes": (lambda f: edit_config(f, channels=[4, 16]), r"has shape \(8,.*\) where \(16,.*\) is expected"),
    "too few tensors": (lambda f: edit_weights(f, head__bias=None), r"1 missing \(head.bias"),
    "too many tensors": (lambda f: edit_weights(f, extra=torch.zeros(1)), r"1 unexpected \(extra"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_spoiled_folder_is_refused_in_a_sentence(folder, case):
    spoil, message = SPOILED[case]
    spoil(folder)
    for attempt in (UNet.from_pretrained, lambda source: load(source, model_class=UNet)):
        with pytest.raises(HubError, match=message) as caught:
            attempt(folder)
        assert "\n" not in str(caught.value)


def test_load_refuses_what_it_cannot_name(folder, tmp_path):
    edit_config(folder, model_type="segformer")
    with pytest.raises(HubError, match="'segformer' where one of nuclei_unet, nuclei_unetpp is expected"):
        load(folder)
    edit_config(folder, model_type="nuclei_unet")
    with pytest.raises(ValueError, match="has no revision 'v1'"):
        load(folder, revision="v1")
    with pytest.raises(ValueError, match="disagree"):
        load("org/name@v1", revision="v2")
    with pytest.raises(HubError, match="is a file: give the folder"):
        load(folder / "config.json")
    with pytest.raises(OSError, match="neither a folder nor a model id") as caught:
        load(tmp_path / "nowhere")
    assert isinstance(caught.value, HubError) and isinstance(caught.value.__cause__, HFValidationError)
    with pytest.raises(ValueError, match=r"only model\.safetensors is loaded"):
        UNet.from_pretrained(folder, use_safetensors=False)
    (folder / "preprocessor_config.json").write_text("{")
    with pytest.raises(HubError, match=r"preprocessor_config\.json of .* is malformed"):
        load(folder)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(HubError, match=r"has no preprocessor_config\.json"):
        load(folder)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("org/name", ("org/name", None)),
        ("org/name@v1.0.0", ("org/name", "v1.0.0")),
        ("org/name@refs/pr/1", ("org/name", "refs/pr/1")),
        ("name@main", ("name", "main")),
        ("/data/runs@home/best", ("/data/runs@home/best", None)),
        ("./best@v1", ("./best@v1", None)),
        (Path("runs/best"), ("runs/best", None)),
    ],
)
def test_parse_model_id(text, parsed):
    assert parse_model_id(text) == parsed


def test_parse_model_id_keeps_folders_and_refuses_nothing_after_the_at(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("org/name@v1").mkdir(parents=True)
    assert parse_model_id("org/name@v1") == ("org/name@v1", None)
    assert parse_model_id("~/models")[0] == str(Path.home() / "models")
    with pytest.raises(ValueError, match="after the @"):
        parse_model_id("org/name@")
