"""The crowd and the long run: many callers at once, each with an image of its own, and hundreds of images in a row."""

import io
import os
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import tifffile

from nuclei_models.inference.loading import load
from nuclei_models.inference.segmentation import segment
from tests.support.page import blobs

from .server import Answer, Caller, Server


@dataclass
class Crowd:
    """What became of a crowd's requests.

    Attributes:
        outcomes: "own" where the caller got what belongs to their image, "another's", "told to come back" where the
            queue was full, "failed".
        errors: What callers were told, once each.
        longest_queue: The highest place that somebody was told.
        slowest: Seconds from upload to result.
        told: How many callers were told how long to wait.
    """

    outcomes: Counter = field(default_factory=Counter)
    errors: set[str] = field(default_factory=set)
    longest_queue: int = 0
    slowest: float = 0.0
    told: int = 0


@dataclass
class Picture:
    """An image as a file, and the label image that belongs to it."""

    name: str
    data: bytes
    labels: np.ndarray


def pictures(sources: dict[str, str], n: int, side: int = 128) -> list[Picture]:
    """Images with nuclei at other places and in other numbers, and what the U-Net finds in them."""
    model, processor = load(sources["unet"])
    made = []
    for seed in range(n):
        pixels = (blobs(side, side + 2 * seed, spacing=14 + 2 * (seed % 12), seed=seed) * 4000 + 100).astype(np.uint16)
        file = io.BytesIO()
        tifffile.imwrite(file, pixels)
        made.append(Picture(f"caller {seed}.tif", file.getvalue(), segment(pixels, model, processor).labels))
    return made


def crowd(url: str, given: list[Picture], seconds: float, each: int = 10**9) -> Crowd:
    """A caller for each picture, who asks again and again, all at once.

    Args:
        seconds: After which none asks again.
        each: Requests of each caller, at most.
    """
    result, lock, end = Crowd(), threading.Lock(), time.monotonic() + seconds

    def call(picture: Picture) -> None:
        caller, asked = Caller(url), 0
        while asked < each and time.monotonic() < end:
            asked += 1
            started = time.monotonic()
            try:
                answer = caller.segment(picture.name, picture.data)
            except Exception as error:
                answer = Answer(error=repr(error))
            with lock:
                result.outcomes[_outcome(answer, picture)] += 1
                result.errors |= {answer.error} if answer.error else set()
                result.longest_queue = max([result.longest_queue, *answer.places])
                result.told += bool(answer.waits)
                result.slowest = max(result.slowest, time.monotonic() - started)
            if answer.error:
                time.sleep(1)

    threads = [threading.Thread(target=call, args=(picture,)) for picture in given]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return result


def _outcome(answer: Answer, picture: Picture) -> str:
    if answer.error:
        return "told to come back" if "full" in answer.error.lower() else "failed"
    return "own" if np.array_equal(answer.labels, picture.labels) else "another's"


@dataclass
class LongRun:
    """Memory of the server over many segmentations.

    Attributes:
        right: Results that were as they should be.
        tried: Requests.
        samples: (requests so far, MB of memory).
    """

    right: int = 0
    tried: int = 0
    samples: list[tuple[int, float]] = field(default_factory=list)

    @property
    def settled(self) -> int:
        """The first request, a fifth of the way, when everything has been used once and memory was looked at."""
        return next(n for n, _ in self.samples if n >= self.tried / 5)

    @property
    def growth(self) -> float:
        """MB from there to the end."""
        return self.samples[-1][1] - dict(self.samples)[self.settled]


def long_run(server: Server, given: list[Picture], times: int, every: int = 25) -> LongRun:
    """Images in a row, of many sizes."""
    result, caller = LongRun(), Caller(server.url)
    for n in range(times):
        picture = given[n % len(given)]
        answer = caller.segment(picture.name, picture.data)
        result.right += _outcome(answer, picture) == "own"
        result.tried += 1
        if n % every == 0 or n == times - 1:
            result.samples.append((n, server.resident / 1e6))
    return result


@dataclass
class Leftovers:
    """What lies on the server's disk.

    Attributes:
        before: Files with something in them, right after the last request.
        after: The same when the stated time is over.
        clutter: Files and folders of any kind after one more request, which itself makes a few.
    """

    before: int
    after: int
    clutter: int


def leftovers(server: Server, picture: Picture) -> Leftovers:
    """Wait until the time is over after which the server says that files are deleted."""
    before = len(server.files)
    end = time.monotonic() + sum(server.changed["CACHE_SECONDS"]) + 10
    while server.files and time.monotonic() < end:
        time.sleep(0.5)
    after = len(server.files)
    time.sleep(server.changed["SWEEP_SECONDS"] + 1)
    Caller(server.url).segment(picture.name, picture.data)
    return Leftovers(before, after, sum(len(names) + len(folders) for _, folders, names in os.walk(server.cache)))


@dataclass
class Leavers:
    """Callers who leave before their result.

    Attributes:
        left: How many.
        run: Seconds that one of their runs takes alone.
        waited: Seconds that the next caller had to wait, who brings the same image.
        work_of_run: CPU seconds of the server for the one; unlike the others it hardly depends on what else the
            machine does.
        work_waited: CPU seconds of the server from when the last one had left until the next had their result.
    """

    left: int
    run: float
    waited: float
    work_of_run: float
    work_waited: float


def leavers(server: Server, n: int, side: int = 1500) -> Leavers:
    """Callers join and leave, every second one in the middle of their run; the next one must not wait for them."""
    pixels = (blobs(side, side) * 4000 + 100).astype(np.uint16)
    file = io.BytesIO()
    tifffile.imwrite(file, pixels)
    data = file.getvalue()

    def timed(name: str) -> tuple[float, float]:
        started, worked = time.monotonic(), server.cpu_seconds
        answer = Caller(server.url).segment(name, data)
        if answer.error:
            raise RuntimeError(answer.error)
        return time.monotonic() - started, server.cpu_seconds - worked

    alone, work_alone = timed("alone.tif")
    for number in range(n):
        caller = Caller(server.url)
        last = {"process_starts", "process_completed", *(["estimation"] if number % 2 else [])}
        with caller.staying():
            caller.join(caller.upload("left.tif", data)).raise_for_status()
            with caller.listening() as messages:
                next(message for message in messages if message["msg"] in last)
        caller.http.close()
    waited, work_waited = timed("next.tif")
    return Leavers(n, alone, waited, work_alone, work_waited)
