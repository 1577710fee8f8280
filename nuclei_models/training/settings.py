"""The processor's settings, fitted on the images that are trained on, or kept where these are too few."""

from collections.abc import Mapping, Sequence
from copy import deepcopy

import numpy as np

from ..model.image_processing_nuclei import NucleiImageProcessor
from ..model.maps import Maps
from .augment import median_diameter
from .measuring import scores
from .samples import Sample

NAMES = ("threshold", "separation", "min_area", "diameter", "min_diameter", "max_diameter", "distance_sigma")
ENOUGH_IMAGES, ENOUGH_NUCLEI = 3, 50  # to fit on
CLEARLY = 0.01  # better score, on images that are trained on, before a setting is changed
THRESHOLDS = (0.4, 0.5, 0.6, 0.7, 0.8)
SEPARATIONS = (0.3, 0.4, 0.5, 0.6, 0.7)
MIN_AREAS = (0.0, 15.0, 30.0, 60.0)  # pixels at the network's scale
TRIED = 1 + len(THRESHOLDS) + len(SEPARATIONS) + len(MIN_AREAS)  # times that every image is cut
ALIKE = 1.5  # factor between the 10th and the 90th percentile of diameters up to which images count as of one scale
OCTAVES = 0.1  # by which the median diameter has to be nearer the truth than the estimate is


def settings_of(processor: NucleiImageProcessor) -> dict[str, float | None]:
    """The settings that this module fits, and those that they go with."""
    return {name: getattr(processor, name) for name in NAMES}


def fit_scale(
    processor: NucleiImageProcessor, samples: Sequence[Sample], assumed: Mapping[str, float | None]
) -> tuple[NucleiImageProcessor, str]:
    """Take the images' own nuclear diameter in place of the one that is found, where that is nearer their truth.

    Args:
        samples: Images that are trained on.
        assumed: For some of their ids, the diameter (pixels) that the start takes; `None`: it takes the image as it is.

    Returns:
        The processor, a changed copy or itself; and a sentence.
    """
    known = {s.id: d for s in samples if (d := median_diameter(s.labels))}
    tried = [i for i in known if i in assumed]
    if processor.diameter is not None or len(known) < 2 or not tried:
        return processor, "The nuclear diameter is as the start has it."
    true = np.log2(list(known.values()))
    low, high = np.percentile(true, [10, 90])
    if high - low > np.log2(ALIKE):
        return processor, "Nuclear sizes differ among the images: the diameter of each is found, as before."
    median = float(np.median(true))

    def error(image: str, taken: float) -> float:
        """Octaves by which the network sees the nuclei larger or smaller than it would at their own diameter."""
        wrong, right = processor.scale_for(taken), processor.scale_for(known[image])
        return abs(float(np.log2(wrong / right)))

    found = np.mean([error(i, assumed[i] or _as_it_is(processor)) for i in tried])
    if found < np.mean([error(i, 2**median) for i in tried]) + OCTAVES:
        return processor, "The nuclear diameter of each image is found, as before: their median is no nearer."
    fitted, diameter = deepcopy(processor), round(2**median, 1)
    setattr(fitted, "diameter", diameter)  # noqa: B010
    return fitted, (
        f"The nuclear diameter is set to {diameter:g} pixels, the median of the images that are trained on: with the "
        f"one that is found, the network sees them {2**found:.2f} times too large or too small."
    )


def _as_it_is(processor: NucleiImageProcessor) -> float:
    """A diameter at which an image isn't rescaled."""
    return float(processor.min_diameter)


def fit_cut(
    processor: NucleiImageProcessor, samples: Sequence[Sample], maps: Sequence[Maps], of: int | None = None
) -> tuple[NucleiImageProcessor, str]:
    """Fit threshold, separation and minimum area, one after the other, by the mean score.

    Args:
        samples, maps: Images that are trained on, and what the network says of them with this processor.
        of: How many images are trained on, where time allows for fewer to fit on; by default all of them.

    Returns:
        The processor, a changed copy or itself; and a sentence.
    """
    nuclei = sum(len(np.unique(s.labels[s.labels > 0])) for s in samples)
    if len(samples) < ENOUGH_IMAGES <= (of or 0):
        return (
            processor,
            f"Thresholds and minimum size are kept: there was time to try others on {len(samples)} image(s).",
        )
    if len(samples) < ENOUGH_IMAGES or nuclei < ENOUGH_NUCLEI:
        return processor, (
            f"Thresholds and minimum size are kept: {len(samples)} image(s) with {nuclei} nuclei are too few to fit "
            f"them on (at least {ENOUGH_IMAGES} and {ENOUGH_NUCLEI})."
        )

    def score(tried: NucleiImageProcessor) -> float:
        return float(np.mean([scores(s, tried.instances(m))["score"] for s, m in zip(samples, maps, strict=True)]))

    fitted, best = processor, score(processor)
    for name, values in (("threshold", THRESHOLDS), ("separation", SEPARATIONS), ("min_area", MIN_AREAS)):
        for value in values:
            tried = deepcopy(fitted)
            setattr(tried, name, value)
            if (reached := score(tried)) > best + CLEARLY:
                fitted, best = tried, reached
    if fitted is processor:
        return processor, "Thresholds and minimum size are kept: no others do clearly better on what is trained on."
    changed = [n for n in ("threshold", "separation", "min_area") if getattr(fitted, n) != getattr(processor, n)]
    told = ", ".join(f"{n.replace('_', ' ')} {getattr(fitted, n):g} (was {getattr(processor, n):g})" for n in changed)
    return fitted, f"Fitted on {len(samples)} images that are trained on: {told}."
