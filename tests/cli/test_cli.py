"""The command line, in this process: what it prints, writes and ends with; and that page, library and it agree."""

import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage.measure import regionprops

from nuclei_models.analysis.comparison import compare
from nuclei_models.analysis.measurements import measure
from nuclei_models.batch import job as batch
from nuclei_models.images.label_images import read_labels
from nuclei_models.images.reader import read
from nuclei_models.inference import bundled
from nuclei_models.inference.loading import load
from nuclei_models.inference.segmentation import segment
from nuclei_models.inference.settings import Cut, RunSettings
from nuclei_models.page.api import Api
from nuclei_models.page.handlers import Page
from nuclei_models.page.opened import Picture
from tests.conftest import REPO_ROOT
from tests.support.page import as_type, blobs, write_inputs
from tests.support.snippets import commands, read_snippets
from tests.support.tables import rows_of

# segment


def test_a_folder_of_images(nuclei, images, model, tmp_path, segmented):
    code, printed = nuclei("segment", "images", "--out", "out", "--model", model)
    assert code == 0 and "3 images" in printed and "U-Net++" in printed
    out = tmp_path / "out"
    for seed in range(3):
        labels = tifffile.imread(out / f"x{seed}_labels.tif")
        assert len(rows_of(out / f"x{seed}_measurements.csv")) == labels.max() > 3
        assert Image.open(out / f"x{seed}_overlay.png").size == (96, 96)
        assert rows_of(out / "summary.csv")[seed]["nuclei"] == str(labels.max())
    assert (out / "report.html").read_text().count("<article") == 3
    settings = json.loads((out / "settings.json").read_text())
    made = settings["settings"][settings["last"]]
    assert made["images"] == 3 and made["weights_sha256"] in (out / "README.txt").read_text()

    code, printed = nuclei("segment", "images", "--out", "out", "--model", model)
    assert code == 0 and "3 done before and skipped" in printed and len(segmented) == 3
    code, printed = nuclei("segment", "images", "--out", "out", "--model", model, "--overwrite", "--quiet")
    assert (code, printed) == (0, "") and len(segmented) == 6


def test_what_was_taken_is_said_and_another_can_be(nuclei, model, tmp_path):
    pages = np.stack([as_type(blobs(96, 96, seed=seed), np.uint16) for seed in range(3)])
    for name in "ab":
        tifffile.imwrite(tmp_path / f"{name}.tif", pages, photometric="minisblack", metadata=None)
    _, printed = nuclei("segment", "a.tif", "b.tif", "--out", "out", "--model", model)
    printed = " ".join(printed.split())
    assert "2 images: It doesn't say what its 3 pages are: they are taken for channels." in printed
    assert "2 images: 3 channels: channel 1 is used." in printed and "--channel take another one" in printed
    first = tifffile.imread(tmp_path / "out" / "a_labels.tif")
    for option in ("--z", "--channel", "--t"):
        _, printed = nuclei("segment", "a.tif", "--out", option[2:], "--model", model, option, "2")
        assert "is used" not in printed
        third = tifffile.imread(tmp_path / option[2:] / f"a_{option[2]}2_labels.tif")
        assert not np.array_equal(first, third)
    code, printed = nuclei("segment", "a.tif", "--out", "none", "--model", model, "--series", "1")
    assert code == 1 and "Series 1 was asked for" in " ".join(printed.split())


def test_other_settings_and_changed_images_are_done_again(nuclei, images, model, tmp_path, segmented):
    nuclei("segment", "images", "--out", "out", "--model", model)
    tifffile.imwrite(images / "x1.tif", as_type(blobs(96, 96, seed=7), np.uint16))
    _, printed = nuclei("segment", "images", "--out", "out", "--model", model)
    assert "2 done before and skipped" in printed and segmented[3:] == ["x1"]
    line = ("segment", "images/x0.tif", "--out", "out", "--model", model, "--threshold", "0.3", "--save", "labels,roi")
    assert nuclei(*line)[0] == 2 and nuclei(*line, "--overwrite")[0] == 0
    assert segmented[4:] == ["x0"]
    assert sorted(p.name for p in (tmp_path / "out").glob("x0*")) == ["x0_labels.tif", "x0_rois.zip"]
    made = json.loads((tmp_path / "out" / "settings.json").read_text())
    assert sorted(m["images"] for m in made["settings"].values()) == [1, 2]  # both are told of
    assert {row["settings"] for row in rows_of(tmp_path / "out" / "summary.csv")} == set(made["settings"])


