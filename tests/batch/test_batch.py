"""Batch runs: names, records, what is done and what isn't. What killed runs leave behind: test_crash.py."""

import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from nuclei_models.batch import job as batch
from nuclei_models.batch import stacks
from nuclei_models.batch.inputs import find_inputs, name_results
from nuclei_models.batch.job import Done, Job, is_done, run, strangers
from nuclei_models.batch.overview import failures_csv, summary_csv
from nuclei_models.batch.records import FOLDER, Record, read_records, record_path
from nuclei_models.images.reader import ImageError
from nuclei_models.jobs.durable import RunStopped
from nuclei_models.jobs.mapper import one_by_one
from nuclei_models.jobs.settings import settings_for
from tests.support.page import as_type, blobs, save_networks


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return save_networks(tmp_path_factory.mktemp("networks"))["unetpp"]


def write_image(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, as_type(blobs(96, 96, seed=seed), np.uint16))
    return path


def make_job(folder: Path, model: str, seed: int = 0, name: str = "x", **options) -> Job:
    source = write_image(folder / "images" / f"{name}.tif", seed)
    return Job(source, name, folder / "out", settings_for(model, **options))


def do(job: Job) -> Done:
    [(_, outcome)] = run([job])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def record_of(job: Job) -> Record:
    return read_records(job.out)[job.name]


# from what was named to images and names


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    """day1/{x.tif, x.png, x_labels.png, notes.txt, .hidden.tif}, day1/deep/y.TIF, day2/x.tif, day2/out/z.tif."""
    names = ("day1/x.tif", "day1/x.png", "day1/x_labels.png", "day1/notes.txt", "day1/.hidden.tif", "day1/deep/y.TIF")
    for name in (*names, "day2/x.tif", "day2/out/z.tif"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "given, recursive, names",
    [
        (["day1"], False, {"x_tif": "day1/x.tif", "x_png": "day1/x.png"}),
        (["day1"], True, {"x_tif": "day1/x.tif", "x_png": "day1/x.png", "deep/y": "day1/deep/y.TIF"}),
        (["day1/x.tif"], False, {"x": "day1/x.tif"}),
        (["day1/x.tif", "day2/x.tif"], False, {"day1/x": "day1/x.tif", "day2/x": "day2/x.tif"}),
        (["day1/x.tif", "./day1/x.tif", "day1"], False, {"x_tif": "day1/x.tif", "x_png": "day1/x.png"}),
        (["*/x.tif"], False, {"day1/x": "day1/x.tif", "day2/x": "day2/x.tif"}),
        (["**/y.*"], False, {"day1/deep/y": "day1/deep/y.TIF"}),
        (["day2"], True, {"x": "day2/x.tif"}),
        (["day2/**/*.tif"], True, {"x": "day2/x.tif"}),
    ],
)
def test_names_keep_folders_and_tell_apart(tree, given, recursive, names):
    inputs = find_inputs(given, tree / "day2" / "out", recursive)
    named = name_results(inputs, {})
    assert {name: path.relative_to(tree).as_posix() for path, name in named.items()} == names


def test_what_is_left_out_is_counted(tree):
    inputs = find_inputs(["day1", "nothing", "no*"], tree / "out")
    assert inputs.missing == ["nothing", "no*"]
    assert sum(inputs.left_out.values()) == 3 and inputs.left_out[".txt file(s)"] == 1
    assert find_inputs(["day1"], tree / "day1").left_out == inputs.left_out  # results beside the images


def test_an_image_keeps_its_name_and_takes_no_others(tree):
    def record(name: str, source: Path) -> Record:
        stat = source.stat()
        digest = batch.hashed(source)
        return Record(name, str(source), stat.st_size, stat.st_mtime_ns, digest, {}, {}, {})

    inputs = find_inputs(["day2/x.tif"], tree / "out")
    (source,) = inputs.files
    assert name_results(inputs, {"old": record("old", source)}) == {source: "old"}
    other = tree / "day1" / "x.tif"
    assert name_results(inputs, {"x": record("x", other)}) == {source: "x_tif"}
    both = {"x": record("x", other), "x_tif": record("x_tif", tree / "day1" / "x.png")}
    assert name_results(inputs, both) == {source: "x_tif_2"}
    moved = record("x", source)
    source.rename(tree / "moved.tif")
    assert name_results(find_inputs(["moved.tif"], tree / "out"), {"moved": moved}) == {tree / "moved.tif": "moved"}


