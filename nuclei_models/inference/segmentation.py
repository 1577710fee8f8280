"""Image -> nuclei: the one function that the page, the evaluation and the library call.

It has two halves: `predict` runs the network and gives maps; `NucleiImageProcessor.instances` cuts them into nuclei
without the network, which is why sliders are fast.
"""

from dataclasses import dataclass

import numpy as np
import torch

from ..model.channels import check_pair
from ..model.image_processing_nuclei import Maps, NucleiImageProcessor
from ..model.intensity import to_rgb
from ..model.modeling_nuclei import NucleiPreTrainedModel
from .tiling import Progress, predict_logits


@dataclass(frozen=True)
class Segmentation:
    """The nuclei of an image.

    Attributes:
        labels: (H, W), int32; 0 is background, 1 .. n one number a nucleus.
        maps: What the network said, at the image's size.
    """

    labels: np.ndarray
    maps: Maps

    @property
    def count(self) -> int:
        """Number of nuclei."""
        return int(self.labels.max(initial=0))


def segment(
    image: np.ndarray,
    model: NucleiPreTrainedModel,
    processor: NucleiImageProcessor,
    *,
    threshold: float | None = None,
    separation: float | None = None,
    min_area: float | None = None,
    diameter: float | None = None,
    tta: bool = False,
    tile: int | None = None,
    progress: Progress | None = None,
    precision: str = "auto",
) -> Segmentation:
    """Find every nucleus of an image.

    Args:
        image: (H, W) or (H, W, C), any integer or float dtype, native values.
        model: UNet or UNetPlusPlus.
        processor: The one saved with the model.
        threshold, separation, min_area: See `find_instances`; `None` takes the settings fitted and saved with the
            weights, of which the minimum area goes with the nuclei's size.
        diameter, tta, tile, progress, precision: See `predict`.

    Raises:
        ValueError: The image is of another shape or empty, or a setting is out of range.
    """
    maps = predict(
        image, model, processor, diameter=diameter, tta=tta, tile=tile, progress=progress, precision=precision
    )
    return Segmentation(processor.instances(maps, threshold, separation, min_area), maps)


def predict(
    image: np.ndarray,
    model: NucleiPreTrainedModel,
    processor: NucleiImageProcessor,
    *,
    diameter: float | None = None,
    tta: bool = False,
    tile: int | None = None,
    progress: Progress | None = None,
    precision: str = "auto",
) -> Maps:
    """Run the network on an image.

    Args:
        image, model, processor: See `segment`.
        diameter: Typical nuclear diameter in pixels; `None` leaves it to the processor, which estimates it.
        tta: Test-time augmentation: the mean over the 8 symmetries of the square, at 8 times the cost.
        tile: Pixels; larger images are seen tile by tile, with the same result. `None`: as memory has it.
        progress: Called with (parts done, parts in all); raise from it to cancel.
        precision: What the network computes in: "auto" is "bfloat16" where the device has instructions for it (results
            differ in a few pixels of nuclei's edges, see docs/speed.md) and "float32" elsewhere.

    Returns:
        Maps of the image's size, float32.

    Raises:
        ValueError: See `segment`; or model and processor don't belong together.
    """
    check_pair(model, processor)
    image = to_rgb(np.asarray(image))
    x = processor.prepare(image, diameter)
    if not tta:
        return processor.maps(predict_logits(model, x, tile, progress, precision), image.shape[:2])

    def told(n: int) -> Progress | None:
        return None if progress is None else lambda done, total: progress(n * total + done, 8 * total)

    turned = [(k, flip) for flip in (False, True) for k in range(4)]
    total = torch.zeros(model.num_labels, *x.shape[1:])
    for n, (k, flip) in enumerate(turned):
        seen = np.rot90(x[:, :, ::-1] if flip else x, k, (1, 2))
        logits = predict_logits(model, np.ascontiguousarray(seen), tile, told(n), precision)
        logits = torch.rot90(logits, -k, (1, 2))
        total += logits.flip(2) if flip else logits
    return processor.maps(total / len(turned), image.shape[:2])
