"""A run's share of time: the learning rate follows it, validation comes by it, and it ends the run."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed
from transformers import TrainerCallback

FILE = "budget.json"
WARM_UP, DECAY = 0.05, 0.4  # shares at the beginning and at the end of a run
LEAST = 0.02  # of the learning rate
PATIENCE = 5  # validations without a better one, after which the decay begins at once
COOL_DOWN = 0.15  # share that such an early decay takes


class Budget(TrainerCallback):
    """Ends a run after so many seconds, and validates and saves at even shares of them.

    The learning rate warms up, is constant, and decays, by the share of the time that is used. Where validation gets no
    better, the decay begins early, and the run ends with it. A resumed run goes on with what it had used.

    Args:
        seconds: Of training and validation together.
        steps: At most so many, if given: the share is that of the time or of the steps, whichever is larger.
        validations: How many.
        patient: Whether to let the time run out even if validation gets no better.
        report: Called after every step with (share, step, loss or `None`).
    """

    def __init__(
        self,
        seconds: float,
        steps: int | None = None,
        validations: int = 12,
        patient: bool = False,
        report: Callable[[float, int, float | None], None] | None = None,
    ):
        self.seconds, self.steps, self.validations, self.patient, self.report = (
            seconds,
            steps,
            validations,
            patient,
            report,
        )
        self.used, self.decay_from, self.end = 0.0, 1 - DECAY, 1.0
        self.share, self.done, self.loss = 0.0, 0, None
        self.best, self.since = -1.0, 0
        self.curve: list[tuple[float, float]] = []  # share, validation score
        self.slowest = 0.0  # seconds of a validation
        self.start = self.began_validation = time.monotonic()

    def rate(self) -> float:
        """The factor of the learning rate at this share."""
        if self.share >= self.decay_from:
            left = (self.end - self.share) / max(self.end - self.decay_from, 1e-9)
            return max(left, LEAST)
        return max(min(1.0, self.share / WARM_UP), LEAST)

    @property
    def is_early(self) -> bool:
        """Whether it ended before its time, for validation got no better."""
        return self.end < 1

    def on_train_begin(self, args, state, control, **kwargs):
        saved = Path(args.output_dir) / f"checkpoint-{state.global_step}" / FILE
        if state.global_step and saved.is_file():
            for name, value in json.loads(saved.read_text()).items():
                setattr(self, name, value)
        self.start = time.monotonic() - self.used

    def on_step_end(self, args, state, control, **kwargs):
        by_steps = state.global_step / self.steps if self.steps else 0.0
        self.share = agreed(max((time.monotonic() - self.start) / self.seconds, by_steps), args.device)
        if self.report:
            self.report(self.share, state.global_step, self.loss)
        until = time.monotonic() - self.start + self.slowest  # the last validation takes time, too
        is_over = agreed(max(self.share, until / self.seconds), args.device) >= self.end
        if is_over or self.share * self.validations >= self.done + 1:
            self.done = int(self.share * self.validations)
            control.should_evaluate = control.should_save = True
            control.should_training_stop = is_over
            self.began_validation = time.monotonic()
        return control

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.loss = (logs or {}).get("loss", self.loss)

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        if state.global_step:
            self.slowest = max(self.slowest, time.monotonic() - self.began_validation)
        score = (metrics or {})["eval_score"]
        self.curve.append((round(self.share, 4), round(score, 4)))
        self.since = 0 if score > self.best else self.since + 1
        self.best = max(score, self.best)
        if self.since >= PATIENCE and not self.patient and self.share < self.decay_from:
            self.decay_from, self.end = self.share, min(1.0, self.share + COOL_DOWN)

    def on_save(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            self.used = time.monotonic() - self.start
            kept = ("used", "decay_from", "end", "share", "done", "best", "since", "curve", "slowest")
            file = Path(args.output_dir) / f"checkpoint-{state.global_step}" / FILE
            file.write_text(json.dumps({name: getattr(self, name) for name in kept}))


def agreed(value: float, device: torch.device) -> float:
    """The first process's value, in all of them."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return value
    tensor = torch.tensor([value], dtype=torch.float32, device=device)
    torch.distributed.broadcast(tensor, 0)
    return float(tensor.item())
