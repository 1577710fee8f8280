"""Seconds and memory of one thing at growing sizes, as lines of JSON. Only the standard library: peers use it too."""

import json
import re
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

REPEATS, ENOUGH = 5, 3.0  # runs of a size, or fewer once they have taken so many seconds
ALWAYS = 1024  # pixels a side that are measured whatever the budget: the size at which contenders are compared
WARM = 5.0  # seconds of a run that is worth a first one to warm up


def peak_megabytes() -> float:
    """Most memory that this process has had so far."""
    status = Path("/proc/self/status")
    if status.is_file():  # because Linux's ru_maxrss counts what the parent had when it started this process
        found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
        if found:
            return round(int(found[1]) / 1024, 1)
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 1)


def grow(
    sizes: list[int], budget: float, prepare: Callable[[int], Callable[[], dict | None]], parts_of: int = 1, **facts
) -> None:
    """Measure at each size, the smallest first, and print a line a size as soon as it is done.

    Args:
        sizes: Pixels a side.
        budget: Seconds in all. A size that would not fit is left out, and with it those beyond.
        prepare: Gives what to time at a size. What that returns, seconds of its parts, is kept beside the whole's; of
            these "apart" is no part of the whole and doesn't count.
        parts_of: What is timed is one of so many equal parts of the whole, whose seconds are told.
        facts: Of the contender, to be printed first.
    """
    end = time.perf_counter() + budget
    say(facts=facts)
    last = None
    for size in sorted(sizes):
        expected = last[1] * (size / last[0]) ** 2 if last else 0.0
        if size > ALWAYS and time.perf_counter() + (2 if expected < WARM else 1.2) * expected > end:
            say(left_out=size, expected_seconds=round(expected, 1))
            continue
        run = prepare(size)
        if expected < WARM:  # beyond that one run tells
            run()
        seconds: list[float] = []
        parts: list[dict] = []
        while len(seconds) < REPEATS and (not seconds or sum(seconds) + seconds[-1] < ENOUGH):
            start = time.perf_counter()
            parts.append(run() or {})
            seconds.append(parts_of * (time.perf_counter() - start - parts[-1].get("apart", 0.0)))
        middle = seconds.index(statistics.median_low(seconds))
        last = size, seconds[middle]
        say(size=size, seconds=seconds[middle], best=min(seconds), runs=len(seconds), parts=parts[middle],
            peak_mb=peak_megabytes())  # fmt: skip


def say(**line) -> None:
    print(json.dumps(line), flush=True)
