"""The promises of SECURITY.md, each by the test of its name. Those of the open page are in test_security_page.py, some
others in test_campaign.py, test_crash.py and test_repeatable.py."""

import re
import shutil
from pathlib import Path

import pytest
import torch

from nuclei_models.images.reader import read
from nuclei_models.inference.loading import load
from nuclei_models.model.repository import HubError
from tests.support.folders import edit_weights, flip_a_byte, keep_only_a_pickle, make_unet
from tests.support.folders import save as save_model
from tests.support.image_files import png_bytes, tags, tiff_bytes
from tests.support.images import DEEP, Save, fails

ROOT = Path(__file__).parents[2]


def promises() -> list[str]:
    section = (ROOT / "SECURITY.md").read_text().split("## Promises")[1].split("\n## ")[0]
    return [line[2:] for line in section.splitlines() if line.startswith("- ")]


def test_every_promise_has_a_test_of_its_name():
    tests = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
    }
    wanted = {promise: "test_" + re.sub(r"\W+", "_", promise.lower().rstrip(".")) for promise in promises()}
    assert len(wanted) >= 20
    assert [promise for promise, name in wanted.items() if name not in tests] == []


# files from strangers; "a broken file ends .." and "arrays of any kind .." are in test_campaign.py


def test_an_image_too_large_is_refused_before_it_is_decoded(save: Save):
    fails(save(png_bytes(DEEP[..., :3], (60_000, 60_000)), "bomb.png"), "3,600 megapixels")
    fails(save(tiff_bytes((tags(2**31 - 1, 2**31 - 1), [b"x"]))), "megapixels")


def test_a_file_that_unpacks_to_more_than_it_says_does_no_harm(save: Save):
    import tracemalloc
    import zlib

    path = save(tiff_bytes((tags(10, 10, t259=(3, [8])), [zlib.compress(bytes(50_000_000), 1)])))
    tracemalloc.start()
    assert read(path).pixels.shape == (10, 10)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_xml_that_grows_when_it_is_read_is_not_read(save: Save):
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    pixels = '<Pixels DimensionOrder="XYZCT" SizeX="10" SizeY="10" SizeZ="1" SizeC="1" SizeT="1"/>'
    xml = f'<!DOCTYPE OME [<!ENTITY l0 "lol">{laughs}]><OME><Image Name="&l9;">{pixels}</Image></OME>'
    image = read(save(tiff_bytes((tags(10, 10, t270=(2, list(xml.encode()))), [bytes(100)]))))
    assert image.format == "TIFF" and "don't" in image.notes[0].replace("doesn't", "don't")


# models from strangers


def test_a_pickle_is_never_read(tmp_path, monkeypatch):
    folder = save_model(make_unet(), tmp_path / "model")
    keep_only_a_pickle(folder)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("a pickle was read"))
    with pytest.raises(HubError, match="are not loaded"):
        load(folder)


def test_code_of_a_repository_is_never_run(tmp_path, monkeypatch):
    folder = save_model(make_unet(), tmp_path / "model")
    mark = tmp_path / "was run"
    for name in ("modeling_unet.py", "configuration_unet.py", "image_processing_nuclei.py", "__init__.py"):
        (folder / name).write_text(f"open({str(mark)!r}, 'w')")
    monkeypatch.chdir(folder)
    model, processor = load(folder)
    assert type(model).__module__ == "nuclei_models.model.modeling_unet"
    assert type(processor).__module__ == "nuclei_models.model.image_processing_nuclei"
    assert not mark.exists()
    package = [*(ROOT / "nuclei_models").rglob("*.py"), ROOT / "app.py"]
    assert not [path for path in package if "trust_remote_code=True" in path.read_text()]


def test_weights_that_were_changed_are_refused(tmp_path):
    folder = save_model(make_unet(), tmp_path / "model")
    shutil.copytree(folder, tmp_path / "other")
    flip_a_byte(folder / "model.safetensors")
    with pytest.raises(HubError, match="damaged"):
        load(folder)
    edit_weights(tmp_path / "other", extra=torch.zeros(3))
    with pytest.raises(HubError, match="don't fit"):
        load(tmp_path / "other")


# what is installed


def locked() -> dict[str, list[str]]:
    """Packages of requirements.lock as "name==version", and what stands below each."""
    text = (ROOT / "requirements.lock").read_text()
    entries = re.findall(r"^(\S+==\S+)(.*(?:\n    .*)*)", text, re.MULTILINE)
    return {name: rest.split() for name, rest in entries}


def test_the_packages_of_the_app_are_pinned_with_their_hashes():
    entries = locked()
    assert len(entries) > 50
    assert [name for name, rest in entries.items() if not any(w.startswith("--hash=sha256:") for w in rest)] == []
    names = {name.lower().replace("_", "-") for name in entries}
    wanted = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if re.match(r"\w", line)]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in wanted)
    missing = [line for line in wanted if line.lower().replace("_", "-") not in names]
    assert missing == [line for line in wanted if line.startswith("torch==")]
    assert "://" not in (ROOT / "requirements.lock").read_text()


def test_the_licence_of_every_package_is_listed():
    rows = [[cell.strip() for cell in line.split("|")] for line in (ROOT / "docs/licences.md").read_text().splitlines()]
    listed = {row[1].lower().replace("_", "-"): row[3] for row in rows if len(row) > 4}
    everywhere = [name for name, rest in locked().items() if ";" not in rest[:2]]
    missing = [name for name in everywhere if name.split("==")[0] not in listed]
    assert missing == [] and "torch" in listed
    assert not [name for name, licence in listed.items() if licence in ("", "UNKNOWN") or "AGPL" in licence]


def test_a_space_gets_no_secret_and_no_right_to_write(tmp_path):
    from train.release.space import assemble_space, front_matter

    assemble_space(tmp_path / "space", {"org/unet-nuclei": "c" * 40}, {"UNET_MODEL": "org/unet-nuclei@v1.0.0"})
    text = front_matter({"org/unet-nuclei": "c" * 40})
    assert not [word for word in ("hf_oauth", "secret", "token", "datasets", "write") if word in text]
    code = {path.name: path.read_text() for path in (tmp_path / "space").rglob("*.py")}
    assert [name for name, text in code.items() if re.search(r"HF_TOKEN|create_repo|\bupload_folder", text)] == [
        "integrity.py"
    ]
