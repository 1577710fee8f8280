"""Publishing: what goes to the Hub, what the card says, and what is refused."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from PIL import Image, PngImagePlugin
from transformers.dynamic_module_utils import get_relative_imports

from nuclei_models.model.repository import sha256
from tests.support.blobs import write_evaluation
from tests.support.folders import cut_in_half, flip_a_byte
from train.release.card import ROOT, build_card, find_picture
from train.release.card_text import describe_teacher
from train.release.origin import SETS, describe_data, describe_start, origin
from train.release.publish import PublishError, assemble, publish
from train.release.space import assemble_space, models_of

CODE = {"configuration_unet.py", "modeling_unet.py", "modeling_nuclei.py", "image_processing_nuclei.py"}
FILES = {"README.md", "LICENSE", "config.json", "preprocessor_config.json", "model.safetensors"}
RECORD = {"evaluation.json", "training.yaml", "log.json"}


@pytest.fixture(scope="module")
def assembled(evaluated, tmp_path_factory) -> Path:
    """The U-Net's repository, as it would be pushed."""
    folder = tmp_path_factory.mktemp("assembled")
    assemble(evaluated["unet"], folder, "writer/unet-nuclei", "v1.0.0", onnx=False)
    return folder


# What goes


def test_the_repository_is_complete_and_flat(assembled):
    names = {path.name for path in assembled.iterdir() if path.is_file()}
    code = {path.name for path in assembled.glob("*.py")}
    assert names - code == FILES | RECORD and code >= CODE
    for path in assembled.glob("*.py"):
        assert path.read_text() == (ROOT / "nuclei_models" / "model" / path.name).read_text()
        assert {f"{module}.py" for module in get_relative_imports(path)} <= names, path
    config = json.loads((assembled / "config.json").read_text())
    assert config["auto_map"] == {
        "AutoConfig": "configuration_unet.UNetConfig",
        "AutoModelForSemanticSegmentation": "modeling_unet.UNet",
    }
    assert config["weights_sha256"] == sha256(assembled / "model.safetensors")
    processor = json.loads((assembled / "preprocessor_config.json").read_text())
    assert processor["auto_map"] == {"AutoImageProcessor": "image_processing_nuclei.NucleiImageProcessor"}
    assert processor["threshold"] == 0.4


def test_nothing_else_goes(assembled, weights, tmp_path):
    for stray in ("pytorch_model.bin", "optimizer.pt", "model.bin.py", ".env"):
        (weights / stray).write_text("stray")
    assemble(weights, tmp_path / "out", "writer/unet-nuclei", "v1.0.0", onnx=False)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {path.name for path in assembled.iterdir()}


# The card


def test_the_card_has_metadata_that_the_hub_reads(assembled, evaluated):
    data = ModelCard.load(assembled / "README.md").data
    assert (data.library_name, data.pipeline_tag, data.license) == ("transformers", "image-segmentation", "mit")
    assert data.datasets is None  # no record says what it was trained on
    assert {"nuclei", "microscopy", "custom_code"} <= set(data.tags)
    results = {(r.dataset_split, r.metric_type): r.metric_value for r in data.eval_results}
    measured = json.loads((evaluated["unet"] / "evaluation.json").read_text())["lists"]
    for split, figures in measured.items():
        assert results[split, "nucleus_iou"] == figures["nucleus_iou"]
        assert results[split, "mean_iou"] == figures["mean_iou"]
        assert results[split, "dice"] == figures["dice"]
        assert results[split, "average_precision"] == figures["ap"]["0.5"]
        assert results[split, "mean_average_precision"] == figures["bowl_map"]
    assert set(data.metrics) == {kind for _, kind in results}


def test_the_cards_figures_are_the_evaluations(weights):
    card = build_card(weights, "someone/their-nuclei", "v2.0.0")
    assert "| the Bowl's stage1_test | 2 | 10 | .812 | .875 | .897 |" in card or ".813 | .875" in card
    assert "Bowl mAP .312" in card and "minutes" not in card  # the log of a resumed run knows only its last part
    for kept in ("someone/their-nuclei", "v2.0.0", "## Limits", "## Citation", "trust_remote_code=True", "PatchPerPix"):
        assert kept in card
    assert "org/" not in card
    write_evaluation(weights, bowl_map=0.1234)
    assert ".123" not in card and ".123" in build_card(weights, "someone/their-nuclei", "v2.0.0")


