"""A picture in which several fluorescent stains were merged, or a file with one in each channel -> that of the nuclei.

Microscopes export such pictures: DAPI in blue, other proteins in green and red. Together they hide the nuclei from a
network that knows nuclei alone. Which colour they are in isn't written anywhere; so the network looks at each, and the
one in which it is surest of what it finds is taken. Stained sections on a bright ground, and grey pictures that are
shown in a colour, are no merges. The same is done with the channels of a file that doesn't name them.
"""

import os
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import TypeVar

import numpy as np
from scipy import ndimage

from ..images.planes import COLOURS, NUCLEAR, Indices
from ..images.reader import inspect
from ..images.source import Source
from ..model.diameter import MAX_SIDE
from ..model.intensity import intensity_range, normalise, sample_step
from ..model.layers import NucleiNetwork
from ..model.processing import NucleiProcessing
from ..model.windows import Window, busiest, windows
from .scale import Read, Run, find_diameter, telling
from .tiling import predict_logits

K = TypeVar("K")

SIDE = 512  # rows and columns that are looked at, about, to tell whether it is a merge
DARK = 0.3  # where the ground is below this part of the brightest value in every colour, it is a fluorescence picture
FAINT = 0.25  # a colour with no larger part of the widest colour's range of values shows no stain
ALIKE = 0.8  # colours with a higher correlation show the same
APART = 0.2  # correlation of green and blue: half of the least in 711 sections of the lists to train and validate on
MAX_CHANNELS = 8  # of a file, in which the nuclei are looked for
WINDOWS = 3  # of a large image, at most, in which the nuclei of each stain are looked for
AREA = 0.4  # exponent of the part of the picture that nuclei cover
FEW = 3  # nuclei that count for half
RIM = 0.2  # nuclear diameters around the nuclei, with which they are compared
SECOND = 0.9  # of the score of all stains together, and of one that nuclei are holes in: theirs has better outlines


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
    ranges = span > 1.01 * FAINT * span.max()
    stained = np.flatnonzero(ranges & (seen.std(0) > 0))
    finite, brightest = np.nan_to_num(sample, posinf=0, neginf=0), float((bottom + span).max())
    if len(stained) < 2:
        return ()
    alike = np.corrcoef(seen[:, stained].T)
    is_dark = (np.median(finite, axis=(0, 1)) < DARK * brightest).all()
    has_empty = (~ranges & (bottom < FAINT * brightest)).any()  # no colour is, where light shines through a section
    are_apart = len(stained) == 3 and alike[1, 2] < APART
    if not (is_dark or has_empty or are_apart) or (alike >= ALIKE).all():
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

    def of(stain: int | None) -> Read:
        return lambda window: alone(read(window), stain)

    return _surest({stain: of(stain) for stain in (*reversed(stains), None)}, shape, run, processor)


def find_channel(
    path: str | os.PathLike,
    model: NucleiNetwork,
    processor: NucleiProcessing,
    z: Indices = None,
    t: Indices = None,
    series: int | None = None,
) -> tuple[int | None, str]:
    """The channel of a file in which the network is surest of the nuclei that it finds, where none is named for them.

    Args:
        path: See `images.read`.
        model, processor: See `segment`.
        z, t, series: See `images.planes`; of several planes the network looks at the one that `read` takes.

    Returns:
        The channel from 0, and a sentence for the user; `None` and "" for files of one channel, of colour, of more than
        `MAX_CHANNELS`, or with a channel whose name tells, and where no confidence was fitted for the network.

    Raises:
        ImageError: As `images.read` does, but not for the size.
    """
    info = inspect(path, series, z, t)
    names, n = info.channel_names, info.sizes["C"]
    if info.is_rgb or not 1 < n <= MAX_CHANNELS or any(map(NUCLEAR.search, names)):
        return None, ""
    if processor.num_channels != 3 or processor.confidence_model is None:
        return None, ""
    # an axis of one plane isn't asked for: where a file doesn't say what its pages are, it would be taken for them
    z, t = (asked if isinstance(asked, int) and info.sizes[axis] > 1 else None for axis, asked in (("Z", z), ("T", t)))
    run, shape = partial(predict_logits, model), (info.height, info.width)
    with closing(_Channels(lambda channel: Source(path, z, t, channel, series))) as channels:

        def of(channel: int) -> Read:
            return lambda window: processor.normalised(channels.read(channel, window))

        found = _surest({channel: of(channel) for channel in range(n)}, shape, run, processor)
    name = f" ({names[found]})" if names and names[found] else ""
    return found, f"{n} channels: the network is surest of the nuclei in channel {found + 1}{name}, which is used."


