"""Fit the confidence in each nucleus on validation images, save it with the weights, and say how far it can be trusted.

    python -m train.fit.confidence --weights weights/unet-nuclei weights/unetpp-nuclei

A nucleus is right where it has a true partner at an IoU of 0.5. A logistic regression tells that from the features of
`nuclei_models/model/confidence.py`; with two networks there is a second one, which also sees whether the other network
found the same nucleus. Nuclei of a low confidence are dropped, see `train/fit/least_confidence.py`.

On the held-out lists, on which nothing is fitted, nuclei are sorted into ten bins by their confidence, and of each bin
the share that is right is counted: the reliability curve. The expected calibration error is the mean difference of
both, over nuclei. All of it goes to `confidence.json` beside the weights, and with --documents to docs/confidence.md
and docs/confidence.svg.
"""

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from tqdm import tqdm

from nuclei_models.inference.network import Network, load_network
from nuclei_models.inference.settings import Cut, RunSettings
from nuclei_models.model.confidence import AGREEMENT, FEATURES, LIMIT, agreement, confidence, measured
from nuclei_models.training.calibration import partners, unknown
from nuclei_models.training.packed import load_packed
from nuclei_models.training.samples import DataError, Sample
from train.data import read_split
from train.evaluation.lists import LISTS
from train.fit.bundle import save_processor
from train.fit.least_confidence import best_least
from train.fit.thresholds import centre

BINS = 10
FOLDS = 5
PENALTY = 3.0  # on the squared weights
DOCUMENT, PICTURE = Path("docs/confidence.md"), Path("docs/confidence.svg")
NAMES = {"alone": "one network", AGREEMENT: "with the other network's agreement"}


@dataclass
class Nuclei:
    """The nuclei that a network found in the images of a list.

    Attributes:
        rows: (n, F), their features.
        right: (n,), bool, whether they have a true partner.
        image: (n,), the number of the image that each is from.
        number: (n,), its number in that image's labels.
        labels: Of each image, (H, W), int32.
    """

    rows: np.ndarray
    right: np.ndarray
    image: np.ndarray
    number: np.ndarray
    labels: list[np.ndarray] = field(default_factory=list)

    def of(self, which: np.ndarray) -> "Nuclei":
        """Those that an array, (n,) bool, names; without labels."""
        return Nuclei(self.rows[which], self.right[which], self.image[which], self.number[which])


def found_by(networks: Sequence[Network], samples: list[Sample], least: float | None = None) -> list[Nuclei]:
    """What each network finds, with the agreement as the last feature where there are two networks.

    Args:
        least: Confidence of the nuclei; `None` is as the network's processor has it.
    """
    found: list[list[tuple[np.ndarray, ...]]] = [[] for _ in networks]
    labels: list[list[np.ndarray]] = [[] for _ in networks]
    for i, sample in enumerate(tqdm(samples, unit="image")):
        seen = [network.segment(sample.image, RunSettings(), Cut(least_confidence=least)) for network in networks]
        for k, one in enumerate(seen):
            rows = measured(one.labels, one.maps.probability, one.maps.distance, one.maps.pixel_area)
            if len(seen) == 2:
                rows = np.column_stack([rows, agreement(one.labels, seen[1 - k].labels)])
            known = np.flatnonzero(~unknown(one.labels, sample.labels))
            right = partners(one.labels, sample.labels)
            found[k].append((rows[known], right[known], np.full(len(known), i), known + 1))
            labels[k].append(one.labels)
    joined = [[np.concatenate(parts) for parts in zip(*one, strict=True)] for one in found]
    return [Nuclei(a, b, c, d, images) for (a, b, c, d), images in zip(joined, labels, strict=True)]


def by_image(nuclei: Nuclei, sure: np.ndarray) -> list[np.ndarray]:
    """Confidences by image, each with one of 1 for the nuclei of which nobody knows whether they are right."""
    found = [np.ones(int(labels.max(initial=0))) for labels in nuclei.labels]
    for image, number, value in zip(nuclei.image, nuclei.number, sure, strict=True):
        found[image][number - 1] = value
    return found


