"""Training on one's own images: better or kept as it was, within its time, interrupted and gone on with, told truly."""

import json
import re
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import torch
from typer.testing import CliRunner

from nuclei_cli import app
from nuclei_models import NucleiImageProcessor, UNet, UNetConfig, load, read, segment
from nuclei_models.model.confidence import FEATURES
from nuclei_models.model.repository import sha256
from nuclei_models.training import DataError, train
from nuclei_models.training.budget import LEAST, PATIENCE, Budget
from nuclei_models.training.candidates import FITTED, SCALED, START, TRAINED, Candidates
from nuclei_models.training.example import draw, write_example
from nuclei_models.training.measuring import Outcome, outcome, scores
from nuclei_models.training.recipe import FINE_TUNING, Recipe
from nuclei_models.training.report import build_report
from nuclei_models.training.samples import Sample
from nuclei_models.training.settings import fit_cut, fit_scale

NAMES = ["background", "nucleus", "border", "distance"]
LOOKS = {name: " ".join(["1"] * n) for name, n in {"mean": 17, "std": 17, "hidden": 17, "hidden_bias": 1}.items()}
LOOKS |= {"out": "0 0", "out_bias": "0 0"}  # always: the diameter is as was assumed, give or take
ALONE = {"features": list(FEATURES), "bias": 0.0, **{n: [1.0] * len(FEATURES) for n in ("mean", "std", "weights")}}
CROPS = replace(FINE_TUNING, crop_size=48)
QUICK = Recipe(batch=4, ema_decay=0.98, validations=3, validation_crop=128, augment=CROPS, steps=50)
SHORT = replace(QUICK, steps=6)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """A network of three levels that has learnt nothing."""
    torch.manual_seed(0)
    names = {"id2label": dict(enumerate(NAMES)), "label2id": {name: i for i, name in enumerate(NAMES)}}
    folder = tmp_path_factory.mktemp("weights") / "tiny"
    UNet(UNetConfig(channels=[8, 16, 32], padding="same", batch_norm=True, **names)).save_pretrained(folder)
    processor = NucleiImageProcessor(
        channel_names=NAMES, look_estimator=LOOKS, confidence_model={"alone": ALONE, "agreement": ALONE}
    )
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    return write_example(tmp_path_factory.mktemp("data") / "rings", 10, 96, 10)


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> tuple[Path, Path]:
    """Two images to train on, and two that are held out."""
    both = write_example(tmp_path_factory.mktemp("few") / "train", 4, 96, 10)
    for kind in ("images", "labels"):
        (both.with_name("held") / kind).mkdir(parents=True)
        for name in ("field-03.tif", "field-04.tif"):
            (both / kind / name).rename(both.with_name("held") / kind / name)
    return both, both.with_name("held")


@pytest.fixture(scope="module")
def trained(tiny, images, tmp_path_factory):
    """A network that learnt these images in some seconds."""
    return train(images, tmp_path_factory.mktemp("out") / "model", model=str(tiny), minutes=2, recipe=QUICK)


def test_it_becomes_better_and_says_by_how_much(trained, tiny, images):
    assert trained.is_trained and trained.figures[trained.kept]["score"] > trained.figures[START]["score"] + 0.1
    held = trained.record["split"]["held_out"]
    assert len(held) == 2 and trained.record["split"]["folds"] == 1
    model, processor = load(trained.folder)
    scores = []
    for name in held:  # the figures are those that anybody gets with the folder
        truth = tifffile.imread(images / "labels" / f"{Path(name).name}.tif").astype(np.int32)
        image = read(images / "images" / f"{Path(name).name}.tif").pixels
        scores.append(outcome(Sample(name, image, truth), segment(image, model, processor).labels).figures["score"])
    assert np.mean(scores) == pytest.approx(trained.figures[trained.kept]["score"], abs=2e-4)
    assert UNet.from_pretrained(trained.folder).config.channels == [8, 16, 32]
    assert not (trained.folder / ".training").exists()


