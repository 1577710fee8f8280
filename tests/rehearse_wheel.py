"""The wheel from beginning to end: built, installed in a fresh virtual environment, used in an empty folder. Run by
`.ci/wheel`, not with the other tests.
"""

import shutil
import site
import socket
import subprocess
import sys
import time
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest
import tifffile

from nuclei_models import load, read, segment
from nuclei_models.inference.bundled import DEFAULT
from nuclei_models.page.examples import find_examples
from tests.support import ROOT
from tests.support.snippets import read_snippets

MOST_BYTES = 60_000_000
IMAGE = "fluorescence-small.png"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(pip, check=True, timeout=300)
    [path] = folder.glob("nuclei_models-*.whl")
    return path


@pytest.fixture(scope="module")
def bin_folder(wheel, tmp_path_factory) -> Path:
    """`bin` of a new environment with the wheel; its dependencies are this environment's, which come after it."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", str(wheel)]
    subprocess.run(pip, check=True, timeout=300)
    asked = [str(python), "-c", "import site; print(site.getsitepackages()[0])"]
    own = Path(subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip())
    (own / "others.pth").write_text("\n".join(site.getsitepackages()))
    return python.parent


@pytest.fixture
def empty(tmp_path, monkeypatch) -> Path:
    """A folder with one image, far from the clone, and an environment that doesn't know of it."""
    shutil.copy(ROOT / "examples" / IMAGE, tmp_path / "cells.png")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def nuclei_here() -> int:
    """Nuclei that the clone's package finds in the image."""
    return segment(read(ROOT / "examples" / IMAGE).pixels, *load(DEFAULT)).count


def call(*words: str | Path) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_is_small_and_has_no_more_than_the_package(wheel):
    assert wheel.stat().st_size < MOST_BYTES
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"nuclei_models", "nuclei_cli"}


def test_it_is_the_wheels_package_that_runs(bin_folder, empty):
    where = call(bin_folder / "python", "-c", "import nuclei_models; print(nuclei_models.__file__)").strip()
    assert Path(where).is_relative_to(bin_folder.parent)


def test_readmes_first_snippet_runs(bin_folder, empty, nuclei_here):
    snippet = next(s for s in read_snippets(ROOT / "README.md") if s.language == "python")
    assert call(bin_folder / "python", "-c", snippet.code).startswith(f"{nuclei_here} nuclei\n")


def test_the_command_segments(bin_folder, empty, nuclei_here):
    call(bin_folder / "nuclei", "segment", "cells.png", "--save", "labels,csv")
    assert tifffile.imread(empty / "results" / "cells_labels.tif").max() == nuclei_here > 5
    assert "unetpp-nuclei" in call(bin_folder / "nuclei", "info", "unetpp-nuclei")


def test_the_page_opens(bin_folder, empty):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (empty / "log.txt").open("w") as log:
        page = subprocess.Popen([bin_folder / "nuclei", "page", "--port", str(port)], stdout=log, stderr=log)
    try:
        text, patience = "", time.monotonic() + 180
        while not text:
            assert page.poll() is None and time.monotonic() < patience, (empty / "log.txt").read_text()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=30) as answer:
                    text = answer.read().decode()
            except OSError:
                time.sleep(0.5)
        assert "U-Net++" in text and all(example.title in text for example in find_examples())
    finally:
        page.terminate()
        page.wait(30)
    assert "Traceback" not in (empty / "log.txt").read_text()
    assert {path.name for path in empty.iterdir()} == {"cells.png", "log.txt"}