def fit(nuclei: Nuclei, names: tuple[str, ...]) -> dict:
    """Logistic regression; every nucleus counts the same. -> what `confidence` takes."""
    rows = nuclei.rows[:, : len(names)]
    mean, std = rows.mean(0), rows.std(0) + 1e-6
    x, sign = np.clip((rows - mean) / std, -LIMIT, LIMIT), np.where(nuclei.right, 1.0, -1.0)

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (x @ w[:-1] + w[-1])
        slope = -sign / (1 + np.exp(np.clip(margin, -50, 50)))
        value = np.logaddexp(0, -margin).sum() + PENALTY * (w[:-1] ** 2).sum()
        return value, np.append(x.T @ slope + 2 * PENALTY * w[:-1], slope.sum())

    w = minimize(loss, np.zeros(len(names) + 1), jac=True, method="L-BFGS-B").x
    numbers = {"mean": mean, "std": std, "weights": w[:-1]}
    return {
        "features": list(names),
        **{name: [float(f"{v:.5g}") for v in values] for name, values in numbers.items()},
        "bias": float(f"{w[-1]:.5g}"),
    }


def left_out(nuclei: Nuclei, names: tuple[str, ...]) -> np.ndarray:
    """Confidence of each nucleus by a fit without its image, and without a fifth of the others."""
    fold = np.random.default_rng(0).permutation(int(nuclei.image.max()) + 1)[nuclei.image] % FOLDS
    sure = np.empty(len(nuclei.right))
    for k in range(FOLDS):
        rest = fold != k
        model = fit(nuclei.of(rest), names)
        sure[~rest] = confidence(model, nuclei.rows[~rest, : len(names)])
    return sure


def reliability(sure: np.ndarray, right: np.ndarray) -> dict:
    """How far confidences can be trusted.

    Args:
        sure: (n,), confidences.
        right: (n,), bool.

    Returns:
        Number of nuclei, share that is right, expected calibration error, and of each bin its nuclei, their mean
        confidence and the share that is right.
    """
    at = np.minimum((sure * BINS).astype(int), BINS - 1)
    bins = []
    for k in range(BINS):
        mine = at == k
        if mine.any():
            bins.append([int(mine.sum()), round(float(sure[mine].mean()), 4), round(float(right[mine].mean()), 4)])
    error = sum(n * abs(said - was) for n, said, was in bins) / max(len(sure), 1)
    brier = float(np.mean((sure - right) ** 2)) if len(sure) else 0.0
    return {
        "nuclei": len(sure),
        "right": round(float(right.mean()), 4) if len(sure) else None,
        "expected_calibration_error": round(error, 4),
        "brier_score": round(brier, 4),
        "bins": bins,
    }


def models_of(nuclei: Nuclei) -> dict[str, dict]:
    """The processor's `confidence_model`."""
    models = {"alone": fit(nuclei, FEATURES)}
    if nuclei.rows.shape[1] > len(FEATURES):
        models[AGREEMENT] = fit(nuclei, (*FEATURES, AGREEMENT))
    return models


def table(reports: dict[str, dict]) -> str:
    """The figures as Markdown."""
    rows = [
        "| network | confidence | list | nuclei | right | expected calibration error |",
        "|---|---|---|---:|---:|---:|",
    ]
    for title, kind, name, figures in _lines(reports):
        error = figures["expected_calibration_error"]
        cells = (title, NAMES[kind], name, f"{figures['nuclei']:,}", f"{figures['right']:.1%}", f"{error:.3f}")
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def least_table(reports: dict[str, dict]) -> str:
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


