"""Losses: logits and labels -> one number. The channels' names say how each is trained.

Channel names, in this order, as `config.id2label` gives them:

- `nucleus` alone: one logit, binary cross-entropy and Dice;
- `background, nucleus, border`: exclusive classes, cross-entropy, and Dice of the nucleus (nucleus or border) and of
  the border. The border lies inside the nucleus, so nucleus + border is the mask;
- `distance`, after these: the logit of the normalised distance to the nucleus's edge, in [0, 1].

Pixels that nobody labelled are left out of the loss: class id 255 among integer labels, `IGNORED` in every channel of
target maps.

The weights 0.6 / 0.2 / 0.2 are those of the first place of the 2018 Data Science Bowl.
"""

import torch
import torch.nn.functional as F

IGNORE_INDEX = 255  # among class ids
IGNORED = -1.0  # in target maps


def class_count(names: list[str]) -> int:
    """How many leading channels are exclusive classes; the rest are regressed."""
    return len([n for n in names if n != "distance"])


def segmentation_loss(logits: torch.Tensor, labels: torch.Tensor, names: list[str]) -> torch.Tensor:
    """Loss of one head.

    Args:
        logits: (B, C, H, W), any float dtype; computed in float32.
        labels: (B, H, W) integers: class ids, or with one channel a mask (0 / 1), 255 = ignored; or (B, C, H, W)
            floats in [0, 1]: one target map a channel, in the channels' order, -1 in all of them = ignored.
        names: The channels' names.

    Returns:
        A scalar, float32.

    Raises:
        ValueError: The labels fit neither form.
    """
    logits = logits.float()
    if labels.ndim == 3 and labels.shape == (logits.shape[0], *logits.shape[2:]) and not labels.is_floating_point():
        if logits.shape[1] == 1:
            return _binary_loss(logits[:, 0], labels)
        return F.cross_entropy(logits, labels.long(), ignore_index=IGNORE_INDEX)
    if labels.shape == logits.shape and labels.is_floating_point():
        return _target_loss(logits, labels.float(), names)
    raise ValueError(
        f"labels of shape {tuple(labels.shape)} and dtype {labels.dtype} don't fit logits of shape "
        f"{tuple(logits.shape)}: give integers (batch, height, width) or floats of the logits' shape."
    )


def _binary_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    seen = (labels != IGNORE_INDEX).float()
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
