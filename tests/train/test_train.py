"""Training: seeds, resuming, two processes; on a small network and drawn discs."""

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from nuclei_models import NucleiImageProcessor, UNet
from nuclei_models.training import dataset
from nuclei_models.training.example import write_example
from nuclei_models.training.packed import pack
from nuclei_models.training.samples import Sample
from nuclei_models.training.trainer import Ema, last_checkpoint
from tests.support.processes import run_together
from train import train as command
from train.experiment import Experiment
from train.train import train

REPO = Path(__file__).parents[2]
SMALL = [
    "model.channels=[4,8]",
    "augment.crop_size=32",
    "validation_crop=48",
    "training.max_steps=4",
    "training.per_device_train_batch_size=2",
    "training.warmup_steps=1",
    "training.logging_steps=1",
    "training.eval_steps=2",
    "training.save_steps=2",
    "training.report_to=none",
    "training.disable_tqdm=true",
    "training.bf16=false",
]


def discs(seed: int) -> Sample:
    rng = np.random.default_rng(seed)
    labels = np.zeros((64, 64), np.int32)
    y, x = np.mgrid[:64, :64]
    for number, (cy, cx) in enumerate(rng.integers(8, 56, (5, 2)), 1):
        labels[np.hypot(y - cy, x - cx) < 8] = number
    return Sample(f"disc{seed}", ((labels > 0) * 150 + rng.integers(0, 50, labels.shape)).astype(np.uint8), labels)


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> list[str]:
    """A small packed data set; the overrides that name it."""
    folder = tmp_path_factory.mktemp("data")
    for seed in range(4):
        pack(discs(seed), folder)
    (folder / "train.txt").write_text("disc0\ndisc1\ndisc2\n")
    (folder / "validation.txt").write_text("disc3\n")
    return [
        f"data={folder}",
        f"train_split={folder / 'train.txt'}",
        f"validation_split={folder / 'validation.txt'}",
    ]


@pytest.fixture
def read(packed, tmp_path):
    def read(name: str, *overrides: str, network: str = "unet") -> Experiment:
        out = f"training.output_dir={tmp_path / name}"
        return Experiment.read(REPO / f"train/configs/{network}.yaml", [*SMALL, *packed, out, *overrides])

    return read


def weights(out: Path, step: int, name: str = "model") -> dict:
    return load_file(out / f"checkpoint-{step}" / f"{name}.safetensors")