def draw(reports: dict[str, dict], path: Path) -> None:
    """The reliability curves as an SVG."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "confidence"
    from matplotlib import pyplot as plt

    figure, panes = plt.subplots(1, len(reports), figsize=(4.2 * len(reports), 4), sharey=True, squeeze=False)
    for pane, (title, report) in zip(panes[0], reports.items(), strict=True):
        pane.plot([0, 1], [0, 1], color="0.7", label="perfect")
        for style, (name, figures) in zip(
            ("-o", "--s", ":^", "-.d"), report["held out"]["alone"].items(), strict=False
        ):
            _, said, was = np.array(figures["bins"]).T
            pane.plot(said, was, style, label=f"{name}: error {figures['expected_calibration_error']:.3f}")
        pane.set(title=title, xlabel="confidence", xlim=(0, 1), ylim=(0, 1))
        pane.legend(loc="lower right", fontsize="small")
    panes[0][0].set_ylabel("share with a true partner at IoU 0.5")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _lines(reports: dict[str, dict]) -> Iterator[tuple[str, str, str, dict]]:
    for title, report in reports.items():
        for kind, lists in report["held out"].items():
            for name, figures in lists.items():
                yield title, kind, name, figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--weights", nargs="+", type=Path, required=True, help="one network's folder, or both networks'"
    )
    parser.add_argument("--data", nargs="+", default=["data/dsb2018", "data"], help="packed folders, see train.data")
    parser.add_argument("--fit", nargs="+", default=["five_validation"], help="lists that it is fitted on")
    parser.add_argument("--test", nargs="+", default=LISTS, help="lists that it is tried on")
    parser.add_argument("--side", type=int, default=640, help="pixels: of larger images the centre")
    parser.add_argument("--documents", action="store_true", help=f"write {DOCUMENT} and {PICTURE}")
    args = parser.parse_args()
    if len(args.weights) > 2:
        parser.error(f"{len(args.weights)} networks were given: expected one or two.")
    networks = [load_network(str(folder)) for folder in args.weights]

    def images_of(lists: list[str]) -> list[Sample]:
        return [centre(sample, args.side) for name in lists for sample in samples_of(args.data, name)]

    samples = images_of(args.fit)
    fitted = found_by(networks, samples, least=0)
    tried: list[list[dict[str, float]]] = []
    for network, nuclei, folder in zip(networks, fitted, args.weights, strict=True):
        network.processor.confidence_model = models_of(nuclei)
        least, attempts = best_least(samples, nuclei.labels, by_image(nuclei, left_out(nuclei, FEATURES)))
        network.processor.least_confidence = least
        save_processor(network.processor, folder)
        tried.append(attempts)
    tests = {name: found_by(networks, images_of([name])) for name in args.test}
    reports: dict[str, dict] = {}
    for k, (network, folder) in enumerate(zip(networks, args.weights, strict=True)):
        held_out: dict[str, dict] = {}
        models: dict[str, dict] = network.processor.confidence_model  # type: ignore[assignment]
        for kind, model in models.items():
            names = tuple(model["features"])
            lists = {
                f"{' and '.join(Path(name).stem for name in args.fit)}, left out": reliability(
                    left_out(fitted[k], names), fitted[k].right
                )
            }
            for name, found in tests.items():
                sure = confidence(model, found[k].rows[:, : len(names)])
                lists[Path(name).stem] = reliability(sure, found[k].right)
            held_out[kind] = lists
        reports[folder.name] = {
            "weights_sha256": network.sha256,
            "fitted on": [Path(name).stem for name in args.fit],
            "least confidence": tried[k],
            "held out": held_out,
        }
        (folder / "confidence.json").write_text(json.dumps(reports[folder.name], indent=1) + "\n")
    tables = {"confidence": table(reports), "least": least_table(reports)}
    if args.documents:
        text = DOCUMENT.read_text()
        for name, rows in tables.items():
            pattern = rf"(?s)(<!-- {name} -->\n).*?(<!-- end -->)"
            text = re.sub(pattern, lambda m, rows=rows: f"{m[1]}{rows}\n{m[2]}", text)  # type: ignore[misc]
        DOCUMENT.write_text(text)
        draw(reports, PICTURE)
    print("\n\n".join(tables.values()))


def samples_of(folders: list[str], name: str) -> list[Sample]:
    """A list's images, from the first packed folder that has them. Raises DataError where none has."""
    for folder in folders[:-1]:
        with suppress(DataError):
            return load_packed(folder, read_split(name))
    return load_packed(folders[-1], read_split(name))


if __name__ == "__main__":
    main()
