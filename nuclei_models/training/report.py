"""The report of a run as one HTML file that opens without a network: pictures before and after, curves, figures."""

import base64
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from PIL import Image

from ..output.display import to_display
from ..output.overlay import draw_overlay
from .candidates import SCALED, START
from .card import COLUMNS, SAID, changed_settings, environment
from .samples import Sample

if TYPE_CHECKING:
    from .result import Result

matplotlib.use("Agg")
from matplotlib import pyplot as plt

MOST = 40  # images shown
SIDE, QUALITY = 420, 88  # pixels of a picture, at most; of its JPEG
NEAR_BLACK, BLUE, ORANGE = "#222", "#0072b2", "#d55e00"


def build_report(made: "Result", samples: Mapping[str, Sample]) -> str:
    """The page.

    Args:
        made: What came of the run, with its outcomes.
        samples: The held-out images that were measured, by id.
    """
    after = _after(made)
    record = made.record
    return (
        environment()
        .get_template("report.html.jinja")
        .render(
            record=record,
            kept=SAID[made.kept],
            why=made.why,
            columns=list(COLUMNS),
            rows=[
                (SAID[name], name == made.kept, [f"{row[key]:.3f}" for key in COLUMNS.values()])
                for name, row in made.figures.items()
            ],
            after_name=SAID[after] if after else None,
            images=_images(made, samples, after),
            hidden=max(len(samples) - MOST, 0) if made.figures else 0,
            curves=_curves(record) if record["training"] else None,
            changed=changed_settings(record["settings"]),
            notes=made.notes,
        )
    )


def _after(made: "Result") -> str | None:
    """What is shown beside the start: what was kept, or the best that wasn't."""
    others = {name: row["score"] for name, row in made.figures.items() if name != START}
    if made.kept in others:
        return made.kept
    others = {name: score for name, score in others.items() if name != SCALED} or others
    return max(others, key=lambda name: others[name]) if others else None


def _images(made: "Result", samples: Mapping[str, Sample], after: str | None) -> list[dict]:
    """The held-out images with their pictures and figures, the worst first."""
    start = made.outcomes.get(START, {})
    shown = made.outcomes.get(after, start) if after else start
    listed = []
    for i in sorted(start, key=lambda i: shown[i].figures["score"])[:MOST]:
        sample, before, now = samples[i], start[i], shown[i]
        picture = to_display(sample.image)
        columns = [("image", picture, f"{sample.labels.shape[1]} x {sample.labels.shape[0]} pixels")]
        columns.append(("truth", draw_overlay(picture, np.maximum(sample.labels, 0)), _nuclei(now.figures["a"])))
        for title, one in (("before", before), ("after", now))[: 2 if after else 1]:
            figures = one.figures
            told = f"{_nuclei(figures['b'])}, score {figures['score']:.3f}"
            told += f" (mAP {figures['bowl_map']:.3f}, IoU {figures['iou']:.3f})"
            columns.append((title, draw_overlay(picture, one.labels), told))
        gain = now.figures["score"] - before.figures["score"]
        pictures = [(title, _jpeg(pixels), told) for title, pixels, told in columns]
        listed.append({"name": i, "pictures": pictures, "gain": f"{gain:+.3f}" if after else None})
    return listed


def _nuclei(n: float) -> str:
    return f"{int(n):,} {'nucleus' if n == 1 else 'nuclei'}"


def _jpeg(pixels: np.ndarray) -> str:
    """(H, W, 3) uint8 -> a data URL, made smaller where it is large."""
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    image.save(file, "jpeg", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _curves(record: dict) -> str:
    """Training loss and score on held-out images, of every run, as SVG in a data URL."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
    runs = record["training"]["runs"]
    for number, run in enumerate(runs, 1):
        label = f"run {number}" if len(runs) > 1 else None
        if run["losses"]:
            left.plot(*zip(*run["losses"], strict=True), lw=1, label=label, color=None if label else BLUE)
        if run["curve"]:
            shares, scores = zip(*run["curve"], strict=True)
            minutes = [share * run["seconds"] / max(shares[-1], 1e-9) / 60 for share in shares]
            right.plot(minutes, scores, marker="o", ms=3, label=label, color=None if label else ORANGE)
    left.set(xlabel="step", ylabel="training loss")
    which = "held-out images" if record["split"]["folds"] == 1 else "a training image"
    right.set(xlabel="minutes of training", ylabel=f"score, centres of {which}")
    for axis in (left, right):
        axis.grid(alpha=0.3)
        if len(runs) > 1:
            axis.legend()
    file = io.BytesIO()
    figure.savefig(file, format="svg")
    plt.close(figure)
    return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode()
