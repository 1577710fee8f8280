"""The promises of SECURITY.md about the open page, each by the test of its name. Those about its visitors are in
test_security_visitors.py."""

import io
import json
import re
import threading
import zipfile
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch

from nuclei_models.images.reader import read
from nuclei_models.inference.settings import Cut
from nuclei_models.page import files, guard, inputs, limits, networks
from nuclei_models.page.networks import sources_from_environment
from nuclei_models.page.opened import Picture
from nuclei_models.page.state import Analysis
from tests.campaign.server import Caller
from tests.support.page import CELLS, tiff

ROOT = Path(__file__).parents[2]
TELLING = re.compile(r"/tmp|/home|/root|site-packages|Traceback|\.py\b|line \d+|" + re.escape(str(ROOT)))


@pytest.mark.parametrize(
    ("data", "settings"),
    [
        (b"", {}),
        (b"hello", {}),
        (CELLS[:300], {}),
        (CELLS, {"z": 7}),
        (CELLS, {"channel": -3}),
        (CELLS, {"threshold": 50}),
        (CELLS, {"diameter": -1}),
        (CELLS, {"diameter": "x"}),
        (CELLS, {"z": {"a": 1}}),
        (CELLS, {"network": "../unet"}),
        (CELLS, {"network": None}),
        (CELLS, {"network": ["unet"]}),
    ],
)
def test_a_message_never_tells_a_path_of_the_server_or_a_line_of_code(url, data, settings):
    caller = Caller(url)
    answer = caller.segment("<b>cells</b>.tif", data, **settings)
    assert answer.labels is None and answer.error
    assert not TELLING.search(answer.error)
    assert "<b>" not in answer.error


FILE = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}


@pytest.mark.parametrize("junk", [None, "x", -1, 1e300, [], {"a": [1]}, FILE], ids=str)
def test_no_event_of_the_page_tells_more(url, junk):
    """All that the page's own script can ask for, not the endpoint alone, asked with nonsense."""
    caller = Caller(url)
    asked = 0
    for event in caller.http.get(f"{url}/config").json()["dependencies"]:
        if not event["backend_fn"]:
            continue
        body = {"data": [junk] * len(event["inputs"]), "fn_index": event["id"], "session_hash": caller.session}
        body["event_data"] = {"index": junk, "key": junk, "label": junk}
        answer = caller.http.post("/queue/join" if event["queue"] else "/run/predict", json=body)
        told = answer.text
        if answer.status_code == 200 and event["queue"]:
            with caller.listening() as messages:
                told = next(m for m in messages if m["msg"] == "process_completed")["output"].get("error") or ""
        elif answer.status_code == 200:
            told = answer.json().get("error") or ""
        asked += 1
        assert not TELLING.search(told)
    assert asked > 20
    assert caller.segment("cells.tif", CELLS).labels is not None


GUESSED = [{"what": "act", "token": "guessed", "cut": [1, 1, 1]}]


@pytest.mark.parametrize("junk", [None, "x", -1, [], GUESSED, FILE], ids=str)
def test_no_request_of_the_viewer_tells_more(url, junk):
    """What the viewer asks without an event: a key that was guessed opens nothing."""
    caller = Caller(url)
    asking = [c for c in caller.http.get(f"{url}/config").json()["components"] if c["props"].get("server_fns")]
    assert [one["props"]["server_fns"] for one in asking] == [["viewer"]] * 2  # the viewer, and the strip of a set
    for one in asking:
        for name, status in (("viewer", 200), ("answer", 404), ("__init__", 404)):
            body = {"data": junk, "component_id": one["id"], "fn_name": name, "session_hash": caller.session}
            answer = caller.http.post("/component_server/", json=body)
            assert answer.status_code in (status, 422) and not TELLING.search(answer.text)
            if answer.status_code == 200:
                assert list(answer.json()) == ["error"]


def test_an_upload_above_the_limit_is_refused(url, monkeypatch):
    caller = Caller(url)
    answer = caller.http.post("/upload", files={"files": ("a.tif", b"x" * (limits.MAX_FILE_BYTES + 1))})
    assert answer.status_code == 413


