"""Files whose codecs may be led astray are read in a process of its own, with limits on its memory and time.

Such are the rarer compressions (JPEG 2000, JPEG XR, JPEG XL, WebP, LERC, fax, ..) and vendors' formats: libraries in C
that weren't written for a stranger's files. What breaks there ends in an `ImageError` here. The process is started when
it is first needed and then kept. It answers in JSON and bare bytes, so that nothing it says is ever run.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from .series import ImageError, Series

MEMORY = 3 << 30  # bytes beyond what the process has when it begins
SECONDS = 120.0  # for one answer, after which the process is ended
_START = "import sys; sys.path[:0] = {!r}; from nuclei_models.images.sandbox import serve; serve()"
_GONE = (
    "It can't be read: unpacking it took more memory or time than is allowed, or broke down. It is damaged or too "
    "large. Open it in Fiji and save it as TIFF."
)


class Sandbox:
    """The process, which answers one question at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None
        self._owner = 0  # a process that was forked off starts one of its own
        self._lock = threading.Lock()

    def ask(self, **question: Any) -> tuple[dict[str, Any], bytes]:
        """An answer, and its pixels.

        Raises:
            ImageError: As the question came to, or the process took too much or broke down.
        """
        with self._lock:
            process = self._started()
            clock = threading.Timer(SECONDS, process.kill)
            clock.start()
            try:
                put, get = cast(BinaryIO, process.stdin), cast(BinaryIO, process.stdout)
                put.write(json.dumps(question).encode() + b"\n")
                put.flush()
                answer = json.loads(get.readline() or b'{"gone": true}')
                data = get.read(answer["bytes"]) if answer.get("bytes") else b""
            except (OSError, ValueError):
                answer, data = {"gone": True}, b""
            finally:
                clock.cancel()
            if answer.get("gone") or len(data) != answer.get("bytes", 0):
                self.close()
                raise ImageError(_GONE)
        if "error" in answer:
            raise ImageError(answer["error"])
        return answer, data

    def _started(self) -> subprocess.Popen:
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            self._owner = os.getpid()
            here = [str(Path(__file__).parents[2]), *sys.path]
            variables = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START.format(here)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=variables,
            )
        return self._process

    def close(self) -> None:
        """End the process; another is started when it is needed."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


_SANDBOX = Sandbox()


def open_there(path: Path, which: int) -> tuple[list[str], Series | None]:
    """The header of a file, read in the sandbox, where its pixels will be too. As the readers of the formats."""
    said, _ = _SANDBOX.ask(path=str(path.absolute()), series=which)
    about = said["series"]
    if about is None:
        return said["labels"], None
    about |= {"dtype": np.dtype(about["dtype"]), "decode": partial(_decode, path, which)}
    about |= {"channel_names": tuple(about["channel_names"]), "notes": tuple(about["notes"])}
    about["pixel_size"] = about["pixel_size"] and tuple(about["pixel_size"])
    return said["labels"], Series(**about, window=partial(_window, path, which))


def _decode(path: Path, which: int, t: int, z: int, c: int, max_pixels: int) -> tuple[np.ndarray, list[str]]:
    return _array(path=str(path.absolute()), series=which, plane=(t, z, c), max_pixels=max_pixels)


def _window(path: Path, which: int, t: int, z: int, c: int) -> Callable[[slice, slice], np.ndarray]:
    def read(rows: slice, cols: slice) -> np.ndarray:
        where = [int(n) for n in (rows.start, rows.stop, cols.start, cols.stop)]
        return _array(path=str(path.absolute()), series=which, plane=(t, z, c), window=where)[0]

    return read


def _array(**question: Any) -> tuple[np.ndarray, list[str]]:
    said, data = _SANDBOX.ask(**question)
    return np.frombuffer(data, np.dtype(said["dtype"])).reshape(said["shape"]).copy(), said["notes"]


# in the sandbox


def serve() -> None:
    """Answer questions from standard input until it ends."""
    from .reader import open_trusted, plain_words  # here, because they import this module

    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    _limit()
    known: dict[tuple, tuple[BinaryIO, list[str], Series | None]] = {}
    for line in sys.stdin.buffer:
        question = json.loads(line)
        data: bytes | memoryview = b""
        try:
            with plain_words():
                path = Path(question["path"])
                key = (path, path.stat().st_mtime_ns, path.stat().st_size, question["series"])
                if key not in known:
                    for opened, *_ in known.values():
                        opened.close()
                    known.clear()
                    known[key] = open_trusted(path, question["series"])
                _, labels, found = known[key]
                answer, data = _answer(question, labels, found)
        except ImageError as error:
            answer = {"error": str(error)}
        answers.write(json.dumps(answer | {"bytes": len(data)}).encode() + b"\n")
        answers.write(data)
        answers.flush()


def _answer(
    question: dict[str, Any], labels: list[str], found: Series | None
) -> tuple[dict[str, Any], bytes | memoryview]:
    if "plane" not in question or found is None:
        told = None if found is None else {name: value for name, value in vars(found).items() if not callable(value)}
        if found is not None and told is not None:
            told["dtype"] = found.dtype.str
            told.pop("window", None)
        return {"labels": labels, "series": told}, b""
    (t, z, c), notes = question["plane"], list[str]()
    if "window" in question and found.window is not None:
        top, bottom, left, right = question["window"]
        pixels = found.window(t, z, c)(slice(top, bottom), slice(left, right))
    else:
        pixels, notes = found.decode(t, z, c, question["max_pixels"])
    pixels = np.ascontiguousarray(pixels)
    return {"dtype": pixels.dtype.str, "shape": pixels.shape, "notes": notes}, pixels.data.cast("B")


def _limit() -> None:
    """As far as this system knows limits."""
    try:
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (ImportError, OSError):
        return
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = used + MEMORY if most == resource.RLIM_INFINITY else min(used + MEMORY, most)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
