"""Loss and validation curves of a run as a picture: python -m nuclei_models.training.curves runs/unet/log.json"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def draw_curves(log: list[dict], path: Path) -> None:
    """Draw training loss, validation loss, nucleus IoU and Bowl mAP over the steps.

    Args:
        log: The Trainer's `log_history`.
        path: PNG or SVG to write.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for axis, keys in ((left, {"loss": "training loss", "eval_loss": "validation loss"}),
                       (right, {"eval_iou": "validation nucleus IoU", "eval_map": "validation Bowl mAP"})):  # fmt: skip
        for key, label in keys.items():
            points = [(entry["step"], entry[key]) for entry in log if key in entry]
            axis.plot(*zip(*points, strict=True), label=label) if points else None
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    source = Path(sys.argv[1])
    draw_curves(json.loads(source.read_text()), source.with_name("curves.png"))
