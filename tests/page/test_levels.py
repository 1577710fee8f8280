"""Pruning levels: measured by a command, shown by the page."""

import json
import sys

import numpy as np
import pytest

from nuclei_models import NucleiImageProcessor, UNetPlusPlus, UNetPlusPlusConfig
from nuclei_models.inference.levels import FILE, Level, measured_with, read_levels
from nuclei_models.inference.loading import load
from nuclei_models.inference.network import load_network
from nuclei_models.inference.segmentation import segment
from nuclei_models.model.repository import sha256
from nuclei_models.page.layout import build
from nuclei_models.page.levels import choices, explained
from nuclei_models.page.networks import Networks
from nuclei_models.training.packed import pack
from nuclei_models.training.samples import Sample
from tests.support.page import blobs, save_networks
from train.evaluation import levels
from train.evaluation.evaluate import evaluate


@pytest.fixture
def sources(tmp_path) -> dict[str, str]:
    return save_networks(tmp_path)


@pytest.fixture
def measured(sources, tmp_path, monkeypatch) -> dict:
    """What the command writes for the tiny U-Net++, whose levels all find the same."""
    model, processor = load(sources["unetpp"])
    image = (blobs(96, 96) * 255).astype(np.uint8)
    labels = segment(image, model, processor).labels
    pack(Sample("a", image, labels), tmp_path / "packed")
    (tmp_path / "list.txt").write_text("a\n")
    arguments = ["--weights", sources["unetpp"], "--data", str(tmp_path / "packed"), "--split", f"{tmp_path}/list.txt"]
    monkeypatch.setattr(sys, "argv", ["levels", *arguments])
    levels.main()
    return json.loads((tmp_path / "unetpp" / FILE).read_text())


def test_the_command_measures_every_level(sources, measured):
    model, _ = load(sources["unetpp"])
    first, whole = measured["levels"]
    assert (first["level"], whole["level"]) == (1, 2)
    assert first["parameters"] == sum(p.numel() for p in model.prune(1).parameters())
    assert whole["parameters"] == sum(p.numel() for p in model.parameters())
    assert 0 < first["multiply_adds"] < whole["multiply_adds"]
    assert first["seconds"] > 0
    assert {key: whole[key] for key in levels.QUALITY} == dict.fromkeys(levels.QUALITY, 1.0)
    assert measured["weights_sha256"] == sha256(f"{sources['unetpp']}/model.safetensors")
    rows = levels.table(measured["levels"]).splitlines()
    assert rows[2].startswith("| L1 | ") and rows[3].startswith("| L2 | ")


def test_quality_is_that_of_the_evaluation():
    model = UNetPlusPlus(UNetPlusPlusConfig(channels=[2, 4, 8], deep_supervision=True)).eval()
    processor = NucleiImageProcessor(channel_names=model.channel_names)
    truth = np.zeros((32, 32), np.int32)
    truth[4:20, 4:20] = 1
    samples = [Sample("a", (truth * 200).astype(np.uint8), truth)]
    report = levels.measure(model, processor, samples, side=32, rounds=1)
    for row, network in zip(report, levels.levels_of(model).values(), strict=True):
        figures, _ = evaluate(network, processor, samples, {"a": ""})
        assert (row["nucleus_iou"], row["ap_50"]) == (figures["nucleus_iou"], figures["ap"]["0.5"])


def test_multiply_adds_by_hand():
    model = UNetPlusPlus(UNetPlusPlusConfig(channels=[2, 4, 8], deep_supervision=True)).prune(1)
    top = 9 * (3 * 2 + 2 * 2) + 9 * (2 * 2 * 2 + 2 * 2)  # X00, X01
    below = (9 * (2 * 4 + 4 * 4) + 4 * 4 * 2) / 4  # X10, and up from it
    assert levels.multiply_adds(model) == round(top + below + 2 * model.num_labels)


def test_a_network_without_levels_is_refused(sources):
    with pytest.raises(ValueError, match="UNet has no levels"):
        levels.levels_of(load(sources["unet"])[0])


def test_the_page_shows_them_beside_the_levels(sources, measured):
    networks = Networks(sources)
    assert set(networks.measured) == {1, 2}
    labels = [label for label, _ in choices([1, 2], networks.measured)]
    assert labels[0] == "Whole network: F1 1.00"
    assert labels[1].startswith("L1: ") and labels[1].endswith(" × as fast, F1 1.00")
    config = json.dumps(build(networks, []).get_config_file(), default=str, ensure_ascii=False)
    assert labels[1] in config


@pytest.mark.parametrize("content", [None, "{}", "no JSON", '{"weights_sha256": "other", "levels": [{}]}', "[]"])
def test_the_page_shows_nothing_of_what_was_not_measured(sources, tmp_path, content):
    if content is not None:
        (tmp_path / "unetpp" / FILE).write_text(content)
    networks = Networks(sources)
    assert networks.measured == {}
    assert choices([1, 2], {}) == [("Whole network", "Whole network"), ("L1", "L1")]


def test_figures_are_of_these_weights_and_settings(sources, tmp_path):
    network = load_network(sources["unetpp"])
    file, row = tmp_path / "unetpp" / FILE, {"level": 1, "seconds": 1, "f1": 0.5}
    facts = measured_with(network) | {"levels": [row, row | {"level": 2, "seconds": 4}]}
    file.write_text(json.dumps(facts))
    assert read_levels(network, sources["unetpp"]) == {1: Level(4, 0.5), 2: Level(1, 0.5)}
    for other in ({"weights_sha256": "x"}, {"settings": facts["settings"] | {"threshold": 0.7}}):
        file.write_text(json.dumps(facts | other))
        assert read_levels(network, sources["unetpp"]) == {}
    file.write_text(json.dumps(facts | {"levels": [row | {"seconds": 0}]}))
    assert read_levels(network, sources["unetpp"]) == {}
    assert "F1" not in explained({})


def test_the_bundled_figures_are_of_the_bundled_network():
    folder = "unetpp-nuclei"
    network = load_network(folder)
    assert list(read_levels(network, folder)) == network.levels, "measure them again: python -m train.evaluation.levels"