def test_the_card_and_the_record_tell_what_was_done(trained, tiny):
    record = json.loads((trained.folder / "training.json").read_text())
    card = (trained.folder / "README.md").read_text()
    assert record["initial"]["weights_sha256"] == sha256(tiny / "model.safetensors")
    assert record["weights_sha256"] == sha256(trained.folder / "model.safetensors")
    steps, (about,) = record["training"]["steps"], record["data"]
    assert steps > 5 and record["training"]["crops"] == 4 * steps
    assert (about["folder"], about["images"]) == ("rings", 10) and about["nuclei"] > 50
    for told in (sha256(tiny / "model.safetensors"), about["sha256"], "`rings`: 10 images", f"{steps} steps of 4 crops",
                 f"{trained.figures[START]['score']:.3f}", f"{trained.figures[trained.kept]['score']:.3f}",
                 "2 of 10 images are held out", "labels (10)", "from `tiny`"):  # fmt: skip
        assert told in card, told
    for said in record["settings"]["said"]:
        assert said in card
    assert any("confidence" in said.lower() for said in record["settings"]["said"])
    assert any("looks through the network" in said for said in record["settings"]["said"])
    for untrue in ("BBBC038", "Bowl's stage", "1,500", "StarDist", "CC0", "license: mit"):
        assert untrue not in card
    assert "{" not in re.sub(r"```.*?```", "", card, flags=re.S)


def test_info_tells_how_it_came_about(trained):
    said = CliRunner().invoke(app, ["info", str(trained.folder), "--json"])
    facts = json.loads(said.output)
    assert facts["made_by"] == "nuclei train, from tiny, with 10 images of rings" and facts["kept"] == trained.why
    assert facts["tells_the_confidence"] is False and facts["nuclear_diameter_px"] is None


def test_the_report_opens_offline_and_shows_every_held_out_image(trained):
    report = (trained.folder / "report.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:)", report) and "http" not in report.replace("http-equiv", "").replace(
        "http://www.w3.org", ""
    )
    assert report.count("<figure>") == 4 * 2
    for name in trained.record["split"]["measured"]:
        assert name in report


def test_what_files_are_called_is_text_in_the_report(trained):
    made = replace(trained, notes=["<script>alert(1)</script>.tif: It has no nucleus."], outcomes={})
    report = build_report(made, {})
    assert "<script" not in report and "&lt;script&gt;alert(1)" in report


