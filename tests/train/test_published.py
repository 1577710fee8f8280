"""Published to a Hub on this machine by the commands, and back: the Space pulls the networks and segments."""

import json
import os
import re
import sys
import urllib.request
from collections.abc import Iterator

import pytest
import tifffile
from huggingface_hub import ModelCard
from PIL import Image

from nuclei_models.model.repository import sha256
from tests.support.blobs import BLOBS, blob_picture
from tests.support.hub import WRITER
from tests.support.space import running

CODE = {"configuration_unet.py", "modeling_unet.py", "modeling_nuclei.py", "image_processing_nuclei.py"}
FILES = {"README.md", "LICENSE", "config.json", "preprocessor_config.json", "model.safetensors"}
RECORD = {"evaluation.json", "training.yaml", "log.json"}

FLOW = """
import contextlib, io, json, os, sys
from huggingface_hub import HfApi
from nuclei_models.training import train
from train.release import publish, space

def run(module, *arguments):
    sys.argv = [module.__name__, *arguments]
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            module.main()
        return [0, said.getvalue()]
    except SystemExit as error:
        return [error.code, said.getvalue()]

def unet(tag, *more, repo="writer/first-unet"):
    return run(publish, repo, "--weights", weights["unet"], "--tag", tag, "--no-onnx", *more)

def state(repo, **kind):
    api = HfApi()
    refs = api.list_repo_refs(repo, **kind)
    commits = [c.title for c in api.list_repo_commits(repo, **kind)]
    return {"tags": {t.name: t.target_commit for t in refs.tags}, "main": refs.branches[0].target_commit,
            "commits": commits, "files": api.list_repo_files(repo, **kind)}

done = {"dry": unet("v1.0.0", "--dry-run")}
done["dry exists"] = HfApi().repo_exists("writer/first-unet")
done["first"] = unet("v1.0.0")
done["after first"] = state("writer/first-unet")
done["again"] = unet("v1.0.0")
done["after again"] = state("writer/first-unet")
HfApi().upload_file(path_or_fileobj=b"old", path_in_repo="old.py", repo_id="writer/first-unet")
done["second"] = unet("v1.1.0")
done["after second"] = state("writer/first-unet")
done["private"] = unet("v1.0.0", "--private", repo="writer/secret-unet")
done["is private"] = HfApi().model_info("writer/secret-unet").private

both = ["--unet", "writer/unet-nuclei@v1.0.0", "--unetpp", "writer/unetpp-nuclei@v1.0.0"]
done["early space"] = run(space, "writer/early-demo", *both)
done["unet"] = unet("v1.0.0", repo="writer/unet-nuclei")
done["space"] = run(publish, "writer/unetpp-nuclei", "--weights", weights["unetpp"], "--tag", "v1.0.0", "--no-onnx",
                    "--space", "writer/nuclei-demo")
done["space state"] = state("writer/nuclei-demo", repo_type="space")
done["swapped"] = run(space, "writer/demo", both[0], both[3], both[2], both[1])
done["pinned"] = [HfApi().model_info(f"writer/{name}-nuclei", revision="v1.0.0").sha for name in ("unet", "unetpp")]
path = HfApi().hf_hub_download("writer/nuclei-demo", "README.md", repo_type="space")
done["readme"] = open(path).read()
made = train(alike, "own", model="writer/unet-nuclei@v1.0.0")
done["own"] = {"initial": made.record["initial"], "sha256": made.record["weights_sha256"], "kept": made.kept}
done["own published"] = run(publish, "writer/own-unet", "--weights", "own", "--tag", "v0.1.0", "--no-onnx")
done["own card"] = open(HfApi().hf_hub_download("writer/own-unet", "README.md", revision="v0.1.0")).read()
os.environ["HF_TOKEN"] = "hf_reader"
done["reader"] = unet("v1.0.0", repo="writer/refused")
del os.environ["HF_TOKEN"]
done["nobody"] = unet("v1.0.0", repo="writer/refused")
print(json.dumps(done))
"""


@pytest.fixture(scope="module")
def published(hub, run_python, evaluated, alike) -> dict:
    names = {key: str(folder) for key, folder in evaluated.items()}
    done = run_python(f"weights, alike = {names}, {str(alike)!r}\n{FLOW}", token=WRITER)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_dry_run_pushes_nothing(published):
    code, said = published["dry"]
    assert code == 0 and "model.safetensors" in said and published["dry exists"] is False


