"""The viewer's requests: mending on the server, and requests that no viewer sends."""

import csv
import io
import json
import threading
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from nuclei_models.analysis.edits import Edit
from nuclei_models.analysis.history import History
from nuclei_models.analysis.measurements import measure
from nuclei_models.inference.segmentation import segment
from nuclei_models.inference.settings import Cut, RunSettings
from nuclei_models.model.confidence import AGREEMENT, FEATURES
from nuclei_models.page import files, numbers, state
from nuclei_models.page.desk import Desk
from nuclei_models.page.inputs import defaults
from nuclei_models.page.networks import Networks
from nuclei_models.page.opened import Picture
from nuclei_models.page.state import Analysis
from nuclei_models.page.store import Store
from tests.support.page import blobs, unpacked

SLIDERS = "threshold", "separation", "min_area"


@pytest.fixture
def analysis(nets: Networks) -> Analysis:
    pixels = (blobs(96, 128) * 255).astype(np.uint8)
    maps = {n.key: nets.predict(n.key, pixels, RunSettings()) for n in nets}
    return Analysis(Picture("cells", pixels), maps, {n.key: n.processor for n in nets})


@pytest.fixture
def ask(nets: Networks, analysis: Analysis):
    store = Store()
    desk, token = Desk(store, nets), store.put(analysis)
    sliders = [defaults(nets)[name] for name in SLIDERS]

    def send(what: str, **more) -> dict:
        return desk.answer([{"what": what, "token": token, "cut": sliders, "network": "unet"} | more])

    return send


def middle(labels: np.ndarray, number: int) -> list[float]:
    ys, xs = np.nonzero(labels == number)
    return [float(np.median(xs)) + 0.5, float(np.median(ys)) + 0.5]


def test_an_edit_changes_labels_numbers_and_files(ask, analysis, nets):
    cut, before = Cut(), analysis.labels("unet", Cut())
    place = middle(before, 2)
    counted = len(analysis.table("unet", cut)["label"])
    answer = ask("act", edit={"act": "delete", "points": [place]})
    assert answer["gone"] == [2] and answer["said"] == "1 gone."
    wanted = np.where(before == 2, 0, before)
    assert np.array_equal(analysis.labels("unet", cut), wanted)
    assert analysis.labels("unet", cut).max() == before.max()  # others keep their numbers
    assert analysis.table("unet", cut)["label"].tolist() == sorted(set(np.unique(before)) - {0, 2})
    assert f"<td>{counted - 1}</td>" in numbers.summary(analysis, cut)
    answer = ask("act", edit={"act": "find", "points": [place]})
    assert answer["mended"] == [int(before.max()) + 1]
    assert np.array_equal(
        unpacked(answer["geometry"], before.shape) > 0, analysis.labels("unet", cut) == before.max() + 1
    )
    _, data = files.make_all(analysis, nets, cut)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("cells_unet_measurements.csv").decode())))
        assert [row["label"] for row in rows if row["mended"] == "1"] == [str(before.max() + 1)]
        features = json.loads(archive.read("cells_unet_qupath.geojson"))["features"]
        assert sum(f["properties"]["measurements"]["mended"] for f in features) == 1
        with zipfile.ZipFile(io.BytesIO(archive.read("cells_unet_rois.zip"))) as rois:
            assert [n for n in rois.namelist() if "mended" in n] == [f"unet-{before.max() + 1:05d}-mended.roi"]
        readme = archive.read("README.txt").decode()
        assert (
            "mended"
            not in csv.DictReader(io.StringIO(archive.read("cells_unetpp_measurements.csv").decode())).fieldnames
        )
    assert "mended by hand: 1 deleted, 1 added, 0 changed" in readme


def test_undo_and_redo_answer_with_what_changes(ask, analysis):
    before = analysis.labels("unet", Cut())
    ask("act", edit={"act": "delete", "points": [middle(before, 2)]})
    answer = ask("undo")
    assert np.array_equal(unpacked(answer["geometry"], before.shape), np.where(before == 2, 2, 0))
    assert np.array_equal(analysis.labels("unet", Cut()), before)
    assert ask("redo")["gone"] == [2]
    ask("undo")
    assert "nothing to undo" in ask("undo")["error"]


def test_what_both_agree_on_follows_a_mend(ask, analysis):
    before = analysis.agreed(Cut()).max()
    ask("act", edit={"act": "delete", "points": [middle(analysis.labels("unet", Cut()), 2)]})
    assert analysis.agreed(Cut()).max() == before - 1


