"""The fuzzing stage: real files spoiled, files that lie, and arrays of every kind, each tried in a worker."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import FlakyFailure

from . import arrays, structures
from .mutations import mutated
from .seeds import seeds
from .targets import any_case
from .worker import Verdict, Worker

BATCH = 500  # cases that hypothesis makes from one seed; a finding costs the rest of its batch
SHRINK_SECONDS = 30
PARTS = {"spoiled files": 0.6, "lying files": 0.25, "arrays and settings": 0.15}  # of the cases


@dataclass
class Part:
    """What became of the cases of one kind.

    Attributes:
        outcomes: "image", "labels", "refused" or "finding", and how often.
        seconds: CPU of all cases.
        slowest: CPU seconds of the slowest.
        findings: A line each: what went wrong, the saved case, the command that repeats it.
    """

    outcomes: Counter = field(default_factory=Counter)
    seconds: float = 0.0
    slowest: float = 0.0
    findings: list[str] = field(default_factory=list)

    @property
    def tried(self) -> int:
        return sum(self.outcomes.values())

    def count(self, verdict: Verdict) -> None:
        self.outcomes[verdict.outcome] += 1
        self.seconds += verdict.seconds
        self.slowest = max(self.slowest, verdict.seconds)


def fuzz(cases: int, folder: Path, tell: Callable[[str], None] = print, first: int = 0) -> dict[str, Part]:
    """Try about this many cases.

    Args:
        folder: Where failing cases are saved.
        tell: Is told of every finding.
        first: Number of the first spoiled file and the first seed: another one tries other cases.

    Returns:
        What became of them, by kind.
    """
    counts = {name: max(1, round(cases * share)) for name, share in PARTS.items()}
    parts = {name: Part() for name in PARTS}
    with _worker() as worker:
        part = parts["spoiled files"]
        for number in range(first, first + counts["spoiled files"]):
            data = mutated(number)
            verdict = worker.try_case(data)
            part.count(verdict)
            if verdict.is_finding:
                _found(part, verdict, data, folder, tell)
        made_up(structures.files, counts["lying files"], worker, parts["lying files"], folder, tell, first)
        made_up(structures.chains, 6 if cases >= 500 else 2, worker, parts["lying files"], folder, tell, first)
        part = parts["arrays and settings"]
        made_up(arrays.recipes, counts["arrays and settings"], worker, part, folder, tell, first)
    return parts


def _worker() -> Worker:
    recipe = {"shape": [64, 64], "dtype": "uint8", "fill": "noise", "seed": 0}
    return Worker(any_case, next(iter(seeds().values())), recipe)


def made_up(
    strategy: st.SearchStrategy, cases: int, worker: Worker, part: Part, folder: Path, tell: Callable, first: int
) -> None:
    """Cases of a hypothesis strategy, in batches of a seed each; a failing one is made as small as it gets."""
    for number, start in enumerate(range(0, cases, BATCH)):
        failed = _batch(strategy, min(BATCH, cases - start), first + number, worker, part)
        if failed:
            _found(part, failed[1], failed[0], folder, tell)


def _batch(
    strategy: st.SearchStrategy, cases: int, number: int, worker: Worker, part: Part
) -> tuple[Any, Verdict] | None:
    """The smallest failing case, if there is one."""
    last: list[tuple[Any, Verdict]] = []
    give_up = 0.0

    @seed(number)
    @settings(
        max_examples=cases,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(strategy)
    def tried(case: Any) -> None:
        nonlocal give_up
        if last and time.monotonic() > give_up:
            return  # small enough: each try of a case that hangs takes long
        verdict = worker.try_case(case)
        if not last:
            part.count(verdict)
            give_up = time.monotonic() + SHRINK_SECONDS
        if verdict.is_finding:
            last[:] = [(case, verdict)]
            raise AssertionError(verdict.detail)

    try:
        tried()
    except (AssertionError, FlakyFailure):
        return last[0]
    return None


def _found(part: Part, verdict: Verdict, case: Any, folder: Path, tell: Callable[[str], None]) -> None:
    """Save the case and say how it is repeated."""
    folder.mkdir(parents=True, exist_ok=True)
    data = case if isinstance(case, bytes) else json.dumps(case).encode()
    suffix = "bin" if isinstance(case, bytes) else "json"
    path = folder / f"{hashlib.sha256(data).hexdigest()[:12]}.{suffix}"
    path.write_bytes(data)
    line = f"{verdict.detail.strip().splitlines()[-1]}: repeat it with: python -m tests.campaign --repeat {path}"
    part.findings.append(line)
    tell(line)


def repeat(path: Path) -> Verdict:
    """Try a saved case again."""
    case = json.loads(path.read_text()) if path.suffix == ".json" else path.read_bytes()
    with _worker() as worker:
        return worker.try_case(case)
