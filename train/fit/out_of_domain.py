"""Fit the rule by which the page warns of an image that isn't one of nuclei.

    python -m train.fit.out_of_domain --weights weights/unet-nuclei weights/unetpp-nuclei

It is written to `nuclei_models/analysis/out_of_domain.json`. Both networks run on images of the training and the
validation list and on pictures without nuclei (`strange.py`); what they say is kept in --cache, so that an interrupted
run goes on. The rule is a logistic regression on the signals of `nuclei_models/analysis/out_of_domain.py`. Its penalty
is the one of `PENALTIES` that best tells apart images that it was fitted without. Its threshold is the lowest at which
no more than --alarms of the validation images, each judged by a rule fitted without it, are called strange. Misses are
counted in the same way, all pictures of one source left out together. The test lists are judged by the final rule and
nothing is fitted on them.
"""

import argparse
import json
import re
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from tqdm import tqdm

from nuclei_models.analysis.out_of_domain import FILE, SIGNALS, Domain, signals, stretched
from nuclei_models.inference.loading import PROCESSOR, load
from nuclei_models.inference.segmentation import predict
from nuclei_models.model.repository import WEIGHTS, sha256
from train.evaluation.lists import samples_of
from train.fit.strange import blank_fields, pictures

PICTURES = 3  # the step between the pictures without nuclei that are used
FOLDS = 5
PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.001)  # on the squared weights; the one that tells unseen images apart best
DOCUMENT = Path("docs/trust.md")
# list -> the step between its images that are used; the first two are fitted on
LISTS = {
    "five_train": 30,
    "five_validation": 2,
    "stage1_test": 6,
    "stardist_test": 8,
    "bsst265_test": 12,
    "tnbc_test": 3,
    "nuinsseg_test": 20,
}


def measure(folders: list[Path], data: str, cache: Path) -> dict[str, dict]:
    """Signals of every image: name -> {"kind", "group", "signals"}; kinds of images of nuclei are the lists' names."""
    networks = [load(folder) for folder in folders]
    done: dict[str, dict] = json.loads(cache.read_text()) if cache.is_file() else {}

    def images():
        for name, every in LISTS.items():
            for sample in samples_of(data, name)[0][::every]:
                yield sample.id, sample.id, name, sample.image
        empty = blank_fields(samples_of(data, "train")[0])
        for picture in (*pictures(), *empty)[::PICTURES]:
            yield picture.name, picture.group, picture.kind, picture.pixels

    for name, group, kind, pixels in tqdm(list(images()), unit="image"):
        if name in done:
            continue
        maps = [predict(pixels, model, processor) for model, processor in networks]
        cut = [processor.cut(m) for m, (_, processor) in zip(maps, networks, strict=True)]
        kept = [p.sure_enough(m, one) for m, one, (_, p) in zip(maps, cut, networks, strict=True)]
        found = int(sum(one.max() for one in kept))
        measured = signals(maps, cut, maps[0].diameter.pixels).round(5).tolist()
        done[name] = {"kind": kind, "group": group, "found": found, "signals": measured}
        write(cache, json.dumps(done))
    return done


def write(path: Path, text: str) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(text)
    part.replace(path)


