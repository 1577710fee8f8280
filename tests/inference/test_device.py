"""Where networks run. There is no GPU where the tests run: torch is made to say that there is one."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from nuclei_models.inference.device import about_gpu, choose_device, describe
from nuclei_models.inference.loading import load
from nuclei_models.jobs.settings import settings_for
from tests.support.folders import make_unet, save


@pytest.fixture
def cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "NVIDIA L4")


def test_a_gpu_is_taken_where_there_is_one(cuda):
    assert choose_device().type == choose_device("auto").type == choose_device("cuda:1").type == "cuda"
    assert choose_device("cpu").type == "cpu"
    assert describe(torch.device("cuda:1")) == "the GPU NVIDIA L4 (cuda:1)"
    assert about_gpu() == "Yes, networks run on the GPU NVIDIA L4 (cuda)."


def test_apples_gpu_is_taken_where_there_is_no_other(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device().type == "mps" and describe(choose_device()) == "the Apple GPU (mps)"


@pytest.fixture
def cpu_only(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)


def test_the_cpu_is_taken_otherwise_and_why_is_said(cpu_only, monkeypatch):
    assert choose_device().type == "cpu" and describe(choose_device()).startswith("the CPU (")
    assert "is built without CUDA" in about_gpu() and "pytorch.org/get-started" in about_gpu()
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert "finds no GPU" in about_gpu() and "CUDA 12.8 or newer" in about_gpu()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES hides every GPU" in about_gpu()


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ("gpu", "'gpu': expected auto, cpu, cuda"),
        ("meta", "'meta': expected auto, cpu, cuda"),
        ("cuda", "'cuda': PyTorch .* is built without CUDA"),
        ("mps", "'mps': this machine has no Apple GPU"),
    ],
)
def test_a_device_that_is_not_there(cpu_only, wanted, sentence):
    with pytest.raises(ValueError, match=sentence):
        choose_device(wanted)


def test_a_gpu_too_many(cuda):
    with pytest.raises(ValueError, match="'cuda:7': there are 2 GPUs here"):
        choose_device("cuda:7")


def test_load_puts_the_network_where_it_is_told(tmp_path, monkeypatch):
    moved = []
    folder = save(make_unet(), tmp_path / "m")
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, *args, **kwargs: moved.append(args) or self)
    for given, expected in ((None, "mps"), ("cpu", "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
        load(folder, device=given)
        assert moved[-1] == (torch.device(expected),)


def test_results_are_the_same_work_on_any_device(tmp_path):
    folder = str(save(make_unet(), tmp_path / "m"))
    assert settings_for(folder).identity == settings_for(folder, device="cpu").identity
    with pytest.raises(ValueError, match="device 'gpu'"):
        settings_for(folder, device="gpu")


def test_the_command_line(nuclei, cpu_only, tmp_path):
    code, said = nuclei("info")
    assert code == 0 and "on the GPU" in said and "No, networks run on the CPU" in " ".join(said.split())
    code, said = nuclei("info", "--json")
    assert json.loads(said)["device"] == "cpu"
    folder = save(make_unet(), tmp_path / "m")
    code, said = nuclei("info", folder)
    assert code == 0 and "runs on" in said and "the CPU (" in said
    Image.fromarray(np.zeros((24, 24), np.uint8)).save(tmp_path / "a.png")
    arguments = ("segment", tmp_path / "a.png", "--out", tmp_path / "out", "--model", folder, "--device")
    code, said = nuclei(*arguments, "cuda")
    assert code == 2 and "is built without CUDA" in said and not (tmp_path / "out").exists()
    code, said = nuclei(*arguments, "cpu")
    assert code == 0 and "on the CPU (" in said