def test_the_same_call_again_has_nothing_to_do(trained, tiny, images):
    before = (trained.folder / "model.safetensors").stat().st_mtime_ns
    again = train(images, trained.folder, model=str(tiny), minutes=2, recipe=QUICK)
    assert again.was_finished and again.figures == trained.figures and again.why == trained.why
    assert (trained.folder / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(DataError, match=r"holds config\.json.*give another --out, or --overwrite"):
        train(images, trained.folder, model=str(tiny), minutes=1, recipe=QUICK)


def test_six_images_all_alike_keep_the_start_and_say_so(tiny, tmp_path):
    image, labels = draw(0)
    for kind in ("images", "labels"):
        (tmp_path / "alike" / kind).mkdir(parents=True)
    for i in range(6):
        noise = np.random.default_rng(i).integers(0, 6, image.shape)
        tifffile.imwrite(tmp_path / f"alike/images/{i}.tif", np.clip(image + noise, 0, 255).astype(np.uint8))
        tifffile.imwrite(tmp_path / f"alike/labels/{i}.tif", labels.astype(np.uint16))
    out = tmp_path / "model"
    said = CliRunner().invoke(app, ["train", str(tmp_path / "alike"), "--out", str(out), "--model", str(tiny)])
    assert said.exit_code == 0, said.output
    assert "The start is kept" in said.output and "All 6 images are near-duplicates of each other" in said.output
    assert sha256(out / "model.safetensors") == sha256(tiny / "model.safetensors")
    assert "The start is kept" in (out / "README.md").read_text()
    load(out)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_channels": 1}, "takes images of 1 channel, but the crops have 3 colours"),
        ({"num_channels": 4}, "takes images of 4 channels, but"),
        ({"id2label": {0: "nucleus", 1: "offset_y", 2: "offset_x"}}, "offset_y, offset_x, for which there is no loss"),
    ],
)
def test_a_network_that_it_cant_train_is_refused_first(options, said, images, tmp_path):
    model = UNet(UNetConfig(channels=[2, 4], padding="same", **options))
    model.save_pretrained(tmp_path / "start")
    processor = NucleiImageProcessor(channel_names=model.channel_names, num_channels=model.config.num_channels)
    processor.save_pretrained(tmp_path / "start")
    with pytest.raises(DataError, match=said):
        train(images, tmp_path / "out", model=str(tmp_path / "start"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("names", "padding"),
    [(["nucleus"], "same"), (["background", "nucleus"], "valid"), (["nucleus", "distance"], "mirror")],
)
def test_other_networks_are_trained(names, padding, few, tmp_path):
    model = UNet(UNetConfig(channels=[2, 4], padding=padding, id2label=dict(enumerate(names))))
    model.save_pretrained(tmp_path / "one")
    NucleiImageProcessor(channel_names=names).save_pretrained(tmp_path / "one")
    recipe = replace(SHORT, steps=1, batch=1, validations=1)
    result = train(few[0], tmp_path / "out", model=str(tmp_path / "one"), minutes=1, held_out=few[1], recipe=recipe)
    made, processor = load(tmp_path / "out")
    assert TRAINED in result.figures and made.channel_names == names
    segment(draw(0, 48, 4)[0], made, processor)  # no edge is lost


def test_a_training_that_harms_keeps_the_start(trained, few, tmp_path):
    """At a learning rate that destroys what was learnt."""
    worse = replace(SHORT, learning_rate=3.0)
    start = str(trained.folder)
    result = train(few[0], tmp_path / "model", model=start, minutes=1, held_out=few[1], recipe=worse)
    assert result.kept in (START, SCALED) and result.record["split"]["folds"] == 1
    assert result.figures[TRAINED]["score"] <= result.figures[START]["score"]
    assert result.record["training"]["best_step"] == 0
    assert "The start is kept" in result.why or result.kept == SCALED
    assert sha256(tmp_path / "model/model.safetensors") == sha256(trained.folder / "model.safetensors")


def test_few_images_are_cross_validated_and_then_all_trained_on(tiny, tmp_path):
    two = write_example(tmp_path / "two", 2, 96, 10)
    result = train(two, tmp_path / "model", model=str(tiny), minutes=2, recipe=replace(QUICK, steps=30))
    assert len(result.record["split"]["measured"]) == 2 and result.record["training"]["trained_on"] == 2
    assert result.is_trained and len(result.record["training"]["runs"]) == 3
    assert sha256(tmp_path / "model/model.safetensors") != sha256(tiny / "model.safetensors")
    assert "trained on 2 images for 30 steps" in (tmp_path / "model/README.md").read_text()


def test_the_time_is_kept(tiny, images, tmp_path):
    start = time.process_time()  # which other processes on a busy machine don't lengthen
    result = train(images, tmp_path / "model", model=str(tiny), minutes=0.1, recipe=replace(QUICK, steps=None))
    took = time.process_time() - start
    assert result.record["training"]["runs"][0]["stopped"] == "time"
    assert took < 6 + 20  # six seconds, and what a step and the report may take


def test_ctrl_c_keeps_the_best_so_far_and_the_same_call_goes_on(tiny, images, tmp_path):
    seen: list[int] = []

    def press(now) -> None:
        seen.append(now.step)
        if now.stage == "training" and now.step == 3:
            raise KeyboardInterrupt

    options = {"model": str(tiny), "minutes": 2, "recipe": SHORT}
    stopped = train(images, tmp_path / "model", progress=press, **options)
    assert not stopped.record["complete"] and (tmp_path / "model/.training").is_dir()
    assert stopped.record["training"]["runs"][0]["stopped"] == "you"
    load(stopped.folder)
    assert "interrupted" in (stopped.folder / "README.md").read_text()
    (tmp_path / "model/.training/clock.json").write_text("30.0")  # as if it had taken so long
    steps, left = [], []
    result = train(
        images, tmp_path / "model", progress=lambda now: (steps.append(now.step), left.append(now.left)), **options
    )
    assert max(left[1:]) < 90 and result.record["training"]["minutes_taken"] > 0.5
    assert result.record["complete"] and not result.was_finished
    assert min(step for step in steps if step) > 1  # it began at the checkpoint
    assert not (tmp_path / "model/.training").exists()


def test_what_is_stopped_in_a_part_is_measured_on_that_part_and_says_so(tiny, tmp_path):
    """Cross-validated: what there is then was trained without the images of that part, and with no others."""
    four = write_example(tmp_path / "four", 4, 64, 5)
    runs: list[int] = []

    def press(now) -> None:
        if now.stage == "training":
            runs.append(now.step)
            if runs.count(1) == 2 and now.step == 4:  # of the second part
                raise KeyboardInterrupt

    result = train(four, tmp_path / "model", model=str(tiny), minutes=2, recipe=SHORT, progress=press)
    record, card = result.record, (tmp_path / "model/README.md").read_text()
    (stopped,) = (run for run in record["training"]["runs"] if run["stopped"] == "you")
    assert record["training"]["trained_on"] + len(record["split"]["measured"]) == 4
    assert record["training"]["steps"] == stopped["steps"] and len(record["split"]["measured"]) in (1, 2)
    assert set(result.outcomes[START]) == set(record["split"]["measured"])
    assert "interrupted" in card
    assert ("was stopped before it came to all 3 parts" in card) == result.is_trained


def test_an_interrupted_run_of_other_images_is_not_gone_on_with(tiny, images, tmp_path):
    (tmp_path / "model/.training").mkdir(parents=True)
    (tmp_path / "model/.training/identity.json").write_text('{"data": "other", "minutes": 5}')
    with pytest.raises(DataError, match=r"an interrupted run that differs \(.*data"):
        train(images, tmp_path / "model", model=str(tiny), minutes=5)


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["nowhere"], "nowhere is no folder"),
        (["."], "no image with its truth"),
        ([".", "--model", "missing"], "no image with its truth"),
    ],
)
def test_bad_usage_is_told_in_a_sentence(tmp_path, monkeypatch, tiny, arguments, said):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["train", *arguments, "--out", "out", "--model", str(tiny)])
    assert result.exit_code == 2 and said in result.output and not Path("out").exists()