def test_a_request_that_is_no_upload_has_at_most_a_megabyte(url):
    caller = Caller(url)
    assert limits.MAX_REQUEST_BYTES == 2**20
    for path in ("/queue/join", "/call/segment", "/run/predict"):
        answer = caller.http.post(path, content=b"[" * (2**20 + 1), headers={"content-type": "application/json"})
        assert answer.status_code == 413 and "1,048,576" in answer.text
        answer = caller.http.post(path, content=(b"[" * 2**16 for _ in range(17)))  # of unknown length
        assert answer.status_code == 413


def test_a_visitor_has_so_many_files_on_the_disk_at_once(url, monkeypatch):
    monkeypatch.setattr(guard, "QUOTA", guard.Quota())
    monkeypatch.setattr(inputs, "QUOTA", guard.QUOTA)
    monkeypatch.setattr(limits, "MAX_VISITOR_BYTES", 300_000)
    caller = Caller(url)
    many = [("files", (f"{i}.tif", CELLS)) for i in range(30)]  # each far below the limit of a file
    answer = caller.http.post("/upload", files=many)
    assert answer.status_code == 413 and "at most 0 MB at once" in answer.text
    accepted = [caller.http.post("/upload", files=many[i : i + 1]).status_code for i in range(30)]
    assert accepted[:5] == [200] * 5 and accepted[-5:] == [413] * 5 and accepted == sorted(accepted)
    assert "too many files" in caller.segment("a.tif", b"").error + guard.QUOTA.take("127.0.0.1", 300_000)
    monkeypatch.setattr(limits, "CACHE_SECONDS", (0, 0))  # they have been deleted
    assert caller.http.post("/upload", files=many[:1]).status_code == 200
    answer = caller.http.post("/upload", content=(b"x" for _ in range(3)))
    assert answer.status_code == 411


def test_what_is_made_for_a_visitor_counts_too(url, monkeypatch):
    monkeypatch.setattr(guard, "QUOTA", guard.Quota())
    monkeypatch.setattr(inputs, "QUOTA", guard.QUOTA)
    monkeypatch.setattr(limits, "MAX_VISITOR_BYTES", len(CELLS) + 400)  # of the request, not of the answer
    assert "too many files" in Caller(url).segment("a.tif", CELLS).error


def test_a_full_disk_takes_no_upload(url, monkeypatch):
    monkeypatch.setattr(limits, "MIN_FREE_BYTES", 2**60)
    answer = Caller(url).http.post("/upload", files={"files": ("a.tif", CELLS)})
    assert answer.status_code == 507 and "full" in answer.text and "make room" in answer.text


def test_addresses_are_never_fetched(url):
    asked = []

    class Listener(threading.Thread):
        def __init__(self):
            import socket

            super().__init__(daemon=True)
            self.socket = socket.create_server(("127.0.0.1", 0))
            self.start()

        def run(self):
            while True:
                asked.append(self.socket.accept())

    port = Listener().socket.getsockname()[1]
    caller = Caller(url)
    for address in (f"http://127.0.0.1:{port}/a.tif", "https://example.com/a.tif", "file:///etc/passwd"):
        file = {"path": address, "meta": {"_type": "gradio.FileData"}}
        for data in ([file, "unet"], [None, file], [{"a": [file]}]):
            body = {"data": data, "fn_index": caller.index, "session_hash": caller.session}
            answer = caller.http.post("/queue/join", json=body)
            assert answer.status_code == 400 and "upload the file" in answer.text
    assert asked == []


def test_a_file_of_the_server_is_never_read_for_a_visitor(url, tmp_path):
    (tmp_path / "secret.tif").write_bytes(CELLS)
    caller = Caller(url)
    for path in (str(tmp_path / "secret.tif"), str(ROOT / "examples" / "purple-large.png"), "/etc/passwd", "app.py"):
        caller.join(path)
        with caller.listening() as messages:
            (done,) = [m for m in messages if m["msg"] == "process_completed"]
        assert not done["success"] and not TELLING.search(json.dumps(done["output"]))
        assert caller.http.get(f"/file={path}").status_code in (403, 404)


def test_work_that_would_take_too_long_is_refused_beforehand(nets, url):
    before = nets.runs
    answer = Caller(url).segment("cells.tif", tiff(np.zeros((1500, 1500), np.uint8)), diameter=1)
    assert "more work than this page takes on" in answer.error and "larger nuclear diameter" in answer.error
    answer = Caller(url).segment("cells.tif", tiff(np.zeros((2500, 2500), np.uint8)), diameter=20, tta=True)
    assert "test-time augmentation off" in answer.error
    assert nets.runs == before


