"""docs/your-own-images.md, run as it stands, from an empty folder: a network becomes better than it was."""

import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from nuclei_cli import app
from nuclei_models import NucleiImageProcessor, UNet, UNetConfig
from nuclei_models.training import example, recipe
from nuclei_models.training.augment import AugmentConfig
from nuclei_models.training.recipe import FINE_TUNING, Recipe
from tests.support import ROOT
from tests.support.snippets import commands, read_snippets

SMALL = replace(FINE_TUNING, crop_size=48)
NAMES = ["background", "nucleus", "border", "distance"]


@dataclass(frozen=True)
class Quick(Recipe):
    """As many steps as it takes to learn something."""

    steps: int | None = 50
    batch: int = 4
    validations: int = 3
    augment: AugmentConfig = SMALL


@dataclass(frozen=True)
class Quickest(Recipe):
    """To see that it runs."""

    steps: int | None = 1
    batch: int = 1
    validations: int = 1
    augment: AugmentConfig = SMALL


@pytest.fixture
def start(tmp_path) -> str:
    """A small network that has learnt nothing, in place of the bundled one."""
    torch.manual_seed(0)
    names = {"id2label": dict(enumerate(NAMES)), "label2id": {name: i for i, name in enumerate(NAMES)}}
    folder = tmp_path / "start"
    UNet(UNetConfig(channels=[8, 16, 32], padding="same", batch_norm=True, **names)).save_pretrained(folder)
    NucleiImageProcessor(channel_names=NAMES).save_pretrained(folder)
    return str(folder)


def test_the_documents_commands_lead_to_a_better_network(start, tmp_path, monkeypatch):
    here = tmp_path / "empty"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(recipe, "Recipe", Quick)
    snippets = read_snippets(ROOT / "docs/your-own-images.md")
    given = [shlex.split(line) for line in commands(snippets) if not line.startswith("pip ")]
    assert [words[:2] for words in given[:3]] == [["python", "-m"], ["nuclei", "train"], ["nuclei", "segment"]]
    for words in given:
        if words[0] == "python":
            example.write_example(words[3], side=96, nuclei=10)
            continue
        if "--group" in words:
            continue  # below
        model = ["--model", start] if words[1] == "train" else []
        result = CliRunner().invoke(app, [*words[1:], *model])
        assert result.exit_code == 0, result.output
    assert "the score rose from" in Path("my-model/README.md").read_text()
    assert len(list(Path("results").rglob("*_labels.tif"))) == 12


def test_the_documents_group_holds_out_whole_groups(start, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = commands(read_snippets(ROOT / "docs/your-own-images.md"))
    (words,) = [shlex.split(line) for line in lines if "--group" in line]
    monkeypatch.setattr(recipe, "Recipe", Quickest)
    example.write_example(words[2], side=64, nuclei=5)
    result = CliRunner().invoke(app, [*words[1:], "--model", start])
    assert result.exit_code == 0 and "drawn by" in result.output, result.output
