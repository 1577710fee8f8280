"""Run the whole campaign, print what was tried, what survived and what was lost, and write it into a document.

    python -m tests.campaign --short                  # about a minute, as in CI
    python -m tests.campaign --out docs/trust.md      # nightly: 20,000 cases, a crowd for minutes, 500 images, kills
    python -m tests.campaign --only fuzz --first 20000  # 20,000 other cases
    python -m tests.campaign --only fuzz --log FILE   # a stage that goes on where it was stopped
    python -m tests.campaign --repeat FILE            # one case that was saved

It ends with exit code 1 if anything was lost.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nuclei_models.page.networks import Networks
from tests.support import ROOT
from tests.support.page import save_networks

from .batches import batches
from .differential import differential
from .expected import write_files
from .fuzz import fuzz, repeat
from .kill import kill
from .load import crowd, leavers, leftovers, long_run, pictures
from .server import Server
from .table import ORDER, Row, in_portions, other_rows, table, written
from .visit_machine import try_visits
from .walk import try_walks

FUZZ_PORTION = 2000  # cases; it takes as many to make up for the start of a process
GROWTH = 50  # MB, above which memory isn't flat
SLOWER = 3  # times the work of a run alone is more than nobody's run costs


@dataclass
class Size:
    """How much is tried.

    Attributes:
        cases: Broken files, arrays and settings.
        callers, seconds, each: Callers at once, how long they call, and how often each at most.
        leavers: Callers who leave.
        images: In a row.
        moments: Runs killed at random moments.
        every: Of the steps of a run, every so-manieth is one at which it is killed.
        visits: Sequences of events on the page.
        walks: Of what visitors do in a browser.
        sequences: Of what is done to a folder of results.
        ways: Images that go every way there is.
    """

    cases: int
    callers: int
    seconds: float
    each: int
    leavers: int
    images: int
    moments: int
    every: int
    visits: int
    walks: int
    sequences: int
    ways: int


SHORT = Size(300, 6, 30, 3, 3, 30, 3, 10, 12, 3, 6, 6)
FULL = Size(20_000, 20, 180, 10**9, 10, 500, 300, 1, 2000, 200, 2000, 2000)


def fuzz_rows(cases: int, first: int, findings: Path) -> list[Row]:
    rows = []
    for name, part in fuzz(cases, findings, print, first).items():
        ends = {outcome: n for outcome, n in sorted(part.outcomes.items()) if outcome != "finding"}
        rows.append(Row("fuzz", name, part.tried, len(part.findings), counts=ends, slowest=part.slowest))
    return rows


def visit_rows(cases: int, first: int) -> list[Row]:
    """Two visitors on the page, with tiny networks, in any order of events."""
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        networks = Networks(save_networks(Path(folder)))
        write_files(Path(folder))
        tried = try_visits(networks, Path(folder), cases, seed=first)
    counts = {"events": tried.events, "mends": tried.mends}
    counts |= {"results compared": tried.results, "downloads compared": tried.downloads}
    return [
        Row("visits", "sequences of what two visitors do on the page", tried.sequences, len(tried.wrong), "", counts)
    ]


def walk_rows(cases: int, first: int) -> list[Row]:
    """Two visitors in Chromium."""
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        networks = Networks(save_networks(Path(folder)))
        acts, wrong = try_walks(networks, Path(folder), cases, first)
    return [Row("walk", "sequences of what two visitors do in Chromium", cases, len(wrong), "", {"acts": acts})]


def load_rows(size: Size, sources: dict[str, str]) -> list[Row]:
    """The page and a crowd."""
    given = pictures(sources, size.callers)
    with Server(sources) as server:
        busy = crowd(server.url, given, size.seconds, size.each)
        gone = leavers(server, size.leavers)
    asked, refused = sum(busy.outcomes.values()), busy.outcomes["told to come back"]
    others = busy.outcomes["another's"]
    told = f"longest queue {busy.longest_queue + 1}, {busy.told:,} told how long to wait, slowest {busy.slowest:.1f} s"
    return [
        Row(
            "load",
            f"{len(given)} callers at once for {size.seconds:.0f} s, each with an image of their own",
            asked,
            asked - busy.outcomes["own"] - refused,
            f"{told}; {refused} told that the queue was full; {others} got another's result",
        ),
        Row(
            "load",
            "callers who leave the queue, or in the middle of their run",
            gone.left,
            gone.left if gone.work_waited > SLOWER * gone.work_of_run else 0,
            f"the next one waited {gone.waited:.1f} s for a run that takes {gone.run:.1f} s alone; "
            f"{gone.work_waited:.1f} and {gone.work_of_run:.1f} s of the processor",
        ),
    ]


def soak_rows(size: Size, sources: dict[str, str]) -> list[Row]:
    """The page in the long run."""
    given = pictures(sources, 12)
    seconds = {"CACHE_SECONDS": (1, 8 if size is SHORT else 120), "SWEEP_SECONDS": 1}
    with Server(sources, **seconds) as server:
        run = long_run(server, given, size.images, every=max(1, size.images // 20))
        left = leftovers(server, given[0])
        alive = server.is_alive
    after, mb = run.samples[-1]
    return [
        Row(
            "soak",
            "images in a row",
            run.tried,
            run.tried - run.right + (not alive) + (run.growth > GROWTH),
            f"memory {mb:.0f} MB, grown by {run.growth:.1f} MB from the {run.settled + 1}th to the {after + 1}th",
        ),
        Row("soak", "files on the server's disk after the stated time", left.before, left.after),
    ]


def kill_rows(size: Size) -> list[Row]:
    rows = []
    for what, part in kill(size.moments, size.every).items():
        for problem in part.problems:
            print(f"{what}: {problem}")
        rows.append(Row("kill", what, part.tried, len(part.problems)))
    return rows


def batch_rows(cases: int, first: int) -> list[Row]:
    """Sequences of what people do to a folder of results."""
    tried, runs, wrong = batches(cases, first)
    for problem in wrong:
        print(problem)
    what = "sequences of changes, runs, corrections and kills in a folder of results"
    return [Row("batch", what, tried, len(wrong), "", {"runs of `nuclei segment`": runs})]


def ways_rows(cases: int, first: int) -> list[Row]:
    """Images by every way there is."""
    found = differential(cases, print, first).items()
    return [Row("ways", f"the library's nuclei and numbers, {way}", part.tried, part.wrong) for way, part in found]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="few cases, and tiny networks for the page")
    parser.add_argument("--only", choices=ORDER, help="one stage; the others' lines stay")
    parser.add_argument("--cases", type=int, help="of the stages fuzz, visits, walk, batch and ways")
    parser.add_argument("--first", type=int, default=0, help="number of the first case; another one tries other cases")
    parser.add_argument("--findings", type=Path, default=Path("runs/campaign"), help="folder for failing cases")
    parser.add_argument(
        "--log", type=Path, help="of portions of all stages but load, soak and kill; one that was stopped goes on"
    )
    parser.add_argument("--out", type=Path, help="document to write the table into")
    parser.add_argument("--repeat", type=Path, help="a saved case")
    args = parser.parse_args(arguments)
    if args.repeat:
        verdict = repeat(args.repeat)
        print(verdict.outcome, f"({verdict.seconds:.2f} s)\n{verdict.detail}")
        return int(verdict.is_finding)
    size = SHORT if args.short else FULL
    if args.cases:
        size.cases = size.visits = size.walks = size.sequences = size.ways = args.cases

    def on_page(rows_of: Callable[[Size, dict[str, str]], list[Row]]) -> list[Row]:
        if not args.short:
            return rows_of(size, {key: str(ROOT / "weights" / f"{key}-nuclei") for key in ("unet", "unetpp")})
        with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
            return rows_of(size, save_networks(Path(folder)))

    fuzzed = partial(fuzz_rows, findings=args.findings)
    stages: dict[str, Callable[[], list[Row]]] = {
        "fuzz": lambda: in_portions("fuzz", size.cases, args.first, fuzzed, args.log, FUZZ_PORTION),
        "load": lambda: on_page(load_rows),
        "soak": lambda: on_page(soak_rows),
        "kill": lambda: kill_rows(size),
        "visits": lambda: in_portions("visits", size.visits, args.first, visit_rows, args.log),
        "walk": lambda: in_portions("walk", size.walks, args.first, walk_rows, args.log),
        "batch": lambda: in_portions("batch", size.sequences, args.first, batch_rows, args.log),
        "ways": lambda: in_portions("ways", size.ways, args.first, ways_rows, args.log),
    }
    rows = [row for name, stage in stages.items() if args.only in (None, name) for row in stage()]
    print(table(rows))
    if args.out:
        document = args.out.read_text()
        args.out.write_text(written(document, table(rows, other_rows(document, [row.stage for row in rows]))))
    return int(any(row.lost for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
