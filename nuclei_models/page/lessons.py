"""Training from the page: the teaching set's folder to a network that is offered beside the others.

Only where the page runs on the visitor's own machine, one training at a time, in a process of its own.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from ..images.reader import SUPPORTED_EXTENSIONS
from . import limits
from .networks import Networks
from .unpacking import unpack

PROCESS = (sys.executable, "-m", "nuclei_models.page.lesson_process")
HERE = {"127.0.0.1", "::1", "localhost", "[::1]"}  # names of a visitor's own machine
FORWARDED = ("x-forwarded-for", "x-forwarded-host", "forwarded", "x-real-ip")
EVERY = 0.5  # seconds between looks
MINUTES = (0.1, 24 * 60)  # least and most


@dataclass(frozen=True)
class Lesson:
    """A training.

    Attributes:
        key, title: Of the network that it becomes.
        out: Folder of the result.
        seconds: That it takes together.
        now: What it said last: stage, left, step, loss, curve.
        result: What came of it: kept, why, figures, notes, trained.
        error: Why nothing came of it.
        stopping: Whether it was told to stop.
    """

    start: str
    title: str
    out: Path
    seconds: float
    now: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] | None = None
    error: str = ""
    key: str = ""
    stopping: bool = False

    @property
    def is_over(self) -> bool:
        return self.result is not None or bool(self.error)


class Lessons:
    """Trains networks, one after the other."""

    def __init__(self, networks: Networks, folder: Path | None = None, process: Sequence[str] = PROCESS):
        """Args:
        folder: For the results; by default `NUCLEI_TRAINED` or ~/nuclei-trained.
        process: The command that trains, see `lesson_process.py`.
        """
        self.networks, self.process = networks, tuple(process)
        self.folder = folder or Path(os.environ.get("NUCLEI_TRAINED") or Path.home() / "nuclei-trained")
        self.lesson: Lesson | None = None
        self._running: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def begin(self, archive: str, start: str, minutes: float) -> Lesson:
        """Start a training. Raises gr.Error with what is wrong.

        Args:
            archive: The teaching set, a zip that was uploaded.
            start: Key of the network to begin with.
            minutes: Of everything together.
        """
        path = Path(archive).resolve()
        if not path.is_relative_to(Path(get_upload_folder()).resolve()) or not path.is_file():
            raise gr.Error("The teaching set didn't arrive: try it again.", print_exception=False)
        if start not in self.networks.sources:
            raise gr.Error(f"start is {start!r}, expected one of {', '.join(self.networks.sources)}.")
        if not MINUTES[0] <= minutes <= MINUTES[1]:
            raise gr.Error(f"Give the time in minutes, {MINUTES[0]} to {MINUTES[1]}.", print_exception=False)
        with self._lock:
            if self._running is not None:
                raise gr.Error("A training is running: wait for its end, or stop it.", print_exception=False)
            name = f"{datetime.now():%Y-%m-%d %H.%M.%S} {start}"
            out = self.folder / name
            data = Path(tempfile.mkdtemp(prefix="nuclei-lesson-"))
            found = unpack([path], data, SUPPORTED_EXTENSIONS, 2 * limits.SET_IMAGES, 4 * limits.SET_BYTES)
            if not found.files:
                shutil.rmtree(data, ignore_errors=True)
                raise gr.Error("The teaching set is empty: add an image first.", print_exception=False)
            title = f"Mine {self.networks.trained + 1}, from {self.networks[start].title}"
            arguments = [str(data), str(out), self.networks.sources[start], str(minutes)]
            self._running = subprocess.Popen(
                [*self.process, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            self.lesson = Lesson(start, title, out, 60 * minutes)
            threading.Thread(target=self._follow, args=(self._running, data), daemon=True).start()
            return self.lesson

    def stop(self) -> str:
        """End the training; the best so far is kept. -> what to tell."""
        with self._lock:
            if self._running is None or self._running.stdin is None or self.lesson is None:
                return "Nothing is being trained."
            self.lesson = replace(self.lesson, stopping=True)
            try:
                self._running.stdin.write("stop\n")
                self._running.stdin.flush()
            except OSError:
                pass  # it ended just now
        return "The training stops, and keeps the best so far."

    def follow(self) -> Iterator[Lesson]:
        """The lesson, whenever it has changed, to its end."""
        last = None
        while (lesson := self.lesson) is not None:
            if lesson != last:
                last = lesson
                yield lesson
            if lesson.is_over:
                return
            time.sleep(EVERY)

    def _follow(self, running: subprocess.Popen[str], data: Path) -> None:
        """Take in what the process says, and remove its images in the end."""
        assert running.stdout is not None
        ended: dict[str, Any] = {}
        for line in running.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                continue  # what a library prints
            if "error" in said or "kept" in said:
                ended = said
            elif self.lesson is not None:
                self.lesson = replace(self.lesson, now=said)
        running.wait()
        shutil.rmtree(data, ignore_errors=True)
        with self._lock:
            self._running = None
            assert self.lesson is not None
            lesson = self.lesson
            try:
                if "kept" in ended:
                    key = self.networks.add(lesson.out, lesson.start, lesson.title) if ended["trained"] else ""
                    self.lesson = replace(lesson, result=ended, key=key)
                    return
                why = ended.get("error") or f"The training ended with the code {running.returncode}; see the terminal."
            except Exception as error:  # the new network can't be loaded
                why = str(error)
            self.lesson = replace(lesson, error=why)


def why_not(request: gr.Request | None) -> str:
    """Why a visitor can't train here, or ""."""
    if limits.ON_SPACE:
        return "On this server training is off, for others wait for the same machine."
    headers = {name.lower(): value for name, value in dict(getattr(request, "headers", None) or {}).items()}
    client = getattr(request, "client", None)
    host = headers.get("host", "").rsplit(":", 1)[0]
    if client is None or client.host not in HERE or host not in HERE or any(name in headers for name in FORWARDED):
        return "Training works from the page where it runs on your own machine."
    return ""
