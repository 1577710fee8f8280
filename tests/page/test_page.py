"""The page without a browser: state, numbers, files, the endpoint."""

import csv
import io
import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import tifffile
from gradio_client import Client, handle_file
from PIL import Image

from nuclei_models.images.reader import inspect, read
from nuclei_models.inference.segmentation import nuclear_diameter, segment
from nuclei_models.inference.settings import Cut, RunSettings
from nuclei_models.page import files, inputs, numbers, pictures
from nuclei_models.page.examples import Example, find_examples
from nuclei_models.page.handlers import Page
from nuclei_models.page.layout import build, launch
from nuclei_models.page.networks import Cancelled, Networks
from nuclei_models.page.opened import Picture
from nuclei_models.page.pictures import Look
from nuclei_models.page.state import Analysis
from nuclei_models.page.store import Forgotten, Store
from tests.support.page import as_type, blobs, make_networks, unpacked, write_inputs


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> Networks:
    return make_networks(tmp_path_factory.mktemp("networks"))


@pytest.fixture(scope="module")
def analysis(networks) -> Analysis:
    pixels = as_type(blobs(), np.uint16)
    truth = segment(pixels, networks["unet"].model, networks["unet"].processor).labels
    return Page(networks, []).run(
        Picture("cells", pixels, (0.5, 0.5), ("about",), truth), RunSettings(), None, None, (0.5, 0.5)
    )


CUTS = [Cut(), Cut(threshold=0.7), Cut(separation=0.8, min_area=40), Cut(0.2, 0.3, 90)]


@pytest.mark.parametrize("cut", CUTS)
def test_the_page_finds_what_the_library_finds(networks, analysis, cut):
    for network in networks:
        wanted = segment(
            analysis.picture.pixels, network.model, network.processor,
            threshold=cut.threshold, separation=cut.separation, min_area=cut.min_area,
        )  # fmt: skip
        assert wanted.count > 10
        assert np.array_equal(analysis.labels(network.key, cut), wanted.labels)


def test_no_control_runs_a_network(networks, analysis):
    before = networks.runs
    for cut in CUTS:
        value = pictures.render(analysis, cut, [0.5, 0.5, 0])
        found = {n["key"]: unpacked(n["geometry"], analysis.picture.size) for n in value["networks"]}
        assert all(np.array_equal(found[key], analysis.labels(key, cut)) for key in ("unet", "unetpp"))
        assert pictures.image(analysis, Look(99, 0.7)).startswith("data:image/jpeg")
        assert all(pictures.probability(analysis, key).startswith("data:image/jpeg") for key in found)
        assert len(pictures.agreement(analysis, cut)["kinds"][0]) == found["unet"].max() + 1
        numbers.summary(analysis, cut)
        numbers.histogram(analysis, cut)
        numbers.rows(analysis, cut)
    assert networks.runs == before


def test_a_slider_at_its_default_leaves_the_fitted_settings(networks):
    at = inputs.defaults(networks)
    assert inputs.cut_of(networks, **at) == Cut()
    assert inputs.cut_of(networks, **(at | {"threshold": 0.61})) == Cut(threshold=0.61)
    assert inputs.cut_of(networks, **(at | {"min_area": 3})) == Cut(min_area=3)


def test_numbers_are_those_of_the_labels(analysis):
    rows = numbers.rows(analysis, Cut())
    labels = analysis.labels("unet", Cut())
    assert rows["columns"][:2] == ["number", "area (µm²)"]
    assert len(rows["networks"][0]["rows"]) == labels.max()
    assert rows["networks"][0]["rows"][4][1] == pytest.approx((labels == 5).sum() / 4)
    assert f"<td>{labels.max()}</td>" in numbers.summary(analysis, Cut())
    assert "per mm²" in numbers.summary(analysis, Cut())
    assert numbers.histogram(analysis, Cut()).count("<rect") == 2 * numbers.BINS + 2


def test_what_is_no_number_is_none_in_the_table(analysis):
    pixels = analysis.picture.pixels.astype(np.float32)
    pixels[analysis.labels("unet", Cut()) == 2] = np.nan
    blind = replace(analysis, picture=replace(analysis.picture, pixels=pixels), _last={})
    found = json.loads(json.dumps(numbers.rows(blind, Cut()), allow_nan=False))
    at = found["columns"].index("mean intensity")
    assert [row[at] is None for row in found["networks"][0]["rows"][:3]] == [False, True, False]
    assert "nan" not in numbers.summary(blind, Cut())


