"""Jobs past one process and past one machine, on Dask: the mapper that `batch` and `large` take.

    with dask_mapper("local:4") as mapper:  # or "tcp://scheduler:8786"
        segment_large("slide.ome.tif", "results", settings, mapper)

Workers must see images, weights and results under the same paths as this process. A worker works on one job at a time
and loads a network once, on its GPU if it has one. A worker that is killed costs the jobs that it was working on: they
are begun again elsewhere, and as each job writes its results whole or not at all, the results are the same. A worker
leaves what nobody waits for any more, and what it writes of it lies in that run's own folder, which goes with the run.
"""

import logging
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from dask.system import CPU_COUNT
from distributed import Client, KilledWorker, LocalCluster, Worker, as_completed, get_worker
from distributed.worker import thread_state

from .durable import RunStopped
from .identity import code_version
from .mapper import J, R, wanted_while

PATIENCE = 30  # seconds for a scheduler to answer
AT_LEAST = 16  # jobs sent ahead, so that a cluster that grows with its work sees some
SHARE = 0.6  # of a worker's memory that a job may plan with; Dask itself acts from .7 on

_one_at_a_time = threading.Lock()


@contextmanager
def dask_mapper(address: str) -> Iterator["DaskMapper"]:
    """A mapper whose jobs run on a Dask cluster.

    Args:
        address: "tcp://host:port" of a scheduler (or "tls://.."), or "local:N" for N processes on this machine.

    Raises:
        ValueError: No such address, or workers without this package or with another version of it.
        OSError: No scheduler answers there.
    """
    kind, _, rest = address.partition(":")
    if kind == "local":
        n = int(rest) if rest.isdecimal() else 0
        if n < 1:
            raise ValueError(f"{address!r}: expected the number of processes, as in local:4.")
        options: dict[str, Any] = {"dashboard_address": None, "silence_logs": logging.CRITICAL}
        with LocalCluster(n_workers=n, threads_per_worker=1, **options) as cluster, Client(cluster) as client:
            yield DaskMapper(client, threads=max(CPU_COUNT // n, 1))
    elif kind in ("tcp", "tls", "ucx", "ws", "wss") and rest.startswith("//"):
        with Client(address, timeout=PATIENCE) as client:
            yield DaskMapper(client)
    else:
        raise ValueError(f"{address!r}: expected tcp://host:port of a Dask scheduler, or local:N for N processes here.")


class DaskMapper:
    """See `dask_mapper`.

    Attributes:
        processes: How many workers there are by now.
        memory: Bytes that a job may take on the smallest of them; `None` where they don't tell.

    Args:
        client: Of the cluster; it stays open.
        threads: Of torch in a worker; by default as many as the worker has for its tasks.
    """

    def __init__(self, client: Client, threads: int | None = None):
        self.client, self.threads = client, threads
        self._checked: set[str] = set()
        self._check()

    @property
    def processes(self) -> int:
        return len(self._workers())

    @property
    def memory(self) -> int | None:
        limits = [worker["memory_limit"] for worker in self._workers() if worker.get("memory_limit")]
        return int(SHARE * min(limits)) if limits else None

    def __call__(self, work: Callable[[J], R], jobs: Iterable[J]) -> Generator[tuple[J, R | Exception], None, None]:
        """Run jobs; yield each with its result, or the exception that it came to, as they end.

        Raises:
            RunStopped: The scheduler is gone, or a worker has come that has another version of this package.
        """
        waiting = iter(jobs)
        running: dict[Any, J] = {}
        ended = as_completed()

        def send() -> None:
            try:
                self._check()
            except ValueError as error:
                raise RunStopped(str(error)) from error
            for job in islice(waiting, max(2 * self.processes, AT_LEAST, len(running)) - len(running)):
                future = self.client.submit(_alone, work, job, self.threads, pure=False)
                running[future] = job
                ended.add(future)

        try:
            send()
            for future in ended:
                job = running.pop(future)
                outcome = self._outcome(future)
                send()
                yield job, outcome
        finally:
            if running and self.client.status == "running":
                self.client.cancel(list(running), force=True)

    def _outcome(self, future: Any) -> Any:
        if future.status in ("cancelled", "lost"):
            raise RunStopped("The Dask scheduler is gone. Start it, then give the same command again.")
        try:
            return future.result()
        except KilledWorker as error:
            return RuntimeError(
                f"{error.allowed_failures + 1} workers died at this, most likely for want of memory: give each more."
            )
        except Exception as error:
            return error

    def _workers(self) -> list[dict[str, Any]]:
        return list(self.client.scheduler_info(n_workers=-1)["workers"].values())

    def _check(self) -> None:
        """Raise a ValueError unless the workers run this version; those that have come since are asked, too."""
        come = set(self.client.scheduler_info(n_workers=-1)["workers"]) - self._checked
        there = self.client.run(_version_there, workers=sorted(come), on_error="return") if come else {}
        for worker, version in there.items():
            if version != code_version():
                raise ValueError(
                    f"The Dask worker {worker} has nuclei-models {version}, here it is {code_version()}: install the "
                    f"same version on all."
                )
        self._checked |= there.keys()


def _version_there() -> str:
    return code_version()


def _alone(work: Callable[[J], R], job: J, threads: int | None) -> R:
    """On a worker: one job at a time, with all the threads that the worker was given, for as long as it is wanted."""
    worker, key = get_worker(), thread_state.key
    with _one_at_a_time, wanted_while(lambda: _is_wanted(worker, key)):
        torch.set_num_threads(threads or worker.state.nthreads)
        return work(job)


def _is_wanted(worker: Worker, key: Any) -> bool:
    """Whether anyone waits for a task: its client is there, and hasn't cancelled it."""
    task = worker.state.tasks.get(key)
    return task is not None and task.state == "executing"
