"""Measurements are those of skimage.measure, whole and in parts, of every channel, over the finite pixels."""

import csv
import io
import json

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import perimeter, regionprops
from skimage.segmentation import expand_labels

from nuclei_models import measure
from nuclei_models.analysis.intensity import background_of, background_sample, intensity_sums, planes_of
from nuclei_models.analysis.measurements import columns
from nuclei_models.model.sums import HALO, join, shape_sums
from nuclei_models.output.export import geojson, label_tiff
from nuclei_models.output.tables import table_csv


def some_labels(shape: tuple[int, int], seed: int, grain: float) -> np.ndarray:
    """Ragged nuclei, some of which touch: (H, W) int32."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), grain)
    parts = ndimage.label(noise > 0.2 * noise.std())[0].astype(np.int32)
    parts[:, shape[1] // 2 :] *= 2  # cut in two at a line
    return np.unique(parts, return_inverse=True)[1].reshape(shape).astype(np.int32)


def some_planes(shape: tuple[int, int], seed: int) -> dict[str, np.ndarray]:
    """Channels of three types, one with holes of NaN and infinity."""
    rng = np.random.default_rng(seed)
    real = rng.normal(100, 30, shape).astype(np.float32)
    real[rng.random(shape) < 0.05] = np.nan
    real[rng.random(shape) < 0.02] = np.inf
    return {
        "intensity": rng.integers(0, 65536, shape).astype(np.uint16),
        "intensity_a": real,
        "intensity_b": rng.integers(0, 2**32, shape).astype(np.uint32),
    }


IMAGES = {
    "shape": st.tuples(st.integers(1, 60), st.integers(1, 60)),
    "seed": st.integers(0, 2**20),
    "grain": st.sampled_from([0.7, 1.5, 3.0]),
}


@settings(max_examples=25, deadline=None)
@given(**IMAGES)
def test_the_values_are_those_of_skimage(shape, seed, grain):
    labels, planes = some_labels(shape, seed, grain), some_planes(shape, seed)
    ring = 3
    main, *others = planes
    table = measure(
        labels, planes[main], (0.5, 0.5), channels={n.removeprefix("intensity_"): planes[n] for n in others}, ring=ring
    )
    props = regionprops(labels)
    assert table["label"].tolist() == [p.label for p in props]
    around = np.where(labels > 0, 0, expand_labels(labels, ring))
    for i, p in enumerate(props):
        mine = {name: column[i] for name, column in table.items()}
        assert (mine["y_px"], mine["x_px"]) == pytest.approx(np.add(p.centroid, 0.5))
        assert mine["area_px"] == p.area and mine["area_um2"] == pytest.approx(p.area / 4)
        assert mine["diameter_px"] == pytest.approx(p.equivalent_diameter_area)
        assert mine["perimeter_px"] == pytest.approx(perimeter(p.image))
        assert mine["eccentricity"] == pytest.approx(p.eccentricity, abs=1e-6)
        assert mine["solidity"] == pytest.approx(p.solidity)
        top, left, bottom, right = p.bbox
        assert mine["touches_edge"] == (top == 0 or left == 0 or bottom == shape[0] or right == shape[1])
        for name, plane in planes.items():
            inside, ringed = (plane[m].astype(np.float64) for m in (labels == p.label, around == p.label))
            inside, ringed, outside = (v[np.isfinite(v)] for v in (inside, ringed, plane[labels == 0].astype(float)))
            background = np.median(outside) if len(outside) else np.nan
            expected = [np.nan] * 4 if not len(inside) else [inside.mean(), inside.min(), inside.max(), inside.sum()]
            expected += [expected[0] - background]
            found = [mine[f"{what}_{name}"] for what in ("mean", "min", "max", "sum", "corrected")]
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-6)
            np.testing.assert_allclose(mine[f"ring_{name}"], ringed.mean() if len(ringed) else np.nan, rtol=1e-9)
    integers = regionprops(labels, planes["intensity"])
    assert table["mean_intensity"] == pytest.approx([p.intensity_mean for p in integers])
    assert table["max_intensity"].tolist() == [p.intensity_max for p in integers]


@settings(max_examples=10, deadline=None)
@given(**IMAGES)
def test_the_values_in_every_file_are_those_of_skimage_on_the_saved_labels(shape, seed, grain):
    """In CSV, with decimal commas, and in GeoJSON; of the label image as it is read from its own file."""
    labels, plane = some_labels(shape, seed, grain), some_planes(shape, seed)["intensity"]
    table = measure(labels, plane, (0.5, 0.5), ring=3)
    saved = tifffile.imread(io.BytesIO(label_tiff(labels, (0.5, 0.5)))).reshape(shape)
    props = regionprops(saved.astype(np.int32), plane)
    plain = csv.DictReader(io.StringIO(table_csv(table).decode()))
    comma = csv.DictReader(io.StringIO(table_csv(table, ",").decode("utf-8-sig")), delimiter=";")
    in_files = [
        list(plain),
        [{name: cell.replace(",", ".") for name, cell in row.items()} for row in comma],
        [
            {"label": f["properties"]["name"], **f["properties"]["measurements"]}
            for f in sorted(json.loads(geojson(labels, table))["features"], key=lambda f: int(f["properties"]["name"]))
        ],
    ]
    around = np.where(saved > 0, 0, expand_labels(saved, 3))
    for rows in in_files:
        assert [int(row["label"]) for row in rows] == [p.label for p in props]
        for row, p in zip(rows, props, strict=True):
            expected = {"area_px": p.area, "area_um2": p.area / 4, "diameter_px": p.equivalent_diameter_area}
            expected |= {"y_px": p.centroid[0] + 0.5, "x_px": p.centroid[1] + 0.5, "solidity": p.solidity}
            expected |= {"mean_intensity": p.intensity_mean, "max_intensity": p.intensity_max}
            if (ring := plane[around == p.label]).size:
                expected["ring_intensity"] = ring.mean()
            for name, value in expected.items():
                assert float(row[name]) == pytest.approx(value, rel=1e-5, abs=1e-6), name


@settings(max_examples=25, deadline=None)
@given(**IMAGES, block=st.integers(5, 40), ring=st.sampled_from([0, 4]))
def test_the_sums_of_parts_are_those_of_the_whole(shape, seed, grain, block, ring):
    labels, planes = some_labels(shape, seed, grain), some_planes(shape, seed)
    sums, samples = [], []
    for top in range(0, shape[0], block):
        for left in range(0, shape[1], block):
            first = max(top - HALO - ring - 1, 0), max(left - HALO - ring - 1, 0)
            there = tuple(slice(f, o + block + HALO + ring + 1) for f, o in zip(first, (top, left), strict=True))
            own = tuple(slice(o - f, o - f + block) for f, o in zip(first, (top, left), strict=True))
            window = {name: plane[there] for name, plane in planes.items()}
            sums.append(shape_sums(labels[there], own, first, shape))
            sums.extend(intensity_sums(labels[there], window, ring, own))
            inner = {name: plane[own] for name, plane in window.items()}
            samples.append(background_sample(labels[there][own], inner, shape, (top, left)))
    n = int(labels.max())
    found = columns(join(sums, n), list(planes), background_of(samples), (0.5, 0.5))
    others = {name.removeprefix("intensity_"): plane for name, plane in list(planes.items())[1:]}
    for name, expected in measure(
        labels, planes["intensity"], (0.5, 0.5), solidity=False, channels=others, ring=ring
    ).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-9, atol=1e-6, err_msg=name)


def test_alpha_is_no_intensity():
    rng = np.random.default_rng(0)
    rgb, labels = rng.integers(0, 200, (20, 20, 3)).astype(np.uint8), np.zeros((20, 20), np.int32)
    labels[3:9, 4:11] = 1
    rgba = np.dstack([rgb, np.full((20, 20), 255, np.uint8)])
    plain, with_alpha = measure(labels, rgb), measure(labels, rgba)
    assert plain.keys() == with_alpha.keys()
    for name in plain:
        assert plain[name] == pytest.approx(with_alpha[name])
    assert plain["mean_intensity"][0] == pytest.approx(rgb[labels == 1].mean())
    assert plain["mean_intensity_blue"][0] == pytest.approx(rgb[labels == 1][:, 2].mean())


def test_numbers_with_gaps():
    labels = np.zeros((12, 12), np.int32)
    labels[1:4, 1:4], labels[6:9, 6:10] = 2, 5
    table = measure(labels, np.arange(144.0).reshape(12, 12))
    assert table["label"].tolist() == [2, 5] and table["area_px"].tolist() == [9, 12]


@pytest.mark.parametrize(
    ("options", "words"),
    [({"channels": {"gfp": np.zeros((3, 3))}}, r"'intensity_gfp': \(3, 3\)"), ({"ring": -1}, "ring=-1")],
)
def test_senseless_input(options, words):
    with pytest.raises(ValueError, match=words):
        measure(np.ones((9, 9), np.int32), np.zeros((9, 9)), **options)


def test_a_large_image_is_looked_at_on_a_grid_for_its_background():
    image = np.full((1500, 1500), 7, np.uint8)
    image[::2, ::2] = 9
    sample = background_sample(np.zeros(image.shape, np.int32), planes_of(image), image.shape)
    assert len(sample["intensity"]) == 750 * 750 and (sample["intensity"] == 9).all()
