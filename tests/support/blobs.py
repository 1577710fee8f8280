"""A picture with bright blobs, and tiny networks, set by hand, that find them: published, pulled and run by tests."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nuclei_models import NucleiImageProcessor, UNet, UNetConfig, UNetPlusPlus, UNetPlusPlusConfig
from nuclei_models.model.repository import sha256
from tests.support import ROOT

CHANNELS = ("background", "nucleus", "border")
BLOBS = ((12, 14), (12, 40), (36, 20), (40, 52), (22, 60))  # centres, y and x


def blob_picture(scale: int = 1) -> np.ndarray:
    """(56 * scale, 72 * scale, 3) uint8: bright discs, 13 pixels across, on dark noise; five at scale 1."""
    centres = [(cy + 56 * i, cx + 72 * j) for cy, cx in BLOBS for i in range(scale) for j in range(scale)]
    y, x = np.mgrid[: 56 * scale, : 72 * scale]
    disc = np.max([np.hypot(y - cy, x - cx) < 6.5 for cy, cx in centres], axis=0)
    noise = np.random.default_rng(0).integers(0, 30, disc.shape)
    return np.repeat((disc * 200 + noise)[..., None], 3, axis=2).astype(np.uint8)


def blob_finder(key: str) -> UNet | UNetPlusPlus:
    """A network of 1 pooling whose nucleus logit rises with the brightness; "unet" or "unetpp"."""
    id2label = dict(enumerate(CHANNELS))
    names = {"id2label": id2label, "label2id": {name: i for i, name in id2label.items()}}
    model: UNet | UNetPlusPlus
    if key == "unet":
        model = UNet(UNetConfig(channels=[4, 8], padding="same", **names))
        path, head = [model.contracting[0], model.expansive[0]], model.head
    else:
        model = UNetPlusPlus(UNetPlusPlusConfig(channels=[4, 8], deep_supervision=True, **names))
        path, head = [model.nodes[0][0], model.nodes[0][1]], model.heads[0]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for block in path:  # the first feature map carries the brightness through, above 0
            for convolution in (block[0], block[2]):
                convolution.weight[0, 0, 1, 1] = 1
        path[0][0].bias[0] = 2
        head.weight[:3, 0, 0, 0] = torch.tensor([-2.0, 2.0, -2.0])
        head.bias[:3] = torch.tensor([4.0, -4.0, -4.0])
    return model.eval()


def save_evaluated(key: str, folder: Path) -> Path:
    """Save a blob finder as the bundled networks are: float16, no code, with an evaluation."""
    model = blob_finder(key)
    model.save_pretrained(folder, state_dict={name: tensor.half() for name, tensor in model.state_dict().items()})
    NucleiImageProcessor(channel_names=list(CHANNELS), threshold=0.4).save_pretrained(folder)
    for path in folder.glob("*.py"):
        path.unlink()
    write_evaluation(folder)
    log = [{"step": 20, "loss": 1.5}, {"step": 200, "eval_map": 0.3125, "eval_iou": 0.75}, {"train_runtime": 600.0}]
    (folder / "log.json").write_text(json.dumps(log))
    shutil.copy(ROOT / "train" / "configs" / f"{key}.yaml", folder / "training.yaml")
    return folder


def write_evaluation(folder: Path, **changed: float) -> None:
    """An `evaluation.json` of these weights, with made-up figures, as `train.evaluation.evaluate` writes it."""
    ap = {f"{t / 100:g}": round(1 - t / 100, 4) for t in range(50, 100, 5)}
    figures: dict[str, Any] = {"images": 2, "nuclei": 10, "nucleus_iou": 0.8125, "mean_iou": 0.875, "dice": 0.8975}
    figures |= {"bowl_map": 0.4375, "ap": ap, "ap_5_to_9": 0.3, "f1": 0.6875, "panoptic_quality": 0.5625}
    figures |= changed
    by_image = {"a": {"bowl_map": 0.5, "nucleus_iou": 0.875}, "b": {"bowl_map": 0.375, "nucleus_iou": 0.75}}
    lists = {name: figures | {"by_image": by_image} for name in ("stage1_test", "stardist_test")}
    content = {"weights_sha256": sha256(folder / "model.safetensors"), "settings": {"threshold": 0.4}, "lists": lists}
    (folder / "evaluation.json").write_text(json.dumps(content))
