"""Result files, opened again by the library that a user would use."""

import csv
import io
import json
import zipfile

import numpy as np
import pytest
import roifile
import tifffile
from PIL import Image
from scipy import ndimage
from skimage.draw import polygon

from nuclei_models.analysis.measurements import measure
from nuclei_models.output import export
from nuclei_models.output.tables import table_csv, to_csv


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    """Round, ragged, ring-shaped and one-pixel nuclei, some at the edge."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(120, 90)), 3)
    mask = noise > 0.05
    mask[60:75, 30:45] = False
    mask[62:73, 32:43] = True
    mask[65:69, 35:39] = False  # a hole
    mask[74, 44] = True
    return ndimage.label(mask)[0].astype(np.int32)


def test_label_tiff_is_16_bit_with_pixel_size(labels):
    with tifffile.TiffFile(io.BytesIO(export.label_tiff(labels, (0.25, 0.5)))) as file:
        assert file.asarray().dtype == np.uint16
        assert np.array_equal(file.asarray(), labels)
        assert file.imagej_metadata["unit"] == "um"
        assert file.imagej_metadata["max"] == labels.max()  # or ImageJ would show it black
        x, y = (file.pages[0].tags[f"{axis}Resolution"].value for axis in "XY")
    assert x[0] / x[1] == pytest.approx(2)
    assert y[0] / y[1] == pytest.approx(4)


def test_label_tiff_is_32_bit_for_more_nuclei_than_16_bits_can_number():
    many = np.arange(300 * 300, dtype=np.int32).reshape(300, 300)
    for size in (None, (0.5, 0.5)):
        back = tifffile.imread(io.BytesIO(export.label_tiff(many, size)))
        assert back.dtype == np.uint32
        assert np.array_equal(back, many)


def test_coloured_png_is_black_only_outside(labels):
    picture = np.asarray(Image.open(io.BytesIO(export.coloured_png(labels))))
    assert picture.dtype == np.uint8
    assert np.array_equal(picture.any(-1), labels > 0)


def test_csv_has_a_row_a_nucleus_and_units_in_its_heading(labels):
    table = measure(labels, labels.astype(np.float32), (0.5, 0.5))
    rows = list(csv.DictReader(io.StringIO(table_csv(table).decode())))
    assert len(rows) == labels.max()
    assert {"label", "area_px", "area_um2", "diameter_um", "mean_intensity", "eccentricity"} <= set(rows[0])
    areas = np.bincount(labels.ravel())[1:]
    assert [float(row["area_um2"]) for row in rows] == pytest.approx(areas / 4)
    assert [float(row["mean_intensity"]) for row in rows] == pytest.approx(np.arange(1, labels.max() + 1))


def test_imagej_rois_cover_their_nuclei(labels, tmp_path):
    path = tmp_path / "rois.zip"
    path.write_bytes(export.roi_zip(labels))
    rois = roifile.roiread(path)
    assert len(rois) == labels.max()
    for number, roi in enumerate(rois, 1):
        assert roi.name == f"nucleus-{number:05d}"
        assert roi.roitype == roifile.ROI_TYPE.POLYGON
        xy = roi.coordinates() - 0.5  # pixel centres at whole numbers, as `polygon` has them
        drawn = np.zeros(labels.shape, bool)
        drawn[polygon(xy[:, 1], xy[:, 0], labels.shape)] = True
        mine = ndimage.binary_fill_holes(labels == number, np.ones((3, 3)))
        assert np.array_equal(drawn, mine), number


def test_geojson_is_what_qupath_reads(labels):
    data = json.loads(export.geojson(labels, measure(labels)))
    assert data["type"] == "FeatureCollection"
    assert len(data["features"]) == labels.max()
    assert len({feature["id"] for feature in data["features"]}) == labels.max()
    for number, feature in enumerate(data["features"], 1):
        assert feature["type"] == "Feature"
        assert feature["properties"]["objectType"] == "detection"
        assert feature["properties"]["measurements"]["area_px"] == (labels == number).sum()
        assert feature["geometry"]["type"] == "Polygon"
        rings = [np.array(ring) for ring in feature["geometry"]["coordinates"]]
        for ring in rings:
            assert len(ring) >= 4
            assert np.array_equal(ring[0], ring[-1])
            assert len(np.unique(ring[:-1], axis=0)) == len(ring) - 1  # doesn't touch itself
        area = abs(export._area(rings[0])) - sum(abs(export._area(ring)) for ring in rings[1:])
        pixels = (labels == number).sum()
        assert pixels - len(np.vstack(rings)) / 2 <= area <= pixels + len(np.vstack(rings)) / 2


def test_a_hole_is_a_ring_of_its_own(labels):
    number = labels[63, 33]
    outline = next(o for o in export.outlines(labels) if o.label == number)
    assert len(outline.parts) == 1 and len(outline.parts[0]) == 2


def test_readme_and_zip():
    text = export.readme({"Model": {"name": "unet", "revision": None}})
    with zipfile.ZipFile(io.BytesIO(export.zipped({"README.txt": text, "a.csv": b"1"}))) as archive:
        assert archive.testzip() is None
        assert archive.read("README.txt").decode().splitlines()[2:] == ["Model", "-----", "name: unet", "revision: -"]


def test_no_nuclei_make_valid_files():
    empty = np.zeros((5, 6), np.int32)
    assert tifffile.imread(io.BytesIO(export.label_tiff(empty))).shape == (5, 6)
    assert json.loads(export.geojson(empty, measure(empty)))["features"] == []
    assert zipfile.ZipFile(io.BytesIO(export.roi_zip(empty))).namelist() == []
    assert table_csv(measure(empty)).decode().startswith("label,")


def test_positions_are_those_of_the_polygons(labels):
    """One convention in every file: the first pixel's centre is at 0.5, 0.5."""
    square = np.zeros((9, 12), np.int32)
    square[2:5, 4:9] = 1
    table = measure(square)
    assert (table["y_px"][0], table["x_px"][0]) == (3.5, 6.5)
    feature = json.loads(export.geojson(square, table))["features"][0]
    ring = np.array(feature["geometry"]["coordinates"][0])
    assert ((ring.min(0) + ring.max(0)) / 2).tolist() == [6.5, 3.5]
    assert feature["properties"]["measurements"]["x_px"] == 6.5
    roi = roifile.ImagejRoi.frombytes(zipfile.ZipFile(io.BytesIO(export.roi_zip(square))).read("nucleus-00001.roi"))
    assert np.mean([roi.coordinates().min(0), roi.coordinates().max(0)], axis=0).tolist() == [6.5, 3.5]


