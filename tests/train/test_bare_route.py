"""The bundled networks on the Hub, as the three kinds of people load them: in a virtual environment that holds only
transformers and what the documents say beside it; by this package; without network. And all snippets of the documents.

The environment has what the documents' own `pip install` line names and what that depends on, linked from the
environment that runs the tests. Its tests share one process.
"""

import json
import re
import shlex
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.blobs import blob_picture
from tests.support.environments import linked_environment
from tests.support.snippets import Snippet, commands, read_snippets
from train.release import card, publish, space
from train.release.publish import ROOT

KEYS = ("unet", "unetpp")
DOCUMENTS = [path for path in (ROOT / "README.md", ROOT / "docs" / "hub.md") if path.is_file()]

RUN_SNIPPETS = """
import traceback
failed = {}
for where, code in snippets:
    try:
        exec(compile(code, where, "exec"), {"__name__": "__main__"})
    except Exception:
        failed[where] = traceback.format_exc()
done["failed"] = failed
print(json.dumps(done))
"""

BARE = """
import importlib.util, json
import numpy as np, torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation, pipeline

done = {"found": [name for name in ("nuclei_models", "torchvision", "torchinfo") if importlib.util.find_spec(name)]}
picture = Image.open("cells.png")

def to_labels(nuclei):
    labels = np.zeros((picture.height, picture.width), np.int32)
    for number, nucleus in enumerate(nuclei, 1):
        labels[np.asarray(nucleus["mask"]) > 0] = number
    return labels

for key in ("unet", "unetpp"):
    name = {"pretrained_model_name_or_path": f"org/{key}-nuclei", "revision": "v1.0.0", "trust_remote_code": True}
    model = AutoModelForSemanticSegmentation.from_pretrained(**name)
    processor = AutoImageProcessor.from_pretrained(**name)
    inputs = processor(np.asarray(picture), return_tensors="pt")
    with torch.inference_mode():
        outputs = model(**inputs)
    result = processor.post_process_instance_segmentation(outputs, target_sizes=[(picture.height, picture.width)])[0]
    pipe = pipeline("image-segmentation", model=f"org/{key}-nuclei", revision="v1.0.0", trust_remote_code=True)
    nuclei, batch = pipe(picture), pipe([picture, picture], batch_size=2)
    semantic = {part["label"]: np.asarray(part["mask"]) for part in pipe(picture, subtask="semantic")}
    np.savez(f"{key}.npz", logits=outputs.logits, labels=result["segmentation"], nuclei=to_labels(nuclei),
             first=to_labels(batch[0]), second=to_labels(batch[1]), semantic=semantic["nucleus"],
             background=semantic["background"])
    done[key] = {"module": type(model).__module__, "dtype": str(model.dtype), "names": [n["label"] for n in nuclei],
                 "scores": [n["score"] for n in nuclei], "fewer": len(pipe(picture, threshold=0.99))}
"""

PACKAGE = """
import json
import numpy as np, torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation
import nuclei_models
from nuclei_models.inference.loading import load
from nuclei_models.inference.segmentation import segment

done = {}
picture = np.asarray(Image.open("cells.png"))
for key, kind in (("unet", nuclei_models.UNet), ("unetpp", nuclei_models.UNetPlusPlus)):
    name = {"pretrained_model_name_or_path": f"org/{key}-nuclei", "revision": "v1.0.0"}
    model = kind.from_pretrained(**name)
    processor = nuclei_models.NucleiImageProcessor.from_pretrained(**name)
    auto = AutoModelForSemanticSegmentation.from_pretrained(**name, trust_remote_code=False)
    auto_processor = AutoImageProcessor.from_pretrained(**name, trust_remote_code=False)
    assert type(auto) is kind and type(auto_processor) is nuclei_models.NucleiImageProcessor
    with torch.inference_mode():
        logits = model(**processor(picture, return_tensors="pt")).logits
        assert torch.equal(logits, auto(**auto_processor(picture, return_tensors="pt")).logits)
    # the processor alone has the picture's estimate of the diameter, but can't look through the network to check it
    estimate = processor.estimate_diameter(np.asarray(picture))
    network = load(f"org/{key}-nuclei@v1.0.0")
    labels = segment(picture, *network, diameter=estimate, precision="float32").labels
    np.savez(f"{key}.npz", logits=logits, labels=labels)
"""


@pytest.fixture(scope="module")
def snippets(bundled) -> list[Snippet]:
    cards = [folder / "README.md" for folder in bundled.values()]
    return [s for path in (*cards, *DOCUMENTS) for s in read_snippets(path)]


