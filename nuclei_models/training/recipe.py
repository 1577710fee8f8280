"""How a network is trained on a person's images: everything that a run is a function of, but for the images."""

from dataclasses import dataclass, field, replace

import torch

from ..model.image_processing_nuclei import NucleiImageProcessor
from .augment import AugmentConfig

FINE_TUNING = AugmentConfig(
    crop_size=160,
    paste=0.25,
    on_nucleus=0.7,
    elastic=0.2,
    to_grey=0.1,
    invert=0.02,
    tint=0.02,
    stain=0.02,
    hed_jitter=0.5,
    channel_shuffle=0.02,
    gain=0.3,
    offset=0.1,
    gamma=0.3,
    shade=0.1,
    blur=0.08,
    noise=0.08,
)
RATE, ROOT_OF_PARAMETERS, HIGHEST_RATE = 3e-4, 7.8e6**0.5, 3e-3  # for the U-Net of 32 to 512 feature maps; at most
SLACK = 1.25  # crops are drawn beyond the range of diameters that images are rescaled to, by this factor


@dataclass(frozen=True)
class Recipe:
    """Settings of a run.

    Attributes:
        batch: Crops of a step, on each device.
        learning_rate: Of AdamW, where it is constant; see `budget.py`. `None`: by the network's width.
        ema_decay: Of the averaged weights, which are validated and kept.
        validations: How many, over the time.
        steps: Of each run, at most; it ends with them, even if time is left. `None`: only time ends it.
        validation_crop: Pixels; the centre of each held-out image, at the scale that its nuclei ask for.
        augment: See `augment.py`; its range of diameters is the processor's, see `for_processor`.
    """

    batch: int = 8
    learning_rate: float | None = None
    weight_decay: float = 1e-4
    ema_decay: float = 0.998
    validations: int = 12
    validation_crop: int = 256
    steps: int | None = None
    seed: int = 0
    augment: AugmentConfig = field(default_factory=lambda: FINE_TUNING)

    def for_network(self, model: torch.nn.Module, processor: NucleiImageProcessor) -> "Recipe":
        """With crops at the scales at which the processor shows images to the network, and a learning rate for it.

        The rate goes with one over the width, as the root of the number of parameters has it.
        """
        low, high = processor.min_diameter / SLACK, processor.max_diameter * SLACK
        width = sum(p.numel() for p in model.parameters()) ** 0.5
        rate = min(RATE * ROOT_OF_PARAMETERS / width, HIGHEST_RATE)
        augment = replace(self.augment, min_diameter=low, max_diameter=high)
        return replace(self, augment=augment, learning_rate=self.learning_rate or float(f"{rate:.2g}"))
