"""Image -> nuclei: the one function that the page, the evaluation and the library call.

It has two halves: `predict` runs the network and gives maps; `NucleiProcessing.instances` cuts them into nuclei
without the network, which is why sliders are fast.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from ..model.channels import check_pair
from ..model.intensity import pixels_of, to_channels
from ..model.layers import NucleiNetwork
from ..model.maps import Maps
from ..model.processing import NucleiProcessing
from ..model.scale import Diameter
from .scale import find_diameter
from .stains import alone, find_stain, stain_note, stains_of
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

    @property
    def median_diameter(self) -> float | None:
        """Of the nuclei found: the median over them of the diameter of a disc of the same area, pixels."""
        return median_diameter(self.labels)

    @property
    def doubt(self) -> str:
        """What a person is to be told of the scale before they count on the result, or ""."""
        return self.maps.diameter.doubt(self.median_diameter)

    @property
    def note(self) -> str:
        """What a person is to be told of the stain that was taken, or ""."""
        return stain_note(self.maps.stain)


def median_diameter(labels: np.ndarray) -> float | None:
    """Median over the nuclei of a label image of the diameter of a disc of the same area, pixels; `None` without."""
    area = np.bincount(labels.ravel())[1:]
    area = area[area > 0]
    return float(np.median(np.sqrt(4 * area / np.pi))) if len(area) else None


def segment(
    image: np.ndarray,
    model: NucleiNetwork,
    processor: NucleiProcessing,
    *,
    threshold: float | None = None,
    separation: float | None = None,
    min_area: float | None = None,
    least_confidence: float | None = None,
    diameter: float | None = None,
    pixel_size: tuple[float, float] | None = None,
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
        least_confidence: Nuclei of a lower confidence are dropped, see `NucleiImageProcessor.sure_enough`; `None` takes
            the setting fitted and saved with the weights, 0 keeps all.
        diameter, pixel_size, tta, tile, progress, precision: See `predict`.

    Raises:
        ValueError: The image is of another shape or empty, or a setting is out of range.
    """
    check_pair(model, processor)
    nothing = np.zeros((1, 1), np.float32)
    settings = threshold, separation, min_area, least_confidence
    processor.instances(Maps(nothing, nothing), *settings)  # refused before the network works
    maps = predict(
        image,
        model,
        processor,
        diameter=diameter,
        pixel_size=pixel_size,
        tta=tta,
        tile=tile,
        progress=progress,
        precision=precision,
    )
    return Segmentation(processor.instances(maps, *settings), maps)


def predict(
    image: np.ndarray,
    model: NucleiNetwork,
    processor: NucleiProcessing,
    *,
    diameter: float | None = None,
    pixel_size: tuple[float, float] | None = None,
    tta: bool = False,
    tile: int | None = None,
    progress: Progress | None = None,
    precision: str = "auto",
    check_scale: Callable[[float], None] | None = None,
) -> Maps:
    """Run the network on an image.

    Args:
        image, model, processor: See `segment`.
        diameter: Typical nuclear diameter in pixels; `None` has it found: estimated from the picture, and checked by
            what the network finds there (`scale.find_diameter`). `Maps.diameter` says what was taken.
        pixel_size: Height and width of a pixel in micrometres, where the file states them: evidence for the diameter.
        tta: Test-time augmentation: the mean over the 8 symmetries of the square, at 8 times the cost.
        tile: Pixels; larger images are seen tile by tile, with the same result. `None`: as memory has it.
        progress: Called with (parts done, parts in all); raise from it to cancel.
        precision: What the network computes in: "auto" is "bfloat16" where the device has instructions for it (results
            differ in a few pixels of nuclei's edges, see docs/speed.md) and "float32" elsewhere.
        check_scale: Called with the factor by which the image is to be rescaled, before the network sees it whole;
            raise from it if that is too much work.

    Returns:
        Maps of the image's size, float32. Of a picture in which several fluorescent stains were merged the network is
        shown the one with the nuclei alone, see `stains.find_stain`; `Maps.stain` says which was taken.

    Raises:
        ValueError: See `segment`; or model and processor don't belong together.
    """
    check_pair(model, processor)
    image = to_channels(pixels_of(image), processor.num_channels)
    size = image.shape[:2]
    normalised = processor.normalised(image)

    def run(x: np.ndarray, progress: Progress | None = progress) -> torch.Tensor:
        return predict_logits(model, np.ascontiguousarray(x), tile, progress, precision)

    stain = find_stain(normalised.__getitem__, size, stains_of(image), partial(run, progress=None), processor)
    normalised = alone(normalised, stain)
    assumed, looks = find_diameter(normalised.__getitem__, size, run, processor, diameter, pixel_size)
    scale = processor.scale_for(assumed.pixels)
    if check_scale is not None:
        check_scale(scale)
    if not tta:
        logits = looks.kept.get(scale) if looks is not None else None
        logits = run(processor.rescale(normalised, scale)) if logits is None else logits
        return processor.maps(logits, size, assumed)._replace(stain=stain)

    def told(n: int) -> Progress | None:
        return None if progress is None else lambda done, total: progress(n * total + done, 8 * total)

    x = processor.rescale(normalised, scale)
    turned = [(k, flip) for flip in (False, True) for k in range(4)]
    total = torch.zeros(model.num_labels, *x.shape[1:])
    for n, (k, flip) in enumerate(turned):
        seen = np.rot90(x[:, :, ::-1] if flip else x, k, (1, 2))
        logits = torch.rot90(run(seen, told(n)), -k, (1, 2))
        total += logits.flip(2) if flip else logits
    return processor.maps(total / len(turned), size, assumed)._replace(stain=stain)


def nuclear_diameter(
    image: np.ndarray,
    model: NucleiNetwork,
    processor: NucleiProcessing,
    pixel_size: tuple[float, float] | None = None,
) -> Diameter:
    """The typical nuclear diameter of an image, as `predict` finds it, without segmenting the image.

    Args:
        image, model, processor, pixel_size: See `predict`.
    """
    check_pair(model, processor)
    image = to_channels(pixels_of(image), processor.num_channels)
    run, size = partial(predict_logits, model), image.shape[:2]
    normalised = processor.normalised(image)
    normalised = alone(normalised, find_stain(normalised.__getitem__, size, stains_of(image), run, processor))
    return find_diameter(normalised.__getitem__, size, run, processor, pixel_size=pixel_size)[0]
