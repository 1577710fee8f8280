"""Settings said once: those of a job are those of the network and of the cut, and reach both."""

from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest

from nuclei_models.inference.network import load_network
from nuclei_models.inference.segmentation import segment
from nuclei_models.inference.settings import Cut, RunSettings
from nuclei_models.jobs import settings as settings_module
from nuclei_models.jobs.settings import Settings, settings_for
from tests.support.page import blobs


def test_a_jobs_settings_are_those_of_the_network_and_of_the_cut(sources):
    settings = settings_for(sources["unet"], threshold=0.6, min_area=9.0, tta=True)
    assert asdict(settings).items() >= asdict(RunSettings(tta=True)).items()
    assert (settings.threshold, settings.min_area) == (0.6, 9.0)
    assert settings.separation == load_network(sources["unet"]).processor.separation
    with pytest.raises(TypeError, match="threshold"):  # a job's are those that are applied
        Settings(model="", weights_sha256="", processor_sha256="", separation=0.5)


def test_images_are_not_tiled_unless_it_is_asked_for(sources, nuclei):
    assert settings_for(sources["unet"]).tile is None
    _, printed = nuclei("segment", "--help")
    assert "1024" not in printed


def test_a_network_segments_by_the_settings_as_segment_does(sources):
    network, image = load_network(sources["unetpp"]), blobs(96, 112)
    run, cut = RunSettings(diameter=20.0, tta=True, level=1, precision="float32"), Cut(0.4, 0.6, 12.0)
    wanted = segment(
        image, network.model.prune(1).eval(), network.processor, diameter=20.0, tta=True, precision="float32",
        threshold=0.4, separation=0.6, min_area=12.0,
    )  # fmt: skip
    assert np.array_equal(network.segment(image, run, cut).labels, wanted.labels)
    assert wanted.count > 0 and set(network.pruned) == {1}  # the level's network was the one that ran


def test_an_unknown_precision_is_refused_before_any_image(sources, nuclei, tmp_path):
    with pytest.raises(ValueError, match="expected one of"):
        settings_for(sources["unet"], precision="half")
    (tmp_path / "x.png").write_bytes(b"")
    code, printed = nuclei("segment", "x.png", "--out", "o", "--model", sources["unet"], "--precision", "half")
    assert code == 2 and "precision='half': expected one of auto, float32, bfloat16" in printed


def test_a_model_on_the_hub_is_resolved_once_to_a_commit(sources, monkeypatch):
    commits, asked = iter(["one", "two"]), []
    network_for = settings_module.network_for

    def remembered(model, device=None):
        asked.append(model)
        return network_for(sources["unet"], device)

    monkeypatch.setattr(settings_module, "network_for", remembered)
    monkeypatch.setattr(settings_module, "repository_at", lambda *_, **__: SimpleNamespace(commit=next(commits)))
    settings = settings_for("org/unet")
    assert settings.model == "org/unet@one" and set(asked) == {"org/unet@one"}
    assert next(commits) == "two"  # main has moved on meanwhile, and nobody asked again
