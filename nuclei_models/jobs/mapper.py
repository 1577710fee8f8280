"""Who does the work: a mapper takes a function and jobs, and yields each job with what it came to."""

from collections.abc import Callable, Generator, Iterable
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
