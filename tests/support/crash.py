"""Do harm to runs of `nuclei segment` at every step and at any moment, and look at what is left. For `test_crash.py`
and the campaign.

    OMP_NUM_THREADS=1 python -m tests.support.crash FOLDER MOMENTS [EVERY]

FOLDER holds `model`, `images` and nothing else. Each run is a fork of this process, which has torch and the network
loaded already; one thread, for others don't live in a fork. Of the steps every one is tried, or each EVERY-th.
"""

import errno
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
from functools import partial
from pathlib import Path

from nuclei_cli import app, console
from nuclei_cli.segment import Run
from nuclei_models import large
from nuclei_models.batch import job as batch
from nuclei_models.batch.records import read_records
from nuclei_models.jobs.durable import PART

Contents = dict[str, bytes]
Harm = Callable[[int, "Trial"], Callable[[], None]]  # (step, trial) -> what a child does to itself before it starts
STEPS = ("open", "os.rename", "os.remove", "os.mkdir")  # audit events, raised before the system is called
WRITES = os.O_WRONLY | os.O_RDWR


def command(out: Path, *arguments: str) -> int:
    """-> exit code."""
    try:
        app(["segment", *arguments, "--out", str(out), "--model", "model", "--quiet"])
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


def watch(out: Path, touched: Callable[..., None]) -> None:
    """Have this process call `touched` before each time that it touches the folder, with the event, its arguments, and
    the file that is to be brought to the disk, if it is one."""
    sync = os.fsync
    os.fsync = lambda file: (touched("sync", (), file), sync(file))[1]
    sys.addaudithook(lambda event, args: touched(event, args, None) if _inside(event, args, out) else None)


def _inside(event: str, args: tuple, folder: Path) -> bool:
    return event in STEPS and str(args[0]).startswith(str(folder))


