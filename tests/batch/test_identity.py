"""A result is taken for what it is, by its network, code, settings and image; and what a person made is kept."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from nuclei_models import NucleiImageProcessor
from nuclei_models.batch import job as batch
from nuclei_models.batch.job import Job, is_done, run, segment_job, segment_large_job
from nuclei_models.batch.records import read_records, stage
from nuclei_models.images.reader import ImageError
from nuclei_models.inference.network import Network
from nuclei_models.jobs import identity, settings
from nuclei_models.jobs.durable import RunStopped
from nuclei_models.jobs.mapper import one_by_one
from nuclei_models.jobs.settings import network_of, settings_for
from tests.support.page import as_type, blobs, save_networks


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> dict[str, str]:
    return save_networks(tmp_path_factory.mktemp("networks"))


@pytest.fixture
def model(networks, tmp_path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(networks["unetpp"], tmp_path / "model"))


@pytest.fixture
def images(tmp_path) -> Path:
    (tmp_path / "images").mkdir()
    for seed in range(2):
        tifffile.imwrite(tmp_path / "images" / f"x{seed}.tif", as_type(blobs(64, 64, seed=seed), np.uint16))
    return tmp_path / "images"


def refit(model: Path, threshold: float) -> None:
    """As `train.fit.thresholds` does."""
    processor = NucleiImageProcessor.from_pretrained(model)
    processor.threshold = threshold
    processor.save_pretrained(model)


def job_for(images: Path, model: Path, **options) -> Job:
    return Job(images / "x0.tif", "x0", images.parent / "out", settings_for(str(model), save=("labels",), **options))


def do(job: Job) -> np.ndarray:
    """-> the label image."""
    [(_, outcome)] = run([job])
    if isinstance(outcome, Exception):
        raise outcome
    return tifffile.imread(job.out / f"{job.name}_labels.tif")


def state(folder: Path) -> dict[str, bytes]:
    """Of all files that a person sees, but those that tell of the run."""
    told = ("README.txt", "settings.json", "summary.csv", "failures.csv", "report.html")
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.name not in told)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files if ".nuclei" not in p.parts}


# the network


def test_a_processor_fitted_anew_is_used_and_recorded(images, model):
    first = do(job_for(images, model))
    refit(model, 0.9)
    job = job_for(images, model)
    assert job.settings.threshold == 0.9 and not is_done(job, read_records(job.out)["x0"])
    with pytest.raises(ImageError, match=r"other settings .*processor's settings \w{12}, now \w{12}"):
        do(job)
    second = do(replace(job, overwrite=True))
    assert 0 < (second > 0).sum() < (first > 0).sum()
    assert is_done(job, read_records(job.out)["x0"])


def test_a_setting_of_the_processor_that_is_not_among_the_runs_settings_counts_too(images, model):
    job = job_for(images, model)
    do(job)
    processor = NucleiImageProcessor.from_pretrained(model)
    processor.high_percentile = 60.0
    processor.save_pretrained(model)
    again = job_for(images, model)
    assert again.settings.processor_sha256 != job.settings.processor_sha256
    assert network_of(again.settings).processor.high_percentile == 60
    assert not is_done(again, read_records(job.out)["x0"])


def test_a_configuration_that_was_changed_counts_too(images, model):
    job = job_for(images, model)
    do(job)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"inference_mode": "fast"}))
    assert not is_done(job_for(images, model), read_records(job.out)["x0"])


def test_a_worker_that_lives_on_loads_the_network_that_was_changed(images, model):
    """What a worker has loaded for an earlier run isn't taken for what this one asks for."""
    network_of(job_for(images, model).settings)
    kept = dict(settings._loaded)  # as a worker that has done the first run
    refit(model, 0.9)
    job = job_for(images, model)
    expected = do(job)
    settings._loaded.clear()
    settings._loaded.update(kept)
    shutil.rmtree(job.out)
    assert np.array_equal(do(job), expected)


@pytest.mark.parametrize("file", ["preprocessor_config.json", "config.json", "model.safetensors"])
def test_a_network_changed_during_the_run_stops_it(images, model, networks, file):
    job = job_for(images, model)
    if file == "preprocessor_config.json":
        refit(model, 0.9)
    elif file == "config.json":
        config = json.loads((model / file).read_text())
        (model / file).write_text(json.dumps(config | {"inference_mode": "fast"}))
    else:
        shutil.copytree(networks["unet"], model, dirs_exist_ok=True)
    with pytest.raises(RunStopped, match="changed since the run began"):
        do(job)
    assert read_records(job.out) == {} and state(job.out) == {}


