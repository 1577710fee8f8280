"""The literature's protocol: whole images squeezed to 96 x 96 pixels, one channel out, nucleus IoU at .5.

    python -m train.studies.protocol96 --network unet unetpp

Zhou et al. and the public reimplementations of U-Net++ report the Bowl's data this way, on a random split of
stage1_train. Here 70 / 10 / 20 per cent of it train, select and test, as drawn by seed 0; the weights with the best
validation IoU are tested once. Nothing of this goes into the published weights.
"""

import argparse
import copy
import json
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import TrainerCallback, TrainingArguments, set_seed

from nuclei_models import UNet, UNetConfig, UNetPlusPlus, UNetPlusPlusConfig
from nuclei_models.analysis.metrics import MaskCounts, count_mask
from nuclei_models.model.intensity import to_rgb
from nuclei_models.training.dataset import collate
from nuclei_models.training.packed import load_packed
from nuclei_models.training.samples import Sample
from nuclei_models.training.trainer import Ema
from train.data import read_split
from train.studies.small import InOrder

SIDE = 96
LISTS = ("train", "validation", "stardist_test", "left_out")  # together: stage1_train
OUT = Path("docs/studies/protocol96")
NETWORKS = {
    "unet": ("U-Net", lambda: UNet(UNetConfig(channels=[32, 64, 128, 256, 512], padding="same", batch_norm=True))),
    "unet-wide": (
        "U-Net, twice as wide",
        lambda: UNet(UNetConfig(channels=[64, 128, 256, 512, 1024], padding="same", batch_norm=True)),
    ),
    "unetpp": (
        "U-Net++, deep supervision",
        lambda: UNetPlusPlus(UNetPlusPlusConfig(deep_supervision=True, batch_norm=True, inference_mode="fast")),
    ),
}


def split(ids: list[str], seed: int = 0) -> dict[str, list[str]]:
    """70 / 10 / 20 per cent, drawn at random."""
    order = np.random.default_rng(seed).permutation(sorted(ids))
    a, b = round(0.7 * len(order)), round(0.8 * len(order))
    return {"train": list(order[:a]), "validation": list(order[a:b]), "test": list(order[b:])}