def test_images_of_one_name_do_not_overwrite_each_other(nuclei, model, tmp_path):
    for seed, name in enumerate(("a/x.tif", "b/x.tif", "b/x.png")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(as_type(blobs(96, 96, seed=seed), np.uint8)).save(tmp_path / name)
    assert nuclei("segment", "a/x.tif", "b/x.tif", "b/x.png", "--out", "out", "--model", model)[0] == 0
    found = {p.relative_to(tmp_path / "out").as_posix(): tifffile.imread(p) for p in tmp_path.rglob("*_labels.tif")}
    assert sorted(found) == ["a/x_labels.tif", "b/x_png_labels.tif", "b/x_tif_labels.tif"]
    assert len({labels.tobytes() for labels in found.values()}) == 3


def test_filters_rings_and_decimal_commas(nuclei, images, model, tmp_path):
    nuclei("segment", "images", "--out", "all", "--model", model)
    options = ("--exclude-edge", "--smallest", 30, "--ring", 3, "--decimal-comma")
    code, _ = nuclei("segment", "images", "--out", "out", "--model", model, *options)
    assert code == 0
    summary = list(csv.DictReader((tmp_path / "out" / "summary.csv").read_text().splitlines(), delimiter=";"))
    for n, row in enumerate(summary):
        everything = measure(tifffile.imread(tmp_path / "all" / f"x{n}_labels.tif"))
        kept = ~everything["touches_edge"] & (everything["area_px"] >= 30)
        assert (int(row["nuclei"]), int(row["left_out"])) == (kept.sum(), (~kept).sum())
        assert ("are left out: " in row["notes"]) == bool((~kept).any())
        lines = (tmp_path / "out" / f"x{n}_measurements.csv").read_text().splitlines()
        table = list(csv.DictReader(lines, delimiter=";"))
        areas = [float(r["area_px"].replace(",", ".")) for r in table]
        assert areas == everything["area_px"][kept].tolist() and "ring_intensity" in table[0]
    code, printed = nuclei("segment", "images", "--out", "x", "--model", model, "--min-confidence", 0.5)
    assert code == 2 and "none was fitted for the weights" in printed
    code, printed = nuclei("segment", "images", "--out", "x", "--model", model, "--min-roundness", 5)
    assert code == 2 and "min_roundness=5" in printed


def test_every_channel_is_measured(nuclei, model, tmp_path):
    cells = as_type(blobs(96, 96), np.uint16)
    stack = np.stack([cells // 2, cells, cells // 3])
    tifffile.imwrite(
        tmp_path / "c.ome.tif", stack, metadata={"axes": "CYX", "Channel": {"Name": ["GFP", "DAPI", "=RFP"]}}
    )
    assert nuclei("segment", "c.ome.tif", "--out", "out", "--model", model)[0] == 0
    labels = tifffile.imread(tmp_path / "out" / "c.ome_labels.tif")
    table = rows_of(tmp_path / "out" / "c.ome_measurements.csv")
    for column, plane in (("intensity", stack[1]), ("intensity_GFP", stack[0]), ("intensity_=RFP", stack[2])):
        for name, what in (("mean", "intensity_mean"), ("max", "intensity_max"), ("min", "intensity_min")):
            expected = [p[what] for p in regionprops(labels, plane)]
            assert [float(row[f"{name}_{column}"]) for row in table] == pytest.approx(expected, rel=1e-5)


def test_pages_that_are_taken_for_channels_are_all_measured(nuclei, model, tmp_path):
    cells = as_type(blobs(96, 96), np.uint16)
    pages = np.stack([cells // 2, cells, cells // 3])
    tifffile.imwrite(tmp_path / "p.tif", pages, photometric="minisblack", metadata=None)
    assert nuclei("segment", "p.tif", "--out", "out", "--model", model, "--channel", 1)[0] == 0
    labels = tifffile.imread(tmp_path / "out" / "p_c1_labels.tif")
    table = rows_of(tmp_path / "out" / "p_c1_measurements.csv")
    for column, plane in (
        ("intensity", pages[1]),
        ("intensity_channel 0", pages[0]),
        ("intensity_channel 2", pages[2]),
    ):
        expected = [p.intensity_mean for p in regionprops(labels, plane)]
        assert [float(row[f"mean_{column}"]) for row in table] == pytest.approx(expected, rel=1e-5)


def test_large_images_are_segmented_block_by_block(nuclei, images, model, tmp_path, monkeypatch):
    kinds = ("--save", "labels,csv,overlay")
    nuclei("segment", "images", "--out", "small", "--model", model, *kinds)
    monkeypatch.setattr(batch, "LARGE_PIXELS", 96 * 96 - 1)
    code, printed = nuclei("segment", "images", "--out", "out", "--model", model, *kinds)
    assert code == 0 and "3 of 3 images" in printed and "segmented part by part" in printed
    for seed in range(3):
        small, large = (read_labels(tmp_path / out / f"x{seed}_labels.tif") for out in ("small", "out"))
        assert small.max() == large.max() > 3 and compare(small, large)["pq"] > 0.95
    names = ["x0_labels.tif", "x0_measurements.csv", "x0_overlay.png"]
    assert sorted(p.name for p in (tmp_path / "out").glob("x0*")) == names
    code, printed = nuclei("segment", "images", "--out", "out", "--model", model, *kinds)
    assert "3 done before and skipped" in printed
    assert [row["nuclei"] for row in rows_of(tmp_path / "out" / "summary.csv")] == [
        row["nuclei"] for row in rows_of(tmp_path / "small" / "summary.csv")
    ]


def test_every_kind_of_result(nuclei, images, model, tmp_path):
    kinds = "labels,csv,roi,geojson,overlay,coloured"
    assert nuclei("segment", "images/x0.tif", "--out", "out", "--model", model, "--save", kinds)[0] == 0
    assert len(list((tmp_path / "out").glob("x0_*"))) == 6


def test_help_comes_without_torch():
    code = "import sys; import nuclei_cli\ntry: nuclei_cli.app(['segment', '--help'])\nexcept SystemExit: pass\n"
    code += "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    result = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(REPO_ROOT)}, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert "--threshold" in result.stdout


# the same nuclei everywhere


@pytest.mark.parametrize(
    "kind, plane, cut, diameter, tta",
    [
        ("TIFF uint16", {}, {}, None, False),
        ("PNG 8 bit", {}, {"threshold": 0.35, "separation": 0.7, "min_area": 25.0}, 11.0, False),
        ("ImageJ hyperstack", {"z": 0, "channel": 1}, {"threshold": 0.6}, None, True),
    ],
)
@pytest.mark.parametrize("network", ["unet", "unetpp"])
def test_library_command_page_and_endpoint_find_the_same(
    nuclei, nets, sources, tmp_path, kind, plane, cut, diameter, tta, network
):
    path = write_inputs(tmp_path)[kind]
    folder = sources[network]

    library = segment(read(path, **plane).pixels, *load(folder), **cut, diameter=diameter, tta=tta).labels

    options = cut | plane | ({"diameter": diameter} if diameter else {})
    given = [text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    code, _ = nuclei("segment", path, "--out", "out", "--model", folder, *given, *(["--tta"] if tta else []))
    assert code == 0
    name = path.stem + "".join(f"_{axis[0]}{n}" for axis, n in plane.items())
    command = tifffile.imread(tmp_path / "out" / f"{name}_labels.tif")

    page = Page(nets, [])
    answer, facts = Api(nets, lambda request: nullcontext(lambda: None)).segment(
        str(path), network, **cut, diameter=diameter, tta=tta, **plane
    )
    endpoint = tifffile.imread(answer)
    analysis = page.run(Picture("a", read(path, **plane).pixels), RunSettings(diameter, tta), None, None)

    assert library.max() > 10
    for labels in (command, endpoint, analysis.labels(network, Cut(**cut))):
        assert np.array_equal(labels, library)
    record = json.loads((tmp_path / "out" / ".nuclei" / f"{name}.json").read_text())
    assert record["settings"]["weights_sha256"] == facts["weights_sha256"]
    assert record["facts"]["nuclei"] == facts["nuclei"]


# info


def test_info_of_an_image(nuclei, tmp_path, model):
    path = write_inputs(tmp_path)["OME-TIFF"]
    code, printed = nuclei("info", path, "--model", model)
    assert code == 0 and "DAPI" in printed and "uint16" in printed
    code, printed = nuclei("info", path, "--model", model, "--json")
    facts = json.loads(printed)
    assert facts["channels"] == 3 and facts["pixel_size_um"] == [0.5, 0.5]
    assert facts["nuclear_diameter_px"] is None  # this model has no estimator


def test_info_of_a_model(nuclei, model, nets):
    code, printed = nuclei("info", model, "--json")
    facts = json.loads(printed)
    assert code == 0 and facts["architecture"] == "U-Net++" and facts["pruning_levels"] == [1, 2]
    assert facts["parameters"] == sum(p.numel() for p in nets["unetpp"].model.parameters())
    code, printed = nuclei("info", model)
    assert "nucleus, distance" in printed


def test_info_of_neither(nuclei, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    for what, words in (("gone.tif", "no such file"), ("notes.txt", "It is no image"), (".", "It is a folder")):
        code, printed = nuclei("info", what)
        assert code == 2 and words in printed


# the documents


@pytest.fixture
def clone(model, tmp_path, monkeypatch) -> Path:
    """A folder as the documents suppose, with the smaller examples and a small network in place of the bundled ones."""
    monkeypatch.setattr(bundled, "PACKAGE", tmp_path / "nuclei_models")
    for name in ("unet", "unetpp"):
        shutil.copytree(Path(model).parent / name, tmp_path / "weights" / f"{name}-nuclei")
    (tmp_path / "examples").mkdir()
    for name in ("fluorescence-dense", "fluorescence-small", "histology-pink"):
        for path in (REPO_ROOT / "examples").glob(f"{name}*"):
            shutil.copy(path, tmp_path / "examples")
    tifffile.imwrite(tmp_path / "film.tif", np.zeros((2, 32, 32), np.uint8), imagej=True, metadata={"axes": "TYX"})
    return tmp_path


def documented(cluster: bool) -> list[str]:
    """The documents' lines that call the command."""
    lines = [line for name in ("README.md", "docs/cli.md") for line in commands(read_snippets(REPO_ROOT / name))]
    tried_here = ("nuclei segment ", "nuclei info ", "nuclei compare ")  # `page` and `train` have tests of their own
    return [line for line in lines if line.startswith(tried_here) and ("--scheduler" in line) == cluster]


def test_the_documents_commands_run(nuclei, clone):
    lines = documented(cluster=False)
    assert len(lines) >= 6
    for line in lines:
        code, printed = nuclei(*shlex.split(line)[1:])
        assert code == 0, f"{line}\n{printed}"


def test_the_documents_command_for_a_cluster_gives_the_same(nuclei, clone):
    [line] = documented(cluster=True)
    model = ("--model", str(clone / "weights" / "unet-nuclei"))  # workers know of no other bundled networks
    code, printed = nuclei(*shlex.split(line)[1:], *model)
    assert code == 0 and "3 of 3 images" in printed, printed
    assert nuclei("segment", "examples", "--out", "alone", *model)[0] == 0
    for path in (clone / "alone").glob("*_*.*"):
        assert path.read_bytes() == (clone / "results" / path.name).read_bytes()


def test_compare_masks_and_stacks(nuclei, tmp_path):
    labels = np.zeros((3, 40, 50), np.uint16)
    labels[:, 4:12, 5:15], labels[:, 20:30, 20:32] = 1, 2
    labels[2, 20:30, 20:32] = 0
    tifffile.imwrite(tmp_path / "a.tif", labels, imagej=True, metadata={"axes": "ZYX"})
    mask = (labels > 0).astype(np.uint8) * 255
    tifffile.imwrite(tmp_path / "b.tif", mask, imagej=True, metadata={"axes": "ZYX"})
    code, _ = nuclei("compare", "a.tif", "b.tif", "--out", "out")
    rows = rows_of(tmp_path / "out" / "comparison.csv")
    assert code == 0 and [row["image"] for row in rows] == ["b.tif z0", "b.tif z1", "b.tif z2", "all"]
    assert [(row["a"], row["b"], row["both"]) for row in rows] == [("2", "2", "2")] * 2 + [
        ("1", "1", "1"),
        ("5", "5", "5"),
    ]
    tifffile.imwrite(tmp_path / "c.tif", labels[:2], imagej=True, metadata={"axes": "ZYX"})
    code, printed = nuclei("compare", "a.tif", "c.tif")
    assert code == 1 and "A has 3 planes and B 2" in printed
