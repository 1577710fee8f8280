"""The tables and reliability curves of docs/confidence.md, from the `confidence.json` of the bundled networks.

python -m train.fit.confidence_documents
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from nuclei_models.model.confidence import AGREEMENT
from train.evaluation.lists import LISTS
from train.fit.confidence_fit import BINS, KEPT
from train.release.golden import BUNDLED
from train.release.markdown import fill

DOCUMENT, PICTURE = Path("docs/confidence.md"), Path("docs/confidence.svg")
NAMES = {"alone": "one network", AGREEMENT: "with the other network's agreement"}

FEW = 20  # nuclei of a bin that is drawn
HARDEST = "nuinsseg_test"  # the list whose organs nobody has seen

Reports = Mapping[str, Mapping]  # by network, what its confidence.json says


def table(reports: Reports) -> str:
    """The errors on the lists as Markdown."""
    rows = [
        "| network | confidence | list | nuclei | right | expected calibration error |",
        "|---|---|---|---:|---:|---:|",
    ]
    for title, kind, name, figures in _lines(reports):
        error = figures["expected_calibration_error"]
        cells = (title, NAMES[kind], name, f"{figures['nuclei']:,}", f"{figures['right']:.1%}", f"{error:.3f}")
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def least_table(reports: Reports) -> str:
    """What dropping nuclei of a low confidence brings, as Markdown; the limit that is kept is bold."""
    rows = [
        "| network | nuclei dropped below | dropped | nucleus IoU | AP at .5 | Bowl mAP |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for title, report in reports.items():
        best = max(row["score"] for row in report["least confidence"])
        kept = next(row["least"] for row in report["least confidence"] if row["score"] == best)
        for row in report["least confidence"]:
            least = f"**{row['least']:g}**" if row["least"] == kept else f"{row['least']:g}"
            figures = " | ".join(f"{row[name]:.4f}" for name in ("iou", "ap_50", "bowl_map"))
            rows.append(f"| {title} | {least} | {row['dropped']:,} | {figures} |")
    return "\n".join(rows)


def attempts_table(reports: Reports, lists: Sequence[str] = ()) -> str:
    """What ways to fit come to on kinds of images that they haven't seen, as Markdown; the one that is kept is bold.

    Args:
        lists: Held-out lists, of which the largest error is shown; by default the mean over kinds of validation images,
            each judged by a fit without it.
    """
    columns: dict[str, dict[str, float]] = {}
    for title, report in reports.items():
        for kind, rows in report.get("attempts", {}).items():
            errors = {row["form"]: [row["held out"].get(name) for name in lists] or [row["mean"]] for row in rows}
            if not any(None in some for some in errors.values()):
                name = f"{title}{', with agreement' if kind == AGREEMENT else ''}"
                columns[name] = {form: max(some) for form, some in errors.items()}
    lines = ["| the fit | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for form in next(iter(columns.values()), ()):
        title = f"**{form}**" if form == KEPT.title else form
        lines.append("| " + " | ".join([title, *(f"{errors[form]:.3f}" for errors in columns.values())]) + " |")
    return "\n".join(lines)


def kinds_table(reports: Reports, name: str) -> str:
    """What is said of each kind of images in a held-out list and what is right, as Markdown."""
    told = {title: report["kinds"][name] for title, report in reports.items() if name in report.get("kinds", {})}
    lines = ["| images | " + " | ".join(told) + " |", "|---|" + "---|" * len(told)]
    for kind in next(iter(told.values()), ()):
        cells = [kind.rpartition("/")[2]]
        for one in (kinds[kind] for kinds in told.values()):
            error = one["expected_calibration_error"]
            cells.append(
                f"{one['nuclei']:,} nuclei, {one['said']:.1%} said, {one['right']:.1%} right, error {error:.3f}"
            )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(reports: Reports, path: Path) -> None:
    """The reliability curves as an SVG; bins of few nuclei, which say little, are left out."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "confidence"
    from matplotlib import pyplot as plt

    figure, panes = plt.subplots(1, len(reports), figsize=(4.2 * len(reports), 5.4), sharey=True, squeeze=False)
    styles: Sequence[str] = ("-o", "--s", ":^", "-.d", "-x", "--v")
    for pane, (title, report) in zip(panes[0], reports.items(), strict=True):
        pane.plot([0, 1], [0, 1], color="0.7", label="perfect")
        for style, (name, figures) in zip(styles, report["held out"]["alone"].items(), strict=False):
            _, said, was = np.array([one for one in figures["bins"] if one[0] >= FEW]).reshape(-1, 3).T
            pane.plot(said, was, style, label=f"{name}: error {figures['expected_calibration_error']:.3f}")
        pane.set(title=title, xlabel="confidence", xlim=(0, 1), ylim=(0, 1))
        pane.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), fontsize="small")
    panes[0][0].set_ylabel("share with a true partner at IoU 0.5")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def together(lists: Sequence[Mapping]) -> dict:
    """Number of nuclei, share that is right and expected calibration error of the nuclei of several lists, from what
    `reliability` says of each."""
    tenths: dict[int, np.ndarray] = {}  # of each bin: nuclei, sum of confidences, number that is right
    for n, said, was in (one for figures in lists for one in figures["bins"]):
        bin_ = min(int(said * BINS), BINS - 1)
        tenths[bin_] = tenths.get(bin_, np.zeros(3)) + n * np.array([1, said, was])
    n, said, right = np.array(list(tenths.values())).reshape(-1, 3).T
    total = max(int(n.sum()), 1)
    error = float(np.abs(said - right).sum() / total)
    return {"nuclei": int(n.sum()), "right": float(right.sum() / total), "expected_calibration_error": error}


def _lines(reports: Reports) -> Iterator[tuple[str, str, str, Mapping]]:
    for title, report in reports.items():
        for kind, lists in report["held out"].items():
            for name, figures in lists.items():
                yield title, kind, name, figures
            tests = [figures for name, figures in lists.items() if name in LISTS]
            if len(tests) > 1:
                yield title, kind, "**all held-out lists**", together(tests)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", nargs="+", type=Path, default=BUNDLED, help="networks' folders")
    args = parser.parse_args()
    reports = {folder.name: json.loads((folder / "confidence.json").read_text()) for folder in args.weights}
    blocks = {"confidence": table(reports), "least": least_table(reports)}
    others = [name for name in LISTS if name != HARDEST]
    blocks |= {"unseen": attempts_table(reports), "hardest": attempts_table(reports, [HARDEST])}
    blocks |= {"others": attempts_table(reports, others), "organs": kinds_table(reports, HARDEST)}
    DOCUMENT.write_text(fill(DOCUMENT.read_text(), blocks))
    draw(reports, PICTURE)
    print("\n\n".join(blocks.values()))


if __name__ == "__main__":
    main()
