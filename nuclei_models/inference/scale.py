"""Image -> its typical nuclear diameter, found by looking through the network, and how far it can be trusted.

The strategy is `model/scale.py`'s; here are the looks. The first look at a small image sees all of it and is kept:
where it confirms the estimate, as it mostly does, nothing is computed twice. Of a larger image windows are looked at,
the same ones whether the image lies in memory or is read window by window.
"""

from collections.abc import Callable

import numpy as np
import torch

from ..model.diameter import MAX_SIDE
from ..model.processing import NucleiProcessing
from ..model.scale import TRUSTED, Diameter, Evidence, search
from ..model.windows import Window, busiest, contrast, windows

WHOLE = 1.0e6  # pixels that the network sees: up to here a first look sees all of a small image
SIDE = 448  # pixels that the network sees, of the window that other looks are limited to
WINDOWS = 5  # of a large image, at most

Run = Callable[[np.ndarray], torch.Tensor]  # pixel values (3, H, W) to logits (C, H, W)
Read = Callable[[Window], np.ndarray]  # a window of an image to its normalised pixels (h, w, 3), float32
Step = Callable[[int, int], None]  # called with (windows read, windows in all)


class Looks:
    """An image, or a window of one, at assumed diameters.

    Args:
        normalised: (H, W, 3) float32, from `NucleiProcessing.normalised`.
        run: The network.
        processor: The one saved with it; it must have a `look_estimator`.
        keep: Look at all of it at first, if that is no more than `WHOLE` pixels, and keep the logits.
    """

    def __init__(self, normalised: np.ndarray, run: Run, processor: NucleiProcessing, keep: bool = True):
        self.normalised, self.run, self.processor, self.keep = normalised, run, processor, keep
        self.kept: dict[float, torch.Tensor] = {}  # scale to the logits of the whole image

    def __call__(self, diameter: float) -> Evidence:
        """What the network says of an assumed diameter (pixels)."""
        scale = self.processor.scale_for(diameter)
        height, width = self.normalised.shape[:2]
        most = WHOLE if self.keep and not self.kept else SIDE**2
        is_whole = height * width * scale**2 <= most
        part = self.normalised if is_whole else self.normalised[_busiest(self.normalised, max(int(SIDE / scale), 1))]
        x = self.processor.rescale(part, scale)
        logits = self.run(x)
        if is_whole:
            self.kept[scale] = logits
        window = _busiest(x.transpose(1, 2, 0), SIDE)
        seen = x[(slice(None), *window)].transpose(1, 2, 0) * self.processor.image_std + self.processor.image_mean
        return self.processor.look(seen, logits[(slice(None), *window)], diameter)


def find_diameter(
    read: Read,
    shape: tuple[int, int],
    run: Run,
    processor: NucleiProcessing,
    given: float | None = None,
    pixel_size: tuple[float, float] | None = None,
    step: Step | None = None,
) -> tuple[Diameter, Looks | None]:
    """The typical nuclear diameter of an image.

    Of an image of several windows of `MAX_SIDE` pixels at most `WINDOWS` are taken that tell most (`telling`), and of
    their diameters the median: the emptiest tell nothing, and a fold or a pen's mark is outvoted.

    Args:
        read: The image, normalised by the range of the whole.
        shape: Its (height, width).
        run, processor: The network, and the processor saved with it.
        given: Pixels: what the user says; it goes before the processor's own setting, and that before any estimate.
        pixel_size: Height and width of a pixel in micrometres, where the file states them: nuclei are some 4 to 25
            micrometres across.
        step: See `Step`.

    Returns:
        The diameter; and of an image that fits one window its looks, which may have kept what is asked for next.

    Raises:
        ValueError: The given diameter is out of range.
    """
    given = processor.diameter if given is None else given
    if given is not None:
        processor.scale_for(given)
        return Diameter(float(given), 1.0, given=True), None
    if processor.diameter_estimator is None:
        return Diameter(), None
    parts = windows(shape, MAX_SIDE)
    if len(parts) == 1:
        looks = Looks(read(parts[0]), run, processor)
        return _of_window(looks, pixel_size), looks
    found = []
    for window in telling(read, parts, WINDOWS, step):  # one after the other, so that only one is held
        found.append(_of_window(Looks(read(window), run, processor, keep=False), pixel_size))
    return _together(found), None


def telling(read: Read, parts: list[Window], most: int, step: Step | None = None) -> list[Window]:
    """Of the windows of an image the quarter that varies most, and of these at most so many, evenly spread."""
    busy = []
    for done, window in enumerate(parts, 1):
        busy.append(contrast(read(window), 4))
        if step:
            step(done, len(parts))
    quarter = np.sort(np.argsort(-np.array(busy), kind="stable")[: -(-len(parts) // 4)])
    chosen = quarter[np.linspace(0, len(quarter) - 1, min(most, len(quarter))).round().astype(int)]
    return [parts[i] for i in chosen]


def _of_window(looks: Looks, pixel_size: tuple[float, float] | None) -> Diameter:
    processor = looks.processor
    belief = processor.belief(looks.normalised, pixel_size)
    if processor.look_estimator is None:
        return Diameter(belief.diameter, belief.trust, is_doubtful=belief.trust < TRUSTED)
    return search(belief, looks, processor.scale_for)


def _together(found: list[Diameter]) -> Diameter:
    """The median of those that are not doubtful; where most are, of all, and doubtful."""
    sure = [d for d in found if not d.is_doubtful]
    is_doubtful = 2 * len(sure) < len(found)
    counted = found if is_doubtful else sure
    pixels, trust = (float(np.median([getattr(d, name) for d in counted])) for name in ("pixels", "trust"))
    return Diameter(pixels, trust, is_doubtful=is_doubtful, looks=sum(d.looks for d in found))


def _busiest(image: np.ndarray, side: int) -> Window:
    return busiest(image, side, side // 2)
