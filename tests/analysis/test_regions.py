"""Regions of every kind of file, and the nuclei that are counted in them."""

import csv
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import roifile
import tifffile
from PIL import Image
from skimage.measure import points_in_poly, regionprops

from nuclei_models.analysis.measurements import measure
from nuclei_models.analysis.regions import count_in_regions, region_column
from nuclei_models.batch import job as jobs
from nuclei_models.images import outlines
from nuclei_models.images import regions as region_module
from nuclei_models.images.reader import ImageError
from nuclei_models.images.regions import Regions, open_regions, read_regions, region_files, regions_of
from nuclei_models.large import planning
from tests.support.page import as_type, blobs

SHAPE = (60, 80)
# x, y; no edge goes through a pixel's centre
LEFT = np.array([[5.21, 4.33], [35.17, 8.94], [30.78, 50.63], [8.46, 45.57]])
RIGHT = np.array([[20.37, 20.22], [70.84, 15.41], [60.13, 55.79]])  # overlaps it
CUT = np.add(RIGHT, (30, 0))


def inside(ring: np.ndarray, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """The pixels whose centres lie in a polygon."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    return points_in_poly(np.column_stack([x.ravel(), y.ravel()]), ring).reshape(shape)


def roi_zip(path: Path, *named: tuple[str, np.ndarray]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for n, (name, ring) in enumerate(named):
            roi = roifile.ImagejRoi.frompoints(ring.astype(np.float32), name=name)
            roi.roitype = roifile.ROI_TYPE.POLYGON
            archive.writestr(f"{n}.roi", roi.tobytes())
    return path


def feature(ring: np.ndarray, kind: str = "annotation", **properties) -> dict:
    geometry = {"type": "Polygon", "coordinates": [[*ring.tolist(), ring[0].tolist()]]}
    return {"type": "Feature", "geometry": geometry, "properties": {"objectType": kind, **properties}}


def geojson(path: Path, *features: dict) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def test_outlines_become_the_pixels_whose_centres_they_hold(tmp_path):
    """A pixel of two regions is the first one's, which is said."""
    left, right = inside(LEFT), inside(RIGHT)
    assert (left & right).sum() > 20
    expected = np.where(left, 1, np.where(right, 2, 0))
    rois = read_regions(roi_zip(tmp_path / "r.zip", ("tumour", LEFT), ("tumour", RIGHT)), SHAPE)
    detection = feature(LEFT, "detection", name="a nucleus")
    features = detection, feature(LEFT, name="tumour"), feature(RIGHT, classification={"name": "Stroma"})
    found = read_regions(geojson(tmp_path / "r.geojson", *features), SHAPE)
    assert rois.names == ("tumour", "tumour (2)") and found.names == ("tumour", "Stroma")
    assert "1 object(s) that are no regions are left out" in found.notes[0]
    for regions, second in ((rois, "tumour (2)"), (found, "Stroma")):
        assert np.array_equal(regions.labels, expected)
        assert regions.notes[-1].endswith(f"a nucleus there counts in the first one: {second}.")


def test_masks_are_one_region_and_label_images_one_for_each_number(tmp_path):
    mask = inside(LEFT)
    Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "mask.png")
    found = read_regions(tmp_path / "mask.png", SHAPE)
    assert found.names == ("1",) and np.array_equal(found.labels, mask)
    numbers = np.where(mask, 7, np.where(inside(RIGHT), 300, 0)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "labels.tif", numbers)
    found = read_regions(tmp_path / "labels.tif", SHAPE)
    assert found.names == ("7", "300")
    assert np.array_equal(np.array([0, 7, 300])[found.labels], numbers)


