"""The batch stage: random sequences of what people do to a folder of results, and whether anything in it is wrong.

What must hold after each step is in `results.py`.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from nuclei_cli import console
from nuclei_models.output.files import KINDS

from .results import FILES, IMAGES, Results, Wrong, numbers_of_files, version_of
from .world import Cluster, Disk, Killed, Process, in_process, stand_ins, write_image

cli = import_module("nuclei_cli.segment")  # the package has a function of this name, too
SHM = Path("/dev/shm")
kinds = st.sampled_from([("labels",), ("csv",), ("labels", "csv"), ("labels", "roi", "overlay")])
thresholds = st.sampled_from([None, 0.3, 0.7])
numbers = st.integers(0, 2)


class Folder(Results, RuleBasedStateMachine):
    """A folder of images, a network, and a folder of results, which may be the same folder."""

    disk: Disk  # of the whole campaign, for an audit hook is for good
    runs = 0
    tried = 0  # sequences, up to the first that is wrong
    is_wrong = False  # whether one was

    @initialize(beside=st.booleans())
    def begin(self, beside: bool) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="batch-", dir=self.disk.root))
        self.images, self.model = self.root / "images", self.root / "model"
        self.out = self.images if beside else self.root / "out"
        for folder in (self.images, self.model):
            folder.mkdir()
        self.client, self.cluster = Process(), Cluster()
        self.network = dict.fromkeys(FILES, 0)
        self.content: dict[str, int] = {}
        self.hashes: dict[str, tuple[str, int]] = {}  # of a network's file: which, and its number
        self.theirs: dict[Path, bytes] = {}  # what people made
        self.threshold: float | None = None
        self.save: tuple[str, ...] = ("labels", "csv")
        for name in FILES:
            self.change_network(name, 0)
        for n, name in enumerate(IMAGES):
            self.change_image(name, n)

    # what people do

    @rule(name=st.sampled_from(IMAGES), content=st.integers(0, 4))
    def change_image(self, name: str, content: int) -> None:
        write_image(self.images / name, content)
        self.content[name] = content

    @rule(name=st.sampled_from(sorted(FILES)), number=numbers)
    def change_network(self, name: str, number: int) -> None:
        (self.model / FILES[name]).write_text(json.dumps(number))
        self.network[name] = number

    @rule(version=numbers)
    def install_here(self, version: int) -> None:
        self.client = Process(version)

    @rule(version=numbers)
    def install_on_the_worker(self, version: int) -> None:
        self.cluster.worker = Process(version)

    @rule(threshold=thresholds)
    def choose_threshold(self, threshold: float | None) -> None:
        self.threshold = threshold

    @rule(save=kinds)
    def choose_kinds(self, save: tuple[str, ...]) -> None:
        self.save = save

    @precondition(lambda self: self.made())
    @rule(data=st.data(), number=numbers)
    def correct(self, data: st.DataObject, number: int) -> None:
        """By hand, a result that is there."""
        self.write(data.draw(st.sampled_from(self.made())), b"mine" * (number + 1))

    @precondition(lambda self: self.made())
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(self.made()))
        path.unlink()
        self.theirs.pop(path, None)

    @rule(name=st.sampled_from(IMAGES), kind=st.sampled_from(sorted(KINDS)))
    def put_own_file(self, name: str, kind: str) -> None:
        """Where a result might go."""
        path = self.result(name, kind)
        if not path.exists() and self.out.is_dir():
            self.write(path, b"my own")

    # runs

    @rule(spread=st.booleans())
    def segment(self, spread: bool) -> None:
        self.ended(self.plain_command(spread))

    @rule(spread=st.booleans())
    def segment_over_everything(self, spread: bool) -> None:
        asked = [self.result(name, kind) for name in IMAGES for kind in self.save]
        code = self.command(spread, overwrite=True)
        if code == console.OK:
            self.theirs = {path: data for path, data in self.theirs.items() if path not in asked}
        else:  # some may be replaced
            self.theirs = {p: d for p, d in self.theirs.items() if p not in asked or p.read_bytes() == d}
        self.ended(code)

    @rule(spread=st.booleans(), step=st.integers(0, 90))
    def segment_and_be_killed(self, spread: bool, step: int) -> None:
        self.disk.left = step
        try:
            code = self.plain_command(spread)
        except Killed:
            return
        finally:
            self.disk.left = None
        self.ended(code)

    @rule(spread=st.booleans(), at=st.integers(0, 2), save=kinds, data=st.data())
    def segment_while_something_happens(
        self, spread: bool, at: int, save: tuple[str, ...], data: st.DataObject
    ) -> None:
        self.save = save
        happens = data.draw(
            st.sampled_from([self.another_run, self.network_changes, self.image_changes, self.person_corrects])
        )
        self.ended(self.plain_command(spread, (at, happens)), whole=False)

    @precondition(lambda self: self.cluster.late)
    @rule()
    def late_work(self) -> None:
        """What a run left behind on the worker is done now, when no run is going on."""
        for sent in self.cluster.late:
            self.cluster.do(sent)
        self.cluster.late = []

    # meanwhile

    def another_run(self) -> None:
        before = self.state()
        if self.command(False) != console.STOPPED:
            raise Wrong("a second run was let into the folder")
        if self.state() != before:
            raise Wrong("a second run, which was refused, changed something")

    def network_changes(self) -> None:
        self.change_network("processor", (self.network["processor"] + 1) % 3)

    def image_changes(self) -> None:
        self.change_image("b.tif", (self.content["b.tif"] + 1) % 5)

    def person_corrects(self) -> None:
        for path in self.made():
            self.write(path, b"mended")

    def plain_command(self, spread: bool, meanwhile: Any = None) -> int:
        """Without --overwrite; where it is refused for other settings, again with those of a result that is there."""
        code = self.command(spread, meanwhile=meanwhile)
        if code != console.WRONG_USAGE or not (made := self.settings_of_what_is_there()):
            return code
        made_by = next(iter(made.values()))
        for name in FILES:
            self.change_network(name, numbers_of_files()[made_by[f"{name}_sha256"]])
        self.client, self.threshold = Process(version_of(made_by)), made_by["threshold"]
        return self.command(spread, meanwhile=meanwhile)

    def command(self, spread: bool, overwrite: bool = False, meanwhile: Any = None) -> int:
        """`nuclei segment`. -> exit code."""
        Folder.runs += 1
        options = {"threshold": self.threshold, "save": self.save, "regions": None}
        kept = {} if overwrite else self.settings_of_what_is_there()
        before, cli.mapper_for = cli.mapper_for, lambda scheduler, stack: self.mapper(spread, meanwhile)
        plain, cli.one_by_one = cli.one_by_one, self.mapper(spread, meanwhile)
        try:
            with in_process(self.client):
                given = [str(self.images)], self.out, False, str(self.model), options, {}, "x", overwrite, True
                return cli.segment_images(*given)
        finally:
            cli.mapper_for, cli.one_by_one = before, plain
            self.none_was_replaced(kept)

    def mapper(self, spread: bool, meanwhile: tuple[int, Callable[[], None]] | None) -> Any:
        def mapped(work: Any, jobs: Any) -> Iterator[tuple[Any, Any]]:
            outcomes = self.cluster.mapper(work, jobs) if spread else one_by_one(work, jobs)
            for n, outcome in enumerate(outcomes):
                if meanwhile and n == meanwhile[0]:
                    meanwhile[1]()
                yield outcome

        return mapped

    def teardown(self) -> None:
        if not hasattr(self, "root"):
            return
        Folder.tried += not Folder.is_wrong  # what follows a wrong one only makes it shorter
        Folder.is_wrong |= isinstance(sys.exc_info()[1], Exception)
        self.disk.left = None
        try:
            self.late_work()
            self.what_people_made_is_there()
            self.results_are_what_their_records_say()
            self.segment(False)
            self.segment_over_everything(False)
        except Exception:
            Folder.is_wrong = True
            raise
        finally:
            shutil.rmtree(self.root, ignore_errors=True)


def one_by_one(work: Any, jobs: Any) -> Iterator[tuple[Any, Any]]:
    for job in jobs:
        try:
            outcome = work(job)
        except Exception as error:
            outcome = error
        yield job, outcome


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing is printed: what fails is looked at."""
    before, cli.complain = cli.complain, lambda line: None
    try:
        yield
    finally:
        cli.complain = before


def batches(sequences: int, first: int = 0, steps: int = 15, shorten: bool = True) -> tuple[int, int, list[str]]:
    """Try sequences of steps until one is wrong, and then make that one as short as it can be, if asked to.

    -> How many sequences were tried, how many runs there were, and what was wrong.
    """
    with tempfile.TemporaryDirectory(prefix="campaign-", dir=SHM if SHM.is_dir() else None) as folder:
        Folder.disk = Disk(Path(folder))
        Folder.disk.watch()
        Folder.runs, Folder.tried, Folder.is_wrong = 0, 0, False
        told: list[str] = []
        checked = settings(
            max_examples=sequences,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink] if shorten else [Phase.generate],
            print_blob=False,
            report_multiple_bugs=False,
        )
        with stand_ins(), quiet():
            try:
                run_state_machine_as_test(seed(first)(Folder), settings=checked)
            except Exception as error:  # of any type: that it breaks is wrong as well
                notes = "\n".join(getattr(error, "__notes__", []))
                told.append(f"{type(error).__name__}: {error}\n{notes}")
        return Folder.tried, Folder.runs, told
