"""A process of its own in which cases are tried, with a limit on its memory and a clock that is watched from outside.

A case that hangs, takes too much or kills its process is a finding like any other.
"""

import os
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ALLOWANCE = 600 * 2**20  # bytes that a case may take beyond what the process has when it is warm
CPU_SECONDS = 10.0  # of one case
WALL_SECONDS = 120.0  # until a case is taken for hung; far more, because the machine may be busy

# what torch and malloc keep for later is no case's memory
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "8", "MALLOC_ARENA_MAX": "1"}

Target = Callable[[Any, Path], str]  # a case and a folder for its files -> how it ended; raises `Finding` or anything


class Finding(Exception):
    """A case that broke a promise."""


@dataclass(frozen=True)
class Verdict:
    """How a case ended.

    Attributes:
        outcome: What the target returned, as "image" or "refused"; "finding" where a promise was broken.
        detail: What is wrong, with the traceback if there is one; else "".
        seconds: Of CPU.
    """

    outcome: str
    detail: str
    seconds: float

    @property
    def is_finding(self) -> bool:
        return self.outcome == "finding"


class Worker:
    """Runs one target's cases, one at a time, in a process that is started again after a crash.

    Args:
        target: A function of a module that can be imported.
        warm_up: Cases that make it import and build what it needs, before its memory is limited.
    """

    def __init__(self, target: Target, *warm_up: Any):
        self._target, self._warm_up = target, warm_up
        self._process, self._pipe = self._start()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_) -> None:
        self._stop()

    def try_case(self, case: Any) -> Verdict:
        self._pipe.send(case)
        if not self._pipe.poll(WALL_SECONDS):
            return self._broken(f"no answer in {WALL_SECONDS:.0f} s")
        try:
            return self._pipe.recv()
        except EOFError:
            self._process.join(10)
            return self._broken(f"the process died with exit code {self._process.exitcode}")

    def _broken(self, why: str) -> Verdict:
        self._stop()
        self._process, self._pipe = self._start()
        return Verdict("finding", why, 0.0)

    def _start(self):
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self._target, self._warm_up), daemon=True)
        with _environment(ENVIRONMENT):
            process.start()
        theirs.close()
        if not ours.poll(300) or ours.recv() != "warm":
            raise RuntimeError("the worker did not start")
        return process, ours

    def _stop(self) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.join(10)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """For processes that are started within."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _serve(pipe: Connection, target: Target, warm_up: tuple) -> None:
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, sys.stderr.fileno())  # libtiff's and Pillow's warnings
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        for case in warm_up:
            target(case, Path(folder))
        limit = _address_space() + ALLOWANCE
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        pipe.send("warm")
        while True:
            try:
                case = pipe.recv()
            except EOFError:
                return
            pipe.send(_tried(target, case, Path(folder)))


def _tried(target: Target, case: Any, folder: Path) -> Verdict:
    started = time.process_time()
    try:
        outcome, detail = target(case, folder), ""
    except Finding as finding:
        outcome, detail = "finding", str(finding)
    except Exception:
        outcome, detail = "finding", traceback.format_exc()
    seconds = time.process_time() - started
    if seconds > CPU_SECONDS and outcome != "finding":
        outcome, detail = "finding", f"took {seconds:.1f} s of CPU, at most {CPU_SECONDS:.0f} are allowed"
    return Verdict(outcome, detail, seconds)


def _address_space() -> int:
    """Bytes."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