def test_what_does_not_fit_is_told(tmp_path):
    far = LEFT + 500
    found = read_regions(roi_zip(tmp_path / "r.zip", ("a", LEFT), ("far", far), ("cut", CUT)), SHAPE)
    assert np.array_equal(found.labels, np.where(inside(LEFT), 1, np.where(inside(CUT), 3, 0)))
    assert [note.split(": ")[1:] for note in found.notes] == [
        ["Regions with no pixel in the image", "far."],
        ["Regions with parts outside the image, which is 60 x 80 pixels (height x width)", "cut."],
    ]
    Image.fromarray(np.zeros(SHAPE, np.uint8)).save(tmp_path / "empty.png")
    Image.fromarray(np.ones((80, 60), np.uint8)).save(tmp_path / "turned.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (*SHAPE, 3), np.uint8)).save(tmp_path / "colours.png")
    tifffile.imwrite(tmp_path / "stack.tif", np.ones((3, *SHAPE), np.uint8), imagej=True, metadata={"axes": "ZYX"})
    roi_zip(tmp_path / "far.zip", ("far", far))
    (tmp_path / "broken.roi").write_bytes(b"Iout" + b"\0" * 9)
    (tmp_path / "broken.geojson").write_text("{")
    for name, words in (
        ("empty.png", "It has no region: all of its pixels are 0"),
        ("turned.png", r"are 80 x 60 pixels .* image is 60 x 80\. It may be turned by 90 degrees"),
        ("colours.png", "expected numbers.*one number a region"),
        ("stack.tif", "It has 3 Z planes, expected one mask"),
        ("far.zip", "None of its 1 regions lies in the image"),
        ("broken.roi", "no ImageJ ROIs that can be read"),
        ("broken.geojson", "It isn't GeoJSON"),
    ):
        with pytest.raises(ImageError, match=rf"^{name}: .*{words}"):
            read_regions(tmp_path / name, SHAPE)


def test_a_nucleus_is_where_its_centroid_is():
    """A nucleus across the edge counts once, whichever side has more of it; of an empty region there is no density."""
    labels = np.zeros((20, 40), np.int32)
    labels[2:6, 17:21], labels[10:14, 19:25], labels[16:19, 2:5] = 1, 2, 3  # centroids at x 19, 22 and 3.5
    areas = np.zeros(labels.shape, np.int32)
    areas[:15, :20], areas[:15, 20:30] = 1, 2
    regions = Regions(areas, ("left", "right", "hidden"))
    table = measure(labels, pixel_size=(0.5, 2))
    table["region"] = region_column(table, regions)
    assert table["region"].tolist() == ["left", "right", ""]
    counts = count_in_regions(table, regions, (0.5, 2), planes=2)
    assert [(c["region"], c["nuclei"], c["area_px"]) for c in counts] == [
        ("left", 1, 600), ("right", 1, 300), ("hidden", 0, 0), ("(outside)", 1, 700),
    ]  # fmt: skip
    assert [c["nuclei_per_mm2"] for c in counts] == pytest.approx([1e6 / 600, 1e6 / 300, None, 1e6 / 700])
    assert counts[0]["nuclei_per_megapixel"] == pytest.approx(1e6 / 600)
    assert count_in_regions(table, regions)[0]["nuclei_per_mm2"] is None


def test_the_file_of_an_images_name(tmp_path):
    images, regions = tmp_path / "images", tmp_path / "regions"
    for name in ("images/day 1/a.tif", "images/day 2/a.tif", "images/b.tif", "images/b.png", "images/b_mask.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ("day 1/a.roi", "a.zip", "b.png", "b.txt"):
        (regions / name).parent.mkdir(parents=True, exist_ok=True)
        (regions / name).touch()
    assert region_files(regions, images / "day 1" / "a.tif") == [regions / "day 1" / "a.roi"]
    assert region_files(regions, images / "day 2" / "a.tif") == [regions / "a.zip"]
    assert region_files(regions, images / "b.tif") == [regions / "b.png"]
    assert region_files(images, images / "b.tif") == [images / "b_mask.png"]  # b.png is another image
    assert region_files(images, images / "day 1" / "a.tif") == []
    assert region_files(regions / "a.zip", images / "b.tif") == [regions / "a.zip"]
    (regions / "b_regions.geojson").touch()
    with pytest.raises(ImageError, match=r"b\.tif: Several files could hold its regions: b\.png, b_regions\.geojson"):
        regions_of(regions, images / "b.tif", SHAPE)


@pytest.fixture
def images(tmp_path) -> Path:
    (tmp_path / "images").mkdir()
    for seed in range(2):
        pixels = as_type(blobs(96, 112, seed=seed), np.uint16)
        options = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
        tifffile.imwrite(tmp_path / "images" / f"x{seed}.ome.tif", pixels, metadata=options)
    return tmp_path / "images"


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_the_command_counts(nuclei, images, sources, tmp_path, monkeypatch):
    rings = {"tumour": LEFT * 1.4, "stroma": RIGHT * 1.4}
    roi_zip(tmp_path / "r.zip", *rings.items())
    command = ("segment", "images", "--out", "out", "--model", sources["unetpp"], "--save", "labels,csv,geojson")
    code, printed = nuclei(*command, "--regions", "r.zip")
    assert code == 0 and "counts in the first one: stroma." in printed
    out, size = tmp_path / "out", (96, 112)
    first = inside(rings["tumour"], size)
    areas = {"tumour": first.sum(), "stroma": (inside(rings["stroma"], size) & ~first).sum()}
    areas["(outside)"] = first.size - sum(areas.values())
    summary = rows_of(out / "summary_regions.csv")
    assert len(summary) == 6 and {row["file"] for row in summary} == {"r.zip"}
    for n in range(2):
        where = []
        for nucleus in regionprops(tifffile.imread(out / f"x{n}.ome_labels.tif")):
            point = [[nucleus.centroid[1] + 0.5, nucleus.centroid[0] + 0.5]]
            where.append(next((name for name, ring in rings.items() if points_in_poly(point, ring)[0]), ""))
        assert [row["region"] for row in rows_of(out / f"x{n}.ome_measurements.csv")] == where
        assert {"", "tumour"} < set(where)
        features = json.loads((out / f"x{n}.ome_qupath.geojson").read_text())["features"]
        assert [f["properties"]["metadata"]["region"] for f in features] == where
        for row in summary[3 * n : 3 * n + 3]:
            count = where.count("" if row["region"] == "(outside)" else row["region"])
            area = areas[row["region"]]
            assert (row["image"], int(row["nuclei"]), int(row["area_px"])) == (f"x{n}.ome", count, area)
            assert float(row["nuclei_per_mm2"]) == pytest.approx(count / (area * 0.25e-6))
    assert "2 done before and skipped" in nuclei(*command, "--regions", "r.zip")[1].replace("\n", " ")
    roi_zip(tmp_path / "r.zip", ("other", rings["tumour"]))
    assert nuclei(*command, "--regions", "r.zip")[0] == 0
    assert {row["region"] for row in rows_of(out / "summary_regions.csv")} == {"other", "(outside)"}
    assert nuclei(*command, "--overwrite")[0] == 0  # without
    assert not (out / "summary_regions.csv").exists()
    assert "region" not in rows_of(out / "x0.ome_measurements.csv")[0]


WHOLE = {"whole": np.array([[-0.3, -0.3], [112.4, -0.3], [112.4, 96.4], [-0.3, 96.4]])}


def test_in_a_large_image_they_are_those_of_a_small_one(nuclei, images, sources, tmp_path, monkeypatch):
    """The same command, once with the image held whole and once block by block."""
    rings = {"tumour": LEFT * 1.4, "stroma": RIGHT * 1.4, "cut": CUT * 1.2}
    roi_zip(tmp_path / "r.zip", *(rings | WHOLE).items())
    monkeypatch.setattr(outlines, "SQUARE", 16)
    monkeypatch.setattr(planning, "block_size", lambda *_: 64)
    line = ("segment", "images/x1.ome.tif", "--model", sources["unetpp"], "--save", "csv,geojson", "--regions", "r.zip")
    summaries, tables = [], []
    for out, held in (("small", 10**9), ("large", 1000)):
        monkeypatch.setattr(jobs, "LARGE_PIXELS", held)
        assert nuclei(*line, "--out", out)[0] == 0
        summaries.append(rows_of(tmp_path / out / "summary_regions.csv"))
        tables.append([row["region"] for row in rows_of(tmp_path / out / "x1.ome_measurements.csv")])
        features = json.loads((tmp_path / out / "x1.ome_qupath.geojson").read_text())["features"]
        assert sorted(f["properties"]["metadata"]["region"] for f in features) == sorted(tables[-1])
    assert summaries[0] == summaries[1] and tables[0] == tables[1] and len(set(tables[0])) > 1


@pytest.mark.parametrize("kind", ["r.zip", "mask.tif"])
def test_regions_by_windows_are_those_of_the_whole(tmp_path, monkeypatch, kind):
    around = np.array([[-1, -1], [81, -1], [81, 61], [-1, 61]])
    roi_zip(tmp_path / "r.zip", ("a", LEFT), ("b", RIGHT), ("all", around))
    numbers = np.where(inside(LEFT), 7, np.where(inside(RIGHT), 300, 0)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "mask.tif", numbers, tile=(16, 16))
    whole = read_regions(tmp_path / kind, SHAPE)
    monkeypatch.setattr(outlines, "SQUARE", 8)
    monkeypatch.setattr(region_module, "WINDOW", 32)
    monkeypatch.setattr(region_module, "MAX_PIXELS", 9)  # so that a mask is read by windows, too
    reader = open_regions(tmp_path / kind, SHAPE)
    for top in range(0, 60, 25):
        for left in range(0, 80, 25):
            window = slice(top, min(top + 25, 60)), slice(left, min(left + 25, 80))
            assert np.array_equal(reader.read(*window), whole.labels[window])
    assert reader.told() == whole.notes and reader.names == whole.names


def test_the_command_takes_a_folder_of_masks(nuclei, images, sources, tmp_path):
    """One lies in the folder of the images, and isn't taken for one; an image without regions is told of; sizes that
    differ fail that image alone."""
    mask = inside(LEFT, (96, 112)).astype(np.uint8)
    Image.fromarray(mask * 255).save(images / "x0.ome_mask.png")
    command = ("segment", "images", "--out", "out", "--model", sources["unetpp"], "--regions", "images")
    code, printed = nuclei(*command)
    assert code == 0 and "1 file(s) of regions" in printed.replace("\n", " ")
    assert "No regions: the folder images has no file called x1.ome." in printed.replace("\n", " ")
    out = tmp_path / "out"
    [inner, outer] = rows_of(out / "summary_regions.csv")
    assert (inner["image"], inner["region"], int(inner["area_px"])) == ("x0.ome", "1", mask.sum())
    assert int(inner["nuclei"]) + int(outer["nuclei"]) == len(rows_of(out / "x0.ome_measurements.csv"))
    assert {row["region"] for row in rows_of(out / "x1.ome_measurements.csv")} == {""}
    Image.fromarray(mask.T).save(images / "x1.ome_mask.png")
    code, printed = nuclei(*command)
    assert code == 1 and "These regions are 112 x 96 pixels" in printed.replace("\n", " ")
    code, printed = nuclei(*command[:-1], "nowhere")
    assert code == 2 and "there is no such file or folder" in printed.replace("\n", " ")


def test_every_plane_of_a_stack_has_the_regions(nuclei, sources, tmp_path):
    planes = np.stack([as_type(blobs(96, 112, seed=seed), np.uint16) for seed in range(2)])
    tifffile.imwrite(tmp_path / "s.tif", planes, imagej=True, metadata={"axes": "ZYX"})
    mask = inside(LEFT, (96, 112))
    tifffile.imwrite(tmp_path / "mask.tif", mask.astype(np.uint8))
    command = ("segment", "s.tif", "--out", "out", "--model", sources["unetpp"], "--z", "all")
    assert nuclei(*command, "--regions", "mask.tif")[0] == 0
    count = 0
    for labels in tifffile.imread(tmp_path / "out" / "s_zall_labels.tif"):
        count += sum(mask[tuple(np.floor(np.add(p.centroid, 0.5)).astype(int))] for p in regionprops(labels))
    [inner, _] = rows_of(tmp_path / "out" / "summary_regions.csv")
    assert (int(inner["nuclei"]), int(inner["area_px"])) == (count, 2 * mask.sum()) and count > 0
