"""Large images from file to files: the same as in memory, for every block, resumed, and nothing half-written."""

import csv
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import roifile
import tifffile
import torch
import zarr
from PIL import Image
from skimage.measure import regionprops

from nuclei_models import NucleiImageProcessor
from nuclei_models.analysis.filters import Filters, apply_filters
from nuclei_models.analysis.measurements import measure
from nuclei_models.images.reader import read
from nuclei_models.images.source import Source
from nuclei_models.inference.loading import load
from nuclei_models.inference.segmentation import nuclear_diameter, segment
from nuclei_models.jobs.mapper import one_by_one
from nuclei_models.jobs.settings import network_for, settings_for
from nuclei_models.large import measuring, segment_large
from nuclei_models.large.resample import Axis, rescale
from nuclei_models.large.sinks import make_labels, open_labels, write_tiff
from nuclei_models.large.statistics import streamed_diameter, streamed_range
from nuclei_models.model.intensity import intensity_range, to_rgb
from nuclei_models.model.maps import resize
from nuclei_models.output.export import geojson
from nuclei_models.output.files import KINDS
from nuclei_models.output.tables import table_csv
from tests.images.test_source import ome_zarr
from tests.support.large import blobs, wanted

ROOT = Path(__file__).parents[2]


def regionprops_means(labels: np.ndarray, image: np.ndarray) -> list[float]:
    return [p.intensity_mean for p in regionprops(labels.astype(np.int32), image)]


class TestRescalingByWindows:
    @pytest.mark.parametrize(
        ("size", "scale"),
        [
            ((300, 41), 0.37),
            ((61, 2000), 0.9),
            ((57, 90), 1.9),
            ((3, 5), 4),
            ((1, 7), 0.3),
            ((48, 1), 0.9),
            ((60, 9), 0.15),
        ],
    )
    def test_is_that_of_the_whole(self, size, scale):
        rng = np.random.default_rng(0)
        x = torch.from_numpy(rng.normal(size=(2, *size)).astype(np.float32))
        out = [max(1, round(n * scale)) for n in size]
        axes = Axis(size[0], out[0]), Axis(size[1], out[1])
        whole = rescale(x, axes, (slice(0, out[0]), slice(0, out[1])))
        assert (whole - resize(x, out)).abs().max() < 1e-5
        for _ in range(10):
            window = tuple(slice(*sorted(rng.choice(n + 1, 2, replace=False))) for n in out)
            needed = tuple(axis.needed(w) for axis, w in zip(axes, window, strict=True))
            assert torch.equal(rescale(x[(slice(None), *needed)], axes, window), whole[(slice(None), *window)])


class TestStatistics:
    @pytest.mark.parametrize("shape", [(300, 200), (1100, 2050), (4100, 4200), (900, 1300, 3)])
    @pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f4"])
    def test_range_is_that_of_the_whole(self, tmp_path, shape, dtype):
        if shape[0] > 4000 and dtype != "u2":
            pytest.skip("one type of the largest is enough")
        image = np.random.default_rng(0).normal(90, 20, shape).clip(0, 255).astype(dtype)
        if dtype == "f4":
            image[:5] = np.nan
        tifffile.imwrite(tmp_path / "a.tif", image)
        for found, expected in zip(
            streamed_range(Source(tmp_path / "a.tif"), 1, 99.8)[:2],
            intensity_range(to_rgb(image), 1, 99.8),
            strict=True,
        ):
            assert np.array_equal(found, expected)

    def test_diameter_is_that_of_the_whole(self, tmp_path):
        model, processor = load(ROOT / "weights" / "unet-nuclei")
        image = np.tile(blobs((600, 700)), (2, 2))
        tifffile.imwrite(tmp_path / "a.tif", image, rowsperstrip=50)
        source, values = Source(tmp_path / "a.tif"), intensity_range(to_rgb(image), 1, 99.8)
        assert streamed_diameter(source, model, processor, *values) == nuclear_diameter(image, model, processor)

    def test_diameter_of_many_windows_is_the_usual_one(self, tmp_path):
        model, processor = load(ROOT / "weights" / "unet-nuclei")
        image = np.tile(blobs((1024, 1024)), (3, 3))
        usual = nuclear_diameter(image[:1024, :1024], model, processor).pixels
        image[1100:1600, 1100:1600] = np.random.default_rng(0).integers(0, 65535, (500, 500))  # dirt, which varies most
        tifffile.imwrite(tmp_path / "a.tif", image, tile=(256, 256))
        values = intensity_range(to_rgb(image), 1, 99.8)
        found = streamed_diameter(Source(tmp_path / "a.tif"), model, processor, *values).pixels
        assert 0.8 < found / usual < 1.25