def test_positions_beyond_a_hundred_thousand_are_exact():
    table = {"label": np.array([1]), "x_px": np.array([123456.789]), "sum_intensity": np.array([9876543210.0])}
    assert table_csv(table).decode().splitlines()[1] == "1,123456.789,9876543210"
    labels = np.zeros((3, 70_010), np.int32)
    labels[1, 70_000:70_005] = 1
    roi = roifile.ImagejRoi.frombytes(zipfile.ZipFile(io.BytesIO(export.roi_zip(labels))).read("nucleus-00001.roi"))
    assert roi.coordinates().min(0).tolist() == [70_000, 1]


def test_what_is_no_number_is_left_out_of_geojson_and_empty_in_csv():
    labels = np.zeros((6, 9), np.int32)
    labels[1:4, 1:4], labels[1:4, 5:8] = 1, 2
    image = np.full(labels.shape, np.nan, np.float32)
    image[labels == 2] = 5
    image[1, 5] = np.inf
    table = measure(labels, image)

    def refused(text: str):
        raise AssertionError(f"{text} is no JSON")

    blind, seen = json.loads(export.geojson(labels, table), parse_constant=refused)["features"]
    assert "mean_intensity" not in blind["properties"]["measurements"]
    assert seen["properties"]["measurements"]["mean_intensity"] == 5
    rows = list(csv.DictReader(io.StringIO(table_csv(table).decode())))
    assert [row["mean_intensity"] for row in rows] == ["", "5"]


def test_decimal_commas():
    table = {"label": np.array([1]), "x_px": np.array([1.25])}
    assert table_csv(table, ",") == b"label;x_px\r\n1;1,25\r\n"
    assert to_csv(["image", "covered"], [["a;b", 0.5]], ",") == b'image;covered\r\n"a;b";0,5\r\n'


def test_a_nucleus_in_parts_is_one_feature():
    labels = np.zeros((20, 30), np.int32)
    labels[2:12, 2:12], labels[5:8, 5:8], labels[15:18, 20:25] = 1, 0, 1
    [feature] = json.loads(export.geojson(labels))["features"]
    assert feature["geometry"]["type"] == "MultiPolygon"
    assert [len(part) for part in feature["geometry"]["coordinates"]] == [2, 1]
    names = zipfile.ZipFile(io.BytesIO(export.roi_zip(labels))).namelist()
    assert names == ["nucleus-00001.roi", "nucleus-00001-2.roi"]
