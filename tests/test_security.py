"""The promises of SECURITY.md, each by the test of its name; some of the tests are in other files."""

import io
import json
import re
import shutil
import threading
import time
import zipfile
from pathlib import Path

import httpx
import numpy as np
import pytest
import tifffile
import torch
from campaign.load import crowd, pictures
from campaign.server import Caller
from folders import edit_weights, flip_a_byte, keep_only_a_pickle, make_unet
from folders import save as save_model
from image_files import png_bytes, tags, tiff_bytes
from image_support import DEEP, Save, fails
from page_support import as_type, blobs, save_networks

from nuclei_models.hub import HubError, load
from nuclei_models.images import read
from nuclei_models.page import files, inputs, limits, networks
from nuclei_models.page.inputs import sweep
from nuclei_models.page.layout import build, launch
from nuclei_models.page.networks import Networks, sources_from_environment
from nuclei_models.page.state import Analysis, Cut, Forgotten, Picture, Store

ROOT = Path(__file__).parents[1]


def promises() -> list[str]:
    section = (ROOT / "SECURITY.md").read_text().split("## Promises")[1].split("\n## ")[0]
    return [line[2:] for line in section.splitlines() if line.startswith("- ")]


def test_every_promise_has_a_test_of_its_name():
    tests = {
        name
        for path in (ROOT / "tests").glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
    }
    wanted = {promise: "test_" + re.sub(r"\W+", "_", promise.lower().rstrip(".")) for promise in promises()}
    assert len(wanted) >= 20
    assert [promise for promise, name in wanted.items() if name not in tests] == []


# files from strangers; "a broken file ends .." and "arrays of any kind .." are in test_campaign.py


def test_an_image_too_large_is_refused_before_it_is_decoded(save: Save):
    fails(save(png_bytes(DEEP[..., :3], (60_000, 60_000)), "bomb.png"), "3,600 megapixels")
    fails(save(tiff_bytes((tags(2**31 - 1, 2**31 - 1), [b"x"]))), "megapixels")


def test_a_file_that_unpacks_to_more_than_it_says_does_no_harm(save: Save):
    import tracemalloc
    import zlib

    path = save(tiff_bytes((tags(10, 10, t259=(3, [8])), [zlib.compress(bytes(50_000_000), 1)])))
    tracemalloc.start()
    assert read(path).pixels.shape == (10, 10)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_xml_that_grows_when_it_is_read_is_not_read(save: Save):
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    pixels = '<Pixels DimensionOrder="XYZCT" SizeX="10" SizeY="10" SizeZ="1" SizeC="1" SizeT="1"/>'
    xml = f'<!DOCTYPE OME [<!ENTITY l0 "lol">{laughs}]><OME><Image Name="&l9;">{pixels}</Image></OME>'
    image = read(save(tiff_bytes((tags(10, 10, t270=(2, list(xml.encode()))), [bytes(100)]))))
    assert image.format == "TIFF" and "don't" in image.notes[0].replace("doesn't", "don't")


# the open page


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> dict[str, str]:
    return save_networks(tmp_path_factory.mktemp("networks"))


@pytest.fixture(scope="module")
def nets(sources) -> Networks:
    return Networks(sources)


@pytest.fixture(scope="module")
def url(nets):
    blocks = build(nets, [])
    _, url, _ = launch(blocks, prevent_thread_lock=True, quiet=True, server_port=None)
    yield url.rstrip("/")
    blocks.close()


def tiff(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels)
    return file.getvalue()


CELLS = tiff(as_type(blobs(96, 96), np.uint16))


def test_a_visitor_gets_the_result_of_their_own_image_only(url, sources):
    given = pictures(sources, 6, side=96)
    assert len({picture.labels.max() for picture in given}) > 2
    result = crowd(url, given, seconds=60, each=2)
    assert result.outcomes == {"own": 12}, result.errors


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


def test_a_full_disk_takes_no_upload(url, monkeypatch):
    monkeypatch.setattr(limits, "MIN_FREE_BYTES", 2**60)
    answer = Caller(url).http.post("/upload", files={"files": ("a.tif", CELLS)})
    assert answer.status_code == 507 and "full" in answer.text


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
    from nuclei_models.page import api, handlers

    for module in (api, handlers, inputs):
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


def wait_for(holds, seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.05)
    return holds()


def test_nobody_works_for_a_visitor_who_has_left_the_queue(nets, url):
    with nets._one_at_a_time:  # somebody's run, which keeps the next ones waiting
        first = Caller(url)
        first.join(first.upload("first.tif", CELLS))
        before = nets.runs
        for _ in range(3):
            caller = Caller(url)
            caller.join(caller.upload("left.tif", CELLS))
            with caller.listening() as messages:
                next(messages)
            caller.http.close()
        time.sleep(1)  # for the server to notice
    with first.listening() as messages:
        assert [m["msg"] for m in messages if m["msg"].startswith("process_")][-1] == "process_completed"
    assert Caller(url).segment("next.tif", CELLS).labels is not None
    assert nets.runs == before + 2


def test_a_visitor_who_leaves_in_the_middle_stops_their_run(nets, url, monkeypatch):
    caller, inside, ended = Caller(url), threading.Event(), []

    def slow(number, pixels, settings, progress):
        inside.set()
        try:
            while True:
                progress(0, 1)
                time.sleep(0.01)
        except BaseException as error:
            ended.append(type(error).__name__)
            raise

    for name in ("_predict", "on_shared_gpu"):
        monkeypatch.setattr(networks, name, slow)
    with caller.http.stream("GET", f"/heartbeat/{caller.session}") as alive:  # as every page and client has it
        lines = alive.iter_lines()
        next(lines)
        caller.join(caller.upload("left.tif", CELLS))
        with caller.listening() as messages:
            next(messages)
            assert inside.wait(30)
    assert wait_for(lambda: ended == ["Cancelled"], 60)


