"""A Space from beginning to end: pushed to a Hub, its requirements installed in a new virtual environment, started with
the environment that Spaces give, and used. Run by `.ci/space`, not with the other tests: it installs PyTorch.
"""

import os
import subprocess
import sys
import time
import urllib.request
import venv
from pathlib import Path

import numpy as np
import pytest
import tifffile
from gradio_client import Client, handle_file

from nuclei_models.images.reader import read
from nuclei_models.inference.loading import load
from nuclei_models.inference.segmentation import segment
from tests.support.hub import WRITER, HubServer
from tests.support.space import errors, inherited, running

ROOT = Path(__file__).parents[2]
SPACE = "writer/nuclei-demo"
EXAMPLE = "fluorescence-small"
OF_SPACES = "spaces==0.51.3"  # which Spaces install of themselves


@pytest.fixture(scope="module")
def space(hub: HubServer, tmp_path_factory) -> Path:
    """The files that a Space gets."""
    for key in ("unet", "unetpp"):
        hub.add(f"writer/{key}-nuclei", ROOT / "weights" / f"{key}-nuclei", tag="v1.0.0")
    networks = [word for key in ("unet", "unetpp") for word in (f"--{key}", f"writer/{key}-nuclei@v1.0.0")]
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    environment |= {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": WRITER, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-m", "train.release.space", SPACE, *networks], env=environment, check=True)
    folder = tmp_path_factory.mktemp("space")
    for name, file in hub.repos["spaces", SPACE].at("main").files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(hub.blobs[file.sha256])
    return folder


@pytest.fixture(scope="module")
def python(space: Path, tmp_path_factory) -> Path:
    """Interpreter of a new virtual environment with what the Space asks for, what Spaces add, and nothing else."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False)
    interpreter = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(interpreter), "install", "--quiet", "--no-compile"]
    start = time.monotonic()
    subprocess.run([*pip, "-r", str(space / "requirements.txt"), OF_SPACES], check=True, timeout=900)
    print(f"\nInstalled requirements.txt in {time.monotonic() - start:.0f} s")
    return interpreter


def test_the_space_segments_as_the_library_does(space, python, hub, tmp_path):
    (tmp_path / "home").mkdir()
    spaces = {"SYSTEM": "spaces", "SPACE_ID": SPACE, "SPACE_HOST": "writer-nuclei-demo.hf.space"}
    spaces |= {"GRADIO_SERVER_NAME": "0.0.0.0", "HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub.endpoint}
    environment = inherited("PATH", "LANG") | spaces | {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    start = time.monotonic()
    with running(space, python, environment) as url:
        print(f"\nAnswered after {time.monotonic() - start:.0f} s")
        with urllib.request.urlopen(url, timeout=30) as page:
            assert "U-Net++" in page.read().decode()
        client = Client(url, verbose=False)
        for key in ("unet", "unetpp"):
            path = space / "examples" / f"{EXAMPLE}.png"
            labels, facts = client.predict(handle_file(path), key, api_name="/segment")
            wanted = segment(read(path).pixels, *load(ROOT / "weights" / f"{key}-nuclei"))
            assert wanted.count > 5
            assert np.array_equal(tifffile.imread(labels), wanted.labels)
            assert facts["model"] == f"writer/{key}-nuclei"
            assert facts["revision"] == hub.repos["models", f"writer/{key}-nuclei"].at("v1.0.0").id
    assert not errors((space / "log.txt").read_text())
