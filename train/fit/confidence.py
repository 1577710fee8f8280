"""Fit the confidence in each nucleus on validation images, save it with the weights, and say how far it can be trusted.

    python -m train.fit.confidence --weights weights/unet-nuclei weights/unetpp-nuclei

A nucleus is right where it has a true partner at an IoU of 0.5. A logistic regression tells that from the features of
`nuclei_models/model/confidence.py`; with two networks there is a second one, which also sees whether the other network
found the same nucleus. On the held-out lists, on which nothing is fitted, nuclei are sorted into ten bins by their
confidence, and of each bin the share that is right is counted: the reliability curve. The expected calibration error is
the mean difference of both, over nuclei. All of it goes to `confidence.json` beside the weights, and with --documents
to docs/confidence.md and docs/confidence.svg.
"""

import argparse
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
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
    """

    rows: np.ndarray
    right: np.ndarray
    image: np.ndarray


def found_by(networks: list[Network], samples: list[Sample]) -> list[Nuclei]:
    """What each network finds, with the agreement as the last feature where there are two networks."""
    found: list[list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = [[] for _ in networks]
    for i, sample in enumerate(tqdm(samples, unit="image")):
        seen = [network.segment(sample.image, RunSettings(), Cut()) for network in networks]
        for k, one in enumerate(seen):
            rows = measured(one.labels, one.maps.probability, one.maps.distance, one.maps.pixel_area)
            if len(seen) == 2:
                rows = np.column_stack([rows, agreement(one.labels, seen[1 - k].labels)])
            known = ~unknown(one.labels, sample.labels)
            right = partners(one.labels, sample.labels)
            found[k].append((rows[known], right[known], np.full(known.sum(), i)))
    return [Nuclei(*(np.concatenate(parts) for parts in zip(*one, strict=True))) for one in found]


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
        model = fit(Nuclei(nuclei.rows[rest], nuclei.right[rest], nuclei.image[rest]), names)
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

    def nuclei_in(lists: list[str]) -> list[Nuclei]:
        samples = [centre(sample, args.side) for name in lists for sample in samples_of(args.data, name)]
        return found_by(networks, samples)

    fitted = nuclei_in(args.fit)
    tests = {name: nuclei_in([name]) for name in args.test}
    reports: dict[str, dict] = {}
    for k, (network, folder) in enumerate(zip(networks, args.weights, strict=True)):
        models = models_of(fitted[k])
        network.processor.confidence_model = models  # type: ignore[assignment]
        save_processor(network.processor, folder)
        held_out: dict[str, dict] = {}
        for kind, model in models.items():
            names = tuple(model["features"])
            lists = {
                f"{' and '.join(Path(name).stem for name in args.fit)}, left out": reliability(
                    left_out(fitted[k], names), fitted[k].right
                )
            }
            for name, nuclei in tests.items():
                sure = confidence(model, nuclei[k].rows[:, : len(names)])
                lists[Path(name).stem] = reliability(sure, nuclei[k].right)
            held_out[kind] = lists
        reports[folder.name] = {
            "weights_sha256": network.sha256,
            "fitted on": [Path(name).stem for name in args.fit],
            "held out": held_out,
        }
        (folder / "confidence.json").write_text(json.dumps(reports[folder.name], indent=1) + "\n")
    text = table(reports)
    if args.documents:
        marked = re.sub(
            r"(?s)(<!-- confidence -->\n).*?(<!-- end -->)", lambda m: f"{m[1]}{text}\n{m[2]}", DOCUMENT.read_text()
        )
        DOCUMENT.write_text(marked)
        draw(reports, PICTURE)
    print(text)


def samples_of(folders: list[str], name: str) -> list[Sample]:
    """A list's images, from the first packed folder that has them. Raises DataError where none has."""
    for folder in folders[:-1]:
        with suppress(DataError):
            return load_packed(folder, read_split(name))
    return load_packed(folders[-1], read_split(name))


if __name__ == "__main__":
    main()
