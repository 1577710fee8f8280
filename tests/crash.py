"""Kill runs of `nuclei segment` at every step and at any moment, and look at what is left. For `test_batch.py`.

    OMP_NUM_THREADS=1 python crash.py FOLDER MOMENTS

FOLDER holds `model`, `images` and nothing else. Each run is a fork of this process, which has torch and the network
loaded already; one thread, for others don't live in a fork.
"""

import itertools
import json
import os
import random
import shutil
import signal
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

from nuclei_cli import app
from nuclei_cli.segment import Run
from nuclei_models.durable import PART
from nuclei_models.records import read_records

Contents = dict[str, bytes]
STEPS = ("open", "os.rename", "os.remove", "os.mkdir")  # audit events, raised before the system is called


def command(out: Path, given: str, *options: str) -> int:
    """-> exit code."""
    try:
        app(["segment", given, "--out", str(out), "--model", "model", "--quiet", *options])
    except SystemExit as end:
        return end.code
    return 99


def start(out: Path, *arguments: str, before: Callable[[], None]) -> int:
    """Start the command in a child. -> its id."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        before()
        os._exit(command(out, *arguments))
    return child


def ended(child: int) -> int:
    """Wait for it. -> its exit code, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die_at(step: int, out: Path) -> Callable[[], None]:
    """Have this process kill itself before the step-th time that it touches the folder. Of a file that it was about to
    bring to the disk only half got there."""
    taken = 0

    def count(file: int | None = None) -> None:
        nonlocal taken
        taken += 1
        if taken == step:
            if file is not None and stat.S_ISREG(os.fstat(file).st_mode):
                os.ftruncate(file, os.fstat(file).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, args: tuple) -> None:
        if event in STEPS and str(args[0]).startswith(str(out)):
            count()

    def patch() -> None:
        sync = os.fsync
        os.fsync = lambda file: (count(file), sync(file))[1]
        sys.addaudithook(hook)

    return patch


def told_to(log: Path) -> Callable[[], None]:
    """Have this process note every image that it reports as done."""

    def patch() -> None:
        finished = Run.finished

        def noted(self, job, outcome) -> None:
            finished(self, job, outcome)
            with log.open("a") as file:
                print(job.name, file=file)

        Run.finished = noted

    return patch


def contents(out: Path) -> Contents:
    """Of all results that bear a final name."""
    files = (p for p in out.iterdir() if "_" in p.name and not p.name.endswith(PART)) if out.is_dir() else ()
    return {p.name: p.read_bytes() for p in files}


def names_in(log: Path) -> set[str]:
    return set(log.read_text().split()) if log.exists() else set()


class Trial:
    """A folder of results in which runs are killed, and what was found wrong with it.

    Attributes:
        arguments: Of the runs.
        wanted: Results of a run that nothing happened to.
        known: All contents that may bear a final name.
    """

    def __init__(self, out: Path, arguments: tuple[str, ...], wanted: Contents, *older: Contents):
        self.out, self.arguments = out, arguments
        self.wanted, self.known = wanted, (wanted, *older)
        self.problems: list[str] = []

    def look(self, when: str) -> set[str]:
        """After a kill. -> images that are recorded as done."""
        for name, data in contents(self.out).items():
            if not any(data == of.get(name) for of in self.known):
                self.problems.append(f"{when}: {name} is half-written")
        done = set()
        for record in read_records(self.out).values():
            if record.is_whole(self.out) and record.settings["threshold"] == 0.6:
                done.add(record.name)
                wrong = (n for n in record.files if (self.out / n).read_bytes() != self.wanted[n])
                self.problems += [f"{when}: {name} isn't as recorded" for name in wrong]
        return done

    def go_on(self, done: set[str], when: str) -> None:
        """Run to the end: what is done isn't done again, and all is as after a run that nothing happened to."""
        log = self.out.with_name("log")
        log.unlink(missing_ok=True)
        if code := ended(start(self.out, *self.arguments, before=told_to(log))):
            self.problems.append(f"{when}: the next run ended with {code}")
        self.problems += [f"{when}: {name} was done twice" for name in done & names_in(log)]
        if contents(self.out) != self.wanted:
            self.problems.append(f"{when}: the results differ")
        self.problems += [f"{when}: {part.name} is left" for part in self.out.rglob(f"*{PART}")]

    def at_every_step(self, old: Path) -> int:
        """Kill a run over older results before each of its steps. -> how many there are."""
        for step in itertools.count(1):
            shutil.rmtree(self.out, ignore_errors=True)
            shutil.copytree(old, self.out)
            code = ended(start(self.out, *self.arguments, before=die_at(step, self.out)))
            done = self.look(f"step {step}")
            if code != -signal.SIGKILL:
                return step - 1
            self.go_on(done, f"step {step}")
        raise AssertionError

    def at_any_moment(self, moments: int) -> int:
        """Kill a run, and those that continue it, after random times. -> how many were killed."""
        log, killed = self.out.with_name("reported"), 0
        shutil.rmtree(self.out, ignore_errors=True)
        done: set[str] = set()
        for moment in range(moments):
            child = start(self.out, *self.arguments, before=told_to(log))
            time.sleep(random.uniform(0.02, 0.12))
            os.kill(child, signal.SIGKILL)
            killed += ended(child) == -signal.SIGKILL
            done = self.look(f"moment {moment}")
            unkept = names_in(log) - done
            self.problems += [f"moment {moment}: {name} was reported and isn't whole" for name in unkept]
        self.go_on(done, "after all moments")
        return killed


OLD = ("--threshold", "0.3", "--save", "labels,csv,overlay")
NEW = ("--threshold", "0.6", "--save", "labels,csv")


def main(folder: Path, moments: int) -> None:
    os.chdir(folder)
    old, one, many, out = (folder / name for name in ("old", "one", "many", "out"))
    first = min(map(str, Path("images").iterdir()))
    assert not (command(old, first, *OLD) or command(one, first, *NEW) or command(many, "images", *NEW))
    steps = Trial(out, (first, *NEW), contents(one), contents(old))
    random_moments = Trial(out, ("images", *NEW), contents(many))
    done = {"steps": steps.at_every_step(old), "killed": random_moments.at_any_moment(moments)}
    print(json.dumps(done | {"problems": steps.problems + random_moments.problems}))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), int(sys.argv[2]))
