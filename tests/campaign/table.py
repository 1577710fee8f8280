"""The table of what was tried, in a document; and a stage in portions, each of which is noted down when it is done."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

from tests.support import ROOT

MARKS = ("<!-- campaign -->", "<!-- end -->")
ORDER = ("fuzz", "load", "soak", "kill", "visits", "walk", "batch", "ways")
PORTION = 100


@dataclass
class Row:
    """A line of the table.

    Attributes:
        tried, lost: Cases, requests, runs.
        note: What else was measured.
        counts: What else was counted, by what it is.
        slowest: CPU seconds of the slowest case, where they are measured.
    """

    stage: str
    what: str
    tried: int
    lost: int
    note: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    slowest: float | None = None

    def __str__(self) -> str:
        note = ", ".join([self.note] * bool(self.note) + [f"{n:,} {what}" for what, n in self.counts.items()])
        note += "" if self.slowest is None else f"; slowest {self.slowest:.1f} s"
        return f"| {self.stage} | {self.what} | {self.tried:,} | {self.tried - self.lost:,} | {self.lost} | {note} |"

    def add(self, other: "Row") -> None:
        """What another portion of the same came to."""
        self.tried, self.lost = self.tried + other.tried, self.lost + other.lost
        self.counts = {
            what: self.counts.get(what, 0) + other.counts.get(what, 0) for what in self.counts | other.counts
        }
        if self.slowest is not None and other.slowest is not None:
            self.slowest = max(self.slowest, other.slowest)


def code_tried() -> str:
    """A hash of all code that the campaign is about."""
    files = [path for room in ("nuclei_models", "nuclei_cli") for path in (ROOT / room).rglob("*.py")]
    return sha256(b"".join(path.read_bytes() for path in sorted(files))).hexdigest()[:12]


def in_portions(
    stage: str,
    cases: int,
    first: int,
    rows_of: Callable[[int, int], list[Row]],
    log: Path | None,
    portion: int = PORTION,
) -> list[Row]:
    """The rows of a stage whose cases are tried portion by portion.

    Args:
        first: The number of the first case.
        rows_of: Of so many cases from a number on.
        log: What became of each portion, a line each. Portions that it has of this code are not tried again, so that a
            campaign that was stopped goes on.
    """
    code, whole = code_tried(), {}
    lines = log.read_text().splitlines() if log is not None and log.exists() else []
    known = {
        (said["stage"], said["code"], said["first"], said["cases"]): said["rows"] for said in map(json.loads, lines)
    }
    for start in range(first, first + cases, portion):
        n = min(portion, first + cases - start)
        told = known.get((stage, code, start, n))
        if told is None:
            told = [asdict(row) for row in rows_of(n, start)]
            if log is not None:
                line = json.dumps({"stage": stage, "code": code, "first": start, "cases": n, "rows": told})
                with log.open("a") as file:
                    file.write(line + "\n")
        for row in (Row(**values) for values in told):
            if row.what in whole:
                whole[row.what].add(row)
            else:
                whole[row.what] = row
    return list(whole.values())


def table(rows: list[Row], others: Sequence[str] = ()) -> str:
    """As Markdown, with lines of other stages."""
    lines = sorted([*map(str, rows), *others], key=lambda line: ORDER.index(line.split()[1]))
    return "\n".join(["| stage | what | tried | survived | lost | |", "|---|---|---:|---:|---:|---|", *lines])


def other_rows(document: str, stages: Sequence[str]) -> list[str]:
    """The lines of a document's table that are of other stages than these."""
    lines = document.split(MARKS[0], 1)[-1].split(MARKS[1], 1)[0].splitlines()
    return [line for line in lines if line.startswith("| ") and line.split()[1] in set(ORDER) - set(stages)]


def written(document: str, text: str, marks: tuple[str, str] = MARKS) -> str:
    """A document with the text between its marks. Raises ValueError if it has none."""
    start, end = map(re.escape, marks)
    changed, n = re.subn(rf"(?s)({start}\n).*?({end})", lambda m: f"{m[1]}{text}\n{m[2]}", document, count=1)
    if not n:
        raise ValueError(f"The document has no {marks[0]} .. {marks[1]} to write the table between.")
    return changed