def test_code_that_was_changed_makes_results_anew(images, model, monkeypatch):
    job = job_for(images, model)
    do(job)
    monkeypatch.setattr(settings, "code_version", lambda: "0.1.0+other")
    with pytest.raises(RunStopped, match=r"0\.1\.0\+other.*same version"):
        do(job)  # as on a worker that has another version than the one that began the run
    monkeypatch.undo()
    other = replace(job, settings=replace(job.settings, code="0.1.0+other"))
    assert not is_done(other, read_records(job.out)["x0"])


def test_the_code_version_is_of_the_code(tmp_path, monkeypatch):
    for room in identity.ROOMS:
        path = tmp_path / room
        path.parent.mkdir(parents=True, exist_ok=True)
        source = identity.PACKAGE / room
        shutil.copytree(source, path) if source.is_dir() else shutil.copy(source, path)
    own = identity.code_version()
    monkeypatch.setattr(identity, "PACKAGE", tmp_path)
    assert identity.code_version.__wrapped__() == own
    instances = tmp_path / "model" / "instances.py"
    instances.write_text(instances.read_text() + "\n# another way to cut\n")
    assert identity.code_version.__wrapped__() != own


# late work


def test_work_that_outlives_its_run_has_nowhere_to_land(images, model):
    """A worker goes on with a job of a run that is over, while the next run has other settings."""
    late = replace(job_for(images, model, threshold=0.2), overwrite=True)
    with stage(late.out) as gone:
        late = replace(late, stage=gone)
    job = job_for(images, model, threshold=0.8)
    expected, before = do(job), state(job.out)
    with pytest.raises(RunStopped, match="is over"):
        segment_job(late)
    assert state(job.out) == before and np.array_equal(tifffile.imread(job.out / "x0_labels.tif"), expected)
    assert [p for p in job.out.rglob("*") if p.is_dir() and p.name != ".nuclei"] == []


# results


def test_results_changed_by_hand_are_kept(nuclei, images, model, tmp_path):
    given = ("segment", "images", "--out", "out", "--model", model, "--save", "labels,csv")
    assert nuclei(*given)[0] == 0
    mended = tmp_path / "out" / "x0_labels.tif"
    labels = tifffile.imread(mended)
    labels[labels == 1] = 0
    tifffile.imwrite(mended, labels)
    before = state(tmp_path / "out")

    code, printed = nuclei(*given)
    assert code == 0 and "of which 1 with results changed by hand, which are kept" in " ".join(printed.split())
    assert state(tmp_path / "out") == before

    code, printed = nuclei(*given, "--save", "labels,csv,geojson")
    assert code == 1 and "x0_labels.tif isn't as it was made" in printed and "--overwrite" in printed
    after = state(tmp_path / "out")
    assert {name: after[name] for name in before if "x0" in name} == {
        name: data for name, data in before.items() if "x0" in name
    }
    assert "x0_qupath.geojson" not in after

    assert nuclei(*given, "--overwrite")[0] == 0
    assert (tifffile.imread(mended) == 1).any()
    assert nuclei(*given)[0] == 0


def test_a_changed_result_of_a_changed_image_is_kept(nuclei, images, model, tmp_path):
    given = ("segment", "images", "--out", "out", "--model", model, "--save", "labels")
    nuclei(*given)
    (tmp_path / "out" / "x0_labels.tif").write_bytes(b"mine")
    tifffile.imwrite(images / "x0.tif", as_type(blobs(64, 64, seed=9), np.uint16))
    code, printed = nuclei(*given)
    assert code == 1 and "isn't as it was made" in printed
    assert (tmp_path / "out" / "x0_labels.tif").read_bytes() == b"mine"


def test_asking_for_other_kinds_adds(nuclei, images, model, tmp_path):
    def asked(kinds: str, *more: str) -> list[str]:
        line = ("segment", "images/x0.tif", "--out", "out", "--model", model, "--save", kinds, *more)
        assert nuclei(*line)[0] == 0
        return sorted(p.name for p in (tmp_path / "out").glob("x0_*"))

    assert asked("labels") == ["x0_labels.tif"]
    assert asked("csv") == ["x0_labels.tif", "x0_measurements.csv"]
    assert asked("labels,csv") == ["x0_labels.tif", "x0_measurements.csv"]
    record = read_records(tmp_path / "out")["x0"]
    assert sorted(record.files) == ["x0_labels.tif", "x0_measurements.csv"] and record.is_whole(tmp_path / "out")
    # other settings: what they don't make again would tell of other nuclei
    assert asked("csv", "--threshold", "0.3", "--overwrite") == ["x0_measurements.csv"]


OTHER = {
    "threshold 0.5, now 0.3": ("--threshold", 0.3),
    "diameter not given, now 20": ("--diameter", 20),
    "ring 0, now 3": ("--ring", 3),
    "exclude edge no, now yes": ("--exclude-edge",),
    "test-time augmentation no, now yes": ("--tta",),
}


def everything(folder: Path) -> dict[str, bytes]:
    """Of all files but the lock."""
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file() and p.name != "lock"}


