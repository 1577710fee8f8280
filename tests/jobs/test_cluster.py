"""On Dask: a killed worker costs what it was working on, and the results are those of one process."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import tifffile
from distributed import Client, LocalCluster

from nuclei_models.batch.job import Job, run, target
from nuclei_models.images.reader import ImageError
from nuclei_models.jobs.cluster import DaskMapper, dask_mapper
from nuclei_models.jobs.durable import RunStopped
from nuclei_models.jobs.mapper import check
from nuclei_models.large import segment_large
from tests.support.large import blobs, settings


@pytest.fixture(scope="module")
def mapper():
    with dask_mapper("local:2") as mapper:
        mapper.threads = 1
        yield mapper


def kill_one_at_work(mapper: DaskMapper) -> None:
    busy = [address for address, jobs in mapper.client.processing().items() if jobs]
    os.kill(mapper.client.run(os.getpid, workers=busy[:1])[busy[0]], signal.SIGKILL)


def test_one_large_image_with_a_worker_killed(mapper, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", blobs((500, 600)), tile=(128, 128))
    wanted = settings(tmp_path / "model")
    alone = segment_large(tmp_path / "a.tif", tmp_path / "alone", wanted, block=128)
    killed = []

    def progress(what: str, done: int, total: int) -> None:
        if what == "network" and not killed:
            killed.append(done)
            kill_one_at_work(mapper)

    spread = segment_large(tmp_path / "a.tif", tmp_path / "spread", wanted, mapper, block=128, progress=progress)
    assert killed and killed[0] < 500 * 600 / 2
    assert alone.nuclei == spread.nuclei > 100
    for kind, path in alone.files.items():
        assert path.read_bytes() == spread.files[kind].read_bytes(), kind


def test_many_images(mapper, tmp_path):
    wanted = replace(settings(tmp_path / "model"), save=("labels",))
    for i in range(3):
        tifffile.imwrite(tmp_path / f"{i}.tif", blobs((150, 150), seed=i))
    (tmp_path / "3.tif").write_bytes(b"not an image")
    jobs = [Job(tmp_path / f"{i}.tif", str(i), tmp_path / "out", wanted) for i in range(4)]
    outcomes = {job.name: outcome for job, outcome in run(iter(jobs), mapper=mapper)}
    assert isinstance(outcomes.pop("3"), ImageError)
    assert [outcome.nuclei > 0 for outcome in outcomes.values()] == [True] * 3
    assert (target(tmp_path / "out", "0") / "0_labels.tif").exists()


def die(job: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_job_that_kills_its_workers(mapper, monkeypatch):
    monkeypatch.setattr(mapper.client.cluster.scheduler, "allowed_failures", 0)
    [(job, outcome)] = mapper(die, [7])
    assert job == 7 and isinstance(outcome, RuntimeError) and "died" in str(outcome)


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def test_jobs_that_nobody_waits_for_are_left(mapper):
    many = mapper(sleep, iter([0.01] * 500))
    assert next(many) == (0.01, 0.01)
    many.close()
    assert list(mapper(sleep, [0.0])) == [(0.0, 0.0)]
    assert mapper.memory and mapper.processes >= 1


@pytest.mark.parametrize("address", ["local:", "local:0", "local:two", "host:8786", "http://host:1", ""])
def test_senseless_addresses(address):
    with pytest.raises(ValueError, match="expected"), dask_mapper(address):
        pass


def test_nobody_answers(monkeypatch):
    monkeypatch.setattr("nuclei_models.jobs.cluster.PATIENCE", 0.5)
    with pytest.raises(OSError), dask_mapper("tcp://127.0.0.1:1"):
        pass


def test_another_version_on_the_workers(mapper, monkeypatch):
    monkeypatch.setattr("nuclei_models.jobs.cluster.code_version", lambda: "0.0.0")
    with pytest.raises(ValueError, match=r"here it is 0\.0\.0"):
        DaskMapper(mapper.client)


def test_another_version_on_a_worker_that_comes_later(monkeypatch):
    """It is asked when it is there, though the others were asked at the beginning."""
    options = {"threads_per_worker": 1, "dashboard_address": None, "processes": False}
    with LocalCluster(n_workers=1, **options) as cluster, Client(cluster) as client:
        late = DaskMapper(client)
        assert list(late(sleep, [0.0])) == [(0.0, 0.0)]
        cluster.scale(2)
        client.wait_for_workers(2)
        monkeypatch.setattr("nuclei_models.jobs.cluster._version_there", lambda: "0.0.0")
        with pytest.raises(RunStopped, match=r"has nuclei-models 0\.0\.0"):
            list(late(sleep, [0.0]))


def note(job: tuple[str, float]) -> None:
    """Work that looks now and then whether anyone waits for it."""
    folder, seconds = job
    for _ in range(round(seconds / 0.01)):
        check()
        time.sleep(0.01)
    Path(folder, f"{time.monotonic_ns()}").touch()


def test_work_that_nobody_waits_for_stops(tmp_path):
    """A worker with several threads takes several jobs, and works on one: the others wait, and are left with it."""
    with LocalCluster(n_workers=1, threads_per_worker=4, dashboard_address=None, processes=False) as cluster:
        client = Client(cluster)
        jobs = DaskMapper(client)(note, [(str(tmp_path), 0.01)] + [(str(tmp_path), 1.0)] * 6)
        next(jobs)
        time.sleep(0.2)  # one is at work, others wait for it in their threads
        jobs.close()
        client.close()
        time.sleep(2.5)
        assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_a_worker_does_not_see(tmp_path):
    from nuclei_models.large.maps import MapsJob, make_maps

    with pytest.raises(RunStopped, match="one path"):
        make_maps(MapsJob(str(Path(tmp_path, "gone")), "key", 0))
