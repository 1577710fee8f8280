"""A colour picture in which several fluorescent stains were merged -> the stain that shows the nuclei.

Microscopes export such pictures: DAPI in blue, other proteins in green and red. Together they hide the nuclei from a
network that knows nuclei alone. Which colour they are in isn't written anywhere; so the network looks at each, and the
one in which it is surest of what it finds is taken. Stained sections on a bright ground, and grey pictures that are
shown in a colour, are no merges.
"""

import math

import numpy as np

from ..model.diameter import MAX_SIDE
from ..model.intensity import intensity_range, normalise, sample_step
from ..model.processing import NucleiProcessing
from ..model.windows import windows
from .scale import Read, Run, find_diameter, telling

SIDE = 512  # rows and columns that are looked at, about, to tell whether it is a merge
DARK = 0.5  # the ground of a fluorescence picture is below this part of the brightest value
FAINT = 0.25  # a colour with no larger part of the widest colour's range of values shows no stain
ALIKE = 0.8  # colours with a higher correlation show the same
WINDOWS = 3  # of a large image, at most, in which the nuclei of each stain are looked for
SURE, MANY = 0.9, 0.03  # mean confidence, and score (see `find_stain`), at which no other stain is looked at


def stains_of(image: np.ndarray) -> tuple[int, ...]:
    """The channels that show a stain each, if the image is a merge of fluorescent stains; none of any other image.

    Args:
        image: (H, W, C), native values; only three channels can be a merge.
    """
    if image.shape[2] != 3:
        return ()
    every = sample_step(*image.shape[:2])
    sample = image[::every, ::every]
    step = max(1, min(sample.shape[:2]) // SIDE)
    sample = sample[::step, ::step]
    bottom, span = intensity_range(sample)
    seen = normalise(sample, bottom, span).reshape(-1, 3).clip(0, 1)
    stained = np.flatnonzero((span > 1.01 * FAINT * span.max()) & (seen.std(0) > 0))
    finite = np.nan_to_num(sample, posinf=0, neginf=0)
    is_dark = (np.median(finite, axis=(0, 1)) < DARK * float((bottom + span).max())).all()
    if len(stained) < 2 or not is_dark or (np.corrcoef(seen[:, stained].T) >= ALIKE).all():
        return ()
    return tuple(int(c) for c in stained)


def find_stain(
    read: Read, shape: tuple[int, int], stains: tuple[int, ...], run: Run, processor: NucleiProcessing
) -> int | None:
    """The stain in which the network is surest of the nuclei that it finds. Blue, in which most are shown, comes first.

    Args:
        read: The image, normalised by the range of the whole.
        shape: Its (height, width).
        stains: See `stains_of`.
        run, processor: The network, and the processor saved with it.

    Returns:
        One of the stains; `None` if there are none, if the network is surest of all together, or if no confidence was
        fitted for it.
    """
    if not stains or processor.confidence_model is None:
        return None
    parts = windows(shape, MAX_SIDE)
    chosen = telling(read, parts, WINDOWS) if len(parts) > 1 else parts

    n_pixels = sum(math.prod(axis.stop - axis.start for axis in window) for window in chosen)
    scores: dict[int | None, float] = {}
    for stain in (*reversed(stains), None):
        found = [_nuclei(alone(read(window), stain), run, processor) for window in chosen]
        sure, area = (np.concatenate(values) for values in zip(*found, strict=True))
        # by area, for round spots may look like nuclei; squared, for cell bodies are larger and less sure
        scores[stain] = float((area * (sure - 0.5) * np.abs(sure - 0.5)).sum()) / n_pixels
        if scores[stain] >= MANY and sure.mean() >= SURE:
            return stain
    return max(scores, key=scores.__getitem__)


def alone(image: np.ndarray, stain: int | None) -> np.ndarray:
    """(H, W, C) -> (H, W, C) of one of its channels; as it is for `None`."""
    return image if stain is None else np.broadcast_to(image[..., stain, None], image.shape)


def _nuclei(normalised: np.ndarray, run: Run, processor: NucleiProcessing) -> tuple[np.ndarray, np.ndarray]:
    """Confidence and area of each nucleus that the network finds, (n,) each."""
    size = normalised.shape[:2]
    assumed, looks = find_diameter(normalised.__getitem__, size, run, processor)
    scale = processor.scale_for(assumed.pixels)
    logits = looks.kept.get(scale) if looks is not None else None
    if logits is None:
        logits = run(np.ascontiguousarray(processor.rescale(normalised, scale)))
    maps = processor.maps(logits, size, assumed)
    labels = processor.cut(maps)
    sure = processor.confidence(maps, labels)
    assert sure is not None
    return sure, np.bincount(labels.ravel(), minlength=len(sure) + 1)[1:]


def stain_note(stain: int | None) -> str:
    """What a person is to be told of the stain that was taken, or ""."""
    if stain is None:
        return ""
    colour = ("red", "green", "blue")[stain]
    return (
        f"Several stains are merged in this picture: nuclei were looked for in its {colour} alone, in which they are "
        f"surest. If they are in another colour, choose that channel."
    )