@pytest.fixture(scope="module")
def bare_python(snippets, tmp_path_factory) -> Path:
    """Interpreter of a new virtual environment with what the documents say to install for transformers alone."""
    [line] = {line for line in commands(snippets) if line.startswith("pip install torch ")}
    return linked_environment(tmp_path_factory.mktemp("bare") / "venv", shlex.split(line)[2:])


def run_folder(tmp_path_factory) -> Path:
    """A folder with cells.png, the documents' image, and what a clone has."""
    folder = tmp_path_factory.mktemp("run")
    Image.fromarray(blob_picture(scale=2)).save(folder / "cells.png")
    for name in ("weights", "examples"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def run(run_python, folder: Path, code: str, snippets: list[Snippet], **options) -> dict[str, Any]:
    given = [(s.where, s.code) for s in snippets]
    result = run_python(f"snippets = {given!r}\n{textwrap.dedent(code)}{RUN_SNIPPETS}", folder=folder, **options)
    assert result.returncode == 0, result.stderr
    done = json.loads(result.stdout.splitlines()[-1])
    return done | {key: dict(np.load(folder / f"{key}.npz")) | done.get(key, {}) for key in KEYS}


def needs_only_transformers(snippet: Snippet) -> bool:
    return "trust_remote_code=True" in snippet.code


@pytest.fixture(scope="module")
def bare(run_python, bare_python, snippets, tmp_path_factory) -> dict[str, Any]:
    chosen = [s for s in snippets if s.language == "python" and needs_only_transformers(s)]
    return run(run_python, run_folder(tmp_path_factory), BARE, chosen, python=bare_python)


@pytest.fixture(scope="module")
def package(run_python, snippets, tmp_path_factory) -> dict[str, Any]:
    chosen = [s for s in snippets if s.language == "python" and not needs_only_transformers(s)]
    return run(run_python, run_folder(tmp_path_factory), PACKAGE, chosen)


def test_the_bare_environment_has_neither_this_package_nor_torchvision(bare):
    assert bare["found"] == []


@pytest.mark.parametrize("key", KEYS)
def test_both_routes_give_the_same_to_the_last_bit(bare, package, key):
    assert bare[key]["module"].startswith("transformers_modules.")
    assert bare[key]["dtype"] == "torch.float32"  # though the file is half as large
    assert np.array_equal(bare[key]["logits"], package[key]["logits"])
    assert np.array_equal(bare[key]["labels"], package[key]["labels"])
    assert bare[key]["labels"].max() >= 10


@pytest.mark.parametrize("key", KEYS)
def test_the_pipeline_finds_what_segment_finds(bare, package, key):
    found = bare[key]
    assert set(found["names"]) == {"nucleus"} and np.array_equal(found["nuclei"], package[key]["labels"])
    assert np.array_equal(found["semantic"] > 0, package[key]["labels"] > 0)
    assert np.array_equal(found["background"] > 0, package[key]["labels"] == 0)
    assert np.array_equal(found["first"], found["nuclei"]) and np.array_equal(found["second"], found["nuclei"])
    assert len(found["scores"]) == package[key]["labels"].max() >= found["fewer"]
    assert all(0.9 <= score <= 1 for score in found["scores"])


def test_the_documents_snippets_run_with_transformers_alone(bare):
    assert bare["failed"] == {}


def test_the_documents_other_snippets_run(package):
    assert package["failed"] == {}


def test_the_documents_commands_run(snippets, monkeypatch, capsys):
    modules = {"train.release.publish": publish, "train.release.space": space}
    run = 0
    for line in commands(snippets):
        if match := re.match(r"python -m (train\.release\.(?:publish|space)) (.*)", line):
            more = ["--dry-run"] if "--dry-run" not in line else []
            more += ["--no-onnx"] if match[1] == "train.release.publish" else []
            monkeypatch.setattr(sys, "argv", [match[1], *shlex.split(match[2]), *more])
            monkeypatch.chdir(ROOT)
            modules[match[1]].main()
            assert "would get" in capsys.readouterr().out
            run += 1
    assert run >= 4


@pytest.mark.parametrize("key", KEYS)
def test_the_bundled_cards_are_up_to_date(key):
    folder = ROOT / "weights" / f"{key}-nuclei"
    written = (folder / "README.md").read_text()
    assert written == card.build_card(folder, f"org/{key}-nuclei", "v1.0.0"), (
        f"run: python -m train.release.card {folder}"
    )
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", written):
        assert (folder / picture).is_file(), picture