def squeeze(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """An image and its mask at 96 x 96, whatever their shape: (96, 96, 3) float32 in [0, 1], (96, 96) bool."""
    image = cv2.resize(to_rgb(sample.image), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    mask = cv2.resize((sample.labels > 0).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return image.astype(np.float32) / 255, mask > 0.5


class Squeezed(Dataset):
    """`length` items, each a function of the seed and its number: symmetries, brightness and hue.

    Args:
        bent: Also turned by any angle, stretched by .75 to 1.33 and moved, and with another contrast curve.
    """

    def __init__(self, samples: list[Sample], length: int, seed: int, bent: bool):
        self.pairs, self.length, self.seed, self.bent = [squeeze(s) for s in samples], length, seed, bent

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng([self.seed, i])
        image, mask = self.pairs[rng.integers(len(self.pairs))]
        turns, flip = int(rng.integers(4)), bool(rng.integers(2))
        image, mask = np.rot90(image, turns), np.rot90(mask, turns)
        if flip:
            image, mask = image[:, ::-1], mask[:, ::-1]
        if rng.random() < 0.5:
            image = image * rng.uniform(0.8, 1.2, 3).astype(np.float32) + rng.uniform(-0.1, 0.1)
        if self.bent:
            image, mask = bend(image, mask, rng)
        return to_item(image, mask)


def bend(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Turned by any angle, each axis stretched by .75 to 1.33, moved by up to 8 pixels; contrast by an exponent."""
    turn = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), rng.uniform(0, 360), 1.0)
    stretch = np.exp(rng.uniform(-0.2, 0.2) + rng.uniform(-0.087, 0.087, 2))
    turn[:, :2] *= stretch
    turn[:, 2] = SIDE / 2 - turn[:, :2] @ (SIDE / 2, SIDE / 2) + rng.uniform(-8, 8, 2)
    if rng.random() < 0.3:
        image = np.clip(image, 0, None) ** np.float32(rng.uniform(0.6, 1.6))

    def moved(values: np.ndarray) -> np.ndarray:
        values = np.ascontiguousarray(values, np.float32)
        return cv2.warpAffine(values, turn, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)

    return moved(image), moved(mask) > 0.5


def to_item(image: np.ndarray, mask: np.ndarray) -> dict[str, torch.Tensor]:
    """Arrays -> `pixel_values` (3, 96, 96) float32 and `labels` (96, 96) int64."""
    x = np.ascontiguousarray((image.transpose(2, 0, 1) - 0.5) / 0.25, np.float32)
    return {"pixel_values": torch.from_numpy(x), "labels": torch.from_numpy(mask.astype(np.int64))}


@torch.inference_mode()
def measure(model: torch.nn.Module, samples: list[Sample]) -> dict[str, float]:
    """Nucleus IoU, two-class mean IoU and Dice: means by image, and pooled over all pixels."""
    counts: list[MaskCounts] = []
    for sample in samples:
        image, mask = squeeze(sample)
        x = to_item(image, mask)["pixel_values"][None].to(next(model.parameters()).device)
        found = model(x).logits[0, 0] > 0
        counts.append(count_mask(mask.astype(np.int32), found.cpu().numpy().astype(np.int32)))
    pooled = sum(counts[1:], counts[0])
    names = {"nucleus_iou": "iou", "mean_iou": "mean_iou", "dice": "dice"}
    figures = {k: float(np.mean([getattr(c, attribute) for c in counts])) for k, attribute in names.items()}
    figures |= {f"{k}_pooled": float(getattr(pooled, attribute)) for k, attribute in names.items()}
    return {k: round(v, 4) for k, v in figures.items()}


class KeepBest(TrainerCallback):
    """Measures the averaged weights on validation every `every` steps and keeps the best."""

    def __init__(self, ema: Ema, samples: list[Sample], every: int):
        self.ema, self.samples, self.every = ema, samples, every
        self.best: dict = {"nucleus_iou": -1.0}
        self.weights: dict[str, torch.Tensor] = {}

    def on_step_end(self, args, state, control, model=None, **kwargs):
        if state.global_step % self.every and state.global_step != state.max_steps:
            return
        with self.ema.applied_to(model.eval()):
            figures = measure(model, self.samples)
            if figures["nucleus_iou"] > self.best["nucleus_iou"]:
                self.best = {"step": state.global_step, **figures}
                self.weights = copy.deepcopy(model.state_dict())
        model.train()
        print(f"step {state.global_step}: {figures}", flush=True)


def run(network: str, steps: int, seed: int, data: str, device: str, bent: bool) -> dict:
    """Train, select and test one network."""
    title, build = NETWORKS[network]
    ids = split([i for name in LISTS for i in read_split(name)])
    samples = {name: load_packed(data, members) for name, members in ids.items()}
    set_seed(seed)
    model = build().to(memory_format=torch.channels_last)  # type: ignore[call-arg]
    args = TrainingArguments(
        output_dir=f"runs/protocol96/{network}",
        max_steps=steps,
        per_device_train_batch_size=16,
        learning_rate=1e-3,
        weight_decay=1e-4,
        warmup_steps=steps // 20,
        lr_scheduler_type="cosine",
        bf16=True,
        use_cpu=device == "cpu",
        dataloader_num_workers=1,
        remove_unused_columns=False,
        save_strategy="no",
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=seed,
        label_names=["labels"],
    )
    ema = Ema(0.995)
    keep = KeepBest(ema, samples["validation"], every=max(1, steps // 20))
    crops = Squeezed(samples["train"], steps * 16, seed, bent)
    InOrder(model=model, args=args, train_dataset=crops, data_collator=collate, callbacks=[ema, keep]).train()
    model.load_state_dict(keep.weights)
    record = {"name": title, "bent": bent, "seed": seed, "steps": steps}
    record |= {"parameters": sum(p.numel() for p in model.parameters())}
    record |= {"images": {name: len(members) for name, members in ids.items()}}
    return record | {"validation": keep.best, "test": measure(model.eval(), samples["test"])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--steps", type=int, default=2000, help="of 16 images")
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--bent", action="store_true", help="images also turned by any angle, stretched and moved")
    parser.add_argument("--data", default="data/dsb2018", help="packed folder, see train.data")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    for network in args.network:
        for seed in args.seed:
            record = run(network, args.steps, seed, args.data, args.device, args.bent)
            name = f"{network}{'-bent' * args.bent}-{args.steps}-{seed}.json"
            (OUT / name).write_text(json.dumps(record, indent=1) + "\n")
            print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
