"""A network beside the two that are compared: to be chosen where it is there, and missed by nobody where it isn't."""

from types import SimpleNamespace

import numpy as np
import pytest

from nuclei_models.inference import bundled
from nuclei_models.inference.network import load_for_inference
from nuclei_models.page.handlers import Page
from nuclei_models.page.layout import build
from nuclei_models.page.networks import Networks, sources_from_environment
from nuclei_models.page.opened import Picture
from tests.support.page import as_type, blobs

VISITOR = SimpleNamespace(session_hash="me")


@pytest.fixture(scope="module")
def three(sources) -> Networks:
    networks = Networks(sources | {"unet-small": sources["unet"]})
    networks["unet-small"].processor.separation = 0.9
    return networks


def choosers(networks: Networks) -> list:
    return [one for one in build(networks, []).blocks.values() if getattr(one, "elem_id", "") in ("compare", "with")]


def test_it_can_be_chosen_on_the_page(three, nets):
    assert [one.visible for one in choosers(nets)] == [False, False]
    shown = choosers(three)
    assert [one.value for one in shown] == ["unet", "unetpp"] and all(one.visible for one in shown)
    assert shown[0].choices == [("U-Net", "unet"), ("U-Net++", "unetpp"), ("U-Net small", "unet-small")]
    assert [network.key for network in three] == ["unet", "unetpp"]  # what the sliders stand for


def test_what_it_finds_can_be_seen_and_saved(three):
    page = Page(three, [])
    page.visitors._visitor("me").picture = key = page.store.put(Picture("a", as_type(blobs(64, 64), np.uint16)))
    question, _ = page.ask(VISITOR, 1, None, None, False, None, key, "unet-small", "unetpp")
    result, status = page.analyse(VISITOR, question, None)
    infos = [slider.info for slider in page.fitted(VISITOR, result)]
    about = "Higher: more cuts between nuclei that touch."
    assert infos[1] == f"{about} By default each network uses its own fitted value: 0.90 and 0.50."
    assert "U-Net small" in status and list(page.store.get(result).maps) == ["unet-small", "unetpp"]
    assert page.file(VISITOR, "labels.tif", result, "unet-small", 0.5, 0.5, 0, None).endswith("a_unet-small_labels.tif")


def test_the_page_takes_it_where_it_is_bundled_or_named(sources, tmp_path, monkeypatch):
    monkeypatch.setattr(bundled, "PACKAGE", tmp_path / "nuclei_models")
    for name in bundled.TITLES:
        (tmp_path / "weights" / f"{name}-nuclei").mkdir(parents=True)
        (tmp_path / "weights" / f"{name}-nuclei" / "config.json").touch()
    assert list(sources_from_environment()) == ["unet", "unetpp"]
    monkeypatch.setenv("UNET_SMALL_MODEL", "org/unet-small-nuclei@v1")
    assert sources_from_environment()["unet-small"] == "org/unet-small-nuclei@v1"
    monkeypatch.delenv("UNET_SMALL_MODEL")
    (tmp_path / "weights" / "unet-small-nuclei").symlink_to(sources["unet"])
    assert sources_from_environment()["unet-small"] == "unet-small-nuclei"
    assert load_for_inference("unet-small-nuclei").title == "U-Net small"
