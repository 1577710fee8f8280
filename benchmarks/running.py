"""Contenders to a file of results: each in a process of its own, one after the other; an interrupted run goes on.

A machine that others share is slower at times, for minutes. So all contenders are measured in rounds, and of each size
the fastest round counts.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import peers
from .contenders import Contender
from .timing import ALWAYS

START = 6.0  # seconds of a contender's time to load, before its budget begins
LATE = 60.0  # seconds beyond its time after which a contender is ended
Sizes = Callable[[Contender], list[int]]


def run(
    chosen: Sequence[Contender],
    seconds: float,
    out: Path,
    sizes: Sizes,
    fresh: bool = False,
    quick: bool = False,
    keep: bool = False,
    rounds: int = 1,
) -> dict[str, Any]:
    """Measure contenders and write the file after each.

    Args:
        seconds: For all of them, shared by their weights; of the first round.
        out: Where to write. A run of this machine that was interrupted goes on; a finished one is begun anew.
        sizes: Of a contender.
        fresh: Begin anew in any case.
        quick: Look for the machine's peak for less time.
        keep: What a finished run has of others than those chosen.
        rounds: How often each is measured. Sizes beyond `timing.ALWAYS` are measured in the first round alone.
    """
    facts = machine(0.2 if quick else 3.0)
    results: dict[str, Any] = json.loads(out.read_text()) if out.is_file() and not fresh else {}
    if results.get("machine") != facts["machine"]:
        results = {**facts, "date": datetime.now(UTC).date().isoformat(), "finished": False, "contenders": {}}
    if results.get("finished", True):
        names = {contender.key for contender in chosen}
        others = {key: found for key, found in results["contenders"].items() if keep and key not in names}
        results["contenders"] = others
        results["date"], results["finished"] = datetime.now(UTC).date().isoformat(), False
    _raise_peak(results, facts)
    for number in range(1, rounds + 1):
        if number > 1:
            _raise_peak(results, machine(0.2 if quick else 3.0))
        todo = [c for c in chosen if _rounds(results["contenders"].get(c.key, {})) < number]
        share = seconds / max(sum(c.weight for c in todo), 1e-9)
        for place, contender in enumerate(todo, 1):
            wanted = [size for size in sizes(contender) if number == 1 or size <= ALWAYS]
            found = measure(contender, wanted, share * contender.weight)
            results["contenders"][contender.key] = faster(results["contenders"].get(contender.key, {}), found, number)
            write(results, out)
            print(f"[{number}: {place}/{len(todo)}] {contender.key}: {_told(found)}", file=sys.stderr)
    write(results | {"finished": True}, out)
    return results


def faster(before: dict[str, Any], found: dict[str, Any], number: int) -> dict[str, Any]:
    """Of two rounds of a contender, each size as in the faster one.

    Args:
        before: Of the rounds until now; empty before the first.
        found: Of one more, which may have failed: then the earlier ones count.
        number: Of that round, from 1.
    """
    if "sizes" not in before:
        return found | {"rounds": number}
    sizes = dict(before["sizes"])
    for size, measured in found.get("sizes", {}).items():
        if size not in sizes or measured["seconds"] < sizes[size]["seconds"]:
            sizes[size] = measured
    return before | {"sizes": sizes, "rounds": number}


def _rounds(found: dict[str, Any]) -> int:
    """That a contender has behind it. One that failed in an interrupted run is tried again."""
    return found.get("rounds", 1) if "sizes" in found else 0


def _raise_peak(results: dict[str, Any], facts: dict[str, Any]) -> None:
    """To the highest that the machine has shown in the run."""
    results["peak_tflops"] = {k: max(v, results["peak_tflops"][k]) for k, v in facts["peak_tflops"].items()}


def unfinished(files: list[Path]) -> list[Path]:
    """Those of several runs that make up one whose turn is to come; where all are done, the whole begins anew."""
    states = {file: json.loads(file.read_text()) if file.is_file() else {} for file in files}
    if all(results.get("finished") is True for results in states.values()):
        for file, results in states.items():
            results.pop("finished")
            write(results, file)
    return [file for file, results in states.items() if results.get("finished") is not True]


def write(results: dict[str, Any], out: Path) -> None:
    """The file, whole or as it was."""
    part = out.with_name(f"{out.name}.part")
    part.write_text(json.dumps(results, indent=1) + "\n")
    part.replace(out)


def machine(seconds: float) -> dict[str, Any]:
    """What `benchmarks.machine` tells, from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.machine", "--seconds", str(seconds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(contender: Contender, sizes: list[int], budget: float) -> dict[str, Any]:
    """One contender: its facts and what it took by size, or why not."""
    found: dict[str, Any] = {"title": contender.title, "does": contender.does, "precision": contender.precision}
    command = contender.command(sizes, max(budget - START, 1))
    if command is None:
        return found | {"missing": peers.missing(contender.peer)}
    start = time.perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=budget + LATE)
        output, failure = done.stdout, None if done.returncode == 0 else _last_line(done.stderr, done.returncode)
    except subprocess.TimeoutExpired as late:
        output, failure = (late.stdout or b"").decode(), f"ended after {time.perf_counter() - start:.0f} s"
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    by_size = {str(line["size"]): {k: v for k, v in line.items() if k != "size"} for line in lines if "size" in line}
    found |= next((line["facts"] for line in lines if "facts" in line), {})
    left_out = {str(line["left_out"]): line["expected_seconds"] for line in lines if "left_out" in line}
    found |= {"left_out": left_out} if left_out else {}
    return found | ({"sizes": by_size} if by_size else {}) | ({"failure": failure} if failure else {})


def _last_line(text: str, code: int) -> str:
    return (text.strip().splitlines() or [f"exit code {code}"])[-1][:200]


def _told(found: dict[str, Any]) -> str:
    sizes = ", ".join(f"{size} {s['seconds']:.3g} s" for size, s in found.get("sizes", {}).items())
    return "; ".join(filter(None, [sizes, found.get("failure"), found.get("missing")]))
