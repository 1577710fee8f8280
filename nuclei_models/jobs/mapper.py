"""Who does the work: a mapper takes a function and jobs, and yields each job with what it came to."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Protocol, TypeVar

J = TypeVar("J")
R = TypeVar("R")


class Mapper(Protocol):
    """Runs a function of a job over jobs, in any order and anywhere; both can be pickled.

    It yields each job with its result, or with the exception that it came to. `one_by_one` is the plain one,
    `SideBySide` and `cluster.DaskMapper` are others.
    """

    def __call__(self, work: Callable[[J], R], jobs: Iterable[J], /) -> Generator[tuple[J, R | Exception], None, None]:
        """Run the jobs."""
        ...


def one_by_one(work: Callable[[J], R], jobs: Iterable[J]) -> Generator[tuple[J, R | Exception], None, None]:
    """The plain mapper: in this process, one job after the other."""
    for job in jobs:
        yield job, _tried(work, job)


class SideBySide:
    """A mapper whose jobs run in threads of this process, several at once, for jobs that leave cores idle. They are
    yielded in their order; while one is dealt with, the next ones go on.

    Args:
        workers: How many run at once; as many again may wait, done or not yet begun.
        begin: Called by each thread before its first job.
    """

    def __init__(self, workers: int, begin: Callable[[], object] = lambda: None):
        self.workers, self.begin = workers, begin

    def __call__(self, work: Callable[[J], R], jobs: Iterable[J], /) -> Generator[tuple[J, R | Exception], None, None]:
        waiting: deque[tuple[J, Future[R | Exception]]] = deque()
        with ThreadPoolExecutor(self.workers, "job", self.begin) as threads:
            try:
                for job in jobs:
                    waiting.append((job, threads.submit(copy_context().run, _tried, work, job)))
                    if len(waiting) == 2 * self.workers:
                        yield _ended(*waiting.popleft())
                while waiting:
                    yield _ended(*waiting.popleft())
            finally:  # whoever takes no more leaves what has not begun
                for _, future in waiting:
                    future.cancel()


def _ended(job: J, future: "Future[R | Exception]") -> tuple[J, R | Exception]:
    return job, future.result()


def _tried(work: Callable[[J], R], job: J) -> R | Exception:
    try:
        return work(job)
    except Exception as error:
        return error


class Unwanted(Exception):
    """Nobody waits for this work any more."""


_is_wanted: ContextVar[Callable[[], bool]] = ContextVar("is_wanted", default=lambda: True)


@contextmanager
def wanted_while(is_wanted: Callable[[], bool]) -> Iterator[None]:
    """What is worked on meanwhile, in this thread, is left in the middle when nobody waits for it; see `check`."""
    token = _is_wanted.set(is_wanted)
    try:
        check()
        yield
    finally:
        _is_wanted.reset(token)


def check(*_: object) -> None:
    """To be called now and then in long work, as its progress for example. Raises `Unwanted`."""
    if not _is_wanted.get()():
        raise Unwanted("Nobody waits for this work any more.")
