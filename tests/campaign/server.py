"""The page as strangers meet it: `app.py` in a process of its own, and a caller that speaks plain HTTP to it."""

import io
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import tifffile

from tests.support import ROOT

_START = """
import runpy, sys
from nuclei_models.page import limits
for name, value in {changed!r}.items():
    setattr(limits, name, value)
sys.argv = ["app.py"]
runpy.run_path({app!r}, run_name="__main__")
"""


class Server:
    """`app.py` on a free port of this machine.

    Args:
        sources: Folders of networks, by "unet" and "unetpp".
        changed: Limits of `page/limits.py` to set otherwise.
    """

    def __init__(self, sources: dict[str, str], **changed: Any):
        self.changed = changed
        self._folder = tempfile.TemporaryDirectory(prefix="campaign-")
        self.cache = Path(self._folder.name) / "cache"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        environment = os.environ | {
            "UNET_MODEL": sources["unet"],
            "UNETPP_MODEL": sources["unetpp"],
            "GRADIO_SERVER_PORT": str(port),
            "GRADIO_SERVER_NAME": "127.0.0.1",
            "GRADIO_TEMP_DIR": str(self.cache),
            "GRADIO_ANALYTICS_ENABLED": "False",
            "HF_HUB_OFFLINE": "1",
            "TMPDIR": self._folder.name,
            "PYTHONPATH": str(ROOT),
        }
        code = _START.format(changed=changed, app=str(ROOT / "app.py"))
        self.log = Path(self._folder.name) / "log.txt"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code], env=environment, cwd=self._folder.name, stdout=log, stderr=log
            )

    def __enter__(self) -> "Server":
        end = time.monotonic() + 600
        while True:
            try:
                httpx.get(self.url, timeout=5)
                return self
            except httpx.HTTPError:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"the page did not start:\n{self.log.read_text()}") from None
                time.sleep(0.2)

    def __exit__(self, *_) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    @property
    def resident(self) -> int:
        """Bytes of memory that it has."""
        pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    @property
    def cpu_seconds(self) -> float:
        """Of all its threads since it was started: how much it has worked, however busy the machine is."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def files(self) -> list[Path]:
        """All that it has on the disk with something in it, its log aside."""
        found = []
        for folder, _, names in os.walk(self._folder.name):  # which bears that folders vanish meanwhile
            for path in (Path(folder) / name for name in names):
                with suppress(FileNotFoundError):
                    if path != self.log and path.stat().st_size:
                        found.append(path)
        return found


@dataclass
class Answer:
    """What came back.

    Attributes:
        labels: (H, W), or `None` where there is an error.
        facts: As the endpoint tells them.
        error: What a caller is told; "" where all went well.
        places: In the queue, as told, 0 being the next.
        waits: Seconds to wait, as told, where told.
    """

    labels: np.ndarray | None = None
    facts: dict = field(default_factory=dict)
    error: str = ""
    places: list[int] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)


class Caller:
    """One visitor: uploads a file, joins the queue, waits, fetches the result."""

    def __init__(self, url: str):
        self.http = httpx.Client(base_url=f"{url}/gradio_api", timeout=300)
        self.session = secrets.token_hex(8)
        config = self.http.get(f"{url}/config").json()
        self.index = next(d["id"] for d in config["dependencies"] if d.get("api_name") == "segment")

    def upload(self, name: str, data: bytes) -> str:
        """-> where the server has put it."""
        answer = self.http.post("/upload", files={"files": (name, data)})
        answer.raise_for_status()
        return answer.json()[0]

    def join(self, path: str, network: str = "unet", **more: Any) -> httpx.Response:
        """Ask for a segmentation."""
        names = (
            "threshold",
            "separation",
            "min_area",
            "diameter",
            "tta",
            "z",
            "t",
            "channel",
            "series",
            "least_confidence",
        )
        settings = [more.get(name, False if name == "tta" else None) for name in names]
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        body = {"data": [file, network, *settings], "fn_index": self.index, "session_hash": self.session}
        return self.http.post("/queue/join", json=body)

    @contextmanager
    def staying(self) -> Iterator[None]:
        """Be there, as every open page and every client of Gradio's is; the end of it is to leave."""
        with self.http.stream("GET", f"/heartbeat/{self.session}") as alive:
            next(alive.iter_lines())
            yield

    @contextmanager
    def listening(self) -> Iterator[Iterator[dict]]:
        """What the queue says; to break off is to leave."""
        with self.http.stream("GET", "/queue/data", params={"session_hash": self.session}) as stream:
            yield (json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: "))

    def segment(self, name: str, data: bytes, network: str = "unet", **more: Any) -> Answer:
        joined = self.join(self.upload(name, data), network, **more)
        if joined.status_code != 200:
            return Answer(error=joined.text)
        answer = Answer()
        with self.listening() as messages:
            for message in messages:
                if message["msg"] == "estimation":
                    answer.places.append(message["rank"])
                    answer.waits += [] if message["rank_eta"] is None else [message["rank_eta"]]
                elif message["msg"] == "process_completed":
                    break
        output = message.get("output") or {}
        if not message.get("success"):
            answer.error = str(output.get("error") or message)
            return answer
        file, answer.facts = output["data"]
        answer.labels = tifffile.imread(io.BytesIO(self.http.get(file["url"]).content))
        return answer