def test_numbers_without_a_nucleus(analysis):
    cut = Cut(threshold=1.0)
    assert analysis.labels("unet", cut).max() == 0
    assert "–" in numbers.summary(analysis, cut)
    assert "No nuclei" in numbers.histogram(analysis, cut)
    assert numbers.rows(analysis, cut)["networks"][0]["rows"] == []
    assert pictures.agreement(analysis, cut)["caption"].startswith("100%")


def test_true_mask_has_scores(analysis):
    value = pictures.render(analysis, Cut(), [0.5, 0.5, 0])
    assert np.array_equal(unpacked(value["truth"]["geometry"], analysis.picture.size), analysis.picture.truth)
    assert "mask IoU 1.000; mean AP 1.000" in value["networks"][0]["scores"]


def test_the_stretch_ignores_what_is_no_number():
    image = blobs()
    image[0, :5] = np.nan
    image[1, :5] = np.inf
    shown = pictures.stretch(pictures.shrink(image), Look())
    assert shown.max() == 255
    assert np.median(shown) < 200


def test_pruned_networks_and_augmentation_are_runs_of_their_own(networks):
    pixels = blobs()
    maps = {
        (level, tta): networks.predict("unetpp", pixels, RunSettings(tta=tta, level=level))
        for level in (None, 1) for tta in (False, True)
    }  # fmt: skip
    assert networks["unetpp"].levels == [1, 2]
    assert networks["unet"].levels == []
    assert sum(p.numel() for p in networks["unetpp"].at(1).parameters()) < 1000
    assert np.allclose(maps[None, False].probability, maps[1, True].probability, atol=1e-5)


def test_cancel_stops_before_the_next_layer(networks):
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        networks.predict("unet", blobs(), RunSettings(), check=check)
    assert len(calls) == 3
    networks.predict("unet", blobs(), RunSettings())
    assert len(calls) == 3  # nothing is left behind


def test_the_oldest_analyses_give_way(analysis):
    store = Store(budget=2 * analysis.nbytes)
    keys = [store.put(analysis) for _ in range(3)]
    with pytest.raises(Forgotten):
        store.get(keys[0])
    assert store.get(keys[2]) is analysis
    store.drop(keys[2])
    with pytest.raises(Forgotten):
        store.get(keys[2])


def test_the_zip_holds_every_file_of_both_networks_and_of_what_both_agree_on(networks, analysis):
    name, data = files.make_all(analysis, networks, Cut(min_area=20))
    assert name == "cells_nuclei.zip"
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert len(archive.namelist()) == 3 * len(files.KINDS) + 1
        labels = tifffile.imread(io.BytesIO(archive.read("cells_unetpp_labels.tif")))
        readme = archive.read("README.txt").decode()
        table = list(csv.DictReader(io.StringIO(archive.read("cells_unet_measurements.csv").decode())))
        picture = Image.open(io.BytesIO(archive.read("cells_unet_overlay.png")))
    assert np.array_equal(labels, analysis.labels("unetpp", Cut(min_area=20)))
    assert len(table) == analysis.labels("unet", Cut(min_area=20)).max()
    assert picture.size == analysis.picture.size[::-1]
    for network in networks:
        assert network.sha256 in readme
    assert "minimum area, pixels: 20" in readme
    assert "/" not in readme.split("model: ")[1].splitlines()[0]


def test_notes_say_what_is_shown(tmp_path):
    paths = write_inputs(tmp_path)
    assert "Z plane 2 of 3" in inputs.note_of(read(paths["ImageJ hyperstack"]))[1]
    assert "channel 2 (DAPI) of 3" in inputs.note_of(read(paths["OME-TIFF"]))[1]
    assert inputs.note_of(read(paths["BMP"])) == ("BMP, 256 x 256 pixels, uint8 RGB.",)


def test_a_too_large_image_is_told_the_command_line(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "big.tif", np.zeros((64, 64), np.uint8))
    assert inputs.too_large(inspect(tmp_path / "big.tif")) is None
    monkeypatch.setattr(inputs, "MAX_PIXELS", 1000)
    assert re.match(
        r"big\.tif is 64 x 64 pixels.*nuclei segment FILE --out DIR$", inputs.too_large(inspect(tmp_path / "big.tif"))
    )


