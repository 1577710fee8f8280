"""Who does the work: a mapper takes a function and jobs, and yields each job with what it came to."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

J = TypeVar("J")
R = TypeVar("R")


class Mapper(Protocol):
    """Runs a function of a job over jobs, in any order and anywhere; both can be pickled.

    It yields each job with its result, or with the exception that it came to. `one_by_one` is the plain one,
    `cluster.DaskMapper` another.
    """

    def __call__(self, work: Callable[[J], R], jobs: Iterable[J], /) -> Generator[tuple[J, R | Exception], None, None]:
        """Run the jobs."""
        ...


def one_by_one(work: Callable[[J], R], jobs: Iterable[J]) -> Generator[tuple[J, R | Exception], None, None]:
    """The plain mapper: in this process, one job after the other."""
    for job in jobs:
        try:
            outcome: R | Exception = work(job)
        except Exception as error:
            outcome = error
        yield job, outcome


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
