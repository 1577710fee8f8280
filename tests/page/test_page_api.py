"""The examples of docs/api.md, run as they stand against a started page."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

import gradio as gr
import numpy as np
import pytest
import tifffile
from PIL import Image

from nuclei_models.images.reader import read
from nuclei_models.inference.segmentation import segment
from nuclei_models.page.api import Api
from nuclei_models.page.layout import build, launch
from nuclei_models.page.networks import Networks
from tests.support.large import CONFIDENCE
from tests.support.page import blobs, make_networks
from tests.support.snippets import read_snippets

SNIPPETS = read_snippets(Path(__file__).parents[2] / "docs" / "api.md")


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> Networks:
    return make_networks(tmp_path_factory.mktemp("networks"))


@pytest.fixture(scope="module")
def url(networks) -> Iterator[str]:
    blocks = build(networks, [])
    _, url, _ = launch(blocks, prevent_thread_lock=True, quiet=True)
    yield url.rstrip("/")
    blocks.close()


@pytest.fixture
def folder(tmp_path) -> Path:
    Image.fromarray((blobs() * 255).astype(np.uint8)).save(tmp_path / "cells.png")
    return tmp_path


@pytest.fixture
def wanted(networks, folder) -> np.ndarray:
    network = networks["unetpp"]
    return segment(read(folder / "cells.png").pixels, network.model, network.processor, min_area=20).labels


def run(language: str, command: list[str], folder: Path, url: str) -> str:
    [code] = [s.code for s in SNIPPETS if s.language == language]
    assert "http://127.0.0.1:7860" in code
    code = code.replace("http://127.0.0.1:7860", url)
    done = subprocess.run([*command, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_from_python(url, folder, wanted):
    said = run("python", [sys.executable], folder, url)
    assert f"{wanted.max()} nuclei; " in said
    assert np.array_equal(tifffile.imread(said.split("; ")[-1].strip()), wanted)


def test_over_http(url, folder, wanted):
    said = run("bash", ["bash", "-euo", "pipefail"], folder, url)
    assert "event: complete" in said
    labels, facts = json.loads(said.rsplit("data: ", 1)[1])
    assert labels["orig_name"] == "cells_unetpp_labels.tif"
    assert (facts["nuclei"], facts["min_area"]) == (wanted.max(), 20)
    assert np.array_equal(tifffile.imread(folder / "labels.tif"), wanted)


def test_an_error_is_an_event_with_a_sentence(url, folder):
    (folder / "cells.png").write_text("no image")
    [code] = [s.code for s in SNIPPETS if s.language == "bash"]
    upto = code.split("LABELS=")[0].replace("http://127.0.0.1:7860", url)
    said = subprocess.run(["bash", "-c", upto], cwd=folder, capture_output=True, text=True, timeout=300).stdout
    assert "event: error" in said
    assert "cells.png: It is no image" in said


def test_the_least_confidence_is_taken_and_told(networks, folder):
    def facts(least: float | None) -> dict:
        with patch.object(processor, "confidence_model", {"alone": CONFIDENCE}):
            return endpoint.segment(str(folder / "cells.png"), "unetpp", least_confidence=least)[1]

    endpoint, processor = Api(networks, lambda request: nullcontext(lambda: None)), networks["unetpp"].processor
    with patch.object(processor, "least_confidence", 0.5):
        assert facts(None)["least_confidence"] == 0.5
    every, none = facts(0), facts(1)
    assert (every["least_confidence"], none["least_confidence"]) == (0, 1)
    assert every["nuclei"] > none["nuclei"] == 0
    with pytest.raises(gr.Error, match="expected a number from 0 to 1"):
        facts(1.5)
