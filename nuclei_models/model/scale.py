"""How large are the nuclei of an image? Evidence of several kinds, put together, and how far it can be trusted.

A piece of evidence says where the base-2 logarithm of the diameter lies, and how widely it may err. There are three:

- the picture itself, before any network has seen it (`diameter.py`);
- a look through the network at an assumed diameter: what it finds there, how sure it is, and how well its own channels
  agree with each other tell how far the assumption is off (`look_features`);
- the pixel size that a file states: nuclei are some 4 to 25 micrometres across.

`Belief` multiplies them. Perceptrons with one hidden layer turn features into evidence; `train/fit/scale.py` fits them,
and their weights are saved in `preprocessor_config.json`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy import ndimage

GRID = np.arange(1.0, 9.01, 1 / 32)  # base-2 logarithms of diameters: 2 to 512 pixels
HALF = round(np.log2(1.5) * 32)  # points to a factor of 1.5
OUTLIERS = 0.03  # share of the looks whose evidence is worthless, whatever spread it claims
PICTURE_OUTLIERS = 0.35  # the same of the picture's own evidence: texture is easily taken for nuclei
SMALLEST_UM, LARGEST_UM = 4.0, 25.0  # nuclei, from yeast and lymphocytes to large cultured cells
TRUSTED = 0.8  # a belief below this is doubtful
NEAR = 0.4  # octaves: a look that tells a diameter this near to the answer speaks for it
ALIKE = 0.25  # octaves: a look at a diameter this near to the answer serves as its result
SURE = 0.3  # octaves: the spread below which a look confirms what it saw
CONTRADICTION = 0.8  # octaves between the assumed diameter and that of the nuclei found
UNKNOWN_SPREAD = 0.3  # octaves
APART = 0.6  # octaves between two scales from which on a further look is worth its time
UNSURE, UNSURE_WITHIN = 0.15, 0.5  # share of the looks within so many octaves of the truth that are not sure
SECOND = 3.0  # how much coarser a second look is: it sees a ninth of the pixels
LARGEST_CHECKED = np.log2(200)  # octaves: beyond, nothing is coarser that could be nuclei
USUAL, USUAL_SPREAD = 28.0, 1.5  # pixels and octaves: where to look when nothing better is known


class Evidence(NamedTuple):
    """Where the base-2 logarithm of the diameter (pixels) lies, by a Laplace distribution of this spread, and how often
    such evidence is worthless."""

    log2: float
    spread: float
    outliers: float = OUTLIERS


@dataclass(frozen=True)
class Diameter:
    """The typical nuclear diameter by which an image was rescaled.

    Attributes:
        pixels: Pixels of the image; `None` where nothing was known and the image was not rescaled.
        trust: Probability that it is right within a factor of 1.5; 1 where it was given.
        given: By the user, rather than estimated.
        is_doubtful: Nothing confirmed the estimate: the nuclei may be of another size, and then most are missed or cut.
        looks: How often the network looked to find it.
    """

    pixels: float | None = None
    trust: float = 0.0
    given: bool = False
    is_doubtful: bool = False
    looks: int = 0

    def facts(self) -> dict[str, float | bool | None]:
        """For a record: the assumed diameter, its trust, and whether it is doubtful."""
        return {
            "diameter_assumed_px": None if self.pixels is None else round(self.pixels, 3),
            "diameter_trust": round(self.trust, 3),
            "diameter_doubtful": self.is_doubtful,
        }

    def doubt(self, found: float | None) -> str:
        """What a person is to be told before they count on the result; "" where there is nothing to tell.

        Args:
            found: Median diameter of the nuclei found, pixels; `None` where there are none.
        """
        if self.pixels is None:
            return ""
        about = f"Nuclei about {self.pixels:.0f} px across were {'given' if self.given else 'assumed'}"
        advice = "Measure a nucleus in the picture and give its diameter."
        if found is not None and abs(np.log2(found / self.pixels)) > CONTRADICTION:
            return f"{about}; those found are {found:.0f} px. {advice}"
        if self.is_doubtful:
            return f"{about}, but nothing in the picture confirms it. {advice}"
        return ""


@dataclass
class Belief:
    """What is believed of an image's typical nuclear diameter.

    Args:
        pixel_size: Height and width of a pixel in micrometres, where they are known.
    """

    pixel_size: tuple[float, float] | None = None
    log_density: np.ndarray = field(init=False, repr=False)

    def __post_init__(self):
        self.log_density = np.zeros(len(GRID))
        if self.pixel_size:
            size = float(np.sqrt(np.prod(self.pixel_size)))
            low, high = np.log2(SMALLEST_UM / size), np.log2(LARGEST_UM / size)
            beyond = np.maximum(low - GRID, 0) + np.maximum(GRID - high, 0)
            self.log_density -= np.minimum(beyond / 0.25, 4)  # a stated size may be wrong too

    def add(self, evidence: Evidence) -> None:
        """Take a piece of evidence into account."""
        laplace = np.exp(-np.abs(GRID - evidence.log2) / evidence.spread) / (2 * evidence.spread)
        self.log_density += np.log((1 - evidence.outliers) * laplace + evidence.outliers / (GRID[-1] - GRID[0]))

    def doubt(self, log2: float) -> None:
        """Take into account that a look at this diameter was not sure: near the true one it mostly is."""
        self.log_density += np.where(np.abs(GRID - log2) < UNSURE_WITHIN, np.log(UNSURE), 0.0)

    @property
    def density(self) -> np.ndarray:
        """Probability of each point of `GRID`."""
        p = np.exp(self.log_density - self.log_density.max())
        return p / p.sum()

    @property
    def diameter(self) -> float:
        """Pixels: where the belief is centred within the factor of 1.5 either way that holds most of it."""
        middle, p = int(np.argmax(self._within())), self.density
        near = slice(max(middle - HALF, 0), middle + HALF + 1)
        return float(2.0 ** np.average(GRID[near], weights=p[near]))

    @property
    def trust(self) -> float:
        """The probability that the diameter is right within a factor of 1.5."""
        return float(self._within().max())

    def _within(self) -> np.ndarray:
        """For each point the belief that lies within a factor of 1.5."""
        return np.convolve(self.density, np.ones(2 * HALF + 1), mode="same")


def search(
    belief: Belief, look: Callable[[float], Evidence], scale_for: Callable[[float], float], most: int = 6
) -> Diameter:
    """Look through the network where the nuclei are likely to be, until two looks agree.

    The first is at the likeliest diameter, the second `SECOND` times as coarse: it costs little, and where the first
    took texture within large nuclei for small ones, it sees the large ones. If they don't settle it, more follow.

    Args:
        belief: What is believed before; it takes in what each look says.
        look: An assumed diameter in pixels to the evidence that the network gives there.
        scale_for: An assumed diameter to the factor by which the image is rescaled for it: two diameters with about the
            same factor look the same.
        most: Looks, at most.
    """
    views: list[float] = []
    seen: list[tuple[float, Evidence]] = []
    while len(seen) < most:
        place = _next_place(belief, views, scale_for)
        if place is None:
            break
        evidence = look(2.0**place)
        views.append(np.log2(scale_for(2.0**place)))
        seen.append((place, evidence))
        belief.add(evidence)
        if evidence.spread > SURE:
            belief.doubt(place)
        if _is_confirmed(belief, seen):
            break
    answer = np.log2(belief.diameter)
    nearest = min((place for place, _ in seen), key=lambda place: abs(place - answer))
    if abs(nearest - answer) <= ALIKE:  # what was seen there need not be computed again
        answer = nearest
    return Diameter(float(2.0**answer), belief.trust, is_doubtful=not _is_confirmed(belief, seen), looks=len(seen))


def _is_confirmed(belief: Belief, seen: list[tuple[float, Evidence]]) -> bool:
    answer = np.log2(belief.diameter)
    sure = [e for place, e in seen if e.spread < SURE and abs(place - answer) < 1 and abs(e.log2 - answer) < NEAR]
    coarser = [place for place, _ in seen if place > answer + 1]
    return belief.trust >= TRUSTED and bool(sure) and (bool(coarser) or answer > LARGEST_CHECKED)


def _next_place(belief: Belief, views: list[float], scale_for: Callable[[float], float]) -> float | None:
    """Where to look next, as a base-2 logarithm: at the likeliest diameter, or where nobody has looked."""

    def is_new(place: float, apart: float) -> bool:
        return all(abs(np.log2(scale_for(2.0**place)) - view) > apart for view in views)

    likeliest = float(np.log2(belief.diameter))
    coarse = min(likeliest + np.log2(SECOND), GRID[-1])
    for place in (likeliest, coarse):
        if is_new(place, NEAR):
            return place
    usual = -(((GRID - np.log2(USUAL)) / USUAL_SPREAD) ** 2) / 2
    promising = np.maximum(belief.log_density, belief.log_density.max() - 6) + usual
    new = [i for i in range(0, len(GRID), 8) if is_new(GRID[i], APART)]
    return float(GRID[max(new, key=lambda i: promising[i])]) if new else None


def look_features(
    normalised: np.ndarray, probability: np.ndarray, distance: np.ndarray | None, labels: np.ndarray, seen: float
) -> np.ndarray:
    """What a look through the network tells of the scale.

    Args:
        normalised: (H, W, 3) float32, the image as the network saw it, from `intensity.normalise` and rescaled.
        probability, distance: (H, W) float32, the network's maps at that size.
        labels: (H, W) int32, the nuclei cut from them.
        seen: The diameter that was assumed, in pixels of that size.

    Returns:
        (17,), float32.
    """
    grey = normalised.mean(2)
    inside = labels > 0
    area = np.bincount(labels.ravel())[1:]
    colour = float(np.abs(normalised - grey[..., None]).mean())
    share = float(inside.mean())
    surroundings = [np.log2(seen / 25), min(colour * 5, 2), float(grey.mean())]
    if not len(area):
        return np.array([*surroundings, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], np.float32)
    across = np.sqrt(4 * area / np.pi)
    by_size = np.argsort(area)
    heavy = across[by_size][np.searchsorted(np.cumsum(area[by_size]), area.sum() / 2)]  # half of the area is smaller
    typical = float(np.median(across))
    weights = area / area.sum()
    boxes = ndimage.find_objects(labels)
    extent = np.array(
        [a / ((b[0].stop - b[0].start) * (b[1].stop - b[1].start)) for a, b in zip(area, boxes, strict=True)]
    )
    certain = probability[inside]
    doubt = float((4 * probability * (1 - probability)).sum() / max(area.sum(), 1))
    own = ndimage.distance_transform_edt(inside & ~_edges(labels)) + inside
    top = _maxima(own, labels, len(area))
    shape = own / np.maximum(np.concatenate([[1], top])[labels], 1e-6)
    if distance is None:
        peak, mismatch = 0.75, 0.1
    else:
        peak = float((_maxima(distance, labels, len(area)) * weights).sum())
        mismatch = float(np.abs(distance - shape)[inside].mean())
    rise = float(grey[inside].mean() - grey[~inside].mean()) if share < 1 else 0.0
    texture = float(grey[inside].std()) / (abs(rise) + 0.05)
    return np.array(
        [
            *surroundings,
            np.log2(typical / seen),
            np.log2(heavy / seen),
            float(np.log2(across).std()),
            min(doubt, 3),
            float(certain.mean()),
            peak,
            mismatch * 3,
            1 - share,
            float((extent * weights).sum()),
            float((across < 0.5 * heavy).mean()),
            np.log1p(len(area)) / 3,
            rise,
            min(texture, 3),
            float((4 * certain * (1 - certain)).mean()),
        ],
        np.float32,
    )


def perceive(features: np.ndarray, weights: dict[str, str], outliers: float = OUTLIERS) -> Evidence:
    """Features to evidence by the perceptron `weights`.

    Args:
        features: (F,), float32.
        weights: Numbers as text, blanks between: `mean` and `std` (F,) of the features; `hidden` (F * n,),
            `hidden_bias` (n,), `out` (n * 2,) and `out_bias` (2,), which give the base-2 logarithm and the natural
            logarithm of its spread. With `out` (n,), as saved by version 0.1, the spread is `UNKNOWN_SPREAD`.
        outliers: How often such evidence is worthless.
    """
    w = {name: np.array(text.split(), np.float32) for name, text in weights.items()}
    x = np.clip((features - w["mean"]) / w["std"], -6, 6)
    hidden = np.maximum(x @ w["hidden"].reshape(len(x), -1) + w["hidden_bias"], 0)
    told = hidden @ w["out"].reshape(len(hidden), -1) + w["out_bias"]
    if len(told) == 1:
        return Evidence(float(told[0]), UNKNOWN_SPREAD, outliers)
    log2, log_spread = told
    return Evidence(float(log2), float(np.exp(np.clip(log_spread, -3, 2))), outliers)


def _maxima(values: np.ndarray, labels: np.ndarray, n: int) -> np.ndarray:
    """The highest value of each label 1 .. n, which all have pixels. `ndimage.maximum` sorts, which takes longer."""
    highest = np.full(n + 1, -np.inf, values.dtype)
    np.maximum.at(highest, labels.ravel().astype(np.intp), values.ravel())
    return highest[1:]


def _edges(labels: np.ndarray) -> np.ndarray:
    """Pixels with another label to the right or below, (H, W) bool."""
    edges = np.zeros(labels.shape, bool)
    edges[:-1] |= labels[:-1] != labels[1:]
    edges[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    return edges