def test_publishing_is_one_commit_and_a_tag(published):
    state = published["after first"]
    assert published["first"][0] == 0, published["first"]
    assert state["commits"] == ["Publish v1.0.0", "initial commit"]
    assert state["tags"] == {"v1.0.0": state["main"]}
    assert set(state["files"]) >= FILES | RECORD | CODE


def test_a_version_is_never_published_twice(published):
    code, said = published["again"]
    assert code == 1 and "has a v1.0.0 already" in said
    assert published["after again"] == published["after first"]


def test_a_new_version_leaves_the_old_one_and_nothing_behind(published):
    state = published["after second"]
    assert published["second"][0] == 0, published["second"]
    assert state["tags"]["v1.0.0"] == published["after first"]["main"]
    assert state["tags"]["v1.1.0"] == state["main"] != state["tags"]["v1.0.0"]
    assert "old.py" not in state["files"]


def test_a_private_repository(published):
    assert published["private"][0] == 0 and published["is private"] is True


def test_the_space_is_pushed_with_pinned_networks(published):
    assert published["space"][0] == 0, published["space"]
    state = published["space state"]
    assert {"app.py", "space.py", "README.md", "requirements.txt", "LICENSE"} <= set(state["files"])
    assert "nuclei_models/inference/segmentation.py" in state["files"] and len(state["commits"]) == 2
    for name, commit in zip(("unet", "unetpp"), published["pinned"], strict=True):
        assert re.search(rf"- writer/{name}-nuclei \S+ {commit}\n", published["readme"])


def test_a_space_without_its_networks_is_refused(published):
    code, said = published["early space"]
    assert code == 1 and "There is no writer/unet-nuclei@v1.0.0 yet: publish it first" in said
    code, said = published["swapped"]
    assert code == 1 and "nuclei_unet is expected" in said


def test_who_may_not_write_is_told_so(published):
    for case in ("reader", "nobody"):
        code, said = published[case]
        assert code == 1 and "writer/refused" in said and "hf auth login" in said, said


@pytest.fixture(scope="module")
def space_url(hub, published, tmp_path_factory) -> Iterator[str]:
    """Address of the pushed Space, running from the files that the Hub has, with an empty cache."""
    folder = tmp_path_factory.mktemp("space")
    for name, file in hub.repos["spaces", "writer/nuclei-demo"].at("main").files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(hub.blobs[file.sha256])
    environment = {key: value for key, value in os.environ.items() if key not in ("HF_HUB_OFFLINE", "PYTHONPATH")}
    environment |= {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(folder / "hf-home")}
    with running(folder, sys.executable, environment) as url:
        yield url


def test_the_space_shows_the_page_and_segments(space_url, hub, published, tmp_path):
    from gradio_client import Client, handle_file

    with urllib.request.urlopen(space_url, timeout=30) as page:
        assert "U-Net++" in page.read().decode()
    Image.fromarray(blob_picture()).save(tmp_path / "cells.png")
    client = Client(space_url, verbose=False)
    for key in ("unet", "unetpp"):
        labels, told = client.predict(handle_file(tmp_path / "cells.png"), key, api_name="/segment")
        assert tifffile.imread(labels).max() == len(BLOBS)
        assert f"writer/{key}-nuclei" in json.dumps(told)
    pulled = [r.path for r in hub.log if "model.safetensors" in r.path and r.method == "GET" and r.status == 200]
    assert any("writer/unetpp-nuclei" in path for path in pulled)


def test_an_own_network_from_the_hub_names_what_it_began_with(published, evaluated):
    digest = sha256(evaluated["unet"] / "model.safetensors")
    initial, card = published["own"]["initial"], published["own card"]
    assert published["own"]["kept"] == "start" and published["own published"][0] == 0, published["own published"]
    assert (initial["model"], initial["revision"]) == ("writer/unet-nuclei", published["pinned"][0])
    assert published["own"]["sha256"] == initial["weights_sha256"] == digest
    assert ModelCard(card).data.base_model == "writer/unet-nuclei" and 'load("writer/own-unet@v0.1.0")' in card
    assert published["pinned"][0] in card and digest in card
