"""One run: a network and crops of images -> trained weights, within a time."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import PrinterCallback, TrainingArguments, set_seed

from ..inference.runtime import has_bfloat16
from ..model.image_processing_nuclei import NucleiImageProcessor
from ..model.modeling_nuclei import NucleiPreTrainedModel
from .budget import Budget
from .dataset import TrainingCrops, collate, validation_item
from .memory import kept_between_steps
from .recipe import RATE, Recipe
from .samples import Sample
from .trainer import BEST, Ema, NucleiTrainer, last_checkpoint
from .upsampling import bias_apart

STEPS = 10_000_000  # more than there is ever time for
LOADERS = 8  # processes that draw crops for a GPU
MOST_VALIDATED = 24  # images


@dataclass
class Run:
    """What a run came to.

    Attributes:
        folder: Of the weights; `None` where it was stopped before there were any.
        stopped: "time", "steps", "no better" or "you".
        curve: (share of the time, score on the centres of held-out images), from the start.
        losses: (step, training loss).
    """

    folder: Path | None
    steps: int
    seconds: float
    stopped: str
    best_step: int | None = None
    curve: list[tuple[float, float]] = field(default_factory=list)
    losses: list[tuple[int, float]] = field(default_factory=list)


class TimedTrainer(NucleiTrainer):
    """Its learning rate goes by a `Budget`."""

    budget: Budget

    def create_scheduler(self, num_training_steps: int, optimizer=None):
        budget = self.budget
        self.lr_scheduler = LambdaLR(cast(Optimizer, optimizer or self.optimizer), lambda step: budget.rate())
        return self.lr_scheduler


def finetune(
    model: NucleiPreTrainedModel,
    processor: NucleiImageProcessor,
    samples: list[Sample],
    held_out: list[Sample],
    out: Path,
    seconds: float,
    recipe: Recipe,
    report: Callable[[float, int, float | None, list[tuple[float, float]]], None] | None = None,
) -> Run:
    """Train, or go on training, a network, which is changed.

    Args:
        samples: To train on.
        held_out: To validate on and to choose the best weights by; where there are none, the last are kept.
        out: Folder of checkpoints; a run that was interrupted there goes on.
        seconds: Of this run, with those that it had before it was interrupted.
        report: Called after every step with (share of the time, step, loss, curve).
    """
    args = arguments(out, recipe, model.device)
    set_seed(recipe.seed)
    cast(Any, model).to(memory_format=torch.channels_last)
    budget = Budget(seconds, recipe.steps, recipe.validations, patient=not held_out)
    budget.report = report and (lambda share, step, loss: report(share, step, loss, budget.curve))
    validated = held_out[:MOST_VALIDATED] or samples[:1]
    trainer = TimedTrainer(
        model=model,
        args=args,
        train_dataset=TrainingCrops(samples, processor, recipe.augment, STEPS, recipe.seed),
        validation=[validation_item(s, processor, recipe.validation_crop) for s in validated],
        data_collator=collate,
        processor=processor,
        ema=Ema(recipe.ema_decay),
        keep="best" if held_out else "last",
        judged_by="eval_score",
        callbacks=[budget],
    )
    trainer.budget = budget
    trainer.remove_callback(PrinterCallback)
    stopped = ""
    begun = last_checkpoint(out)
    try:
        with kept_between_steps(model.device), bias_apart(model):
            trainer.train(resume_from_checkpoint=None if begun is None else str(begun))
    except KeyboardInterrupt:
        stopped = "you"
    log = trainer.state.log_history
    record = out / BEST / "validation.json"
    kept = json.loads(record.read_text()) if record.is_file() else {}
    return Run(
        folder=record.parent if kept else None,
        steps=trainer.state.global_step,
        seconds=round(time.monotonic() - budget.start, 1),
        stopped=stopped or ("no better" if budget.is_early else _ended(trainer.state.global_step, recipe)),
        best_step=kept.get("step"),
        curve=budget.curve,
        losses=[(int(entry["step"]), round(entry["loss"], 4)) for entry in log if "loss" in entry],
    )


def _ended(step: int, recipe: Recipe) -> str:
    return "steps" if recipe.steps and step >= recipe.steps else "time"


def arguments(out: Path, recipe: Recipe, device: torch.device) -> TrainingArguments:
    """transformers' settings: nothing by steps, for the `Budget` says when."""
    if device.index is not None and device.type == "cuda":
        torch.cuda.set_device(device)
    settings = TrainingArguments(
        output_dir=str(out),
        max_steps=STEPS,
        per_device_train_batch_size=recipe.batch,
        per_device_eval_batch_size=recipe.batch,
        learning_rate=recipe.learning_rate or RATE,
        weight_decay=recipe.weight_decay,
        max_grad_norm=1.0,
        optim="adamw_torch_fused",
        bf16=has_bfloat16(device),
        use_cpu=device.type == "cpu",
        dataloader_num_workers=LOADERS if device.type == "cuda" else 0,
        eval_strategy="no",
        save_strategy="no",
        eval_on_start=True,
        save_total_limit=2,
        logging_steps=5,
        logging_first_step=True,
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
        label_names=["labels"],
        disable_tqdm=True,
        report_to="none",
        seed=recipe.seed,
    )
    settings._n_gpu = min(settings.n_gpu, 1)  # several GPUs are for several processes
    return settings