def test_long_names_are_cut_and_stay_apart(tmp_path):
    for last in "ab":
        (tmp_path / ("ä" * 120 + last + ".tif")).write_text(last)
    names = set(name_results(find_inputs([str(tmp_path)], tmp_path / "out"), {}).values())
    assert len(names) == 2 and all(len(name.encode()) <= 180 for name in names)


def test_a_file_name_is_no_formula_in_a_table(tmp_path, model):
    names = ["=HYPERLINK(1)", "+1", "-1", "@A1"]
    jobs = [make_job(tmp_path, model, name=name) for name in names]
    for job in jobs:
        do(job)
    tables = summary_csv(read_records(tmp_path / "out").values()), failures_csv((name, name) for name in names)
    for table in tables:
        rows = list(csv.reader(table.decode().splitlines()))[1:]
        assert sorted(row[0] for row in rows) == sorted(f"'{name}" for name in names)
        assert not [cell for row in rows for cell in row if cell[:1] in "=+-@" and cell]


# what is done, and what isn't


def test_a_job_writes_its_files_and_its_record(tmp_path, model):
    job = make_job(tmp_path, model)
    done = do(job)
    assert sorted(p.name for p in job.out.iterdir() if p.is_file()) == sorted(job.files(96 * 96))
    labels = tifffile.imread(job.out / "x_labels.tif")
    assert labels.max() == done.nuclei > 3
    facts = json.loads(record_path(job.out, "x").read_text())["facts"]
    assert facts["nuclei"] == done.nuclei and facts["width"] == 96
    assert facts["covered"] == pytest.approx((labels > 0).mean(), abs=1e-5)


def test_done_is_what_has_the_same_image_settings_and_files(tmp_path, model):
    job = make_job(tmp_path, model)
    assert not is_done(job, None)
    do(job)
    assert is_done(job, record_of(job))

    def like(**options) -> bool:
        return is_done(Job(job.source, job.name, job.out, settings_for(model, **options)), record_of(job))

    assert like(tile=512) and like(save=("csv",)) and like(threshold=0.5)  # 0.5 is what was saved with the weights
    assert not like(threshold=0.4) and not like(diameter=20.0) and not like(tta=True) and not like(z=1)
    assert not like(save=("labels", "geojson"))

    os.utime(job.source, (1, 1))  # copied: another date, the same content
    assert is_done(job, record_of(job))
    write_image(job.source, seed=9)
    assert not is_done(job, record_of(job))
    do(job)
    (job.out / "x_labels.tif").write_bytes(b"mended by hand")
    assert is_done(job, record_of(job)) and record_of(job).changed(job.out) == ["x_labels.tif"]
    (job.out / "x_labels.tif").unlink()
    assert not is_done(job, record_of(job)) and record_of(job).changed(job.out) == []
    job.source.unlink()
    segmented = record_of(job)
    with pytest.raises(ImageError, match="no such file"):
        segmented.is_of(job.source)


def test_other_weights_make_it_anew(tmp_path, model):
    job = make_job(tmp_path, model)
    do(job)
    other = settings_for(save_networks(tmp_path / "other")["unet"])
    assert not is_done(Job(job.source, job.name, job.out, other), record_of(job))


def test_what_an_older_run_made_goes(tmp_path, model):
    do(make_job(tmp_path, model))
    job = make_job(tmp_path, model, threshold=0.4, save=("labels",))
    with pytest.raises(ImageError, match=r"threshold 0\.5, now 0\.4.*--overwrite"):
        do(job)
    assert len([p for p in job.out.iterdir() if p.is_file()]) == 3
    do(replace(job, overwrite=True))
    assert [p.name for p in job.out.iterdir() if p.is_file()] == ["x_labels.tif"]


def test_files_that_no_run_made_are_seen(tmp_path, model):
    job = make_job(tmp_path, model)
    job.out.mkdir()
    (job.out / "x_labels.tif").write_text("my own")
    assert strangers(job, None, 96 * 96) == [job.out / "x_labels.tif"]
    with pytest.raises(ImageError, match="x_labels"):
        do(job)
    assert (job.out / "x_labels.tif").read_text() == "my own" and read_records(job.out) == {}
    do(replace(job, overwrite=True))
    assert strangers(job, record_of(job), 96 * 96) == []