def die_at(step: int, trial: "Trial") -> Callable[[], None]:
    """The process is killed before its step-th touch. Of a file that it was about to bring to the disk only half got
    there."""
    taken = itertools.count(1)

    def touched(event: str, args: tuple, file: int | None) -> None:
        if next(taken) == step:
            if file is not None and stat.S_ISREG(os.fstat(file).st_mode):
                os.ftruncate(file, os.fstat(file).st_size // 2)
            trial.struck.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    return lambda: watch(trial.out, touched)


def fail_at(number: int, step: int, trial: "Trial") -> Callable[[], None]:
    """From the step-th on, all that writes to the folder fails with this number of the system."""
    taken = itertools.count(1)

    def touched(event: str, args: tuple, file: int | None) -> None:
        reads = event == "open" and not args[2] & WRITES
        if reads or (event == "os.remove" and number == errno.ENOSPC) or next(taken) < step:
            return
        if not trial.struck.exists():
            trial.struck.touch()
        raise OSError(number, os.strerror(number))

    return lambda: watch(trial.out, touched)


def vanish_at(step: int, trial: "Trial") -> Callable[[], None]:
    """An image is gone when it is opened the step-th time that any is."""
    taken = itertools.count(1)

    def hook(event: str, args: tuple) -> None:
        if event == "open" and Path(str(args[0])).parent.name == "images" and next(taken) == step:
            trial.struck.touch()
            Path(args[0]).rename(trial.gone / Path(args[0]).name)

    return lambda: sys.addaudithook(hook)


def told_to(log: Path) -> Callable[[], None]:
    """Have this process note every image that it reports as done."""

    def patch() -> None:
        finished = Run.finished

        def noted(self, job, outcome) -> None:
            finished(self, job, outcome)
            if isinstance(outcome, batch.Done):
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
    """A folder of results in which runs come to harm, and what was found wrong with it.

    Attributes:
        arguments: Of the runs.
        wanted: Results of a run that nothing happened to.
        known: All contents that may bear a final name.
        struck: A file that is there once a run has come to harm.
        gone: Where images are that have vanished.
    """

    def __init__(self, folder: Path, arguments: tuple[str, ...], wanted: Contents, *older: Contents):
        self.out, self.struck, self.gone = folder / "out", folder / "struck", folder / "gone"
        self.arguments = arguments
        self.wanted, self.known = wanted, (wanted, *older)
        self.problems: list[str] = []

    def look(self, when: str) -> set[str]:
        """After the harm. -> images that are recorded as done."""
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
        plain = [argument for argument in self.arguments if argument != OVERWRITE]
        code = ended(start(self.out, *plain, before=told_to(log)))
        if code == console.WRONG_USAGE and len(plain) < len(self.arguments):  # the results that were to be replaced
            code = ended(start(self.out, *self.arguments, before=told_to(log)))  # are all there
        if code:
            self.problems.append(f"{when}: the next run ended with {code}")
        self.problems += [f"{when}: {name} was done twice" for name in done & names_in(log)]
        if contents(self.out) != self.wanted:
            self.problems.append(f"{when}: the results differ")
        left = [path for end in (PART, ".nuclei-work") for path in self.out.rglob(f"*{end}")]
        self.problems += [f"{when}: {path.name} is left" for path in left]

    def at_every_step(self, harm: Harm, code: int, old: Path | None = None, every: int = 1) -> int:
        """Do harm to a run at each of its steps. -> how many were tried.

        Args:
            code: That such a run is to end with.
            old: Older results that it runs over.
        """
        for tried in itertools.count():
            step = 1 + tried * every
            shutil.rmtree(self.out, ignore_errors=True)
            self.struck.unlink(missing_ok=True)
            self.gone.mkdir(exist_ok=True)
            if old:
                shutil.copytree(old, self.out)
            log = self.out.with_name("reported")
            log.unlink(missing_ok=True)
            end = ended(start(self.out, *self.arguments, before=both(told_to(log), harm(step, self))))
            for image in self.gone.iterdir():
                image.rename(self.out.with_name("images") / image.name)
            if not self.struck.exists():
                return tried
            if end != code:
                self.problems.append(f"step {step}: it ended with {end}")
            done = self.look(f"step {step}")
            self.problems += [f"step {step}: {name} was reported and isn't whole" for name in names_in(log) - done]
            self.go_on(done, f"step {step}")
        raise AssertionError

    def at_any_moment(self, moments: int) -> int:
        """Kill runs, and those that continue them, after random times, until so many were killed before they ended.

        -> how many were killed, fewer if most of ten times as many ended first.
        """
        log, killed = self.out.with_name("reported"), 0
        log.unlink(missing_ok=True)
        shutil.rmtree(self.out, ignore_errors=True)
        for moment in range(10 * moments):
            if killed == moments:
                break
            child = start(self.out, *self.arguments, before=told_to(log))
            time.sleep(random.uniform(0.02, 0.12))
            os.kill(child, signal.SIGKILL)
            killed += ended(child) == -signal.SIGKILL
            done = self.look(f"moment {moment}")
            unkept = names_in(log) - done
            self.problems += [f"moment {moment}: {name} was reported and isn't whole" for name in unkept]
            if len(done) == len(list(Path("images").iterdir())):
                self.go_on(done, f"moment {moment}")
                shutil.rmtree(self.out)
                log.unlink()
        self.go_on(self.look("after all moments"), "after all moments")
        return killed


def both(first: Callable[[], None], then: Callable[[], None]) -> Callable[[], None]:
    return lambda: (first(), then())[1]


OLD = ("--threshold", "0.3", "--save", "labels,csv,overlay")
OVERWRITE = "--overwrite"  # OLD by NEW
NEW = ("--threshold", "0.6", "--save", "labels,csv")


def main(folder: Path, moments: int, every: int = 1) -> None:
    os.chdir(folder)
    images = sorted(map(str, Path("images").iterdir()))
    given = {"old": (images[0], *OLD), "one": (images[0], *NEW), "few": (*images[:3], *NEW), "many": ("images", *NEW)}
    assert not any(command(folder / name, *arguments) for name, arguments in given.items())
    old, one, few, many = (contents(folder / name) for name in given)
    said = {}

    def tell(what: str, trial: Trial, tried: int) -> None:
        said[what] = {"tried": tried, "problems": trial.problems}

    def at_every_step(what: str, harm: Harm, code: int, arguments: tuple[str, ...], wanted: Contents, *, over=True):
        if over:
            arguments = (*arguments, OVERWRITE)
        trial = Trial(folder, arguments, wanted, *([old] if over else []))
        tell(what, trial, trial.at_every_step(harm, code, folder / "old" if over else None, every))

    at_every_step("runs killed before each step on the disk", die_at, -signal.SIGKILL, given["one"], one)
    trial = Trial(folder, given["many"], many)
    tell("runs killed at random moments", trial, trial.at_any_moment(moments))
    for what, number in (("full", errno.ENOSPC), ("read-only", errno.EROFS)):
        harm = partial(fail_at, number)
        at_every_step(f"runs whose disk is {what} from a step on", harm, console.STOPPED, given["one"], one)
    what = "runs from whose folder an image vanishes"
    at_every_step(what, vanish_at, console.SOME_FAILED, given["few"], few, over=False)

    batch.LARGE_PIXELS = 1000  # from here on every image is one that memory may not hold
    large.segment_large = partial(large.segment_large, block=48)
    assert not ended(start(folder / "large", *given["one"], before=lambda: None))  # its threads don't live in a fork
    what = "runs on an image that is worked on part by part, killed before each step"
    at_every_step(what, die_at, -signal.SIGKILL, given["one"], contents(folder / "large"), over=False)
    print(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), *map(int, sys.argv[2:]))
