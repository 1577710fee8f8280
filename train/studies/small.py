"""Train a small network for a study and judge it on the validation list.

Thresholds are fitted on one half of the list and judged on the other, both ways round, so that no figure is of images
that its thresholds were chosen on.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainingArguments, set_seed

from nuclei_models import NucleiImageProcessor
from nuclei_models.analysis.metrics import bowl_map, count_mask, iou_matrix, match
from nuclei_models.inference.tiling import predict_logits
from nuclei_models.model.modeling_nuclei import NucleiPreTrainedModel
from nuclei_models.training.dataset import TrainingCrops, collate
from nuclei_models.training.likeness import modality
from nuclei_models.training.measuring import known
from nuclei_models.training.packed import load_packed
from nuclei_models.training.samples import Sample
from nuclei_models.training.trainer import Ema
from train.data import read_split
from train.evaluation.results import COLOUR
from train.experiment import Experiment
from train.studies.schemes import Scheme

CONFIG = "train/configs/study.yaml"
DIAMETERS = "weights/unet-nuclei"  # whose estimate of the nuclear diameter is used

Figures = dict[str, float]


class SchemeCrops(TrainingCrops):
    """`TrainingCrops` with a scheme's targets."""

    def __init__(self, *args, scheme: Scheme, **kwargs):
        super().__init__(*args, **kwargs)
        self.make_targets = scheme.targets


class InOrder(Trainer):
    """transformers' Trainer, on crops in their given order."""

    def _get_train_sampler(self, *args, **kwargs):
        return SequentialSampler(self.train_dataset)  # type: ignore[arg-type]


def train_small(scheme: Scheme, overrides: list[str], seed: int) -> NucleiPreTrainedModel:
    """Train the study's network; the averaged weights are returned, in evaluation mode."""
    overrides = [*overrides, f"channel_names={json.dumps(list(scheme.names))}", f"training.seed={seed}"]
    overrides.append(f"training.use_cpu={str(not torch.cuda.is_available()).lower()}")
    experiment = Experiment.read(CONFIG, overrides)
    args = TrainingArguments(
        remove_unused_columns=False,
        eval_strategy="no",
        save_strategy="no",
        disable_tqdm=True,
        report_to="none",
        label_names=["labels"],
        **experiment.training,
    )
    set_seed(seed)
    model, processor = experiment.build()
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-arg]
    samples = load_packed(experiment.data, read_split(experiment.train_split))
    length = args.max_steps * args.train_batch_size
    crops = SchemeCrops(samples, processor, experiment.augment, length, seed, experiment.shares, scheme=scheme)
    ema = Ema(experiment.ema_decay)
    own_loss = scheme.plain == list(scheme.names)  # the network's, over all its heads

    def loss(outputs, labels, num_items_in_batch=None):
        return scheme.loss(outputs.logits, labels)

    InOrder(
        model=model,
        args=args,
        train_dataset=crops,
        data_collator=collate,
        compute_loss_func=None if own_loss else loss,
        callbacks=[ema],
    ).train()
    model.load_state_dict(ema.average)
    return model.eval()


def validation_maps(
    model: NucleiPreTrainedModel, scheme: Scheme, samples: list[Sample]
) -> list[tuple[np.ndarray, float]]:
    """Each image's maps at its own size, and its zoom (image by network)."""
    processor = NucleiImageProcessor.from_pretrained(DIAMETERS)
    found = []
    for sample in samples:
        x = processor.prepare(sample.image)
        size = sample.labels.shape
        found.append((scheme.maps(predict_logits(model, x), size), size[0] / x.shape[1]))
    return found


def judge(true: np.ndarray, found: np.ndarray) -> Figures:
    """One image's figures."""
    iou = iou_matrix(true, found)
    mask = count_mask(true, found)
    return {"nucleus_iou": mask.iou, "dice": mask.dice, "ap_50": match(iou, 0.5).ap, "bowl_map": bowl_map(iou)}


def cross_fit(
    samples: list[Sample], settings: list[tuple], decode: Callable[[int, tuple], np.ndarray]
) -> tuple[list[Figures], list[tuple]]:
    """Figures of every image, with the setting that did best (mean of Bowl mAP and IoU) on the other half.

    Args:
        samples: Even and odd ones are the halves.
        decode: (number of the image, setting) -> labels.

    Returns:
        Figures image by image, and the two settings.
    """
    results = [[judge(*known(s, decode(i, setting))) for setting in settings] for i, s in enumerate(samples)]
    scores = np.array([[r["bowl_map"] + r["nucleus_iou"] for r in row] for row in results])
    best = [int(scores[1 - half :: 2].mean(0).argmax()) for half in (0, 1)]
    return [row[best[i % 2]] for i, row in enumerate(results)], [settings[b] for b in best]


def means(samples: list[Sample], figures: list[Figures]) -> dict[str, Figures]:
    """Means by image of all images, of the colour images and of the others."""
    colour = np.array([modality(s.image) in COLOUR for s in samples])

    def mean(chosen: np.ndarray) -> Figures:
        return {k: round(float(np.mean([f[k] for f, c in zip(figures, chosen, strict=True) if c])), 4)
                for k in figures[0]}  # fmt: skip

    return {"all": mean(np.ones_like(colour)), "colour": mean(colour), "other": mean(~colour)}


def run(name: str, scheme: Scheme, overrides: list[str], seed: int, folder: Path) -> dict:
    """Train and judge, or read what an earlier run of the same name and seed found."""
    file = _file(name, seed, folder)
    if file.is_file():
        return json.loads(file.read_text())
    start = time.perf_counter()
    model = train_small(scheme, overrides, seed)
    minutes = (time.perf_counter() - start) / 60
    samples = load_packed("data/dsb2018", read_split("validation"))
    maps = validation_maps(model, scheme, samples)
    figures, chosen = cross_fit(samples, list(scheme.settings), lambda i, s: scheme.decode(*maps[i], *s))
    result: dict[str, Any] = {
        "name": name,
        "seed": seed,
        "overrides": overrides,
        "minutes": round(minutes, 1),
        "settings": chosen,
    }
    result |= {"figures": means(samples, figures)}
    print(name, seed, result["figures"]["all"], flush=True)
    return save(result, folder)


def save(result: dict, folder: Path) -> dict:
    """Write a run's figures, and give them back."""
    file = _file(result["name"], result["seed"], folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(result, indent=1) + "\n")
    return result


def _file(name: str, seed: int, folder: Path) -> Path:
    return folder / f"{name.replace(',', '').replace(' ', '-')}-{seed}.json"
