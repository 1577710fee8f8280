"""Runs on large images that are stopped, killed or disturbed: they go on where they may, and begin anew otherwise."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from nuclei_models.analysis.filters import Filters
from nuclei_models.images.reader import ImageError
from nuclei_models.jobs import settings
from nuclei_models.jobs.durable import RunStopped, locked
from nuclei_models.large import run, segment_large
from nuclei_models.large.workplace import workplace
from tests.support.large import blobs, seeing, wanted

ROOT = Path(__file__).parents[2]


class TestStopped:
    def stop_after(self, n: int, what: str):
        def progress(step: str, done: int, total: int) -> None:
            nonlocal n
            n -= step == what
            if n == 0:
                raise InterruptedError

        return progress

    @pytest.mark.parametrize(
        ("step", "n"), [("network", 7), ("edges", 3), ("nuclei", 6), ("labels", 4), ("label image", 1)]
    )
    def test_it_goes_on(self, cells, model, undisturbed, tmp_path, monkeypatch, step, n):
        wishes = wanted(model)
        with pytest.raises(InterruptedError):
            segment_large(cells, tmp_path / "out", wishes, block=96, progress=self.stop_after(n, step))
        assert not [p for p in (tmp_path / "out").iterdir() if not p.name.startswith(".")]  # nothing has its name yet
        made = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("maps.zarr/c/*/*/*")}
        assert len(made) >= min(n, 7)
        runs = []
        predict = run.make_maps.__globals__["predict_logits"]
        monkeypatch.setitem(
            run.make_maps.__globals__, "predict_logits", lambda *a, **k: runs.append(1) or predict(*a, **k)
        )
        done = segment_large(cells, tmp_path / "out", wishes)  # the block is the plan's
        assert len(runs) == 20 - len(made)
        for kind, path in undisturbed(96).files.items():
            assert done.files[kind].read_bytes() == path.read_bytes()

    def test_a_killed_process(self, cells, model, undisturbed, tmp_path, run_python):
        killed = run_python(
            f"""
            import os, signal
            from nuclei_models.jobs.settings import settings_for
            from nuclei_models.large import segment_large
            def progress(step, done, total):
                if step == "nuclei" and done == 5:
                    os.kill(os.getpid(), signal.SIGKILL)
            settings = settings_for({str(model)!r})
            segment_large({str(cells)!r}, {str(tmp_path / "out")!r}, settings, block=96, progress=progress)
            """,
            hub=False,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        done = segment_large(cells, tmp_path / "out", wanted(model, save=("labels",)))
        assert done.files["labels"].read_bytes() == undisturbed(96).files["labels"].read_bytes()

    def test_it_begins_anew_for_another_image_or_other_settings(self, cells, model, tmp_path):
        with pytest.raises(InterruptedError):
            segment_large(cells, tmp_path / "out", wanted(model), block=96, progress=self.stop_after(3, "edges"))
        tifffile.imwrite(cells, blobs((300, 420), seed=1), tile=(64, 64), compression="zlib")
        other = wanted(model, separation=0.7)
        done = segment_large(cells, tmp_path / "out", other)
        whole = segment_large(cells, tmp_path / "whole", other)
        assert done.files["labels"].read_bytes() == whole.files["labels"].read_bytes()

    @pytest.mark.parametrize("what", ["maps.zarr/c/*/*/*", "nuclei/block-*.npz"])
    def test_files_that_cannot_be_read_are_made_again(self, cells, model, undisturbed, tmp_path, what):
        """Cut short, as after a power cut, or with other bytes in them."""
        with pytest.raises(InterruptedError):
            segment_large(cells, tmp_path / "out", wanted(model), block=208, progress=self.stop_after(1, "labels"))
        files = sorted((tmp_path / "out").rglob(what))
        data = [path.read_bytes() for path in files]
        assert len(files) == 6
        files[0].write_bytes(data[0][: len(data[0]) // 2])
        files[1].write_bytes(b"")
        files[2].write_bytes(bytes(len(data[2])))
        at = len(data[3]) // 2
        files[3].write_bytes(data[3][:at] + bytes(255 - byte for byte in data[3][at : at + 4]) + data[3][at + 4 :])
        done = segment_large(cells, tmp_path / "out", wanted(model))
        for kind, path in undisturbed(208).files.items():
            assert done.files[kind].read_bytes() == path.read_bytes(), kind

    @pytest.mark.parametrize("changed", ["code", "processor"])
    def test_it_begins_anew_for_other_code_or_another_processor(self, cells, tmp_path, monkeypatch, changed):
        model = Path(seeing(tmp_path / "model"))
        with pytest.raises(InterruptedError):
            segment_large(cells, tmp_path / "out", wanted(model), block=208, progress=self.stop_after(1, "edges"))
        if changed == "code":
            monkeypatch.setattr(settings, "code_version", lambda: "0.1.0+other")
            wishes = wanted(model, code="0.1.0+other")
        else:
            seeing(model, high_percentile=90.0)
            wishes = wanted(model)
        runs, predict = [], run.make_maps.__globals__["predict_logits"]
        counted = lambda *a, **k: runs.append(1) or predict(*a, **k)  # noqa: E731
        monkeypatch.setitem(run.make_maps.__globals__, "predict_logits", counted)
        done = segment_large(cells, tmp_path / "out", wishes, block=208)
        assert len(runs) == 6
        whole = segment_large(cells, tmp_path / "whole", wishes, block=208)
        assert done.files["labels"].read_bytes() == whole.files["labels"].read_bytes()

    def test_work_that_outlives_its_run_has_nowhere_to_land(self, cells, model, undisturbed, tmp_path):
        """A worker goes on with a block of an earlier run, which was stopped, while the next has other settings."""
        with pytest.raises(InterruptedError):
            early = wanted(model, diameter=12.0)
            segment_large(cells, tmp_path / "out", early, block=208, progress=self.stop_after(2, "network"))
        [folder] = (path for path in (tmp_path / "out" / ".cells.nuclei-work").iterdir() if path.is_dir())
        late = workplace(str(folder), folder.name)  # as a worker has it open
        maps = np.zeros((2, 92, 4), np.float32)

        def progress(step: str, done: int, total: int) -> None:
            if step == "network":
                with pytest.raises(RunStopped, match="is over"):
                    late.write_maps(5, maps)

        done = segment_large(cells, tmp_path / "out", wanted(model), block=208, progress=progress)
        assert done.files["labels"].read_bytes() == undisturbed(208).files["labels"].read_bytes()
        assert [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")] == []

    def test_labels_that_are_written_twice_are_the_same(self, cells, model, tmp_path):
        """A worker may die after its work and before it tells of it: the job is done again."""

        def twice(work, jobs):
            for job in jobs:
                work(job)
                yield job, work(job)

        wishes = wanted(model, filters=Filters(smallest=300))
        once = segment_large(cells, tmp_path / "once", wishes, block=208)
        again = segment_large(cells, tmp_path / "again", wishes, twice, block=208)
        assert once.facts["left_out"] and once.nuclei > 20
        for kind in ("labels", "csv"):
            assert again.files[kind].read_bytes() == once.files[kind].read_bytes(), kind

    def test_an_image_that_changes_meanwhile(self, cells, model, tmp_path):
        def progress(step: str, done: int, total: int) -> None:
            if step == "edges":
                os.utime(cells, ns=(0, 0))

        times = cells.stat().st_atime_ns, cells.stat().st_mtime_ns
        with pytest.raises(ImageError, match="changed while"):
            segment_large(cells, tmp_path / "out", wanted(model), block=208, progress=progress)
        os.utime(cells, ns=times)  # what was made of the changed one isn't taken for the old one's
        assert list((tmp_path / "out").rglob("maps.zarr")) == []

    def test_a_damaged_tile(self, cells, model, tmp_path):
        data = bytearray(cells.read_bytes())
        with tifffile.TiffFile(cells) as file:
            start = file.pages[0].dataoffsets[12]
        data[start : start + 40] = bytes(40)
        cells.write_bytes(data)
        with pytest.raises(ImageError, match=r"cells\.tif: .*damaged"):
            segment_large(cells, tmp_path / "out", wanted(model), block=96)

    def test_two_runs_at_once(self, cells, model, tmp_path):
        folder = tmp_path / ".cells.nuclei-work"
        with locked(folder, folder / "lock"), pytest.raises(RunStopped, match="Another run"):
            segment_large(cells, tmp_path, wanted(model))

    def test_other_weights_meanwhile(self, cells, model, tmp_path):
        wishes = replace(wanted(model), weights_sha256="0" * 64)
        with pytest.raises(RunStopped, match="weights"):
            segment_large(cells, tmp_path / "out", wishes, block=208)