def test_results_of_other_settings_are_not_replaced_unasked(nuclei, images, model, networks, tmp_path, monkeypatch):
    given = ("segment", "images", "--out", "out", "--save", "labels,csv")
    mine = (*given, "--model", model)
    assert nuclei(*mine)[0] == 0
    before = everything(tmp_path / "out")
    with monkeypatch.context() as patched:
        patched.setattr(Network, "segment", None)
        for difference, options in OTHER.items():
            code, printed = nuclei(*mine, *options)
            assert code == 2 and f"  2 images: {difference}\n" in printed
            assert "Give another --out to keep these results, or --overwrite to replace them." in printed
        code, printed = nuclei(*given, "--model", networks["unet"])
        assert code == 2 and "  2 images: weights " in printed and "network's configuration " in printed
        code, printed = nuclei("segment", "images/x0.tif", *mine[2:], "--threshold", 0.3, "--quiet")
        assert code == 2 and "Results of 1 image that were made with other settings" in printed
        assert everything(tmp_path / "out") == before

    code, printed = nuclei(*mine)
    assert code == 0 and "2 done before and skipped" in printed
    assert nuclei(*mine, "--threshold", 0.3, "--channel", 0)[0] == 0  # another channel goes beside
    assert {p.name for p in (tmp_path / "out").glob("*.csv")} >= {"x0_measurements.csv", "x0_c0_measurements.csv"}
    code, printed = nuclei(*mine, "--threshold", 0.3, "--overwrite")
    assert code == 0 and "made with other settings are replaced:\n  2 images: threshold 0.5, now 0.3\n" in printed
    assert nuclei(*mine, "--threshold", 0.3)[0] == 0
    for path in (tmp_path / "out").glob("x?_[lm]*"):  # nothing is left that would be replaced
        path.unlink()
    assert nuclei(*mine)[0] == 0


def test_images_in_a_folder_may_have_results_of_several_settings(nuclei, images, model):
    for name, threshold in (("x0", 0.3), ("x1", 0.4)):
        line = ("segment", f"images/{name}.tif", "--out", "out", "--model", model, "--threshold", threshold)
        assert nuclei(*line)[0] == 0
    code, printed = nuclei("segment", "images", "--out", "out", "--model", model, "--threshold", 0.4)
    assert code == 2 and "Results of 1 image that" in printed and "  1 image: threshold 0.3, now 0.4\n" in printed
    code, printed = nuclei("segment", "images", "--out", "out", "--model", model)
    assert code == 2 and all(f"  1 image: threshold {n}, now 0.5\n" in printed for n in (0.3, 0.4))


def test_results_of_a_large_image_are_not_replaced_unasked(nuclei, images, model, tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "LARGE_PIXELS", 64 * 64 - 1)
    line = ("segment", "images/x0.tif", "--out", "out", "--model", model, "--save", "csv")
    assert nuclei(*line)[0] == 0
    before = everything(tmp_path / "out")
    code, printed = nuclei(*line, "--threshold", 0.3)
    assert code == 2 and "  1 image: threshold 0.5, now 0.3\n" in printed
    job = replace(job_for(images, model, threshold=0.3), out=tmp_path / "out")
    with pytest.raises(ImageError, match=r"threshold 0\.5, now 0\.3.*--overwrite"):
        segment_large_job(job, one_by_one, lambda *_: None)
    assert everything(tmp_path / "out") == before
    assert nuclei(*line, "--threshold", 0.3, "--overwrite")[0] == 0


def test_results_beside_the_images_are_never_segmented(nuclei, model, tmp_path):
    """Whatever they are called, and from whichever folder they are named."""
    (tmp_path / "in").mkdir()
    for name in ("x.png", "x.bmp", "y.png"):
        Image.fromarray(as_type(blobs(64, 64), np.uint8)).save(tmp_path / "in" / name)
    shown = []
    for _ in range(3):
        code, _ = nuclei("segment", "in", "--out", "in", "--model", model, "--save", "labels,overlay,coloured")
        assert code == 0
        shown.append(sorted(state(tmp_path / "in")))
    assert shown[0] == shown[1] == shown[2] and len(shown[0]) == 3 + 9
    for given in (["in"], ["in/*"], sorted(f"in/{name}" for name in shown[0]), [".", "-r"]):
        code, printed = nuclei("segment", *given, "--out", "out", "--model", model)
        assert code == 0 and "3 images" in printed and "result(s) of an earlier run" in " ".join(printed.split())
        shutil.rmtree(tmp_path / "out")
    (tmp_path / "in" / "x_png_labels.tif").write_bytes((tmp_path / "in" / "y_labels.tif").read_bytes())
    assert "3 images" in nuclei("segment", "in", "--out", "in", "--model", model, "--save", "labels")[1]
