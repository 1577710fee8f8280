"""Folders of tiny models for the tests, and ways to spoil them."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from nuclei_models import NucleiImageProcessor, UNet, UNetConfig
from nuclei_models.model.repository import sha256


def make_unet(seed: int = 0, **config) -> UNet:
    torch.manual_seed(seed)
    return UNet(UNetConfig(**{"channels": [4, 8], "padding": "same"} | config))


def save(model, folder: Path) -> Path:
    model.save_pretrained(folder)
    NucleiImageProcessor(diameter=24.0, channel_names=model.channel_names).save_pretrained(folder)
    return folder


def edit_config(folder: Path, **fields) -> None:
    """Change fields; `None` removes one."""
    config = json.loads((folder / "config.json").read_text()) | fields
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def edit_weights(folder: Path, **tensors) -> None:
    """Change or add tensors (`None` removes one; `__` stands for a dot) and write the file with its SHA-256."""
    weights = load_file(folder / "model.safetensors") | {key.replace("__", "."): t for key, t in tensors.items()}
    weights = {key: tensor for key, tensor in weights.items() if tensor is not None}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    edit_config(folder, weights_sha256=sha256(folder / "model.safetensors"))


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-10] ^= 0xFF
    path.write_bytes(content)


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def keep_only_a_pickle(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
