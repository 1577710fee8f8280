"""A Space's folder, started as Spaces does."""

import os
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running(folder: Path, python: str | Path, environment: dict[str, str]) -> Iterator[str]:
    """Run `space.py` until the block ends. -> the page's address, once it answers.

    Args:
        folder: The Space's files; `log.txt` there gets what it prints.
        python: Interpreter.
        environment: All of its variables but the port.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = environment | {"GRADIO_SERVER_PORT": str(port)}
    with (folder / "log.txt").open("w") as log:
        app = subprocess.Popen([str(python), "space.py"], cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        url, patience = f"http://127.0.0.1:{port}", time.monotonic() + 300
        while True:
            try:
                urllib.request.urlopen(url, timeout=10).close()
                break
            except OSError:
                said = (folder / "log.txt").read_text()
                assert app.poll() is None and time.monotonic() < patience, said
                time.sleep(0.2)
        yield url
    finally:
        app.terminate()
        app.wait(20)


def errors(said: str) -> str:
    """What an app printed of errors: from the first traceback on, "" if there is none.

    One that Python ignores at the end of an object is none: Gradio leaves an event loop to the garbage collector, which
    may close its sockets first.
    """
    said = re.sub(r"Exception ignored in: .*\nTraceback .*\n(?:[ \t].*\n)*.*\n?", "", said)
    return said[said.index("Traceback") :] if "Traceback" in said else ""


def inherited(*names: str) -> dict[str, str]:
    """These of our own environment variables, where they are set."""
    return {name: os.environ[name] for name in names if name in os.environ}