@pytest.mark.parametrize("sliders", [(0.7, 0.5, 0), (0.6, 0.8, 30), (0.5, 0.5, 0)])
def test_nuclei_come_as_the_sliders_have_them_and_as_they_were_mended(ask, analysis, nets, sliders):
    place = middle(analysis.labels("unet", Cut()), 2)
    ask("act", edit={"act": "delete", "points": [place]})
    answer = ask("nuclei", cut=list(sliders))
    for network, drawn in zip(nets, answer["networks"], strict=True):
        found = segment(
            analysis.picture.pixels, network.model, network.processor, **dict(zip(SLIDERS, sliders, strict=True))
        )
        wanted = found.labels if network.key == "unetpp" else delete(found.labels, place)
        assert np.array_equal(unpacked(drawn["geometry"], wanted.shape), wanted)
    assert answer["version"] == 1 and answer["diameters"]["found"] is not None


def delete(labels: np.ndarray, place: list[float]) -> np.ndarray:
    return History.begin(labels, [Edit.from_json({"act": "delete", "points": [place]}, labels.shape)]).labels


def test_mending_one_network_measures_only_its_nuclei_again(ask, analysis, nets, monkeypatch):
    model = {name: [1.0] * len(FEATURES) for name in ("mean", "std", "weights")} | {"bias": 0.5}
    both = {name: [*model[name], 1.0] for name in ("mean", "std", "weights")} | {"bias": 0.5}
    fitted = {"alone": model | {"features": list(FEATURES)}, AGREEMENT: both | {"features": [*FEATURES, AGREEMENT]}}
    for network in nets:
        monkeypatch.setattr(network.processor, "confidence_model", fitted)
    before, seen = {key: analysis.table(key, Cut()) for key in analysis.maps}, []
    monkeypatch.setattr(state, "measure", lambda *a, **more: seen.append(a) or measure(*a, **more))
    ask("act", edit={"act": "delete", "points": [middle(analysis.labels("unet", Cut()), 2)]})
    after = {key: analysis.table(key, Cut()) for key in analysis.maps}
    assert len(seen) == 1
    assert np.array_equal(np.delete(before["unet"]["area_px"], 1), after["unet"]["area_px"])
    alone = replace(analysis, _last={})  # the same, nothing remembered
    for key, table in after.items():
        wanted = alone.table(key, Cut())
        assert list(table) == list(wanted)
        assert all(np.array_equal(table[name], wanted[name]) for name in table)
    assert after["unetpp"]["confidence"][1] < before["unetpp"]["confidence"][1]  # nobody agrees any more


def test_edits_come_back_in_parts(ask, analysis):
    before = analysis.labels("unet", Cut())
    edits = [{"act": "delete", "points": [middle(before, n)]} for n in (1, 2, 3)]
    ask("repeat", done=edits[:2], undone=[], first=True)
    answer = ask("repeat", done=edits[2:], undone=[{"act": "delete", "points": [[0, 0]]}], first=False)
    assert answer["whole"] and answer["idle"] == 0
    assert np.array_equal(unpacked(answer["geometry"], before.shape), np.where(np.isin(before, [1, 2, 3]), 0, before))
    assert ask("redo")["said"] == "Nothing at these settings."


def test_edits_at_once_are_done_one_after_the_other(ask, analysis):
    before = analysis.labels("unet", Cut())
    threads = [
        threading.Thread(target=ask, args=("act",), kwargs={"edit": {"act": "delete", "points": [middle(before, n)]}})
        for n in range(1, int(before.max()) + 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert analysis.labels("unet", Cut()).max() == 0


JUNK: list[dict] = [
    {"what": "explode"}, {"what": "act", "edit": None}, {"what": "act", "edit": {"act": "delete", "points": "x"}},
    {"what": "act", "network": "other", "edit": {"act": "delete", "points": [[1, 1]]}}, {"what": "act", "network": []},
    {"what": "act", "cut": None}, {"what": "act", "cut": [1, 2]}, {"what": "act", "cut": ["a", 1, 1]},
    {"what": "tile", "column": 1e9, "row": 0, "white": 99, "gamma": 1},
    {"what": "tile", "column": 10**9, "row": -1, "white": 99, "gamma": 1},
    {"what": "image", "white": "x", "gamma": 1}, {"what": "repeat", "done": 3},
    {"what": "repeat", "done": [{"act": 1}]},
    {"what": "undo", "token": "guessed"}, {"what": "undo", "token": None},
]  # fmt: skip


@pytest.mark.parametrize("junk", JUNK)
def test_junk_is_answered_with_a_sentence(ask, junk):
    answer = ask(junk["what"], **{key: value for key, value in junk.items() if key != "what"})
    assert list(answer) == ["error"] and answer["error"].endswith(".")


@pytest.mark.parametrize("request_", [None, [], "x", 5, [[]], [{}, {}], {"what": []}])
def test_what_is_no_request_is_answered_with_a_sentence(nets, request_):
    assert "error" in Desk(Store(), nets).answer(request_)
