"""`nuclei segment` where something is wrong: files, disk, folder, a second run, what was typed."""

import shutil

import pytest

from nuclei_cli.segment import Run
from nuclei_models.inference import bundled
from nuclei_models.inference.network import Network
from nuclei_models.jobs import durable
from tests.support.tables import rows_of


def test_bad_files_are_told_of_and_skipped(nuclei, images, model, tmp_path):
    (images / "empty.tif").write_bytes(b"")
    (images / "text.png").write_text("hello")
    code, printed = nuclei("segment", "images", "gone.tif", "--out", "out", "--model", model)
    assert code == 1 and "3 failed" in printed
    assert "failed: empty.tif: It is empty (0 bytes)" in " ".join(printed.split())
    listed = {row["image"]: row["failure"] for row in rows_of(tmp_path / "out" / "failures.csv")}
    assert sorted(listed) == ["empty.tif", "gone.tif", "text.png"]
    assert "no such file" in listed["gone.tif"]
    assert len(list((tmp_path / "out").rglob("*_labels.tif"))) == 3
    for bad in ("empty.tif", "text.png"):
        (images / bad).unlink()
    assert nuclei("segment", "images", "--out", "out", "--model", model)[0] == 0
    assert not (tmp_path / "out" / "failures.csv").exists()


def test_an_image_that_vanishes_in_the_middle_fails_alone(nuclei, images, model, tmp_path, monkeypatch):
    work = Run.work

    def vanish(self, mapper) -> None:
        (images / "x1.tif").unlink()
        work(self, mapper)

    monkeypatch.setattr(Run, "work", vanish)
    code, printed = nuclei("segment", "images", "--out", "out", "--model", model)
    assert code == 1 and "1 failed" in printed and "no such file" in printed
    assert sorted(p.name for p in (tmp_path / "out").glob("*_labels.tif")) == ["x0_labels.tif", "x2_labels.tif"]


def test_a_full_disk_stops_the_run_and_the_next_continues(nuclei, images, model, tmp_path, monkeypatch, segmented):
    write_all, full = durable.write_all, True

    def until_full(files) -> None:
        if full and any("x1" in path.name for path in files):
            raise durable.RunStopped("The disk is full: make room.")
        write_all(files)

    monkeypatch.setattr(durable, "write_all", until_full)
    code, printed = nuclei("segment", "images", "--out", "out", "--model", model)
    assert code == 3 and printed.count("The disk is full") == 1 and "1 of 3 images" in printed
    full = False
    code, printed = nuclei("segment", "images", "--out", "out", "--model", model)
    assert code == 0 and "1 done before and skipped" in printed
    assert sorted(segmented[-2:]) == ["x1", "x2"] and segmented.count("x0") == 1


def test_ctrl_c_ends_cleanly(nuclei, images, model, tmp_path, monkeypatch, segmented):
    real, calls = Network.segment, []

    def interrupted(*args, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(Network, "segment", interrupted)
    code, printed = nuclei("segment", "images", "--out", "out", "--model", model)
    assert code == 130 and "goes on from here" in printed
    code, printed = nuclei("segment", "images", "--out", "out", "--model", model)
    assert code == 0 and "1 done before and skipped" in printed
    assert sorted(segmented[-2:]) == ["x1", "x2"] and segmented.count("x0") == 1


def test_a_second_run_into_a_folder_is_refused(nuclei, images, model, tmp_path):
    with durable.locked(tmp_path / "out", tmp_path / "out" / ".nuclei" / "lock"):
        code, printed = nuclei("segment", "images", "--out", "out", "--model", model)
    assert code == 3 and "Another run is writing" in printed


def test_folders_of_results_that_cannot_be_written(nuclei, images, model, tmp_path):
    (tmp_path / "file").write_text("")
    for out in ("file", "/proc/nuclei"):
        code, printed = nuclei("segment", "images", "--out", out, "--model", model)
        assert code == 3 and "can't be written" in printed and len(printed.splitlines()) == 1


def test_files_of_others_are_not_replaced(nuclei, images, model, tmp_path, segmented):
    mine = images / "x1_labels.tif"
    mine.write_text("my own")
    code, printed = nuclei("segment", "images", "--out", "images", "--model", model)
    assert code == 2 and "x1_labels.tif" in printed and segmented == []
    assert mine.read_text() == "my own"
    assert nuclei("segment", "images", "--out", "images", "--model", model, "--overwrite")[0] == 0
    assert nuclei("segment", "images", "--out", "images", "--model", model)[0] == 0
    assert sorted(segmented) == ["x0", "x1", "x2"]  # results beside the images aren't segmented

    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "README.txt").write_text("my own")
    code, printed = nuclei("segment", "images/x0.tif", "--out", "project", "--model", model)
    assert code == 2 and "another README.txt" in printed and len(list((tmp_path / "project").iterdir())) == 1


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["nothing.tif"], "No images found. There is no nothing.tif"),
        (["empty"], "No images found. Left out: 1 .txt file(s)"),
        (["images", "--save", "labels,mask"], "--save mask: expected some of labels, coloured"),
        (["images", "--threshold", "1.5"], "threshold=1.5: expected"),
        (["images", "--level", "7"], "level=7: U-Net++ from"),
        (["images", "--model", "nowhere"], "'nowhere'"),
        (["images", "--diameter", "0"], "diameter=0.0: expected"),
        (["images", "--scheduler", "nonsense"], "--scheduler"),
    ],
)
def test_wrong_usage(nuclei, images, model, tmp_path, arguments, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("")
    chosen = [] if "--model" in arguments else ["--model", model]
    code, printed = nuclei("segment", *arguments, "--out", "out", *chosen)
    assert code == 2 and words in " ".join(printed.split())


def test_without_a_model_the_bundled_one_or_a_sentence(nuclei, images, model, tmp_path, monkeypatch):
    monkeypatch.setattr(bundled, "PACKAGE", tmp_path / "installed")
    code, printed = nuclei("segment", "images", "--out", "out")
    assert code == 2 and "There is no model 'unet-nuclei'" in printed and "install the package again" in printed
    shutil.copytree(model, tmp_path / "installed" / "weights" / "unet-nuclei")
    assert nuclei("segment", "images", "--out", "out")[0] == 0