def fit(x: np.ndarray, strange: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Logistic regression, both classes of equal weight. (N, F) and (N,) bool -> mean, std, weights (F,), bias."""
    x = stretched(x)
    mean, std = x.mean(0), x.std(0) + 1e-6
    z, sign = np.clip((x - mean) / std, -4, 4), np.where(strange, 1.0, -1.0)
    share = np.where(strange, 0.5 / max(strange.sum(), 1), 0.5 / max((~strange).sum(), 1)) * len(x)

    def loss(w: np.ndarray) -> float:
        return float((share * np.logaddexp(0, -sign * (z @ w[:-1] + w[-1]))).sum() + penalty * (w[:-1] ** 2).sum())

    w = minimize(loss, np.zeros(x.shape[1] + 1), method="L-BFGS-B").x
    return mean, std, w[:-1], float(w[-1])


def judged(x: np.ndarray, rule: tuple) -> np.ndarray:
    """Strangeness of each, (N,)."""
    mean, std, weights, bias = rule
    domain = Domain(mean, std, weights, bias, threshold=0.0, networks=(), figures={})
    return np.array([domain.strangeness(row) for row in x])


def left_out(x: np.ndarray, strange: np.ndarray, groups: list[str], penalty: float) -> np.ndarray:
    """Strangeness of each, by a rule that was fitted without its group."""
    order = {group: i for i, group in enumerate(np.random.default_rng(0).permutation(sorted(set(groups))))}
    fold = np.array([order[group] % FOLDS for group in groups])
    scores = np.empty(len(x))
    for k in range(FOLDS):
        scores[fold == k] = judged(x[fold == k], fit(x[fold != k], strange[fold != k], penalty))
    return scores


def told_apart(scores: np.ndarray, strange: np.ndarray) -> float:
    """Of all pairs of a strange image and one that isn't, the share in which the strange one scores higher (AUC)."""
    return float((scores[strange][:, None] > scores[~strange]).mean())


def table(figures: dict) -> str:
    """The figures as Markdown."""
    rows = ["| images | nuclei | tried | said to hold none | warned of | |", "|---|---|---:|---:|---:|---|"]
    for kind, f in figures.items():
        silent = f["images"] - f["warned"] - f["nothing_found"]
        share = (f["images"] - silent if f["nuclei"] else silent) / f["images"]
        verdict = f"false alarms: {share:.1%}" if f["nuclei"] else f"missed: {share:.1%}"
        cells = (kind, "yes" if f["nuclei"] else "no", f["images"], f["nothing_found"], f["warned"], verdict)
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", nargs=2, type=Path, required=True, help="U-Net's folder and U-Net++'s")
    parser.add_argument("--data", default="data", help="folder of the packed folders, see train.data")
    parser.add_argument("--alarms", type=float, default=0.05, help="share of validation images that may be warned of")
    parser.add_argument("--cache", type=Path, help="by default one in runs/ for these weights and settings")
    args = parser.parse_args()
    hashes = [sha256(folder / WEIGHTS) for folder in args.weights]
    made_by = "-".join(sha256(folder / name)[:6] for folder in args.weights for name in (WEIGHTS, PROCESSOR))
    cache = args.cache or Path("runs") / f"domain-{made_by}.json"
    measured = measure(args.weights, args.data, cache)

    seen = {name: m for name, m in measured.items() if m["found"]}  # where nothing is found, that is said instead
    fitted = {name: m for name, m in seen.items() if not m["kind"].endswith("_test")}
    x = np.array([m["signals"] for m in fitted.values()])
    kinds = np.array([m["kind"] for m in fitted.values()])
    strange = ~np.isin(kinds, list(LISTS))
    groups = [m["group"] for m in fitted.values()]
    tried = {penalty: left_out(x, strange, groups, penalty) for penalty in PENALTIES}
    apart = {penalty: told_apart(scores, strange) for penalty, scores in tried.items()}
    penalty = max(apart, key=apart.__getitem__)  # of equals the largest
    scores = tried[penalty]
    threshold = float(np.quantile(scores[kinds == "five_validation"], 1 - args.alarms, method="higher"))
    rule = fit(x, strange, penalty)
    by_name = dict(zip(fitted, scores, strict=True))
    tests = [name for name, m in seen.items() if m["kind"].endswith("_test")]
    by_name |= zip(tests, judged(np.array([seen[name]["signals"] for name in tests]), rule), strict=True)

    figures = {}
    for kind in dict.fromkeys(m["kind"] for m in measured.values()):
        names = [name for name, m in measured.items() if m["kind"] == kind]
        warned = [name for name in names if name in by_name and by_name[name] > threshold]
        nothing = sum(name not in by_name for name in names)
        figures[kind] = {"nuclei": kind in LISTS, "images": len(names), "warned": len(warned), "nothing_found": nothing}
    mean, std, weights, bias = rule
    said = {"signals": list(SIGNALS), "mean": mean.round(5).tolist(), "std": std.round(5).tolist()}
    said |= {"weights": weights.round(5).tolist(), "bias": round(bias, 5), "threshold": round(threshold, 5)}
    said |= {"penalty": penalty, "told_apart": {str(one): round(auc, 4) for one, auc in apart.items()}}
    write(FILE, json.dumps(said | {"networks": hashes, "figures": figures}, indent=1) + "\n")
    text = table(figures)
    if DOCUMENT.is_file():
        old = DOCUMENT.read_text()
        marked = re.sub(r"(?s)(<!-- domain -->\n).*?(<!-- end -->)", lambda m: f"{m[1]}{text}\n{m[2]}", old)
        write(DOCUMENT, marked)
    print(text)
    missed = [name for name, m in fitted.items() if m["kind"] not in LISTS and by_name[name] <= threshold]
    print("Missed:", "; ".join(missed))


if __name__ == "__main__":
    main()
