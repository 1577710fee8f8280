"""Logistic regression of which nuclei are right, and how far its confidences can be trusted.

A confidence that is fitted on some organs, stains and laboratories is used on others. How far it then is off is told by
`FORMS`, ways to fit it, each tried where a kind of images is judged by a fit without it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import minimize

from nuclei_models.model.confidence import FEATURES, LIMIT, confidence
from nuclei_models.training.likeness import modality
from nuclei_models.training.samples import Sample, laboratory

BINS = 10
ENOUGH = 50  # nuclei of a kind, from which on its calibration error counts


@dataclass(frozen=True)
class Form:
    """A way to fit the confidence.

    Attributes:
        title: What it is called in the table.
        contrast: Whether the mean contrast of all nuclei of the image is a feature, too, so that a hard image takes
            all of its nuclei down.
        evenness: 0: every nucleus counts the same; 1: every laboratory does; 0.5: a laboratory counts as much as the
            square root of its nuclei.
        penalty: On the squared weights.
        spread: By how much kinds of images are thought to differ, log odds: the confidence is the mean over such kinds.
    """

    title: str
    contrast: bool = False
    evenness: float = 0.0
    penalty: float = 3.0
    spread: float = 0.0


FORMS = (
    Form("every nucleus counts the same"),
    Form("laboratories by the root of their nuclei", evenness=0.5),
    Form("every laboratory counts the same", evenness=1.0),
    Form("the image's contrast as a feature", contrast=True),
    Form("contrast, laboratories by the root", contrast=True, evenness=0.5),
    Form("contrast, laboratories by the root, ten times the penalty", contrast=True, evenness=0.5, penalty=30.0),
    Form("contrast, laboratories by the root, kinds that differ by 0.5", contrast=True, evenness=0.5, spread=0.5),
)
KEPT = FORMS[0]


@dataclass
class Nuclei:
    """The nuclei that a network found in the images of a list.

    Attributes:
        rows: (n, F), their features.
        right: (n,), bool, whether they have a true partner.
        image: (n,), the number of the image that each is from.
        number: (n,), its number in that image's labels.
        kind: (n,), that of its image, see `kind_of`.
        labels: Of each image, (H, W), int32.
    """

    rows: np.ndarray
    right: np.ndarray
    image: np.ndarray
    number: np.ndarray
    kind: np.ndarray
    labels: list[np.ndarray] = field(default_factory=list)

    def of(self, which: np.ndarray) -> "Nuclei":
        """Those that an array, (n,) bool, names; without labels."""
        return Nuclei(self.rows[which], self.right[which], self.image[which], self.number[which], self.kind[which])


def kind_of(sample: Sample) -> str:
    """Laboratory and kind of an image: where its laboratory has several organs the organ, else fluorescence or not."""
    lab, name = laboratory(sample.id), sample.id.rpartition("/")[2]
    organ = name.rpartition("_")[0].replace("_", " ")
    if lab == "nuinsseg":
        return f"{lab}/{organ}"
    return f"{lab}/{'fluorescence' if modality(sample.image) == 'fluorescence' else 'bright field'}"


def weights(kind: np.ndarray, evenness: float) -> np.ndarray:
    """How much nuclei of images of these kinds count, (n,), 1 in the mean."""
    labs = np.array([name.partition("/")[0] for name in kind])
    _, which, count = np.unique(labs, return_inverse=True, return_counts=True)
    weight = count[which] ** -float(evenness)
    return weight / weight.mean()


def fit(nuclei: Nuclei, names: tuple[str, ...], form: Form = KEPT) -> dict:
    """Logistic regression. -> what `confidence` takes, where the form is the one that is kept.

    Args:
        names: The features, which the first columns of the nuclei's rows are.
    """
    rows = _columns(nuclei, names, form)
    weight = weights(nuclei.kind, form.evenness)
    mean = np.average(rows, 0, weight)
    std = np.sqrt(np.average((rows - mean) ** 2, 0, weight)) + 1e-6
    x, sign = np.clip((rows - mean) / std, -LIMIT, LIMIT), np.where(nuclei.right, 1.0, -1.0)

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (x @ w[:-1] + w[-1])
        slope = -sign * weight / (1 + np.exp(np.clip(margin, -50, 50)))
        value = weight @ np.logaddexp(0, -margin) + form.penalty * (w[:-1] ** 2).sum()
        return value, np.append(x.T @ slope + 2 * form.penalty * w[:-1], slope.sum())

    w = minimize(loss, np.zeros(rows.shape[1] + 1), jac=True, method="L-BFGS-B").x
    w /= np.sqrt(1 + np.pi * form.spread**2 / 8)  # the mean of a logistic over a normal distribution, nearly
    numbers = {"mean": mean, "std": std, "weights": w[:-1]}
    return {
        "features": list(names),
        **{name: [float(f"{v:.5g}") for v in values] for name, values in numbers.items()},
        "bias": float(f"{w[-1]:.5g}"),
    }


def judged(model: dict, nuclei: Nuclei, names: tuple[str, ...], form: Form = KEPT) -> np.ndarray:
    """Confidences, (n,), by a fit of any form: the form that is kept is what `confidence` computes."""
    rows = _columns(nuclei, names, form)
    if not form.contrast:
        return confidence(model, rows)
    mean, std, weight = (np.asarray(model[name]) for name in ("mean", "std", "weights"))
    return 1 / (1 + np.exp(-(np.clip((rows - mean) / std, -LIMIT, LIMIT) @ weight + model["bias"])))


def _columns(nuclei: Nuclei, names: tuple[str, ...], form: Form) -> np.ndarray:
    rows = nuclei.rows[:, : len(names)]
    if not form.contrast:
        return rows
    contrast = rows[:, FEATURES.index("contrast")]
    total, count = (np.bincount(nuclei.image, values) for values in (contrast, np.ones(len(contrast))))
    return np.column_stack([rows, (total / np.maximum(count, 1))[nuclei.image]])


def left_out(nuclei: Nuclei, names: tuple[str, ...], fold: np.ndarray, form: Form = KEPT) -> np.ndarray:
    """Confidence of each nucleus by a fit without those of its fold.

    Args:
        fold: (n,), of each nucleus.
    """
    sure = np.empty(len(nuclei.right))
    for one in np.unique(fold):
        mine = fold == one
        sure[mine] = judged(fit(nuclei.of(~mine), names, form), nuclei.of(mine), names, form)
    return sure


def attempts(
    nuclei: Nuclei, names: tuple[str, ...], tests: Mapping[str, Nuclei], forms: Sequence[Form] = FORMS
) -> list[dict]:
    """What each form comes to on kinds of images that its fit hasn't seen.

    Args:
        nuclei: Those that are fitted on.
        tests: Of held-out lists, by name.

    Returns:
        Of each form its title; "kinds", the expected calibration error of every kind with enough nuclei, judged by a
        fit without that kind, and "mean", that of these (`None` where there are not two kinds); and "held out", the
        error on each list by the fit on all.
    """
    kinds, counts = np.unique(nuclei.kind.astype(str), return_counts=True)
    tried = []
    for form in forms:
        errors: dict[str, float] = {}
        if len(kinds) > 1:
            sure = left_out(nuclei, names, nuclei.kind, form)
            for kind in kinds[counts >= ENOUGH]:
                mine = nuclei.kind == kind
                errors[str(kind)] = _error(sure[mine], nuclei.right[mine])
        mean = round(float(np.mean(list(errors.values()))), 4) if errors else None
        model = fit(nuclei, names, form)
        held_out = {name: _error(judged(model, test, names, form), test.right) for name, test in tests.items()}
        tried.append({"form": form.title, "mean": mean, "kinds": errors, "held out": held_out})
    return tried


def by_kind(sure: np.ndarray, nuclei: Nuclei) -> dict[str, dict]:
    """Of each kind of images the number of nuclei, their mean confidence, the share that is right, and the error."""
    found = {}
    for kind in np.unique(nuclei.kind.astype(str)):
        mine = nuclei.kind == kind
        figures = reliability(sure[mine], nuclei.right[mine])
        figures = {name: figures[name] for name in ("nuclei", "right", "expected_calibration_error")}
        found[str(kind)] = figures | {"said": round(float(sure[mine].mean()), 4)}
    return found


def _error(sure: np.ndarray, right: np.ndarray) -> float:
    return reliability(sure, right)["expected_calibration_error"]


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
