"""Networks by name: bundled, one's own folder, the Hub's."""

import pytest

from nuclei_models import HubError, load
from nuclei_models.inference import bundled
from nuclei_models.inference.loading import parse_model_id
from nuclei_models.inference.network import load_network
from nuclei_models.jobs.settings import settings_for
from tests.support.page import save_networks


@pytest.fixture
def installed(sources, tmp_path, monkeypatch):
    """The package as a wheel has it, with two small networks, in an empty folder."""
    weights = tmp_path / "site-packages" / "nuclei_models" / "weights"
    weights.mkdir(parents=True)
    for key, folder in sources.items():
        (weights / f"{key}-nuclei").symlink_to(folder)
    monkeypatch.setattr(bundled, "PACKAGE", weights.parent)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    return weights


def test_a_bundled_network_is_loaded_by_its_name(installed):
    for key in ("unet", "unetpp"):
        model, processor = load(f"{key}-nuclei")
        assert model.config.model_type == f"nuclei_{key}" and processor.threshold > 0
    network = load_network("unet-nuclei")
    assert (network.source, network.revision, network.title) == ("unet-nuclei", "", "U-Net")


def test_a_folder_of_that_name_comes_first(installed, tmp_path):
    save_networks(tmp_path / "empty")
    (tmp_path / "empty" / "unet").rename("unetpp-nuclei")
    assert load("unetpp-nuclei")[0].config.model_type == "nuclei_unet"
    assert parse_model_id("unet-nuclei") == (str(installed / "unet-nuclei"), None)


def test_a_run_names_the_bundled_network_and_each_machine_takes_its_own(installed, tmp_path):
    assert settings_for("unet-nuclei").model == "unet-nuclei"
    folder = save_networks(tmp_path / "mine")["unet"]
    assert settings_for(folder).model == folder


def test_an_unknown_name_is_answered_with_the_known_ones(installed):
    with pytest.raises(HubError, match=r"no model 'unet-nuclie': expected a folder, .*\(unet-nuclei, unetpp-nuclei\)"):
        load("unet-nuclie")
    with pytest.raises(ValueError, match="has no revision"):
        load("unet-nuclei", revision="v1.0.0")


def test_the_clones_networks_and_examples_are_found():
    assert bundled.bundled_names() == ["unet-nuclei", "unet-small-nuclei", "unetpp-nuclei"]
    assert bundled.bundled(bundled.DEFAULT) is not None and bundled.bundled("../weights/unet-nuclei") is None
    assert (bundled.data_folder("examples") / "examples.json").is_file()