def assert_equal(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    assert [k for k in a if not a[k].equal(b[k])] == []


def test_neither_what_makes_steps_fast_nor_who_draws_the_crops_changes_the_losses(read, monkeypatch):
    steps = [f"training.{name}=50" for name in ("max_steps", "eval_steps", "save_steps")]
    monkeypatch.setattr(dataset, "_cores", lambda: 3)

    def losses(name: str, *overrides: str) -> list[float]:
        log = json.loads((train(read(name, *steps, *overrides)) / "log.json").read_text())
        return [entry["loss"] for entry in log if "loss" in entry]

    found = losses("as it is")
    monkeypatch.setattr(command, "kept_between_steps", lambda device: nullcontext(False))
    assert losses("loaded", "training.dataloader_num_workers=1") == found
    monkeypatch.setattr(command, "bias_apart", lambda model: nullcontext())
    assert losses("plain", "training.optim=adamw_torch") == pytest.approx(found, rel=0.01)
    assert len(set(found)) > 40


@pytest.mark.parametrize("network", ["unet", "unetpp"])
def test_what_a_run_leaves_behind(read, network):
    out = train(read("run", network=network))
    log = json.loads((out / "log.json").read_text())
    assert {"loss", "eval_loss", "eval_iou", "eval_map"} <= {key for entry in log for key in entry}
    assert (out / "curves.png").stat().st_size > 5000
    record = json.loads((out / "best/validation.json").read_text())
    assert record["step"] in (2, 4) and 0 <= record["eval_iou"] <= 1
    processor = NucleiImageProcessor.from_pretrained(out / "best")
    assert list(processor.channel_names) == ["background", "nucleus", "border", "distance"]
    assert (out / "best/config.json").is_file()


def test_seeds_make_two_runs_equal(read):
    a, b = train(read("a")), train(read("b"))
    c = train(read("c", "training.seed=1"))
    assert_equal(weights(a, 4), weights(b, 4))
    assert_equal(weights(a, 4, "ema"), weights(b, 4, "ema"))
    assert any(not v.equal(weights(c, 4)[k]) for k, v in weights(a, 4).items())


def test_an_interrupted_run_goes_on_to_the_same_place(read, monkeypatch):
    whole = train(read("whole"))
    step_end = Ema.on_step_end

    def breaks(self, args, state, control, **kwargs):
        if state.global_step == 3:
            raise KeyboardInterrupt
        step_end(self, args, state, control, **kwargs)

    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
        m.setattr(Ema, "on_step_end", breaks)
        train(read("broken"))
    resumed = train(read("broken"))
    assert_equal(weights(whole, 4), weights(resumed, 4))
    assert_equal(weights(whole, 4, "ema"), weights(resumed, 4, "ema"))
    losses = [
        [e["loss"] for e in json.loads((out / "log.json").read_text()) if "loss" in e] for out in (whole, resumed)
    ]
    assert losses[0] == losses[1]


def test_a_run_killed_while_it_writes_a_checkpoint_goes_on_from_the_one_before(read, monkeypatch):
    whole = train(read("whole"))
    on_save = Ema.on_save

    def dies(self, args, state, control, **kwargs):
        if state.global_step == 4:
            raise KeyboardInterrupt  # all of the checkpoint is there but the averaged weights
        on_save(self, args, state, control, **kwargs)

    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
        m.setattr(Ema, "on_save", dies)
        train(read("broken"))
    out = Path(read("broken").training["output_dir"])
    assert (out / "checkpoint-4" / "trainer_state.json").is_file()
    resumed = train(read("broken"))
    assert_equal(weights(whole, 4), weights(resumed, 4))
    assert_equal(weights(whole, 4, "ema"), weights(resumed, 4, "ema"))


def test_only_whole_checkpoints_count(tmp_path):
    assert last_checkpoint(tmp_path / "none") is None
    for step in (2, 10, 9):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")
    (tmp_path / "checkpoint-mine").mkdir()
    assert last_checkpoint(tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-mine"]
    for step in (2, 9, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / ("ema.safetensors" if step < 10 else "ema.safetensors.part")).touch()
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-9"
    assert not (tmp_path / "checkpoint-10").exists()


def test_best_is_the_average_not_the_last_step(read):
    out = train(read("run", "training.eval_steps=4", "training.save_steps=4"))
    best = UNet.from_pretrained(out / "best").state_dict()
    assert_equal(dict(best), weights(out, 4, "ema"))
    assert any(not v.equal(weights(out, 4)[k]) for k, v in best.items())


def test_an_unpadded_network_trains_on_surroundings_and_is_kept_mirrored(read):
    out = train(read("valid", "model.padding=valid", "augment.crop_size=48"))
    assert UNet.from_pretrained(out / "best").config.padding == "mirror"
    assert json.loads((out / "best/validation.json").read_text())["eval_loss"] > 0


TWO = """
from train.experiment import Experiment
from train.train import train
train(Experiment.read("train/configs/unet.yaml", {overrides}))

from dataclasses import replace
from nuclei_models.training.front import train
from nuclei_models.training.recipe import FINE_TUNING, Recipe
recipe = Recipe(batch=2, steps=2, validations=1, validation_crop=64, augment=replace(FINE_TUNING, crop_size=32))
train({folder!r}, {out!r}, model={start!r}, device="cpu", recipe=recipe)
"""


@pytest.fixture(scope="module")
def two(packed, tmp_path_factory) -> Path:
    """What two processes made, by the recipes of this project and by `nuclei train`: start/, run/ and own/."""
    folder = tmp_path_factory.mktemp("two")
    overrides = [*SMALL, *packed, "training.use_cpu=true", f"training.output_dir={folder / 'run'}"]
    experiment = Experiment.read(REPO / "train/configs/unet.yaml", overrides)
    for part in experiment.build():
        part.save_pretrained(folder / "start")
    code = TWO.format(
        overrides=overrides,
        folder=str(write_example(folder / "images", 10)),
        out=str(folder / "own"),
        start=str(folder / "start"),
    )
    for done in run_together(code, REPO, 2):
        assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_two_processes_take_the_steps_of_one_that_accumulates(two, read):
    """To the last digits but one: of either, the gradient is the mean of the same two batches'."""
    one = train(read("one", "training.gradient_accumulation_steps=2"))
    logs = [json.loads((out / "log.json").read_text()) for out in (two / "run", one)]
    losses = [[(e["loss"], e["grad_norm"]) for e in log if "loss" in e] for log in logs]
    assert len(losses[0]) == 4
    assert np.allclose(*losses, rtol=1e-5)
    a, b = weights(two / "run", 4, "ema"), weights(one, 4, "ema")
    trained = [name for name in a if "running" not in name and "num_batches" not in name]  # those are the first's own
    assert all(np.allclose(a[name], b[name], rtol=1e-4, atol=1e-6) for name in trained)
    assert (two / "run/best/model.safetensors").is_file()


def test_two_processes_train_on_ones_own_images(two):
    training = json.loads((two / "own/training.json").read_text())["training"]
    assert (training["processes"], training["steps"], training["crops"]) == (2, 2, 2 * 2 * 2)
    UNet.from_pretrained(two / "own")


def test_epochs_are_not_steps(read):
    with pytest.raises(ValueError, match=r"training.max_steps is -1: give the number of steps.*no epochs"):
        train(read("run", "training.max_steps=-1", "training.num_train_epochs=3"))


class TestExperiment:
    def test_unknown_key(self, read):
        with pytest.raises(ValueError, match=r"unknown keys \['sped'\]"):
            read("x", "sped=1")

    def test_unknown_network(self, read):
        with pytest.raises(ValueError, match="network is 'vnet'"):
            read("x", "network=vnet")

    def test_unknown_augmentation(self, read):
        with pytest.raises(ValueError, match=r"augment: .*blurr"):
            read("x", "augment.blurr=1")

    def test_both_networks_share_the_recipe(self):
        a, b = (Experiment.read(REPO / f"train/configs/{n}.yaml") for n in ("unet", "unetpp"))
        assert a.augment == b.augment and a.ema_decay == b.ema_decay
        own = {"output_dir", "max_steps"}  # a step of U-Net++ costs twice as much, and this CPU had an hour
        assert {k: v for k, v in a.training.items() if k not in own} == {
            k: v for k, v in b.training.items() if k not in own
        }

    def test_both_networks_are_trained_on_alike(self):
        a, b = (Experiment.read(REPO / f"train/configs/{n}-on.yaml") for n in ("unet", "unetpp"))
        assert a.augment == b.augment and a.ema_decay == b.ema_decay
        assert replace(a, network="", model={}, initial="", training={**a.training, "output_dir": ""}) == replace(
            b, network="", model={}, initial="", training={**b.training, "output_dir": ""}
        )
        assert [Path(e.initial or "").parent.name for e in (a, b)] == ["unet", "unetpp"]

    def test_earlier_weights_to_begin_with(self, read, tmp_path):
        first, processor = read("first").build()
        processor.threshold = 0.8
        for part in (first, processor):
            part.save_pretrained(tmp_path / "earlier")
        model, processor = read("second", f"initial={tmp_path / 'earlier'}").build()
        assert_equal(model.state_dict(), first.state_dict())
        assert processor.threshold == 0.8 and model.training

    def test_earlier_weights_of_another_network(self, read, tmp_path):
        for part in read("first").build():
            part.save_pretrained(tmp_path / "earlier")
        earlier = f"initial={tmp_path / 'earlier'}"
        with pytest.raises(ValueError, match=r"initial: .*earlier holds another network"):
            read("second", earlier, "model.channels=[4, 8, 16]").build()
        with pytest.raises(ValueError, match=r"initial: .*earlier holds another network"):
            read("second", earlier, "channel_names=[background, nucleus, border]").build()

    def test_the_papers_network_has_the_recipe_of_the_bundled_one(self):
        ours, papers = (Experiment.read(REPO / f"train/configs/{n}.yaml") for n in ("unet-five", "unet-paper"))
        with torch.device("meta"):
            model, _ = papers.build()
        assert papers.augment.crop_size - 2 * model.context == 224
        assert replace(papers.augment, crop_size=0) == replace(ours.augment, crop_size=0)
        assert papers.shares == ours.shares and papers.train_split == ours.train_split
