"""Stacks and films: every plane as by itself, one table, positions; planes linked; names carry the plane."""

import csv
import io
import json
import zipfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import roifile
import tifffile
from skimage.draw import disk

from nuclei_models.analysis import tracking
from nuclei_models.analysis.linking import link
from nuclei_models.batch import stacks
from tests.support.page import as_type, blobs


@pytest.fixture(scope="module")
def model(sources) -> str:
    return sources["unetpp"]


@pytest.fixture
def film(tmp_path) -> Path:
    """T 2, Z 3, two channels, of which the second is named for nuclei: an OME-TIFF."""
    cells = np.stack([as_type(blobs(96, 112, seed=seed), np.uint16) for seed in range(6)]).reshape(2, 3, 96, 112)
    stack = np.stack([cells // 3, cells], axis=2)
    path = tmp_path / "film.ome.tif"
    options = {"axes": "TZCYX", "Channel": {"Name": ["GFP", "DAPI"]}, "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(path, stack, metadata=options)
    return path


def table_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


def test_every_plane_is_what_it_is_by_itself(nuclei, film, model, tmp_path):
    kinds = ("--save", "labels,csv,roi,geojson,overlay,coloured")
    code, _ = nuclei("segment", film, "--out", "out", "--model", model, "--z", "all", "--t", "all", *kinds)
    assert code == 0
    out = tmp_path / "out"
    path = out / "film.ome_tall_zall_labels.tif"
    with tifffile.TiffFile(path) as file:
        assert file.is_imagej and file.series[0].axes == "TZYX"
        assert file.imagej_metadata["slices"] == 3 and file.imagej_metadata["frames"] == 2
        labels = file.asarray()
    rows = table_of(out / "film.ome_tall_zall_measurements.csv")
    assert labels.shape == (2, 3, 96, 112) and len(rows) == labels.max() > 12
    for t in range(2):
        for z in range(3):
            nuclei("segment", film, "--out", "one", "--model", model, "--z", z, "--t", t)
            alone = tifffile.imread(tmp_path / "one" / f"film.ome_t{t}_z{z}_labels.tif")
            numbers = np.unique(labels[t, z])
            assert np.array_equal(np.searchsorted(numbers, labels[t, z]), alone)
            mine = [r for r in rows if (int(r["frame"]), int(r["plane"])) == (t, z)]
            theirs = table_of(tmp_path / "one" / f"film.ome_t{t}_z{z}_measurements.csv")
            assert [int(r["label"]) for r in mine] == numbers[1:].tolist()
            keys = [key for key in theirs[0] if key != "label"]
            assert [[r[k] for k in keys] for r in mine] == [[r[k] for k in keys] for r in theirs]
    assert len(list((tmp_path / "one").glob("*_labels.tif"))) == 6  # no plane's results replaced another's
    with zipfile.ZipFile(out / "film.ome_tall_zall_rois.zip") as archive:
        rois = [roifile.ImagejRoi.frombytes(archive.read(name)) for name in archive.namelist()]
    assert len(rois) == len(rows)
    for roi in rois:
        x, y = np.round(roi.coordinates().mean(0)).astype(int)
        number = int(roi.name.rsplit("-", 1)[1])
        there = labels[roi.t_position - 1, roi.z_position - 1]
        assert number in there[max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4]
    features = json.loads((out / "film.ome_tall_zall_qupath.geojson").read_text())["features"]
    assert len({f["id"] for f in features}) == len(features) == len(rows)
    assert {(f["geometry"]["plane"]["t"], f["geometry"]["plane"]["z"]) for f in features} == {
        (t, z) for t in range(2) for z in range(3)
    }
    for name in ("overlay", "coloured"):
        assert tifffile.imread(out / f"film.ome_tall_zall_{name}.tif").shape == (2, 3, 96, 112, 3)
    [summary] = table_of(out / "summary.csv")
    assert int(summary["nuclei"]) == len(rows) and "6 planes." in summary["notes"]


def test_the_maximum_over_the_planes(nuclei, film, model, tmp_path):
    assert nuclei("segment", film, "--out", "out", "--model", model, "--z", "max", "--t", 1)[0] == 0
    rows = table_of(tmp_path / "out" / "film.ome_t1_zmax_measurements.csv")
    labels = tifffile.imread(tmp_path / "out" / "film.ome_t1_zmax_labels.tif")
    highest = tifffile.imread(film)[1].max(0)
    assert [float(r["mean_intensity"]) for r in rows] == pytest.approx(
        [highest[1][labels == n + 1].mean() for n in range(len(rows))], rel=1e-5
    )
    assert [float(r["max_intensity_GFP"]) for r in rows] == [
        highest[0][labels == n + 1].max() for n in range(len(rows))
    ]
    [summary] = table_of(tmp_path / "out" / "summary.csv")
    assert "The maximum over 3 Z planes is used." in summary["notes"]
    assert nuclei("segment", film, "--out", "all", "--model", model, "--z", "max", "--t", "all")[0] == 0
    film_labels = tifffile.imread(tmp_path / "all" / "film.ome_tall_zmax_labels.tif")
    assert film_labels.shape == (2, 96, 112)
    assert np.array_equal(film_labels[1] > 0, labels > 0)


def test_linked_planes_share_their_numbers(nuclei, model, tmp_path):
    plane = as_type(blobs(96, 96), np.uint16)
    tifffile.imwrite(tmp_path / "z.tif", np.stack([plane] * 3), imagej=True, metadata={"axes": "ZYX"})
    nuclei("segment", "z.tif", "--out", "out", "--model", model, "--z", "all", "--link-planes")
    labels = tifffile.imread(tmp_path / "out" / "z_zall_labels.tif")
    assert np.array_equal(labels[0], labels[1]) and np.array_equal(labels[0], labels[2])
    rows = table_of(tmp_path / "out" / "z_zall_measurements.csv")
    [summary] = table_of(tmp_path / "out" / "summary.csv")
    assert len(rows) == 3 * int(summary["nuclei"]) == 3 * labels.max()
    assert "planes linked by overlap: yes" in (tmp_path / "out" / "README.txt").read_text()


def film_of_discs(path: Path) -> None:
    """Six frames as ImageJ saves them: one disc moves, one leaves, one divides in the fourth."""
    film = np.zeros((6, 96, 112), np.uint8)
    for t, frame in enumerate(film):
        discs = [(20, 16 + 8 * t, 9), (20, 100 + 5 * t, 9)] + ([(65, 50, 11)] if t < 3 else [])
        discs += [] if t < 3 else [(65 - 4 * (t - 1), 50, 7), (65 + 4 * (t - 1), 50, 7)]
        for y, x, radius in discs:
            frame[disk((y, x), radius, shape=frame.shape)] = 200
    tifffile.imwrite(path, film, imagej=True, metadata={"axes": "TYX"})


def test_nuclei_tracked_through_a_film(nuclei, model, tmp_path):
    film_of_discs(tmp_path / "discs.tif")
    kinds = ("--save", "labels,csv,roi,geojson")
    assert nuclei("segment", "discs.tif", "--out", "out", "--model", model, "--t", "all", "--track", *kinds)[0] == 0
    with tifffile.TiffFile(tmp_path / "out" / "discs_tall_labels.tif") as file:
        assert file.series[0].axes == "TYX"
        labels = file.asarray()
    moving, mother = labels[0, 20, 16], labels[0, 65, 50]
    assert all(labels[t, 20, 16 + 8 * t] == moving > 0 for t in range(6)) and labels[2, 65, 50] == mother > 0
    daughters = {int(labels[5, 65 + side, 50]) for side in (-16, 16)}
    rows = table_of(tmp_path / "out" / "discs_tall_measurements.csv")
    assert list(rows[0])[:5] == ["label", "track", "parent", "frame", "plane"]
    assert all(row["label"] == row["track"] for row in rows)
    parents = {int(row["track"]): int(row["parent"]) for row in rows}
    assert parents == {n: int(mother) if n in daughters else 0 for n in range(1, 6)}
    for row in rows:
        assert labels[int(row["frame"]), int(float(row["y_px"])), int(float(row["x_px"]))] == int(row["track"])
    features = json.loads((tmp_path / "out" / "discs_tall_qupath.geojson").read_text())["features"]
    assert len({feature["id"] for feature in features}) == len(features) == len(rows)
    [summary] = table_of(tmp_path / "out" / "summary.csv")
    assert summary["nuclei"] == "5" and "5 tracks, 1 division." in summary["notes"]
    told = (tmp_path / "out" / "README.txt").read_text()
    assert "tracks, farthest step in pixels: the median diameter" in told and f"laptrack: {version('laptrack')}" in told


def test_tracking_without_its_package(nuclei, film, model, monkeypatch):
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    code, printed = nuclei("segment", film, "--out", "out", "--model", model, "--t", "all", "--track")
    assert code == 2 and "pip install" in printed and "nuclei-models[track]" in printed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--z", "middle"), "expected a number from 0, or all or max"),
        (("--t", "max"), "expected a number from 0, or all"),
        (("--z", 1, "--link-planes"), "only the planes of z='all'"),
        (("--t", 1, "--track"), "nuclei are followed through t='all'"),
        (("--t", "all", "--z", "all", "--track"), "in one Z plane or z='max'"),
        (("--t", "all", "--track", "--max-step", 0), "expected pixels above 0"),
        (("--t", "all", "--max-step", 9), "and tracked=True"),
    ],
)
def test_senseless_planes(nuclei, film, model, options, words):
    code, printed = nuclei("segment", film, "--out", "out", "--model", model, *options)
    assert code == 2 and words in " ".join(printed.replace("│", " ").split())


def test_a_stack_that_is_too_large_is_refused(nuclei, film, model, monkeypatch):
    monkeypatch.setattr(stacks, "MOST", 50_000)
    code, printed = nuclei("segment", film, "--out", "out", "--model", model, "--z", "all", "--t", "all")
    assert code == 1 and "Give one --t or --z at a time" in printed


def test_linking_follows_the_best_overlap():
    def plane(*discs: tuple[int, int, int]) -> np.ndarray:
        labels = np.zeros((60, 60), np.int32)
        for number, (y, x, radius) in enumerate(discs, 1):
            labels[disk((y, x), radius, shape=labels.shape)] = number
        return labels

    planes = [
        plane((15, 15, 8), (40, 40, 8)),
        plane((40, 41, 7), (15, 16, 8), (15, 45, 5)),
        plane(),
        plane((15, 15, 8)),
    ]
    linked = link(planes)
    assert linked[1][15, 16] == linked[0][15, 15] == 1
    assert linked[1][40, 41] == linked[0][40, 40] == 2
    assert linked[1][15, 45] == 3
    assert linked[3][15, 15] == 4  # after an empty plane it is another
    assert [int(x.max()) for x in link([plane(), plane()])] == [0, 0]


def test_many_nuclei_are_kept_in_float_for_imagej():
    labels = np.zeros((1, 2, 4, 4), np.int64)
    labels[0, 1, 1, 1] = 70_000
    back = tifffile.imread(io.BytesIO(stacks.label_stack_tiff(labels, (0.5, 0.5))))
    assert back.shape == (2, 4, 4) and back.max() == 70_000
