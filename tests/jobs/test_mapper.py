"""Jobs side by side: in order, several at once, and no more than are wanted."""

import threading
from itertools import count

import pytest

from nuclei_models.jobs.mapper import SideBySide, check, wanted_while


def test_jobs_run_at_once_and_come_in_their_order():
    both = threading.Barrier(2, timeout=120)  # opens only if two are at work at once

    def work(job: int) -> int:
        both.wait()
        if job % 2:
            raise ValueError(job)
        return 10 * job

    outcomes = [(job, str(outcome)) for job, outcome in SideBySide(2)(work, range(4))]
    assert outcomes == [(0, "0"), (1, "1"), (2, "20"), (3, "3")]


def test_no_more_jobs_are_begun_than_wait_to_be_taken():
    begun: list[int] = []
    outcomes = SideBySide(2)(begun.append, count())
    assert next(outcomes)[0] == 0
    outcomes.close()
    assert len(begun) <= 4 and not [t for t in threading.enumerate() if t.name.startswith("job")]


def test_every_thread_begins_as_it_is_told_and_knows_who_waits():
    begun: list[str] = []
    mapper = SideBySide(2, lambda: begun.append(threading.current_thread().name))
    with wanted_while(lambda: True):
        assert [job for job, _ in mapper(check, "abc")] == ["a", "b", "c"]
    assert begun and all(name.startswith("job") for name in begun)
    wanted = iter([True])  # for as long as it takes to begin
    with pytest.raises(StopIteration), wanted_while(lambda: next(wanted)):
        [(_, outcome)] = SideBySide(1)(check, "a")
        raise outcome