def test_errors_are_sentences_without_folders(tmp_path):
    (tmp_path / "<b>.tif").write_bytes(b"")
    with pytest.raises(gr.Error) as caught, inputs.told():
        read(tmp_path / "<b>.tif")
    assert str(tmp_path) not in caught.value.message
    assert "&lt;b&gt;.tif: It is empty" in caught.value.message


def test_pixel_size_as_typed_or_as_stored():
    assert inputs.pixel_size_of(None, (0.5, 0.25)) is None
    assert inputs.pixel_size_of(0.25, (0.5, 0.25)) == (0.5, 0.25)
    assert inputs.pixel_size_of(0.3, (0.5, 0.25)) == (0.3, 0.3)
    assert inputs.pixel_size_of(0.3, None) == (0.3, 0.3)


def test_examples_are_those_listed(tmp_path):
    assert find_examples(tmp_path) == []
    Image.fromarray((blobs() * 255).astype(np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.arange(256 * 256, dtype=np.uint16).reshape(256, 256)).save(tmp_path / "a_labels.png")
    (tmp_path / "examples.json").write_text(
        '[{"name": "a", "title": "A", "modality": "fluorescence", "split": "test"}]'
    )
    (example,) = find_examples(tmp_path)
    assert (example.title, example.modality) == ("A", "fluorescence")
    assert example.truth().max() == 65535
    assert example.thumbnail().startswith("data:image/jpeg;base64,")
    assert Example(tmp_path / "b.png", "B").truth() is None


# the endpoint


@pytest.fixture(scope="module")
def client(networks):
    blocks = build(networks, [])
    _, url, _ = launch(blocks, prevent_thread_lock=True, quiet=True, server_port=None)
    yield Client(url, verbose=False)
    blocks.close()


def test_only_one_endpoint_is_public(client):
    assert list(client.view_api(return_format="dict")["named_endpoints"]) == ["/segment"]
    assert client.view_api(return_format="dict")["unnamed_endpoints"] == {}


def test_the_endpoint_finds_what_the_library_finds(client, networks, tmp_path):
    paths = write_inputs(tmp_path)
    for kind, settings in (("TIFF uint16", {}), ("ImageJ hyperstack", {"z": 0, "channel": 1}), ("PNG alpha", {})):
        cut = {"threshold": 0.4, "min_area": 30}
        path, facts = client.predict(handle_file(paths[kind]), network="unetpp", **settings, **cut, api_name="/segment")
        image = read(paths[kind], **settings)
        network = networks["unetpp"]
        wanted = segment(image.pixels, network.model, network.processor, **cut)
        assert np.array_equal(tifffile.imread(path), wanted.labels)
        assert facts["nuclei"] == wanted.count
        assert facts["weights_sha256"] == network.sha256
        assert facts["separation"] == network.processor.separation


def test_the_endpoint_tells_the_diameter_that_was_assumed(client, networks, tmp_path):
    source = write_inputs(tmp_path)["TIFF uint8"]
    path, network, image = handle_file(source), networks["unet"], read(source)
    assumed = nuclear_diameter(image.pixels, network.model, network.processor, image.pixel_size)
    _, facts = client.predict(path, network="unet", api_name="/segment")
    assert (facts["diameter"], facts["diameter_given"]) == (assumed.facts()["diameter_assumed_px"], None)
    assert facts["diameter_trust"] == round(assumed.trust, 3)
    _, facts = client.predict(path, network="unet", diameter=20, api_name="/segment")
    assert (facts["diameter"], facts["diameter_given"]) == (20, 20)


def test_the_endpoint_says_what_is_wrong(client, tmp_path):
    (tmp_path / "notes.tif").write_text("hello")
    with pytest.raises(Exception, match=r"notes\.tif: It is no image") as caught:
        client.predict(handle_file(tmp_path / "notes.tif"), api_name="/segment")
    assert str(Path("/tmp")) not in str(caught.value)


def test_the_endpoint_and_the_page_agree(client, networks, tmp_path):
    path = write_inputs(tmp_path)["PNG 16 bit"]
    labels, _ = client.predict(handle_file(path), network="unet", api_name="/segment")
    analysis = Page(networks, []).run(Picture("a", read(path).pixels), RunSettings(), None, None)
    assert np.array_equal(tifffile.imread(labels), analysis.labels("unet", Cut()))