def test_a_picture_of_other_weights_is_left_out(weights):
    evaluation = json.loads((weights / "evaluation.json").read_text())
    (weights / "examples").mkdir()
    for owner, found in ((evaluation["weights_sha256"], True), ("0" * 64, False)):
        mark = PngImagePlugin.PngInfo()
        mark.add_text("weights_sha256", owner)
        Image.new("RGB", (8, 8)).save(weights / "examples" / "limits.png", pnginfo=mark)
        path, caption = find_picture(weights, "limits", evaluation)
        assert (path is not None) is found
        assert ("limits.png" in build_card(weights, "writer/unet-nuclei", "v1.0.0")) is found
        assert not found or "Bowl mAP .375 (b)" in caption


# What is refused


def remove_evaluation(folder: Path) -> None:
    (folder / "evaluation.json").unlink()


def spoil_evaluation(folder: Path) -> None:
    (folder / "evaluation.json").write_text('{"lists": {}}')


def measure_others(folder: Path) -> None:
    text = (folder / "evaluation.json").read_text()
    (folder / "evaluation.json").write_text(text.replace(sha256(folder / "model.safetensors"), "0" * 64))


REFUSED = {
    "no evaluation": (remove_evaluation, "has no evaluation.json.*python -m train.evaluation.evaluate"),
    "malformed evaluation": (spoil_evaluation, "evaluation.json is malformed.*train.evaluation.evaluate"),
    "an evaluation of other weights": (measure_others, "belongs to other weights.*train.evaluation.evaluate"),
    "no recipe": (lambda folder: (folder / "training.yaml").unlink(), "has no training.yaml.*train.fit.bundle"),
    "cut weights": (lambda folder: cut_in_half(folder / "model.safetensors"), "model.safetensors"),
    "changed weights": (lambda folder: flip_a_byte(folder / "model.safetensors"), "SHA-256"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "no model.safetensors"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "no config.json"),
    "no processor": (lambda folder: (folder / "preprocessor_config.json").unlink(), "no preprocessor_config.json"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_weights_are_refused(weights, case):
    spoil, message = REFUSED[case]
    spoil(weights)
    with pytest.raises(PublishError, match=message):
        publish("writer/unet-nuclei", weights, "v1.0.0", onnx=False, dry_run=True)


@pytest.mark.parametrize("tag", ["1.0.0", "v1", "latest", "v1.0.0-beta"])
def test_a_tag_that_is_no_version_is_refused(weights, tag):
    with pytest.raises(PublishError, match=r"v1\.0\.0"):
        publish("writer/unet-nuclei", weights, tag, dry_run=True)


def test_a_dry_run_shows_what_would_go(weights, capsys):
    assert publish("writer/unet-nuclei", weights, "v1.0.0", onnx=False, dry_run=True) is None
    shown = capsys.readouterr().out
    size = (weights / "model.safetensors").stat().st_size
    assert re.search(rf"{size:,}  model.safetensors", shown)
    assert "library_name: transformers" in shown and "evaluation.json" in shown


# The Space


def test_the_spaces_front_matter(tmp_path):
    commits = {"writer/unet-nuclei": "a" * 40, "writer/unetpp-nuclei": "b" * 40}
    variables = {"UNET_MODEL": "writer/unet-nuclei@v1.0.0", "UNETPP_MODEL": "writer/unetpp-nuclei@v1.0.0"}
    assemble_space(tmp_path, commits, variables)
    _, front, _ = (tmp_path / "README.md").read_text().split("---\n", 2)
    fields = yaml.safe_load(front)
    assert fields["sdk"] == "gradio" and fields["python_version"] == "3.12" and fields["license"] == "mit"
    assert f"gradio=={fields['sdk_version']}" in (ROOT / "requirements.txt").read_text()
    assert fields["models"] == list(commits)
    assert len(fields["short_description"]) <= 60
    files = "config.json,preprocessor_config.json,model.safetensors"
    assert fields["preload_from_hub"] == [f"{name} {files} {commit}" for name, commit in commits.items()]
    assert (tmp_path / fields["app_file"]).is_file() and (tmp_path / "app.py").is_file()
    assert (tmp_path / "nuclei_models" / "page" / "layout.py").is_file()
    assert not list(tmp_path.rglob("__pycache__"))


def test_the_space_starts_the_app_with_its_networks(tmp_path, run_python):
    assemble_space(tmp_path / "space", {}, {"UNET_MODEL": "writer/unet-nuclei@v1.0.0"})
    (tmp_path / "space" / "app.py").write_text('import os\nprint(__name__, os.environ["UNET_MODEL"])')
    code = f"import runpy; runpy.run_path({str(tmp_path / 'space' / 'space.py')!r}, run_name='__main__')"
    assert run_python(code, hub=False).stdout == "__main__ writer/unet-nuclei@v1.0.0\n"


def test_models_of():
    assert models_of("me", "v1.2.0") == {"unet": "me/unet-nuclei@v1.2.0", "unetpp": "me/unetpp-nuclei@v1.2.0"}


def test_offline_nothing_is_published(weights):
    with pytest.raises(PublishError, match="HF_HUB_OFFLINE is set"):  # as it is in the tests' own process
        publish("writer/unet-nuclei", weights, "v1.0.0", onnx=False)


# What nuclei train made, from any initial weights


def test_an_own_network_is_published_with_its_own_card(own, evaluated, tmp_path):
    assemble(own, tmp_path / "out", "someone/mine", "v1.2.3", onnx=False)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"README.md", "config.json", "model.safetensors", "training.json", "report.html", "LICENSE-code"}
    assert not names & {"evaluation.json", "training.yaml", "examples"}
    card = (tmp_path / "out/README.md").read_text()
    assert 'load("someone/mine@v1.2.3")' in card and "trust_remote_code=True" in card
    assert sha256(evaluated["unetpp"] / "model.safetensors") in card and "`mine`: 2 images" in card
    for untrue in ("BBBC038", "Data Science Bowl", "CC0", "StarDist", "license:"):
        assert untrue not in card


def test_a_report_that_was_deleted_is_not_published_nor_named(own, tmp_path):
    folder = shutil.copytree(own, tmp_path / "model")
    (folder / "report.html").unlink()
    assemble(folder, tmp_path / "out", "someone/mine", "v1.2.3", onnx=False)
    assert not (tmp_path / "out/report.html").exists()
    assert "report.html" not in (tmp_path / "out/README.md").read_text()


def test_an_own_networks_record_must_be_its_own(own, tmp_path):
    folder = shutil.copytree(own, tmp_path / "model")
    record = json.loads((folder / "training.json").read_text())
    (folder / "training.json").write_text(json.dumps(record | {"weights_sha256": "0" * 64}))
    with pytest.raises(PublishError, match=r"training\.json belongs to other weights"):
        publish("someone/mine", folder, "v1.0.0", dry_run=True)


# What a card says of where weights come from


def test_a_card_says_only_what_was_recorded(weights):
    card = build_card(weights, "someone/their-nuclei", "v2.0.0")
    assert "What it was trained on was not recorded" in card and "From weights that were not recorded" in card
    assert "datasets:" not in card and "caicedo" not in card
    recipe = yaml.safe_load((weights / "training.yaml").read_text())
    (weights / "training.json").write_text(json.dumps({"steps": 77} | origin(recipe)))
    card = build_card(weights, "someone/their-nuclei", "v2.0.0")
    assert "571 images train" in card or re.search(r"BBBC038v1.*CC0: \d+ images train, \d+ validate", card)
    assert "From random weights, 77 steps" in card and "- bbbc038" in card and "caicedo" in card


@pytest.mark.parametrize("from_own", [False, True])
def test_a_card_names_any_initial_weights(weights, evaluated, own, from_own):
    recipe = yaml.safe_load((weights / "training.yaml").read_text())
    initial = own if from_own else evaluated["unet"]
    (weights / "training.json").write_text(json.dumps(origin(recipe | {"initial": str(initial)})))
    card = build_card(weights, "someone/their-nuclei", "v2.0.0")
    assert f"/{initial.name}`" in card and sha256(initial / "model.safetensors")[:16] in card


def test_a_run_of_this_project_is_told_from_its_beginning(weights):
    recipe = yaml.safe_load((ROOT / "train/configs/unet-settle.yaml").read_text())
    told = describe_start(origin(recipe))
    assert told.startswith("From random weights, ") and told.count(" steps of `train/configs/unet") == 2


def test_five_sets_are_named_with_their_licences():
    recipe = yaml.safe_load((ROOT / "train/configs/unet-five.yaml").read_text()) | {"initial": None}
    record = origin(recipe)
    told = describe_data(record, "")
    assert [about["set"] for about in record["data"]] and set(SETS) == {about["set"] for about in record["data"]}
    assert all(about["licence"] in told and about["title"][1:] in told for about in SETS.values())


@pytest.mark.parametrize("folder", ["runs/unetpp-five/best", "weights/unetpp-five"])
def test_a_card_names_the_teacher_by_its_run(folder):
    assert "33% is what unetpp-five says" in describe_teacher({"teacher": folder, "teacher_part": 0.33})
    assert describe_teacher({}) == ""
