"""`nuclei compare`: pair, compare, and print a table."""

import re
from pathlib import Path

from nuclei_models.analysis.comparison import Figures, compare, summarise
from nuclei_models.images.label_images import pair, read_label_planes
from nuclei_models.images.reader import ImageError
from nuclei_models.jobs import durable
from nuclei_models.model.repository import flat
from nuclei_models.output.tables import to_csv

from . import console
from .console import complain, say

CSV = "comparison.csv"
HEADING = ("image", "A", "B", "both", "only", "split", "IoU", "F1", "mAP")
MEANS = {"IoU": "iou", "Dice": "dice", "F1": "f1", "PQ": "pq", "AP .5 to .9": "ap_50_to_90", "mAP": "bowl_map"}
OTHERS = 58  # characters that the figures take in a line


def compare_all(a: Path, b: Path, out: Path | None, threshold: float) -> int:
    """Compare, print, and write comparison.csv into `out`. -> exit code."""
    try:
        pairs, only_a, only_b = pair(a, b)
    except ImageError as error:
        complain(f"Error: {error}")
        return console.WRONG_USAGE
    rows: dict[str, Figures] = {}
    failed = 0
    for name, (path_a, path_b) in pairs.items():
        try:
            rows |= compared(name, path_a, path_b, threshold)
        except Exception as error:  # of any type: one image must not cost the others
            failed += 1
            complain(f"failed: {name}: {explained(error)}")
    for side, names in (("A", only_a), ("B", only_b)):
        if names:
            listed = ", ".join(names[:5]) + (", .." if len(names) > 5 else "")
            complain(f"{len(names)} only in {side}: {listed}")
    if not rows:
        complain("Error: There is nothing to compare.")
        return console.WRONG_USAGE if not failed else console.SOME_FAILED
    show(rows)
    if out is not None:
        try:
            durable.write_all({out / CSV: comparison_csv(rows)})
        except durable.RunStopped as error:
            complain(f"Stopped: {error}")
            return console.STOPPED
        say(f"All figures are in {out / CSV}.")
    return console.SOME_FAILED if failed or only_a or only_b else console.OK


def compared(name: str, path_a: Path, path_b: Path, threshold: float) -> dict[str, Figures]:
    """Figures of two label images, or of two stacks plane by plane. Raises ImageError where they don't match."""
    planes_a, planes_b = read_label_planes(path_a), read_label_planes(path_b)
    if len(planes_a) != len(planes_b):
        raise ImageError(f"A has {len(planes_a)} planes and B {len(planes_b)}: expected the same number.")
    return {
        f"{name} {place}".strip(): compare(a, b, threshold)
        for (place, a), (_, b) in zip(planes_a, planes_b, strict=True)
    }


def explained(error: Exception) -> str:
    """Why two label images can't be compared, in a sentence that names the file that is to blame, if one is."""
    if isinstance(error, MemoryError):
        return "They don't fit into the memory here: crop both, or compare them on a machine with more."
    return str(error) if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {flat(error)[:300]}"


def show(rows: dict[str, Figures]) -> None:
    """A table of the images, of many those with the lowest F1, and of all together."""
    shown = list(rows)
    if len(rows) > console.SHOWN:
        shown = sorted(rows, key=lambda name: rows[name]["f1"])[: console.SHOWN // 2]
        say(f"{len(rows):,} images, those with the lowest F1:")
    everything = summarise(list(rows.values()))
    lines = [cells(console.shortened(name, OTHERS), rows[name]) for name in shown]
    console.table(HEADING, lines + ([cells("all", everything)] if len(rows) > 1 else []))
    of = "Mean of all: " if len(rows) > 1 else ""
    say("\n" + of + ", ".join(f"{name} {everything[key]:.3f}" for name, key in MEANS.items()))
    ap = " ".join(f"{value:.3f}" for name, value in everything.items() if re.fullmatch(r"ap_\d\d", name))
    say(f"AP at .5, .55 .. .95: {ap}")
    say("A is taken for the truth. only, split: nuclei of A/B. mAP: the Bowl's, over .5 to .95.")


def cells(name: str, row: Figures) -> tuple[str, ...]:
    counts = [f"{row['a']:,}", f"{row['b']:,}", f"{row['both']:,}"]
    counts += [f"{row[f'{kind}_a']:,}/{row[f'{kind}_b']:,}" for kind in ("only", "split")]
    return (name, *counts, *(f"{row[key]:.3f}" for key in ("iou", "f1", "bowl_map")))


def comparison_csv(rows: dict[str, Figures]) -> bytes:
    """One row an image, and the last of all: sums of the counts, means of the figures."""
    everything = rows | {"all": summarise(list(rows.values()))}
    first = next(iter(rows.values()))
    return to_csv(["image", *first], ([name, *row.values()] for name, row in everything.items()))
