"""Two label images, or two folders of them -> how many nuclei they share, and how good one is if the other is true."""

from collections.abc import Sequence

import numpy as np

from . import agreement, metrics
from .agreement import Kind

Figures = dict[str, float]


def compare(a: np.ndarray, b: np.ndarray, threshold: float = 0.5) -> Figures:
    """Compare two label images.

    Args:
        a, b: (H, W), integers; 0 is background, 1 .. n one number a nucleus, without gaps. `a` is taken for the truth.
        threshold: IoU from which two nuclei are the same, for the counts and F1; at least 0.5.

    Returns:
        Nuclei in each (`a`, `b`), in both, in one only, and split (`split_a`: whole in b or part of several); `iou`
        and `dice` of the masks, `ap_50` .. `ap_95`, their mean over .5 .. .9, `bowl_map`, `f1`, and `pq`, which is at
        .5; see `metrics`.

    Raises:
        ValueError: The shapes differ, or the threshold is below 0.5.
    """
    shared = agreement.compare(a, b, threshold)
    mask, iou = metrics.count_mask(a, b), metrics.iou_matrix(a, b)
    at = {t: metrics.match(iou, t) for t in metrics.BOWL_THRESHOLDS}
    counts = {"a": len(shared.a) - 1, "b": len(shared.b) - 1, "both": shared.count(Kind.BOTH)[0]}
    for name, kind in (("only", Kind.ONLY), ("split", Kind.SPLIT)):
        counts |= {f"{name}_{side}": n for side, n in zip("ab", shared.count(kind), strict=True)}
    figures = {"iou": mask.iou, "dice": mask.dice}
    figures |= {f"ap_{round(100 * t)}": m.ap for t, m in at.items()}
    figures["ap_50_to_90"] = float(np.mean([at[t].ap for t in (0.5, 0.6, 0.7, 0.8, 0.9)]))
    figures |= {"bowl_map": metrics.bowl_map(iou), "f1": metrics.match(iou, threshold).f1}
    figures["pq"] = at[0.5].panoptic_quality
    return counts | {name: round(value, 6) for name, value in figures.items()}


def summarise(rows: Sequence[Figures]) -> Figures:
    """Sums of the counts and means of the figures of several comparisons."""
    return {
        name: sum(row[name] for row in rows) if isinstance(value, int) else float(np.mean([row[name] for row in rows]))
        for name, value in rows[0].items()
    }
