"""Fixtures of all tests. This file comes first: what it sets is read when a Hugging Face library is imported."""

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

HF_ENVIRONMENT = {
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "DISABLE_SAFETENSORS_CONVERSION": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "NO_PROXY": "127.0.0.1,localhost",
    "no_proxy": "127.0.0.1,localhost",
}
for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING_FACE_", "HUGGINGFACE_", "TRANSFORMERS_"))]:
    del os.environ[name]  # the user's token and cache are no part of a test
HF_HOME = tempfile.mkdtemp(prefix="hf-home-")
# offline: nothing in the tests' own process can reach out. What talks to the test Hub runs in `run_python`
os.environ.update(HF_ENVIRONMENT, HF_HOME=HF_HOME, HF_HUB_OFFLINE="1")
if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes that share the cores and the disk
    os.environ |= {"OMP_NUM_THREADS": "1", "GRADIO_TEMP_DIR": f"{HF_HOME}/gradio"}

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import tifffile  # noqa: E402
from filelock import FileLock  # noqa: E402
from PIL import Image  # noqa: E402

from tests.support.hub import HubServer  # noqa: E402

REPO_ROOT = Path(__file__).parent.parent

RunPython = Callable[..., subprocess.CompletedProcess[str]]


# The files that take longest begin first, so that at the end no process waits for another
LONGEST = (
    "trust/test_campaign.py",
    "train/test_bare_route.py",
    "large/test_large.py",
    "large/test_large_stopped.py",
    "page/test_mending_browser.py",
    "train/test_evaluate.py",
    "inference/test_scale.py",
    "train/test_train.py",
    "trust/test_crash.py",
    "page/test_page_browser.py",
    "training/test_front.py",
    "benchmarks/test_benchmarks.py",
    "inference/test_hub.py",
    "large/test_large_labels.py",
    "inference/test_segment.py",
    "large/test_large_memory.py",
    "cli/test_cli.py",
    "train/test_published.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {REPO_ROOT / "tests" / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


def pytest_unconfigure() -> None:
    shutil.rmtree(HF_HOME, ignore_errors=True)


@pytest.fixture(autouse=True)
def number_of_threads() -> Iterator[None]:
    """Put torch's number of threads back after a test: with more than there are cores all others are slow."""
    torch = sys.modules.get("torch")
    before = torch and torch.get_num_threads()
    yield
    if torch:
        torch.set_num_threads(before)


@pytest.fixture(scope="session")
def hub() -> Iterator[HubServer]:
    """A Hub on this machine, for all tests: give each its own repositories."""
    with HubServer() as server:
        yield server


@pytest.fixture(scope="session")
def run_python(hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> RunPython:
    """Run a snippet in a fresh Python that has this repository on its path and the test Hub as its Hub.

    Importing torch and transformers takes seconds: let several assertions share a snippet.

    The function takes:
        code: The snippet; it is dedented.
        hub: `True` for the test Hub, `False` for none (offline), or another endpoint's address.
        home: Folder for `HF_HOME`, the cache; by default a new, empty one.
        token: As `hf auth login` would leave it, "hf_writer" or "hf_reader"; by default none.
        offline: Whether to set `HF_HUB_OFFLINE`.
        timeout: Seconds until `subprocess.TimeoutExpired`.
        python: Another interpreter, which then does not have this repository on its path.
        folder: Where to run; by default a new, empty folder.
    """

    def run(
        code: str,
        *,
        hub: bool | str = True,
        home: str | Path | None = None,
        token: str | None = None,
        offline: bool = False,
        timeout: float = 300,
        python: str | Path | None = None,
        folder: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in os.environ.items() if key not in ("HF_HUB_OFFLINE", "HF_TOKEN")}
        folder = folder or tmp_path_factory.mktemp("run")
        environment |= {"HF_HOME": str(home or folder / "hf-home"), "OMP_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = "" if python else str(REPO_ROOT)
        if hub is not False:
            environment["HF_ENDPOINT"] = server.endpoint if hub is True else hub
        if offline or hub is False:
            environment["HF_HUB_OFFLINE"] = "1"
        if token is not None:
            environment["HF_TOKEN"] = token
        command = [str(python or sys.executable), "-c", textwrap.dedent(code)]
        return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=timeout)

    server = hub
    return run


@pytest.fixture(scope="session")
def bundled(hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The bundled networks' repositories, by "unet" and "unetpp": folders, and on the test Hub as org/unet-nuclei and
    org/unetpp-nuclei at v1.0.0, the names that the documents use."""
    from train.release.publish import assemble

    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # made once for all of the processes
        shared = shared.parent
    folders = {key: shared / "bundled" / key for key in ("unet", "unetpp")}
    with FileLock(shared / "bundled.lock"):
        for key, folder in folders.items():
            if not (folder / "README.md").is_file():  # which is written last
                assemble(REPO_ROOT / "weights" / f"{key}-nuclei", folder, f"org/{key}-nuclei", "v1.0.0")
    for key, folder in folders.items():
        hub.add(f"org/{key}-nuclei", folder, tag="v1.0.0")
    return folders


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Write a file: of bytes, or of an array by tifffile or, for other extensions or compressions, Pillow."""

    def write(content: bytes | np.ndarray | Image.Image, name: str = "cells.tif", **options) -> Path:
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, np.ndarray) and name.endswith(".tif"):
            tifffile.imwrite(path, content, **options)
        else:
            image = Image.fromarray(content) if isinstance(content, np.ndarray) else content
            image.save(path, **options)
        return path

    return write


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of two small networks whose answer is known, for the page."""
    from tests.support.page import save_networks

    return save_networks(tmp_path_factory.mktemp("networks"))


@pytest.fixture(scope="module")
def nets(sources: dict[str, str]):
    from nuclei_models.page.networks import Networks

    return Networks(sources)


@pytest.fixture(scope="module")
def url(nets) -> Iterator[str]:
    """The page, open."""
    from nuclei_models.page.layout import build, launch

    blocks = build(nets, [])
    _, url, _ = launch(blocks, prevent_thread_lock=True, quiet=True, server_port=None)
    yield url.rstrip("/")
    blocks.close()


@pytest.fixture
def nuclei(
    capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str]]:
    """Run the command `nuclei` in a folder of its own. -> exit code, and what it printed, errors included."""
    from nuclei_cli import app

    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            app([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out + captured.err

    return run
