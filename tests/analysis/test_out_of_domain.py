"""The warning of images without nuclei: what is measured, the rule, and that it fits the bundled networks."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from nuclei_models.analysis import out_of_domain as domain
from nuclei_models.analysis.out_of_domain import (
    NOTHING,
    SIGNALS,
    STRANGE,
    Domain,
    read_domain,
    signals,
    stretched,
    warning,
)
from nuclei_models.inference.settings import Cut, RunSettings
from nuclei_models.model.instances import find_instances
from nuclei_models.model.maps import Maps
from nuclei_models.model.repository import sha256
from nuclei_models.page.doubts import doubts
from nuclei_models.page.handlers import Page
from nuclei_models.page.opened import Picture
from nuclei_models.training.samples import Sample
from tests.support.page import blobs, make_networks
from train.fit.out_of_domain import fit, judged, left_out, table, told_apart
from train.fit.strange import blank_fields, pictures


def answer(seed: int = 0, sure: bool = True, shift: int = 0) -> tuple[Maps, np.ndarray]:
    """What a network may say of 16 round nuclei: sure of them, or a haze."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:128, :128] % 32 - 16
    distance = np.clip(1 - np.hypot(y, x) / 12, 0, 1).astype(np.float32)
    p = (distance > 0).astype(np.float32)
    if not sure:
        p = np.clip(ndimage.gaussian_filter(random.normal(size=p.shape), 3) * 2 + 0.5, 0, 1).astype(np.float32)
        distance = np.full_like(p, 0.1)
    p, distance = np.roll(p, shift, 1), np.roll(distance, shift, 1)
    maps = Maps(p, distance)
    return maps, find_instances(*maps[:2])


def measured(*answers, diameter: float | None = 24.0) -> dict[str, float]:
    maps, labels = zip(*answers, strict=True)
    values = signals(maps, labels, diameter)
    assert values.shape == (len(SIGNALS),) and np.isfinite(values).all()
    return dict(zip(SIGNALS, values.round(3).tolist(), strict=True))


def test_what_is_measured():
    sure = measured(answer(), answer())
    assert sure["agreement"] == sure["overlap"] == 1 and sure["doubt"] == sure["spread"] == 0
    assert sure["size"] < 0.1 and sure["cover"] == pytest.approx(np.pi * 12**2 / 32**2, abs=0.02)
    assert sure["fullness"] == pytest.approx(np.pi / 4, abs=0.06) and 0.3 < sure["depth"] < 0.4
    assert measured(answer(), answer(shift=16))["agreement"] == 0
    assert measured(answer(), answer(), diameter=6)["size"] == pytest.approx(2, abs=0.1)
    assert measured(answer(), answer(), diameter=None)["size"] == 0
    assert measured(answer(sure=False), answer(1, sure=False))["doubt"] > 0.2


@pytest.mark.parametrize("p", [0.0, 1.0])
@pytest.mark.parametrize("size", [(1, 1), (40, 3), (1100, 1000)])
def test_it_can_be_measured_of_anything(p, size):
    maps = Maps(np.full(size, p, np.float32), None)
    measured(*[(maps, find_instances(*maps[:2]))] * 2)


# by the log odds of the doubt alone
RULE = {
    "mean": np.zeros(8),
    "std": np.ones(8),
    "weights": np.eye(8)[2],
    "bias": 0.0,
    "threshold": -3.0,
}  # log odds of the doubt


def test_the_warning():
    rule = Domain(**RULE, networks=("a", "b"), figures={})
    maps, labels = zip(answer(sure=False), answer(1, sure=False), strict=True)
    assert warning(rule, maps, labels) == STRANGE
    assert warning(None, maps, labels) is None
    assert warning(rule, *zip(answer(), answer(), strict=True)) is None
    assert warning(None, maps, [np.zeros((128, 128), np.int32)] * 2) == NOTHING
    assert rule.knows(["b", "a"]) and not rule.knows(["a"]) and not rule.knows(["a", "c"])


def test_the_bundled_rule_belongs_to_the_bundled_networks():
    """If this fails after a training, fit it again: see train/fit/out_of_domain.py."""
    rule = read_domain()
    folders = (Path(__file__).parents[2] / "weights" / f"{key}-nuclei" for key in ("unet", "unetpp"))
    assert rule is not None and rule.knows([sha256(folder / "model.safetensors") for folder in folders])
    for kind in ("five_validation", "stage1_test", "stardist_test", "photograph", "text", "blank", "noise"):
        assert rule.figures[kind]["images"] > 0
    document = (Path(__file__).parents[2] / "docs" / "trust.md").read_text()
    assert table(rule.figures) in document


def test_a_rule_of_other_signals_is_refused(tmp_path):
    said = json.loads(domain.FILE.read_text()) | {"signals": ["other"]}
    (tmp_path / "domain.json").write_text(json.dumps(said))
    with pytest.raises(ValueError, match="fit it again"):
        read_domain(tmp_path / "domain.json")
    assert read_domain(tmp_path / "none.json") is None


def test_the_fit_tells_apart_what_differs_and_nothing_else():
    random = np.random.default_rng(0)
    strange = np.arange(120) % 2 == 0
    x = np.abs(random.normal(size=(120, 8))) + 4 * strange[:, None] * np.eye(8)[SIGNALS.index("depth")]
    groups = [str(i // 4) for i in range(120)]
    assert ((left_out(x, strange, groups, 0.1) > 0) == strange).mean() > 0.95
    assert ((judged(x, fit(x, strange, 0.1)) > 0) == strange).mean() > 0.95
    noise = np.abs(random.normal(size=(120, 8)))
    assert ((left_out(noise, strange, groups, 0.1) > 0) == strange).mean() < 0.65


def test_pairs_that_are_told_apart():
    assert told_apart(np.array([3.0, 1.0, 2.0, 0.0]), np.array([True, True, False, False])) == 0.75


def test_shares_are_weighed_as_log_odds():
    values = stretched(np.array([[0.5, 0.0, 1.0, 0.3, 0.4, 0.9, 0.1, 0.7], np.full(8, 0.9)]))
    assert values[0].round(3).tolist() == [0, -4.595, 4.595, 0.3, 0.4, 0, 0.1, 0.7]
    assert values[1, :3].round(3).tolist() == [2.197] * 3 and values[1, 5] == 0


def test_pictures_without_nuclei():
    made = list(pictures())
    assert {p.kind for p in made} == {"photograph", "texture", "drawing", "text", "blank", "noise"}
    assert len({p.name for p in made}) == len(made) > 80
    assert all(p.pixels.ndim in (2, 3) and p.pixels.dtype.kind == "u" for p in made)


def test_blank_fields_hold_no_nucleus():
    labels = np.zeros((200, 300), np.int32)
    labels[:, :100] = 1
    image = np.where(labels, 255, 7).astype(np.uint8)
    (field,) = blank_fields([Sample("a", image, labels), Sample("b", image, np.ones_like(labels))])
    assert field.pixels.shape == (128, 128) and (field.pixels == 7).all()


def test_the_page_says_it(tmp_path):
    networks = make_networks(tmp_path)
    page = Page(networks, [])
    assert page.domain is None  # the bundled rule knows other networks
    page.domain = Domain(**RULE | {"bias": 9.0}, networks=(), figures={})
    for bias, said in ((9.0, ["This doesn't look like an image of nuclei."]), (-9.0, [])):
        page.domain = Domain(**RULE | {"bias": bias}, networks=(), figures={})
        analysis = page.run(Picture("a", blobs()), RunSettings(), None, None)
        assert [doubt.title for doubt in doubts(analysis, Cut(), page.domain)] == said
