"""Files that are whole or not there."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from nuclei_models.jobs import durable
from nuclei_models.jobs.durable import PART, RunStopped


def test_files_appear_together_and_whole(tmp_path):
    durable.write_all({tmp_path / "a" / "b" / "1": b"one", tmp_path / "2": b"two"})
    assert (tmp_path / "a" / "b" / "1").read_bytes() == b"one" and (tmp_path / "2").read_bytes() == b"two"
    assert len(list(tmp_path.rglob("*"))) == 4


def test_a_file_has_its_name_only_once_it_is_on_the_disk(tmp_path, monkeypatch):
    events = []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (events.append("sync"), sync(handle))[1])
    monkeypatch.setattr(Path, "replace", lambda self, to: (events.append("name"), replace(self, to))[1])
    durable.write_all({tmp_path / "1": b"one", tmp_path / "2": b"two"})
    assert events == ["sync", "sync", "name", "name", "sync"]  # the last brings the folder to the disk


@pytest.mark.parametrize("number, words", [(errno.ENOSPC, "disk is full"), (errno.EROFS, "can't be written")])
def test_a_disk_that_takes_no_more(tmp_path, monkeypatch, number, words):
    def fails(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "1").write_bytes(b"before")
    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(RunStopped, match=words):
        durable.write_all({tmp_path / "1": b"after", tmp_path / "2": b"two"})
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
    assert (tmp_path / "1").read_bytes() == b"before"


def test_a_really_full_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small disk can be made by root only")
    try:
        with pytest.raises(RunStopped, match="disk is full"):
            durable.write_all({disk / "1": bytes(30_000), disk / "2": bytes(60_000)})
        assert list(disk.iterdir()) == []
        durable.write_all({disk / "1": bytes(30_000)})
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file" / "out", Path("/proc/nuclei")):
        with pytest.raises(RunStopped, match=r"can't be written"):
            durable.write_all({folder / "1": b"one"})
    if os.geteuid() != 0:
        tmp_path.chmod(0o500)
        with pytest.raises(RunStopped, match="permission"):
            durable.write_all({tmp_path / "1": b"one"})
        tmp_path.chmod(0o700)


def test_a_name_too_long_is_its_own_trouble(tmp_path):
    with pytest.raises(OSError, match="too long"):
        durable.write_all({tmp_path / ("x" * 300): b"one"})
    assert list(tmp_path.iterdir()) == []


def test_one_run_at_a_time(tmp_path):
    here = tmp_path, tmp_path / "lock"
    with durable.locked(*here), pytest.raises(RunStopped, match="Another run"), durable.locked(*here):
        pass
    with durable.locked(*here):
        pass


def test_what_was_left_half_written_is_removed(tmp_path):
    for path in (tmp_path / f".1{PART}", tmp_path / "a" / f".2{PART}", tmp_path / "kept"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    assert durable.clean(tmp_path) == 2
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "kept"]
