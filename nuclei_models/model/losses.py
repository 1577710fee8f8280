"""Losses: logits and labels -> one number. The channels' names say how each is trained, see `channels.py`:

- `nucleus` alone: binary cross-entropy and Dice;
- `background, nucleus, border`: cross-entropy, and Dice of the nucleus (nucleus or border) and of the border;
- `distance`: the smooth L1 loss.

Pixels that nobody labelled are left out of the loss: they are negative, among class ids and in target maps. Dice is
computed over a batch, so that batches of other sizes, or several that are accumulated, give a slightly other loss.

The weights 0.6 / 0.2 / 0.2 are those of the first place of the 2018 Data Science Bowl.
"""

import torch
import torch.nn.functional as F

from .channels import class_count

IGNORED = -1.0  # in target maps, in every channel; among class ids any negative number
MADE_BY = "NucleiImageProcessor makes labels from label images: processor(images, segmentation_maps=label_images)."


def segmentation_loss(logits: torch.Tensor, labels: torch.Tensor, names: list[str]) -> torch.Tensor:
    """Loss of one head.

    Args:
        logits: (B, C, H, W), any float dtype; computed in float32.
        labels: See `check_labels`.
        names: The channels' names.

    Returns:
        A scalar, float32.

    Raises:
        ValueError: The labels are none of these.
    """
    check_labels(labels, logits.shape[0], (logits.shape[2], logits.shape[3]), names)
    return loss_of(logits, labels, names)


def check_labels(labels: torch.Tensor, batch: int, size: tuple[int, int], names: list[str]) -> None:
    """Raise a ValueError that says what was given and expected unless these are labels for the loss.

    Args:
        labels: (B, H, W) integers or booleans: class ids from 0, or with one class a mask of 0 and 1, negative where
            nobody knows; they train the classes and leave the distance alone. Or (B, C, H, W) floats in [0, 1]: one
            target map a channel, -1 in all of them where nobody knows.
        batch, size: What B and (H, W) must be.
        names: The channels' names.
    """
    if {"offset_y", "offset_x"} & set(names):
        raise ValueError(f"The channels {', '.join(names)} have no loss here: bring one that knows the offsets.")
    form, n = (batch, *size), class_count(names)
    is_ids, is_maps = labels.ndim == 3, labels.ndim == 4
    if (labels.is_floating_point() and is_ids) or not (is_ids or is_maps) or labels.is_complex():
        raise ValueError(
            f"labels of shape {tuple(labels.shape)} and type {labels.dtype}: expected integers {form}, or floats "
            f"{(batch, len(names), *size)}, one map for each of {', '.join(names)}. {MADE_BY}"
        )
    if tuple(labels.shape) != (form if is_ids else (batch, len(names), *size)):
        raise ValueError(
            f"labels of shape {tuple(labels.shape)} don't fit an output of {size[0]} x {size[1]} pixels for {batch} "
            f"images and the channels {', '.join(names)}: rescale labels and images alike. {MADE_BY}"
        )
    if is_maps and not labels.is_floating_point():
        raise ValueError(f"labels of shape {tuple(labels.shape)} are {labels.dtype}: expected floats. {MADE_BY}")
    if labels.is_meta or torch.compiler.is_compiling() or labels.dtype == torch.bool:
        return
    if is_maps and labels.numel():
        low, high = torch.aminmax(labels)  # one pass; NaN where one is
        if low >= 0 and high <= 1:
            return
    labels = labels if is_maps else labels.long()  # torch compares no uint16, which label files have
    top = 1 if is_maps else max(n - 1, 1)
    wrong = ~(labels <= top) | ((labels < 0) & (labels != IGNORED)) if is_maps else labels > top
    if not wrong.any():
        return
    values = f"labels hold values from {labels.amin().item():g} to {labels.amax().item():g}: expected"
    if is_maps:
        raise ValueError(f"{values} 0 to 1, or -1 for pixels that nobody labelled. {MADE_BY}")
    raise ValueError(
        f"{values} the class ids 0 to {top}, and negative numbers for pixels that nobody labelled. A mask of 0 and 255 "
        f"becomes one by labels > 0. {MADE_BY}"
    )


def loss_of(logits: torch.Tensor, labels: torch.Tensor, names: list[str]) -> torch.Tensor:
    """`segmentation_loss` of labels that were checked."""
    logits, n = logits.float(), class_count(names)
    if labels.ndim == 4:
        return _target_loss(logits, labels.float(), names)
    labels = labels.long()
    if n == 1:
        return _binary_loss(logits[:, 0], labels)
    loss = F.cross_entropy(logits[:, :n], labels.clamp(min=-1), ignore_index=-1, reduction="sum")
    return loss / (labels >= 0).sum().clamp(min=1)


def _binary_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    seen = (labels >= 0).float()
    target = (labels > 0).float() * seen
    bce = F.binary_cross_entropy_with_logits(logits, target, weight=seen, reduction="sum") / seen.sum().clamp(min=1)
    return 0.6 * bce + 0.4 * dice_loss(logits.sigmoid() * seen, target)


def _target_loss(logits: torch.Tensor, targets: torch.Tensor, names: list[str]) -> torch.Tensor:
    n = class_count(names)
    seen = (targets[:, 0] >= 0).float()  # (B, H, W)
    count = seen.sum().clamp(min=1)
    targets = targets.clamp(min=0)
    if n == 1:
        bce = F.binary_cross_entropy_with_logits(logits[:, 0], targets[:, 0], weight=seen, reduction="sum") / count
        loss = 0.6 * bce + 0.4 * dice_loss(logits[:, 0].sigmoid() * seen, targets[:, 0])
    else:
        log_p = logits[:, :n].log_softmax(1)
        loss = -0.6 * ((targets[:, :n] * log_p).sum(1) * seen).sum() / count
        p = log_p.exp()
        loss = loss + 0.2 * dice_loss((1 - p[:, 0]) * seen, (1 - targets[:, 0]) * seen)
        if n > 2:
            loss = loss + 0.2 * dice_loss(p[:, n - 1] * seen, targets[:, n - 1])
    if n < len(names):
        difference = F.smooth_l1_loss(logits[:, n:].sigmoid(), targets[:, n:], beta=0.1, reduction="none")
        loss = loss + (difference.mean(1) * seen).sum() / count
    return loss


def dice_loss(p: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """1 - soft Dice over the whole batch. p, target: (B, H, W) in [0, 1]."""
    return 1 - (2 * (p * target).sum() + 1) / (p.sum() + target.sum() + 1)