class TestTheResults:
    @pytest.mark.parametrize("diameter", [24.0, 50.0, 13.0])
    def test_are_those_in_memory_for_every_block(self, cells, model, tmp_path, diameter):
        pixels, network = read(cells).pixels, network_for(str(model))
        found = segment(pixels, network.model, network.processor, diameter=diameter)
        expected, everything = found.labels, network.processor.cut(found.maps)
        assert 50 < expected.max() < everything.max()  # some are dropped for their confidence
        found = []
        for block in (96, 208, 1024):
            done = segment_large(cells, tmp_path / str(block), wanted(model, diameter=diameter, ring=4), block=block)
            found.append({kind: path.read_bytes() for kind, path in done.files.items()})
            labels = tifffile.imread(done.files["labels"])
            assert done.nuclei == labels.max() and done.facts["block_px"] == block
        for other in found[1:]:
            assert other["labels"] == found[0]["labels"] and other["csv"] == found[0]["csv"]
        assert (labels != expected).mean() < 2e-3 and abs(int(labels.max()) - int(expected.max())) <= 1
        sure = network.processor.confidence(
            segment(pixels, network.model, network.processor, diameter=diameter).maps, labels
        )
        table = measure(labels, pixels, solidity=False, ring=4, confidence=sure)
        mine = list(csv.DictReader(io.StringIO(found[0]["csv"].decode())))
        theirs = list(csv.DictReader(io.StringIO(table_csv(table).decode())))
        assert mine[0].keys() == theirs[0].keys() and len(mine) == len(theirs)
        for name in mine[0]:
            a, b = ([float(row[name]) for row in rows] for rows in (mine, theirs))
            assert a == pytest.approx(b, rel=1e-5, abs=2e-2 if name == "confidence" else 1e-5), name
        made = {f["properties"]["name"]: f for f in json.loads(found[0]["geojson"])["features"]}
        expected = json.loads(geojson(labels, {k: v for k, v in table.items() if k != "confidence"}, "Nucleus unet"))
        assert len(made) == len(expected["features"]) == len(json.loads(found[0]["geojson"])["features"])
        for feature in expected["features"]:
            one = made[feature["properties"]["name"]]
            assert {k: one[k] for k in ("id", "geometry")} == {k: feature[k] for k in ("id", "geometry")}
            measured = one["properties"]["measurements"]
            assert measured.pop("confidence") > 0
            assert measured == pytest.approx(feature["properties"]["measurements"], rel=1e-5, abs=1e-5)

    def test_every_nucleus_is_one_feature_and_one_roi(self, cells, model, tmp_path):
        tifffile.imwrite(cells, blobs((300, 420), spacing=17))
        wishes = wanted(model, save=("labels", "csv", "geojson", "roi", "overlay", "coloured"))
        done = segment_large(cells, tmp_path / "out", wishes, block=64, largest_part=96)
        features = json.loads(done.files["geojson"].read_bytes())["features"]
        labels = tifffile.imread(done.files["labels"])
        assert done.facts["parts_too_large"] > 0  # cut in cells, over whose edges some nuclei lie
        assert sorted(int(f["properties"]["name"]) for f in features) == list(range(1, done.nuclei + 1))
        table = measure(labels)
        for feature in features:
            i = int(feature["properties"]["name"]) - 1
            parts = feature["geometry"]["coordinates"]
            ring = np.array(parts[0] if feature["geometry"]["type"] == "Polygon" else parts[0][0])
            inside = feature["properties"]["measurements"]
            assert (inside["x_px"], inside["y_px"]) == pytest.approx((table["x_px"][i], table["y_px"][i]))
            box = [*ring.min(0), *ring.max(0)]
            assert box[0] < inside["x_px"] < box[2] and box[1] < inside["y_px"] < box[3]
        rois = roifile.roiread(done.files["roi"])
        assert len({roi.name.split("-")[1] for roi in rois}) == done.nuclei
        overlay, coloured = (np.asarray(Image.open(done.files[kind])) for kind in ("overlay", "coloured"))
        assert overlay.shape == coloured.shape == (300, 420, 3)
        assert np.array_equal(coloured.any(-1), labels > 0)

    def test_filters_leave_nuclei_out_of_every_file(self, cells, model, undisturbed, tmp_path):
        everything = undisturbed(96)
        filters = Filters(exclude_edge=True, smallest=100)
        done = segment_large(cells, tmp_path / "out", wanted(model, filters=filters), block=96)
        labels = tifffile.imread(everything.files["labels"])
        kept = apply_filters(labels, measure(labels), filters)
        assert 0 < done.nuclei < everything.nuclei
        assert done.facts["left_out"] == kept.left_out and set(kept.left_out) == {"exclude_edge", "smallest"}
        assert np.array_equal(tifffile.imread(done.files["labels"]), kept.labels)
        assert len(json.loads(done.files["geojson"].read_bytes())["features"]) == done.nuclei
        assert f"{sum(kept.left_out.values())} nuclei are left out" in done.facts["notes"][-1]

    def test_pictures_of_a_large_image_are_reduced(self, cells, model, tmp_path, monkeypatch):
        monkeypatch.setattr(measuring, "SHOWN", 100)
        done = segment_large(cells, tmp_path, wanted(model, save=("coloured", "labels")), block=96)
        labels = tifffile.imread(done.files["labels"])
        assert np.array_equal(np.asarray(Image.open(done.files["coloured"])).any(-1), labels[::5, ::5] > 0)
        assert "every 5th row" in done.facts["notes"][-1]

    def test_every_channel_of_an_image_is_measured(self, model, tmp_path):
        pixels = blobs((200, 210))
        path = ome_zarr(tmp_path / "cells.ome.zarr", np.stack([pixels, pixels // 3]), "cyx")
        done = segment_large(path, tmp_path, wanted(model, channel=0), block=64)
        rows = list(csv.DictReader(done.files["csv"].open()))
        labels = read(done.files["labels"]).pixels
        mean = [float(row["mean_intensity_channel 1"]) for row in rows]
        assert mean == pytest.approx(regionprops_means(labels, pixels // 3), rel=1e-5)

    @pytest.mark.parametrize("diameter", [50.0, 13.0])
    def test_the_fitted_minimum_area_goes_with_the_scale(self, cells, model, tmp_path, diameter):
        shutil.copytree(model, tmp_path / "strict")
        config = tmp_path / "strict" / "preprocessor_config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"min_area": 120.0}))
        processor = NucleiImageProcessor.from_pretrained(tmp_path / "strict")
        least = 120 / processor.scale_for(diameter) ** 2
        done = segment_large(cells, tmp_path / "a", wanted(tmp_path / "strict", diameter=diameter), block=208)
        given = segment_large(cells, tmp_path / "b", wanted(model, diameter=diameter, min_area=least), block=208)
        areas = np.bincount(tifffile.imread(done.files["labels"]).ravel())[1:]
        assert areas.min() >= 0.98 * least and done.nuclei > 5
        assert np.array_equal(tifffile.imread(given.files["labels"]), tifffile.imread(done.files["labels"]))

    def test_of_an_example_are_those_in_memory(self, tmp_path):
        path, wishes = ROOT / "examples" / "purple-small.png", settings_for(str(ROOT / "weights" / "unet-nuclei"))
        network = network_for(wishes.model)
        expected = segment(read(path).pixels, network.model, network.processor).labels
        found = tifffile.imread(segment_large(path, tmp_path, wishes, block=128).files["labels"])
        assert found.max() == expected.max() > 20
        assert np.count_nonzero(found != expected) <= 20  # of 81,920

    def test_of_an_ome_zarr_are_one(self, model, tmp_path):
        pixels = blobs((1100, 300))
        path = ome_zarr(tmp_path / "cells.ome.zarr", np.stack([pixels * 0, pixels]), "cyx")
        done = segment_large(path, tmp_path, wanted(model, channel=1), block=256)
        assert done.files["labels"] == tmp_path / "cells_labels.zarr"
        image = read(done.files["labels"])
        assert image.format == "OME-Zarr" and image.pixel_size == (0.5, 0.25) and image.pixels.dtype == np.uint32
        root = zarr.open_group(done.files["labels"], mode="r")
        assert root.attrs["image-label"]["version"] == "0.4"
        assert np.array_equal(root["1"][:], image.pixels[::2, ::2]) and root["1"].shape == (550, 150)
        tif = segment_large(path, tmp_path, wanted(model, channel=1), labels="tif", block=400)
        assert np.array_equal(tifffile.imread(tif.files["labels"]), image.pixels)
        with tifffile.TiffFile(tif.files["labels"]) as file:
            assert file.is_bigtiff and file.pages[0].is_tiled and file.pages[0].dtype == np.uint32
        assert read(tif.files["labels"]).pixel_size == pytest.approx((0.5, 0.25))
        assert b"area_um2" in tif.files["csv"].read_bytes()

    def test_of_a_small_ome_zarr_are_of_every_kind(self, model, tmp_path):
        path = ome_zarr(tmp_path / "cells.ome.zarr", blobs((60, 70)), "yx")
        done = segment_large(path, tmp_path, wanted(model, save=tuple(KINDS)), block=64)
        assert set(done.files) == set(KINDS) and all(file.exists() for file in done.files.values())

    def test_of_an_empty_image(self, model, tmp_path):
        tifffile.imwrite(tmp_path / "a.tif", np.zeros((70, 50), np.uint8))
        done = segment_large(
            tmp_path / "a.tif", tmp_path, wanted(model, save=("labels", "overlay", "csv", "geojson")), block=32
        )
        assert done.nuclei == 0 and done.facts["median_diameter_px"] is None
        assert np.asarray(Image.open(done.files["overlay"])).shape == (70, 50, 3)
        assert not tifffile.imread(done.files["labels"]).any()
        assert json.loads(done.files["geojson"].read_bytes())["features"] == []
        assert len(done.files["csv"].read_bytes().splitlines()) == 1

    def test_replace_older_ones_and_leave_nothing_else(self, cells, model, tmp_path):
        for options in ({}, {"min_area": 150.0}):
            done = segment_large(cells, tmp_path / "out", wanted(model, **options), labels="zarr", name="x")
            assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
                "x_labels.zarr",
                "x_measurements.csv",
                "x_qupath.geojson",
            ]
        areas = np.bincount(read(done.files["labels"]).pixels.ravel())[1:]
        assert len(areas) == done.nuclei and areas.min() >= 150

    @pytest.mark.parametrize("shape", [(64, 1), (1, 64), (1, 1)])
    def test_a_label_image_one_pixel_wide_is_not_empty(self, tmp_path, shape):
        labels = np.arange(1, np.prod(shape) + 1, dtype=np.uint32).reshape(shape)
        make_labels(tmp_path / "labels.zarr", shape, 16, None, "x")
        open_labels(tmp_path)[:] = labels
        write_tiff(tmp_path / "labels.zarr", tmp_path / "x.tif", None, lambda *_: None)
        assert np.array_equal(tifffile.imread(tmp_path / "x.tif").reshape(shape), labels)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"block": 50}, "multiple of 16"),
        ({"block": 8192}, "at most largest_part"),
        ({"largest_part": 3}, "at least 16"),
        ({"labels": "png"}, "'tif' or 'zarr'"),
    ],
)
def test_senseless_settings(cells, model, tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        segment_large(cells, tmp_path, wanted(model), **options)
    with pytest.raises(ValueError, match="Test-time"):
        segment_large(cells, tmp_path, replace(wanted(model), tta=True))


def test_a_mapper_may_finish_in_any_order(cells, model, tmp_path):
    def backwards(work, jobs):
        yield from one_by_one(work, list(jobs)[::-1])

    found = [
        segment_large(cells, tmp_path / str(i), wanted(model), m, block=96) for i, m in enumerate((None, backwards))
    ]
    for kind in ("labels", "csv"):
        assert found[0].files[kind].read_bytes() == found[1].files[kind].read_bytes()
