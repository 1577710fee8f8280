"""Fit how the processor finds the nuclear diameter, and save it with the weights.

    python -m train.fit.scale --weights weights/unet-nuclei weights/unetpp-nuclei --data data
    python -m train.fit.scale --weights weights/unet-nuclei --judge       only measure what is saved there

Two perceptrons are fitted on images of the training list, whose true median diameters are known: one judges the picture
alone; the other, one for each network, judges what the network finds at assumed diameters up to six times too small or
too large. Then the whole search is tried on the validation list, at its own scale and at others, and its figures are
written to `diameter.json` beside the weights.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from nuclei_models.inference.network import Network, load_network
from nuclei_models.inference.scale import find_diameter
from nuclei_models.inference.tiling import predict_logits
from nuclei_models.model.intensity import intensity_range, normalise
from nuclei_models.model.scale import Diameter
from nuclei_models.training.augment import Crops
from nuclei_models.training.packed import load_packed
from nuclei_models.training.samples import Sample, laboratory
from train.data import read_split
from train.fit.bundle import save_processor
from train.fit.scale_examples import Example, looks, pictures, rescaled

HIDDEN = 48
SCALES = (1.0, 0.25, 0.5, 2.0, 4.0)
MOST_PIXELS = 3e6  # of an image that is tried at another scale; of a larger one the centre
LEAST_DIAMETER, LARGEST_DIAMETER = 7.0, 210.0  # pixels, of what is tried


def fit(examples: list[Example], seed: int, steps: int = 4000) -> dict[str, str]:
    """Fit a perceptron to tell a logarithm and its spread: maximum likelihood of a Laplace distribution, by AdamW.

    Returns:
        The weights as `scale.perceive` takes them.
    """
    torch.manual_seed(seed)
    features = np.array([e.features for e in examples])
    mean, std = features.mean(0), features.std(0) + 1e-3
    x = torch.from_numpy(np.clip((features - mean) / std, -6, 6)).float()
    torch.set_num_threads(1)  # small products: more threads only wait for each other
    y = torch.tensor([e.target for e in examples])
    hidden, out = torch.nn.Linear(x.shape[1], HIDDEN), torch.nn.Linear(HIDDEN, 2)
    torch.nn.init.constant_(out.bias, 0.0)
    out.bias.data[0] = float(y.mean())
    net = torch.nn.Sequential(hidden, torch.nn.ReLU(), torch.nn.Dropout(0.1), out)
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        batch = torch.randint(len(x), (256,))
        told, log_spread = net(x[batch]).unbind(1)
        log_spread = log_spread.clamp(-3, 2)
        loss = ((told - y[batch]).abs() / log_spread.exp() + log_spread).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    arrays = {
        "mean": mean,
        "std": std,
        "hidden": hidden.weight.detach().numpy().T,
        "hidden_bias": hidden.bias.detach().numpy(),
        "out": out.weight.detach().numpy().T,
        "out_bias": out.bias.detach().numpy(),
    }
    return {name: " ".join(f"{number:.4g}" for number in array.ravel()) for name, array in arrays.items()}


def drawn(split: str, most: int, rng: np.random.Generator) -> list[str]:
    """The ids of a list, of each laboratory at most so many, at random."""
    by_laboratory: dict[str, list[str]] = {}
    for i in read_split(split):
        by_laboratory.setdefault(laboratory(i), []).append(i)
    return [ids[k] for ids in by_laboratory.values() for k in rng.permutation(len(ids))[:most]]


def tried(sample: Sample, scale: float) -> tuple[float, np.ndarray] | None:
    """The true median diameter of an image rescaled by `scale`, and that image, normalised; `None` where it has no
    nuclei or they leave the range that is tried."""
    crops = Crops(sample)
    side = int(MOST_PIXELS**0.5 / max(scale, 1e-6))
    top, left = (max(n - side, 0) // 2 for n in crops.labels.shape)
    window = slice(top, top + side), slice(left, left + side)
    if not crops.diameter or not (crops.labels[window] > 0).any():
        return None
    true = crops.diameter * scale
    if scale != 1 and not LEAST_DIAMETER <= true <= LARGEST_DIAMETER:
        return None
    image = rescaled(crops.rgb[window].astype(np.float32), scale)
    return true, normalise(image, *intensity_range(image))


def found(sample: Sample, scale: float, network: Network) -> tuple[float, Diameter] | None:
    """The true diameter, and what the search says of it; `None` as in `tried`."""
    known = tried(sample, scale)
    if known is None:
        return None
    true, normalised = known
    run = partial(predict_logits, network.model.eval())
    return true, find_diameter(normalised.__getitem__, normalised.shape[:2], run, network.processor)[0]


def figures(pairs: list[tuple[float, Diameter]]) -> dict[str, float]:
    """How well diameters were found: shares of the images within a factor of 1.5, off by more than 2, said to be
    doubtful, and off by more than 1.5 without being said to be doubtful."""
    off = np.abs([np.log2((d.pixels or 1) / true) for true, d in pairs])
    doubtful = np.array([d.is_doubtful for _, d in pairs])
    return {
        "images": len(pairs),
        "median_octaves": round(float(np.median(off)), 3),
        "within_1.5": round(float((off <= np.log2(1.5)).mean()), 3),
        "off_by_2": round(float((off > 1).mean()), 3),
        "doubtful": round(float(doubtful.mean()), 3),
        "wrong_and_not_doubtful": round(float(((off > np.log2(1.5)) & ~doubtful).mean()), 3),
        "looks": round(float(np.mean([d.looks for _, d in pairs])), 2),
    }


def judge(
    split: str,
    data: str,
    search: Callable[[Sample, float], tuple[float, Diameter] | None],
    scales: tuple[float, ...] = SCALES,
) -> dict[str, dict]:
    """The figures of a list, of each laboratory at its own scale, and of all at each scale.

    Args:
        search: As `found`, of an image and a scale.
    """
    pairs: dict[str, list] = {}
    for sample in tqdm(load_packed(data, read_split(split)), desc=split, unit="image"):
        for scale in scales:
            result = search(sample, scale)
            if result is not None:
                kinds = [f"x{scale:g}"] + ([laboratory(sample.id)] if scale == 1 else [])
                for kind in kinds:
                    pairs.setdefault(kind, []).append(result)
    return {kind: figures(results) for kind, results in pairs.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", nargs="+", required=True, help="folders whose preprocessor_config.json is written")
    parser.add_argument("--data", default="data", help="folder of the packed folders, see train.data")
    parser.add_argument("--split", default="five_train", help="list to fit on")
    parser.add_argument("--validation", default="five_validation", help="list to try on")
    parser.add_argument("--most", type=int, default=110, help="images of a laboratory to fit the looks on")
    parser.add_argument("--each", type=int, default=6, help="scales of each image, and assumed diameters")
    parser.add_argument("--scales", nargs="+", type=float, default=SCALES, help="of the images that it is tried on")
    parser.add_argument("--judge", action="store_true", help="don't fit, only try")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if not args.judge:
        fit_weights(args)
    for folder in map(Path, args.weights):
        search = partial(found, network=load_network(str(folder)))
        report = judge(args.validation, args.data, search, tuple(args.scales))
        (folder / "diameter.json").write_text(json.dumps(report, indent=1) + "\n")
        print(json.dumps(report, indent=1))


def fit_weights(args: argparse.Namespace) -> None:
    """Fit the estimates of each network and save them in its processor's file."""
    rng = np.random.default_rng(args.seed)
    samples = load_packed(args.data, read_split(args.split))
    picture = fit(list(pictures(tqdm(samples, desc="pictures"), args.each, rng, spoil=True)), args.seed)
    for folder in map(Path, args.weights):
        network = load_network(str(folder))
        few = load_packed(args.data, drawn(args.split, args.most, np.random.default_rng(args.seed)))
        examples = list(looks(tqdm(few, desc=f"looks of {folder.name}"), network, args.each, rng, spoil=True))
        network.processor.diameter_estimator = picture
        network.processor.look_estimator = fit(examples, args.seed)
        save_processor(network.processor, folder)


if __name__ == "__main__":
    main()