# time


def at(budget: Budget, share: float) -> float:
    budget.share = share
    return budget.rate()


def test_the_learning_rate_goes_by_time():
    budget = Budget(100)
    assert at(budget, 0) == LEAST and at(budget, 0.025) == pytest.approx(0.5)
    assert at(budget, 0.05) == at(budget, 0.59) == 1
    assert at(budget, 0.8) == pytest.approx(0.5) and at(budget, 1) == LEAST


def test_without_gain_it_cools_down_and_ends_early():
    for patient in (False, True):
        budget = Budget(100, patient=patient)
        budget.share = 0.3
        for _ in range(PATIENCE + 1):
            budget.on_evaluate(None, SimpleNamespace(global_step=1), None, {"eval_score": 0.5})
        assert budget.is_early == (not patient)
        assert budget.end == pytest.approx(1 if patient else 0.45)
        assert (at(budget, 0.375) == pytest.approx(0.5)) == (not patient)


# choice and settings


def made_up(score: float) -> Outcome:
    names = ("bowl_map", "iou", "f1", "ap_50", "pq", "score")
    return Outcome(np.zeros((2, 2), np.int32), {"a": 1, "b": 1, **dict.fromkeys(names, score)})


def test_the_best_is_chosen_and_of_equals_the_earlier():
    def choose(**scores: float) -> str:
        candidates = Candidates()
        names = {"start": START, "scaled": SCALED, "trained": TRAINED, "fitted": FITTED}
        candidates.add({names[key]: {"a": made_up(value)} for key, value in scores.items()})
        return candidates.choose()

    assert choose(start=0.5, trained=0.6) == TRAINED
    assert choose(start=0.5, trained=0.501) == START
    assert choose(start=0.5, scaled=0.55, trained=0.54) == SCALED
    assert choose(start=0.5, trained=0.6, fitted=0.7) == FITTED
    assert choose(start=0.5, trained=0.4, fitted=0.45) == START


def test_settings_are_chosen_by_the_score_that_is_reported():
    image, labels = draw(0)
    truth = labels.copy()
    truth[:20] = -1  # nobody labelled it
    found = np.roll(labels, 2, axis=0)
    found[found == 3] = 0
    sample = Sample("a", image, truth)
    figures = outcome(sample, found).figures
    assert scores(sample, found) == pytest.approx(
        {n: figures[n] for n in ("bowl_map", "ap_50", "iou", "score")}, abs=1e-5
    )
    assert 0.2 < figures["score"] < 0.9


def test_a_diameter_that_is_found_wrong_is_set():
    processor = NucleiImageProcessor(channel_names=NAMES)
    discs = [Sample(str(i), *draw(i)) for i in range(4)]
    fitted, said = fit_scale(processor, discs, {"0": 60.0, "1": 70.0})
    assert 13 < fitted.diameter < 19 and processor.diameter is None and "is set to" in said
    assert fit_scale(processor, discs, {"0": 17.0, "1": 15.0})[0] is processor
    large = [
        Sample(f"large {s.id}", np.kron(s.image, np.ones((4, 4), np.uint8)), np.kron(s.labels, np.ones((4, 4), int)))
        for s in discs
    ]
    fitted, _ = fit_scale(processor, large, {"large 0": None})  # seen as it is, four times too large
    assert 52 < fitted.diameter < 76
    assert fit_scale(processor, discs + large, {"0": 60.0})[0] is processor  # of several magnifications


def test_settings_are_kept_where_there_is_too_little():
    processor = NucleiImageProcessor(channel_names=NAMES)
    kept, said = fit_cut(processor, [Sample("a", *draw(0))], [])
    assert kept is processor and "1 image(s) with 13 nuclei are too few" in said