def test_uploaded_and_made_files_are_deleted_after_the_stated_time(nets, monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(limits, "CACHE_SECONDS", (1, 3))
    monkeypatch.setattr(inputs, "SWEEP_SECONDS", 0)
    blocks = build(nets, [])
    _, url, _ = launch(blocks, prevent_thread_lock=True, quiet=True, server_port=None)

    def held() -> list[Path]:
        return [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.stat().st_size]

    try:
        caller = Caller(url.rstrip("/"))
        caller.upload("not used.tif", CELLS + b"1")
        caller.join(caller.upload("used.tif", CELLS))
        with caller.listening() as messages:
            assert [m["success"] for m in messages if m["msg"] == "process_completed"] == [True]
        assert len(held()) >= 2
        assert wait_for(lambda: not held())
        sweep(tmp_path / "cache")
        assert list((tmp_path / "cache").rglob("*")) == []
    finally:
        blocks.close()


def test_an_image_is_forgotten_after_the_stated_time():
    assert Store().seconds == limits.STATE_SECONDS
    store = Store(seconds=0.5)
    first, second = (store.put(Analysis(Picture("a", np.zeros((4, 4))), {}, {})) for _ in range(2))
    time.sleep(0.3)
    store.get(second)
    assert wait_for(lambda: not store._held, 10)
    for key in (first, second):
        with pytest.raises(Forgotten):
            store.get(key)


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


# models from strangers


def test_a_pickle_is_never_read(tmp_path, monkeypatch):
    folder = save_model(make_unet(), tmp_path / "model")
    keep_only_a_pickle(folder)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("a pickle was read"))
    with pytest.raises(HubError, match="are not loaded"):
        load(folder)


def test_code_of_a_repository_is_never_run(tmp_path, monkeypatch):
    folder = save_model(make_unet(), tmp_path / "model")
    mark = tmp_path / "was run"
    for name in ("modeling_unet.py", "configuration_unet.py", "image_processing_nuclei.py", "__init__.py"):
        (folder / name).write_text(f"open({str(mark)!r}, 'w')")
    monkeypatch.chdir(folder)
    model, processor = load(folder)
    assert type(model).__module__ == "nuclei_models.modeling_unet"
    assert type(processor).__module__ == "nuclei_models.image_processing_nuclei"
    assert not mark.exists()
    package = [*(ROOT / "nuclei_models").rglob("*.py"), ROOT / "app.py"]
    assert not [path for path in package if "trust_remote_code=True" in path.read_text()]


def test_weights_that_were_changed_are_refused(tmp_path):
    folder = save_model(make_unet(), tmp_path / "model")
    shutil.copytree(folder, tmp_path / "other")
    flip_a_byte(folder / "model.safetensors")
    with pytest.raises(HubError, match="damaged"):
        load(folder)
    edit_weights(tmp_path / "other", extra=torch.zeros(3))
    with pytest.raises(HubError, match="don't fit"):
        load(tmp_path / "other")


# results


def test_the_result_says_what_made_it(nets, url):
    facts = Caller(url).segment("cells.tif", CELLS, "unetpp", threshold=0.25).facts
    assert facts["weights_sha256"] == nets["unetpp"].sha256 and len(facts["weights_sha256"]) == 64
    assert facts["threshold"] == 0.25 and facts["separation"] == nets["unetpp"].processor.separation
    assert {"model", "revision", "tta", "plane", "channels", "nuclei_models"} <= facts.keys()


def locked() -> dict[str, list[str]]:
    """Packages of requirements.lock as "name==version", and what stands below each."""
    text = (ROOT / "requirements.lock").read_text()
    entries = re.findall(r"^(\S+==\S+)(.*(?:\n    .*)*)", text, re.MULTILINE)
    return {name: rest.split() for name, rest in entries}


def test_the_packages_of_the_app_are_pinned_with_their_hashes():
    entries = locked()
    assert len(entries) > 50
    assert [name for name, rest in entries.items() if not any(w.startswith("--hash=sha256:") for w in rest)] == []
    names = {name.lower().replace("_", "-") for name in entries}
    wanted = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if re.match(r"\w", line)]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in wanted)
    missing = [line for line in wanted if line.lower().replace("_", "-") not in names]
    assert missing == [line for line in wanted if line.startswith("torch==")]
    assert "://" not in (ROOT / "requirements.lock").read_text()


def test_the_licence_of_every_package_is_listed():
    rows = [[cell.strip() for cell in line.split("|")] for line in (ROOT / "docs/licences.md").read_text().splitlines()]
    listed = {row[1].lower().replace("_", "-"): row[3] for row in rows if len(row) > 4}
    everywhere = [name for name, rest in locked().items() if ";" not in rest[:2]]
    missing = [name for name in everywhere if name.split("==")[0] not in listed]
    assert missing == [] and "torch" in listed
    assert not [name for name, licence in listed.items() if licence in ("", "UNKNOWN") or "AGPL" in licence]


def test_a_space_gets_no_secret_and_no_right_to_write(tmp_path):
    from train.space import assemble_space, front_matter

    assemble_space(tmp_path / "space", {"org/unet-nuclei": "c" * 40}, {"UNET_MODEL": "org/unet-nuclei@v1.0.0"})
    text = front_matter({"org/unet-nuclei": "c" * 40})
    assert not [word for word in ("hf_oauth", "secret", "token", "datasets", "write") if word in text]
    code = {path.name: path.read_text() for path in (tmp_path / "space").rglob("*.py")}
    assert [name for name, text in code.items() if re.search(r"HF_TOKEN|create_repo|\bupload_folder", text)] == [
        "integrity.py"
    ]