class _Channels:
    """The channels of a file, of which one is open at a time: some formats are read whole to be opened."""

    def __init__(self, open_channel: Callable[[int], Source]):
        self.open_channel = open_channel
        self.number = -1
        self.source: Source | None = None

    def read(self, number: int, window: Window) -> np.ndarray:
        if self.source is None or self.number != number:
            self.close()
            self.number, self.source = number, self.open_channel(number)
        return self.source.read(*window)

    def close(self) -> None:
        if self.source is not None:
            self.source.close()
            self.source = None


def _surest(reads: dict[K, Read], shape: tuple[int, int], run: Run, processor: NucleiProcessing) -> K:
    """The picture, of several of one size, in whose nuclei the network is surest; of equal ones the first."""
    parts = windows(shape, MAX_SIDE)
    chosen = telling(next(iter(reads.values())), parts, WINDOWS) if len(parts) > 1 else parts
    scores: dict[K, float] = {}
    for key, read in reads.items():
        found = [_nuclei(read(window), run, processor) for window in chosen]
        sure = np.concatenate([sure for sure, _, _ in found])
        covered, contrast = (float(np.mean(values)) for values in list(zip(*found, strict=True))[1:])
        n, mean = len(sure), float(sure.mean()) if len(sure) else 0.5
        # also by area, for the network may take round spots for small nuclei, and be sure of them
        scores[key] = (mean - 0.5) * covered**AREA * n / (n + FEW) * (SECOND if key is None or contrast < 0 else 1)
    return max(scores, key=scores.__getitem__)


def alone(image: np.ndarray, stain: int | None) -> np.ndarray:
    """(H, W, C) -> (H, W, C) of one of its channels; as it is for `None`."""
    return image if stain is None else np.broadcast_to(image[..., stain, None], image.shape)


def _nuclei(normalised: np.ndarray, run: Run, processor: NucleiProcessing) -> tuple[np.ndarray, float, float]:
    """Confidence of each nucleus that the network finds, (n,), the part of the picture that they cover, and by how much
    they are brighter than what is around them; nuclei that are not sure enough to be shown don't count.

    Where nuclei seem so small that the picture is enlarged beyond `MAX_SIDE` for the network, it sees the busiest part.
    """
    size = normalised.shape[:2]
    assumed, looks = find_diameter(normalised.__getitem__, size, run, processor)
    scale = processor.scale_for(assumed.pixels)
    logits = looks.kept.get(scale) if looks is not None else None
    if max(size) * scale > MAX_SIDE and logits is None:
        side = max(int(MAX_SIDE / scale), 1)
        normalised = normalised[busiest(normalised, side, side // 2)]
        size = normalised.shape[:2]
    if logits is None:
        logits = run(np.ascontiguousarray(processor.rescale(normalised, scale)))
    maps = processor.maps(logits, size, assumed)
    labels = processor.cut(maps)
    sure = processor.confidence(maps, labels)
    assert sure is not None
    kept = sure >= processor.least_applied(None)
    inside = np.concatenate([[False], kept])[labels]
    around = ndimage.binary_dilation(inside, iterations=max(round(RIM * (assumed.pixels or 0)), 1)) & ~inside
    contrast = normalised[inside].mean() - normalised[around].mean() if around.any() else 0
    return sure[kept], float(inside.mean()), float(contrast)


def stain_note(stain: int | None) -> str:
    """What a person is to be told of the stain that was taken, or ""."""
    if stain is None:
        return ""
    return (
        f"Several stains are merged in this picture: nuclei were looked for in its {COLOURS[stain]} alone, in which "
        f"they are surest. If they are in another colour, choose that channel."
    )
