"""An image's table -> the few figures that tell of the image, for summaries and reports of many."""

from collections.abc import Mapping
from typing import Any

import numpy as np

STEPS = 4  # bins of a histogram to an octave
DOUBTFUL = 0.5  # confidence below which a nucleus is doubtful


def figures_of(table: Mapping[str, np.ndarray], size: tuple[int, int], left_out: Mapping[str, int]) -> dict[str, Any]:
    """What summaries tell of an image's nuclei; can be written as JSON.

    Args:
        table: From `measure`, of those that were kept.
        size: Height and width of the image.
        left_out: See `filters.Kept`.

    Returns:
        Among others "histograms" of diameters and intensities, see `histogram`; they add up over images.
    """
    n = len(table["label"])
    sure = table.get("confidence")
    figures = {
        "nuclei": n,
        "left_out": dict(left_out),
        "median_diameter_px": _median(table["diameter_px"]),
        "median_intensity": _median(table["mean_intensity"]) if "mean_intensity" in table else None,
        "mean_confidence": round(float(sure.mean()), 4) if n and sure is not None else None,
        "doubtful": None if sure is None else int((sure < DOUBTFUL).sum()),
        "at_edge": int(table["touches_edge"].sum()),
        "covered": round(float(table["area_px"].sum() / (size[0] * size[1])), 6),
    }
    names = [name for name in ("diameter_px", "diameter_um", "mean_intensity") if name in table]
    return figures | {"histograms": {name: histogram(table[name]) for name in names}}


def histogram(values: np.ndarray) -> dict[str, int]:
    """How many of the finite values above 0 lie in each bin: bin k goes from 2^(k / STEPS) to 2^((k + 1) / STEPS)."""
    values = values[np.isfinite(values) & (values > 0)]
    bins, counts = np.unique(np.floor(np.log2(values) * STEPS).astype(int), return_counts=True)
    return {str(k): int(n) for k, n in zip(bins.tolist(), counts.tolist(), strict=True)}


def saturated(pixels: np.ndarray) -> float:
    """Share of the pixels that are as bright as their type of whole numbers can say, in the channel where most are."""
    if pixels.dtype.kind not in "iu":
        return 0.0
    full = pixels == np.iinfo(pixels.dtype).max
    channels = full[..., :3] if full.ndim == 3 else full[..., None]
    return round(float(channels.reshape(-1, channels.shape[-1]).mean(0).max()), 5)


def _median(values: np.ndarray) -> float | None:
    values = values[np.isfinite(values)]
    return round(float(np.median(values)), 4) if len(values) else None
