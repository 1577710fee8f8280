"""Large images by window: OME-Zarr of every version, pyramids, and what cannot be read by window.

The kinds of TIFF are in `test_images_tiff.py`, where every file that is read whole is read by window, too."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from nuclei_models.images import tiff_page
from nuclei_models.images.reader import ImageError, inspect, read
from nuclei_models.images.source import Source
from tests.support.images import RNG, STACK, check, check_windows, fails

PLANE = RNG.integers(0, 60000, (61, 83)).astype(np.uint16)


def ome_zarr(path: Path, pixels: np.ndarray, axes: str, version: str = "0.4", **about) -> Path:
    """An OME-Zarr of two levels, as its version has it."""
    old = version != "0.5"
    root = zarr.open_group(path, mode="w", zarr_format=2 if old else 3)
    for name, level in (("full", pixels), ("half", pixels[..., ::2, ::2])):
        root.create_array(name, data=level, chunks=(1,) * (pixels.ndim - 2) + (16, 32))
    kinds = {"t": "time", "c": "channel"}
    described: object = [
        {"name": a, "type": kinds.get(a, "space"), **({"unit": "micrometer"} if a in "yx" else {})} for a in axes
    ]
    if version == "0.3":
        described = list(axes)
    scale = [1.0] * (len(axes) - 2) + [0.5, 0.25]
    datasets = [
        {
            "path": name,
            "coordinateTransformations": [{"type": "scale", "scale": [*scale[:-2], scale[-2] * k, scale[-1] * k]}],
        }
        for name, k in (("full", 1), ("half", 2))
    ]
    multiscales: dict = {"version": version, "name": "cells", "datasets": datasets}
    if version not in ("0.1", "0.2"):
        multiscales["axes"] = described
    inner = {"multiscales": [multiscales]} | about
    root.attrs.update(inner if old else {"ome": inner | {"version": version}})
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["yx", "cyx", "zyx", "tyx", "czyx", "tczyx"])
def test_axes(tmp_path, version, axes):
    pixels = STACK.transpose(0, 2, 1, 3, 4)  # T, C, Z, Y, X
    at = {"t": 1, "c": 2, "z": 1}
    stored = pixels[tuple(slice(None) if a in axes else at[a] for a in "tcz")]
    path = ome_zarr(tmp_path / "a.zarr", stored, axes, version)
    image = check(
        path, pixels[1, 2, 1], **{k: at[a] for a, k in (("t", "t"), ("c", "channel"), ("z", "z")) if a in axes}
    )
    assert image.format == "OME-Zarr" and image.pixel_size == (0.5, 0.25)
    assert image.sizes == {a.upper(): {"t": 2, "z": 3, "c": 4}[a] if a in axes else 1 for a in "tzc"}


@pytest.mark.parametrize("version", ["0.1", "0.3"])
def test_older_versions(tmp_path, version):
    pixels = STACK[:1, :1, :1]
    check(ome_zarr(tmp_path / "a.zarr", pixels, "tczyx", version), pixels[0, 0, 0])


def test_channels(tmp_path):
    pixels = STACK[0, 0, :3]
    named = {"channels": [{"label": "actin"}, {"label": "DAPI"}, {"label": ""}]}
    path = ome_zarr(tmp_path / "a.zarr", pixels, "cyx", omero=named)
    image = check(path, pixels[1])
    assert "its name" in image.notes[0] and inspect(path).channel_names == ("actin", "DAPI", "")
    assert np.array_equal(read(path, channel=[2, 0]).pixels, np.moveaxis(pixels[[2, 0]], 0, -1))
    assert Source(path, channel=[2, 0]).read(slice(3, 5), slice(0, 20)).shape == (2, 20, 2)
    with pytest.raises(ImageError, match="it has 3"):
        Source(path, channel=3)


@pytest.mark.parametrize("names", [["R", "G", "B"], ["", "", ""], ["Channel 0", "Channel 1", "Channel 2"]])
def test_colours(tmp_path, names):
    pixels = RNG.integers(0, 255, (3, 40, 50)).astype(np.uint8)
    channels = [{"label": n, "color": c} for n, c in zip(names, ("FF0000", "00FF00", "0000FF"), strict=True)]
    check(ome_zarr(tmp_path / "a.zarr", pixels, "cyx", omero={"channels": channels}), np.moveaxis(pixels, 0, -1))
    channels[0]["color"] = "00FFFF"
    channels[0]["label"] = "nuclei"
    check(ome_zarr(tmp_path / "b.zarr", pixels, "cyx", omero={"channels": channels}), pixels[0])


@pytest.mark.parametrize("dtype", ["bool", "u1", "i2", ">u2", "f4", ">f8"])
def test_types(tmp_path, dtype):
    values = (PLANE % 2 if dtype == "bool" else PLANE // 3).astype(dtype)
    expected = values * np.uint8(255) if dtype == "bool" else values.astype(values.dtype.newbyteorder("="))
    check(ome_zarr(tmp_path / "a.zarr", values, "yx"), expected)


def test_sharded(tmp_path):
    root = zarr.open_group(tmp_path / "a.zarr", mode="w")
    root.create_array("0", data=PLANE, chunks=(8, 8), shards=(32, 32))
    axes = [{"name": a, "type": "space"} for a in "yx"]
    root.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    assert check(tmp_path / "a.zarr", PLANE).pixel_size is None


def test_several_images_and_plain_arrays(tmp_path):
    path = tmp_path / "a.zarr"
    zarr.open_group(path, mode="w", zarr_format=2).attrs["bioformats2raw.layout"] = 3
    for i in (0, 1):
        ome_zarr(path / str(i), PLANE + i, "yx")
    check(path, PLANE + 1, series=1)
    assert "2 images" in read(path).notes[0]
    fails(path, "Series 2", "0 to 1", series=2)
    zarr.save_array(tmp_path / "plain.zarr", PLANE[None])
    assert check(tmp_path / "plain.zarr", PLANE).format == "Zarr"


def test_zarr_that_is_no_image(tmp_path):
    def group(name: str, **about) -> Path:
        zarr.open_group(tmp_path / name, mode="w", zarr_format=2).attrs.update(about)
        return tmp_path / name

    fails(group("empty.zarr"), "multiscales")
    fails(group("plate.zarr", plate={}), "plate")
    fails(group("lost.zarr", multiscales=[{"datasets": [{"path": "0"}]}]), "can't be read")
    fails(ome_zarr(tmp_path / "xy.zarr", PLANE, "xy"), "y, x")
    fails(ome_zarr(tmp_path / "complex.zarr", PLANE.astype("c8"), "yx"), "complex64")
    zarr.save_array(tmp_path / "stack.zarr", STACK)
    fails(tmp_path / "stack.zarr", "without names")
    zarr.create_array(tmp_path / "huge.zarr", shape=(10**6, 10**6), chunks=(10**6, 10**6), dtype="u2")
    fails(tmp_path / "huge.zarr", "chunks")
    broken = ome_zarr(tmp_path / "broken.zarr", PLANE, "yx")
    next(p for p in (broken / "full").rglob("*") if p.is_file() and p.name[0].isdigit()).write_bytes(b"nonsense")
    fails(broken, "can't be read")
    with pytest.raises(ImageError, match=r"^broken\.zarr: "):
        Source(broken).read(slice(0, 61), slice(0, 83))
    (tmp_path / "json.zarr").mkdir()
    (tmp_path / "json.zarr" / "zarr.json").write_text(json.dumps([]))
    fails(tmp_path / "json.zarr", "can't be read")


def test_of_a_pyramid_the_finest_level(tmp_path):
    for name, options in (("ome.ome.tif", {"subifds": 1}), ("plain.tif", {})):
        with tifffile.TiffWriter(tmp_path / name, bigtiff=True) as writer:
            writer.write(PLANE, tile=(16, 16), metadata={"axes": "YX"} if options else None, **options)
            writer.write(PLANE[::2, ::2], tile=(16, 16), subfiletype=1, metadata=None)
        check_windows(tmp_path / name, PLANE)


def test_strips_that_only_the_whole_can_be_read_of(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff_page, "MAX_PIXELS", 50 * 83)
    tifffile.imwrite(tmp_path / "one.tif", PLANE, compression="zlib", rowsperstrip=61)
    with pytest.raises(ImageError, match=r"one\.tif: .* save it in tiles"):
        Source(tmp_path / "one.tif").read(slice(0, 5), slice(0, 5))
    tifffile.imwrite(tmp_path / "plain.tif", PLANE, rowsperstrip=61)
    tifffile.imwrite(tmp_path / "strips.tif", PLANE, compression="zlib", rowsperstrip=7)
    for name in ("plain.tif", "strips.tif"):
        assert np.array_equal(Source(tmp_path / name).read(slice(9, 30), slice(3, 40)), PLANE[9:30, 3:40])


def test_only_what_a_window_touches_is_read(tmp_path, monkeypatch):
    sizes = []
    read = tiff_page.Page._bytes
    monkeypatch.setattr(tiff_page.Page, "_bytes", lambda page, at, size: sizes.append(size) or read(page, at, size))
    big = np.zeros((1000, 1000), np.uint16)
    for options in (
        {},
        {"tile": (64, 64)},
        {"tile": (64, 64), "compression": "zlib"},
        {"rowsperstrip": 10, "compression": "zlib"},
    ):
        tifffile.imwrite(tmp_path / "a.tif", big, **options)
        source = Source(tmp_path / "a.tif")
        sizes.clear()
        source.read(slice(500, 520), slice(500, 520))
        assert sum(sizes) < 50_000


def test_other_formats_are_decoded_whole(save):
    image = RNG.integers(0, 255, (40, 50, 3)).astype(np.uint8)
    check_windows(save(image, "a.png"), image)