def test_settings_are_checked_before_any_image_is_read(model):
    for wrong in ({"threshold": 1.5}, {"separation": float("nan")}, {"min_area": -1}, {"diameter": 0.0}, {"level": 7}):
        with pytest.raises(ValueError, match=r"expected|has one of"):
            settings_for(model, **wrong)


def test_a_failed_image_is_yielded_and_a_stopped_run_raises(tmp_path, model):
    jobs = [make_job(tmp_path, model, seed, f"x{seed}") for seed in range(3)]
    jobs[1].source.write_bytes(b"")
    outcomes = [outcome for _, outcome in run(jobs)]
    assert [type(o).__name__ for o in outcomes] == ["Done", "ImageError", "Done"]

    def stops(job: Job) -> batch.Done:
        raise RunStopped("The disk is full.")

    with pytest.raises(RunStopped):
        list(run(jobs, work=stops))
    assert [type(o) for _, o in one_by_one(stops, jobs)] == [RunStopped] * 3


def test_an_image_changed_while_it_was_read_fails(tmp_path, model, monkeypatch):
    job = make_job(tmp_path, model)
    read = stacks.read

    def read_and_change(*args, **options):
        image = read(*args, **options)
        write_image(job.source, seed=5)
        os.utime(job.source, (1, 1))
        return image

    monkeypatch.setattr(stacks, "read", read_and_change)
    with pytest.raises(ImageError, match="changed while it was read"):
        do(job)
    assert read_records(job.out) == {}


def test_weights_that_change_during_the_run_stop_it(tmp_path, model):
    job = make_job(tmp_path, model)
    changed = Job(job.source, job.name, job.out, settings_for(model))
    object.__setattr__(changed.settings, "weights_sha256", "0" * 64)
    with pytest.raises(RunStopped, match="changed since the run began"):
        do(changed)


def test_a_record_that_makes_no_sense_is_none(tmp_path):
    for name, text in (("a", ""), ("b", "[]"), ("c", "{}"), ("d", '{"name": "d"')):
        (tmp_path / FOLDER).mkdir(exist_ok=True)
        record_path(tmp_path, name).write_text(text)
    assert read_records(tmp_path) == {}


# what was named


def test_brackets_in_a_name_are_no_pattern(tmp_path: Path):
    folder = tmp_path / "day [1]"
    wanted = [write_image(folder / name) for name in ("a.tif", "b [2].tif")]
    write_image(tmp_path / "day 1" / "c.tif")
    for given in (folder / "*.tif", folder, folder / "?*"):
        inputs = find_inputs([str(given)], tmp_path / "out")
        assert inputs.files == wanted and inputs.root == folder and not inputs.missing
    assert find_inputs([str(wanted[1])], tmp_path / "out").files == [wanted[1]]


def test_linked_folders_are_looked_into_once(tmp_path: Path):
    image = write_image(tmp_path / "elsewhere" / "a.tif")
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "day1").symlink_to(image.parent)
    (folder / "again").symlink_to(image.parent)
    (folder / "circle").symlink_to(folder)
    assert find_inputs([str(folder)], tmp_path / "out", recursive=True).files == [folder / "again" / "a.tif"]
    assert find_inputs([str(folder)], tmp_path / "out").files == []


def test_slides_in_a_folder(tmp_path: Path):
    names = ["a.svs", "b.ndpi", "c.scn", "d.QPTIFF", "e.czi", "f.lif", "g.nd2", "h.btf"]
    for name in [*names, "notes.xml"]:
        (tmp_path / name).write_bytes(b"x")
    inputs = find_inputs([str(tmp_path)], tmp_path / "out")
    assert [path.name for path in inputs.files] == names and inputs.left_out == {".xml file(s)": 1}


def test_a_pixel_size_that_no_nucleus_fits_is_doubted(tmp_path: Path, model: str):
    job = make_job(tmp_path, model)
    for size, doubted in [(0.5, False), (84.67, True), (0.001, True)]:
        tifffile.imwrite(
            job.source,
            as_type(blobs(96, 96), np.uint16),
            imagej=True,
            resolution=(1 / size,) * 2,
            metadata={"unit": "um"},
        )
        assert do(job).nuclei
        notes = " ".join(read_records(job.out)["x"].facts["notes"])
        assert ("pixel size is probably wrong" in notes) == doubted
    job = replace(job, settings=replace(job.settings, pixel_size=0.65), overwrite=True)
    assert do(job).nuclei and list(read_records(job.out)["x"].facts["pixel_size_um"]) == [0.65, 0.65]
