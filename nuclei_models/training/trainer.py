"""transformers' Trainer, with the averaged weights (EMA) that are validated and kept."""

import json
import shutil
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainerCallback

from ..analysis.metrics import bowl_map, count_mask, iou_matrix
from ..model import NucleiImageProcessor
from . import processes
from .teacher import Teacher

EMA_FILE = "ema.safetensors"
BEST = "best"


class Ema(TrainerCallback):
    """Exponential moving average of the weights: after step t, average += (1 - d) (weights - average).

    d is `decay`, less at the beginning: (1 + t) / (10 + t). It is saved in every checkpoint and read on resume.
    """

    def __init__(self, decay: float):
        self.decay = decay
        self.average: dict[str, torch.Tensor] = {}

    def on_train_begin(self, args, state, control, model, **kwargs):
        saved = Path(args.output_dir) / f"checkpoint-{state.global_step}" / EMA_FILE
        self.average = {k: v.detach().clone() for k, v in model.state_dict().items()}
        if state.global_step:
            for name, value in load_file(saved).items():
                self.average[name].copy_(value)

    @torch.no_grad()
    def on_step_end(self, args, state, control, model, **kwargs):
        decay = min(self.decay, (1 + state.global_step) / (10 + state.global_step))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    def on_save(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            part = folder / f"{EMA_FILE}.part"
            save_file({k: v.contiguous() for k, v in self.average.items()}, part)
            part.replace(folder / EMA_FILE)  # the last file of a checkpoint, see `last_checkpoint`

    @contextmanager
    def applied_to(self, model: torch.nn.Module):
        """The model with the averaged weights in place of its own."""
        own = {k: v.detach().clone() for k, v in model.state_dict().items()}
        model.load_state_dict(self.average)
        try:
            yield model
        finally:
            model.load_state_dict(own)


def last_checkpoint(out: Path) -> Path | None:
    """The newest checkpoint that is whole, or `None`. A run that was killed while it wrote one goes on from the one
    before; what is left of the other is removed, as it would count among those that are kept."""
    numbered = {int(path.name.split("-")[1]): path for path in out.glob("checkpoint-*") if path.name[11:].isdecimal()}
    whole = {step: path for step, path in numbered.items() if (path / EMA_FILE).is_file()}
    if processes.is_first():
        for step in numbered.keys() - whole.keys():
            shutil.rmtree(numbered[step])
    return whole[max(whole)] if whole else None


@contextmanager
def mirrored(model: torch.nn.Module):
    """The model as it is used: an unpadded U-Net, which trains on crops with their surroundings, mirrors the edge."""
    padding = getattr(model.config, "padding", None)
    if padding == "valid":
        model.config.padding = "mirror"
    try:
        yield model
    finally:
        if padding is not None:
            model.config.padding = padding


class NucleiTrainer(Trainer):
    """Trains on crops in their given order; validates the averaged weights and keeps the best under `best/`.

    Args:
        validation: (item, labels) pairs, see `validation_item`.
        processor: Turns logits into nuclei for validation, and is saved with the weights.
        ema: The averaged weights.
        keep: What is kept under `best/`: the "best" weights on the validation crops, or the "last".
        judged_by: The figure that says which weights are best.
        teacher: Its word is part of the target maps that are trained on; validation knows the truth alone.
        callbacks: Further ones; what they save comes before the averaged weights, which make a checkpoint whole.
    """

    def __init__(
        self,
        *args,
        validation: list,
        processor: NucleiImageProcessor,
        ema: Ema,
        keep: str = "best",
        judged_by: str = "eval_map",
        teacher: Teacher | None = None,
        callbacks: Sequence[TrainerCallback] = (),
        **kwargs,
    ):
        super().__init__(*args, eval_dataset=[item for item, _ in validation], callbacks=[*callbacks, ema], **kwargs)
        self.truth = [labels for _, labels in validation]
        self.processor, self.ema, self.keep, self.judged_by = processor, ema, keep, judged_by
        self.teacher = teacher

    def compute_loss(self, model, inputs, *args, **kwargs):
        """The loss on a batch of crops; `inputs` are those of the model."""
        if self.teacher is not None:
            targets = self.teacher.targets(inputs["pixel_values"], inputs["labels"])
            inputs = {**inputs, "labels": targets}
        return super().compute_loss(model, inputs, *args, **kwargs)

    def _get_train_sampler(self, *args, **kwargs):
        return SequentialSampler(self.train_dataset)  # the dataset is random itself

    @torch.no_grad()
    def evaluate(self, *args, **kwargs) -> dict[str, float]:
        """Loss, nucleus IoU and the Bowl's mean AP on the validation crops, mean by image; keeps the best weights."""
        model = self.model
        was_training = model.training
        losses, ious, aps = [], [], []
        with self.ema.applied_to(model.eval()), mirrored(model):
            for batch, truth in self._batches():
                with self.compute_loss_context_manager():
                    output = model(**batch, return_dict=True)
                losses.append(output.loss.item())
                for logits, labels in zip(output.logits, truth, strict=True):
                    found = self.processor.instances(self.processor.maps(logits))
                    ious.append(count_mask(labels, found).iou)
                    aps.append(bowl_map(iou_matrix(labels, found)))
            metrics = {"eval_loss": np.mean(losses), "eval_iou": np.mean(ious), "eval_map": np.mean(aps)}
            metrics["eval_score"] = (metrics["eval_iou"] + metrics["eval_map"]) / 2
            metrics = {k: float(v) for k, v in metrics.items()}
            self._keep_if_best(metrics)
        model.train(was_training)
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _batches(self):
        size = self.args.per_device_eval_batch_size
        for i in range(0, len(self.eval_dataset), size):
            yield self._prepare_inputs(self.data_collator(self.eval_dataset[i : i + size])), self.truth[i : i + size]

    def _keep_if_best(self, metrics: dict[str, float]) -> None:
        """Save the weights if they are the best of this run so far, or if the last are kept; whole or not at all."""
        if not self.is_world_process_zero():
            return
        folder = Path(self.args.output_dir) / BEST
        record = folder / "validation.json"
        best = json.loads(record.read_text())[self.judged_by] if record.is_file() else -1.0
        if self.keep == "best" and not metrics[self.judged_by] > best:
            return
        part = folder.with_name(f"{BEST}.part")
        shutil.rmtree(part, ignore_errors=True)
        self.model.save_pretrained(part)
        self.processor.save_pretrained(part)
        (part / "validation.json").write_text(json.dumps({"step": self.state.global_step, **metrics}, indent=2) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
