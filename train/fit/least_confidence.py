"""From which confidence on a nucleus is better kept than dropped.

A nucleus that is very likely wrong costs more as a false one than it brings as a true one: by the Bowl's measure,
TP / (TP + FP + FN), it is to be dropped where its confidence is below AP / (1 + AP). What is best for the whole is
tried on the images that the confidence is fitted on, with confidences that were fitted without the image.
"""

from collections.abc import Sequence

import numpy as np

from nuclei_models.model.instances import keep
from nuclei_models.training.measuring import scores
from nuclei_models.training.samples import Sample

TRIED = tuple(round(0.05 * n, 2) for n in range(11))  # 0 to 0.5: who is likely right always stays


def best_least(
    samples: Sequence[Sample], labels: Sequence[np.ndarray], sure: Sequence[np.ndarray]
) -> tuple[float, list[dict[str, float]]]:
    """The least confidence that nuclei should have, and the figures of all that were tried.

    Args:
        samples: Images with their truth.
        labels: (H, W) int32, all nuclei that were found in each.
        sure: (n,), the confidence of each of these.
    """
    tried = []
    for least in TRIED:
        kept = [keep(one, np.concatenate([[False], s >= least])) for one, s in zip(labels, sure, strict=True)]
        rows = [scores(sample, one) for sample, one in zip(samples, kept, strict=True)]
        dropped = sum(int((s < least).sum()) for s in sure)
        means = {name: round(float(np.mean([row[name] for row in rows])), 4) for name in rows[0]}
        tried.append({"least": least, "dropped": dropped, **means})
    return max(tried, key=lambda row: row["score"])["least"], tried  # of equals the lowest, which drops the fewest