def test_a_run_that_takes_too_long_is_ended(nets, url, monkeypatch):
    monkeypatch.setattr(networks, "RUN_SECONDS", -1)
    answer = Caller(url).segment("cells.tif", CELLS)
    assert "was stopped" in answer.error


def test_the_endpoint_refuses_what_the_page_refuses(url, monkeypatch):
    from nuclei_models.page import api, opening

    for module in (api, opening, inputs):
        monkeypatch.setattr(module, "MAX_PIXELS", 1000)
    assert "at most" in Caller(url).segment("cells.tif", CELLS).error
    for data in (b"", b"%PDF-1.7", CELLS[:200]):
        assert Caller(url).segment("cells.tif", data).error


NAMES = [
    "<img src=x onerror=alert(1)>.tif",
    "../../../etc/passwd.tif",
    "..\\..\\windows\\system32.tif",
    "..",
    "核の画像 🔬 é.tif",
    "n" * 300 + ".tif",
    "🔬" * 300 + ".tif",
    "-rf; rm $(HOME) `ls` | &.tif",
    "a\u202egpj.tif",
    "con.tif",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_name_is_harmless_whatever_it_holds(nets, url, tmp_path, name):
    caller = Caller(url)
    uploaded = caller.http.post("/upload", files={"files": (name, CELLS)})
    if name == "..":
        assert uploaded.status_code == 400
        return
    path = Path(uploaded.json()[0])
    answer = caller.segment(name, CELLS)
    assert answer.labels is not None, answer.error

    image = read(path)  # as the page has it from here on
    assert len(image.name) <= 80 and image.name.isprintable() and not set("/\\") & set(image.name)
    picture = Picture(Path(image.name).stem, image.pixels)
    maps = {n.key: n.processor.maps(torch.zeros(2, 96, 96)) for n in nets}
    analysis = Analysis(picture, maps, {n.key: n.processor for n in nets})
    zip_name, data = files.make_all(analysis, nets, Cut())
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        inside = archive.namelist()
        archive.extractall(tmp_path / "unpacked")
    for made in (zip_name, *inside):
        assert (
            len(made.encode()) <= 255 and made.isprintable() and not set("/\\") & set(made) and made not in ("..", ".")
        )
    unpacked = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(path.name for path in unpacked) == sorted(inside)
    assert all(path.parent == tmp_path / "unpacked" for path in unpacked)


def test_the_page_tells_its_limits(url):
    said = limits.told()
    for number in ("100 MB", "17 megapixels", "10 minutes", "20 wait", "30 minutes", "70 minutes"):
        assert number in said
    assert said.split(". ")[1] in httpx.get(f"{url}/config").text


def test_visitors_can_not_choose_where_a_network_comes_from(url, monkeypatch):
    config = httpx.get(f"{url}/config").json()
    segment_id = next(d for d in config["dependencies"] if d.get("api_name") == "segment")
    labels = {c["id"]: c["props"].get("label") for c in config["components"]}
    assert [labels[i] for i in segment_id["inputs"]][:2] == ["image", "network"]
    for network in ("google/vit", "weights/unet-nuclei", "https://example.com/x"):
        assert Caller(url).segment("cells.tif", CELLS, network).labels is None
    monkeypatch.setenv("UNET_MODEL", "me/mine@v1")
    assert sources_from_environment()["unet"] == "me/mine@v1"


def test_the_page_asks_no_other_server_for_anything(url):
    text = httpx.get(url).text
    assert not re.findall(r'(?:src|href)="(https?://(?!127\.0\.0\.1)[^"]+\.(?:js|css|woff2?))"', text)
    policy = httpx.get(url).headers["content-security-policy"]  # in a browser: test_text_from_a_file_is_shown_as_text
    assert "img-src 'self' data: blob:;" in policy and "http" not in policy


def test_the_result_says_what_made_it(nets, url):
    facts = Caller(url).segment("cells.tif", CELLS, "unetpp", threshold=0.25).facts
    assert facts["weights_sha256"] == nets["unetpp"].sha256 and len(facts["weights_sha256"]) == 64
    assert facts["threshold"] == 0.25 and facts["separation"] == nets["unetpp"].processor.separation
    assert {"model", "revision", "tta", "plane", "channels", "nuclei_models"} <= facts.keys()
