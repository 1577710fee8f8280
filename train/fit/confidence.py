"""Fit the confidence in each nucleus on validation images, save it with the weights, and say how far it can be trusted.

    python -m train.fit.confidence --weights weights/unet-nuclei weights/unetpp-nuclei
    python -m train.fit.confidence --weights weights/unet-small-nuclei
    python -m train.fit.confidence_documents

A nucleus is right where it has a true partner at an IoU of 0.5. A logistic regression tells that from the features of
`nuclei_models/model/confidence.py`; with two networks there is a second one, which also sees whether the other network
found the same nucleus (`train/fit/confidence_fit.py`). Nuclei of a low confidence are dropped, see
`train/fit/least_confidence.py`.

On the held-out lists, on which nothing is fitted, nuclei are sorted into ten bins by their confidence, and of each bin
the share that is right is counted: the reliability curve. The expected calibration error is the mean difference of
both, over nuclei. All of it goes to `confidence.json` beside the weights, with what other ways to fit come to on kinds
of images that they haven't seen. `train/fit/confidence_documents.py` makes the tables and curves of these files.
"""

import argparse
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from tqdm import tqdm

from nuclei_models.inference.network import Network, load_network
from nuclei_models.inference.settings import Cut, RunSettings
from nuclei_models.model.confidence import AGREEMENT, FEATURES, agreement, confidence, measured
from nuclei_models.training.calibration import partners, unknown
from nuclei_models.training.packed import load_packed
from nuclei_models.training.samples import DataError, Sample
from train.data import read_split
from train.evaluation.lists import LISTS
from train.fit.bundle import save_processor
from train.fit.confidence_fit import Nuclei, attempts, by_kind, fit, judged, kind_of, left_out, reliability
from train.fit.least_confidence import best_least
from train.fit.thresholds import centre

FOLDS = 5


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
            kind = np.full(len(known), kind_of(sample), object)
            found[k].append((rows[known], right[known], np.full(len(known), i), known + 1, kind))
            labels[k].append(one.labels)
    lists = []
    for parts, images in zip(found, labels, strict=True):
        rows, right, image, number, kind = (np.concatenate(column) for column in zip(*parts, strict=True))
        lists.append(Nuclei(rows, right, image, number, kind, images))
    return lists


def by_image(nuclei: Nuclei, sure: np.ndarray) -> list[np.ndarray]:
    """Confidences by image, each with one of 1 for the nuclei of which nobody knows whether they are right."""
    found = [np.ones(int(labels.max(initial=0))) for labels in nuclei.labels]
    for image, number, value in zip(nuclei.image, nuclei.number, sure, strict=True):
        found[image][number - 1] = value
    return found


def folds(nuclei: Nuclei) -> np.ndarray:
    """A fifth of the images for each nucleus, (n,), its own image among them."""
    return np.random.default_rng(0).permutation(int(nuclei.image.max()) + 1)[nuclei.image] % FOLDS


def models_of(nuclei: Nuclei) -> dict[str, dict]:
    """The processor's `confidence_model`."""
    models = {"alone": fit(nuclei, FEATURES)}
    if nuclei.rows.shape[1] > len(FEATURES):
        models[AGREEMENT] = fit(nuclei, (*FEATURES, AGREEMENT))
    return models


def report_of(model: dict, fitted: Nuclei, name: str, tests: dict[str, Nuclei]) -> dict[str, dict]:
    """The reliability of one confidence, by list.

    Args:
        model: The fit.
        fitted, name: The nuclei that it was fitted on, and what they are called.
        tests: Nuclei of held-out lists.
    """
    names = tuple(model["features"])
    lists = {f"{name}, left out": reliability(left_out(fitted, names, folds(fitted)), fitted.right)}
    for test, found in tests.items():
        lists[test] = reliability(confidence(model, found.rows[:, : len(names)]), found.right)
    return lists


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--weights", nargs="+", type=Path, required=True, help="one network's folder, or both networks'"
    )
    parser.add_argument("--data", nargs="+", default=["data/dsb2018", "data"], help="packed folders, see train.data")
    parser.add_argument("--fit", nargs="+", default=["five_validation"], help="lists that it is fitted on")
    parser.add_argument("--test", nargs="*", default=LISTS, help="lists that it is tried on")
    parser.add_argument("--side", type=int, default=640, help="pixels: of larger images the centre")
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
        least, rows = best_least(samples, nuclei.labels, by_image(nuclei, left_out(nuclei, FEATURES, folds(nuclei))))
        network.processor.least_confidence = least
        save_processor(network.processor, folder)
        tried.append(rows)
    tests = {Path(name).stem: found_by(networks, images_of([name])) for name in args.test}
    name = " and ".join(Path(name).stem for name in args.fit)
    for k, (network, folder) in enumerate(zip(networks, args.weights, strict=True)):
        models: dict[str, dict] = network.processor.confidence_model  # type: ignore[assignment]
        mine = {test: found[k] for test, found in tests.items()}
        report = {
            "weights_sha256": network.sha256,
            "fitted on": [Path(name).stem for name in args.fit],
            "least confidence": tried[k],
            "held out": {kind: report_of(model, fitted[k], name, mine) for kind, model in models.items()},
            "kinds": {test: by_kind(judged(models["alone"], n, FEATURES), n) for test, n in mine.items()},
            "attempts": {kind: attempts(fitted[k], tuple(model["features"]), mine) for kind, model in models.items()},
        }
        (folder / "confidence.json").write_text(json.dumps(report, indent=1) + "\n")


def samples_of(folders: list[str], name: str) -> list[Sample]:
    """A list's images, from the first packed folder that has them. Raises DataError where none has."""
    for folder in folders[:-1]:
        with suppress(DataError):
            return load_packed(folder, read_split(name))
    return load_packed(folders[-1], read_split(name))


if __name__ == "__main__":
    main()
