"""Fit the estimate of the nuclear diameter and save it with the weights.

    python -m train.fit.diameter --weights weights/unet-nuclei weights/unetpp-nuclei

Every training image is seen at several scales and in several dresses, its true median diameter known. The figures of
the validation list, at its own scale and at others, are written to `diameter.json` beside the weights.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from nuclei_models import NucleiImageProcessor
from nuclei_models.model.diameter import estimate, scale_features
from nuclei_models.model.image_processing_nuclei import resize
from nuclei_models.model.intensity import normalise
from nuclei_models.training.augment import AugmentConfig, Crops, disturb, dress
from nuclei_models.training.packed import load_packed
from train.data import read_split
from train.fit.bundle import save_processor

HIDDEN = 32
SMALLEST, LARGEST = 6.0, 140.0  # pixels; diameters that are practised
MAX_PIXELS = 1.0e6  # of a rescaled image


def examples(split: str, data: str, each: int, seed: int, dressed: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (N, F), base-2 logarithms of the diameters (N,) and the scales (N,) of a split's rescaled images."""
    rng = np.random.default_rng(seed)
    features, diameters, scales = [], [], []
    for sample in tqdm(load_packed(data, read_split(split)), desc=split, unit="image"):
        crops = Crops(sample)
        if not crops.diameter:
            continue
        image = normalise(crops.rgb, *crops.range)
        low, high = max(0.25, SMALLEST / crops.diameter), min(4.0, LARGEST / crops.diameter)
        for k in range(each):
            scale = 1.0 if k == 0 else float(np.exp(rng.uniform(np.log(low), np.log(high))))
            part = _part(image, int(np.sqrt(MAX_PIXELS) / scale), rng)
            x = _rescale(part, scale)
            if dressed:
                x = disturb(dress(x, rng, AugmentConfig(), crops.is_colour), rng, AugmentConfig())
            features.append(scale_features(x))
            diameters.append(np.log2(crops.diameter * scale))
            scales.append(scale)
    return np.array(features), np.array(diameters, np.float32), np.array(scales)


def _part(image: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    y, x = (int(rng.integers(max(n - side, 0) + 1)) for n in image.shape[:2])
    return image[y : y + side, x : x + side]


def _rescale(image: np.ndarray, scale: float) -> np.ndarray:
    if scale == 1:
        return image
    size = [max(1, round(n * scale)) for n in image.shape[:2]]
    return resize(torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))), size).numpy().transpose(1, 2, 0)


def fit(features: np.ndarray, target: np.ndarray, seed: int, steps: int = 4000) -> dict[str, str]:
    """Fit the perceptron by Adam on the Huber loss, with weight decay. Returns `estimate`'s weights."""
    torch.manual_seed(seed)
    mean, std = features.mean(0), features.std(0) + 1e-3
    x, y = torch.from_numpy(np.clip((features - mean) / std, -6, 6)), torch.from_numpy(target)
    hidden, out = torch.nn.Linear(x.shape[1], HIDDEN), torch.nn.Linear(HIDDEN, 1)
    net = torch.nn.Sequential(hidden, torch.nn.ReLU(), torch.nn.Dropout(0.1), out)
    torch.nn.init.constant_(out.bias, float(y.mean()))
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        batch = torch.randint(len(x), (512,))
        loss = torch.nn.functional.smooth_l1_loss(net(x[batch])[:, 0], y[batch], beta=0.2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    arrays = {
        "mean": mean,
        "std": std,
        "hidden": hidden.weight.detach().numpy().T,
        "hidden_bias": hidden.bias.detach().numpy(),
        "out": out.weight.detach().numpy(),
        "out_bias": out.bias.detach().numpy(),
    }
    return {name: " ".join(f"{number:.4g}" for number in array.ravel()) for name, array in arrays.items()}


def judge(features: np.ndarray, target: np.ndarray, weights: dict[str, str]) -> dict[str, float]:
    """Error of the estimate in octaves: median, 90th percentile, and the share that is more than a factor 2 off."""
    error = np.abs([np.log2(estimate(f, weights)) - t for f, t in zip(features, target, strict=True)])
    return {
        "images": len(error),
        "median_octaves": round(float(np.median(error)), 3),
        "percentile_90_octaves": round(float(np.percentile(error, 90)), 3),
        "share_off_by_two": round(float((error > 1).mean()), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", nargs="+", required=True, help="folders whose preprocessor_config.json is written")
    parser.add_argument("--data", default="data/dsb2018", help="packed folder, see train.data")
    parser.add_argument("--each", type=int, default=8, help="scales of each training image")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    features, target, _ = examples("train", args.data, args.each, args.seed, dressed=True)
    weights = fit(features, target, args.seed)
    held_out, truth, scales = examples("validation", args.data, 8, args.seed, dressed=False)
    report = {
        "validation, own scale": judge(held_out[scales == 1], truth[scales == 1], weights),
        "validation, rescaled x0.25 to x4": judge(held_out[scales != 1], truth[scales != 1], weights),
    }
    for folder in map(Path, args.weights):
        processor = NucleiImageProcessor.from_pretrained(folder)
        processor.diameter_estimator = weights  # type: ignore[assignment]
        save_processor(processor, folder)
        (folder / "diameter.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
