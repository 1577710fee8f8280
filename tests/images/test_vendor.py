"""Zeiss CZI, Leica LIF and Nikon ND2; the files are written byte by byte."""

import itertools
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from nuclei_models.images import ImageError, inspect, read, sandbox, vendor
from tests.support.images import DEEP, RGB, RNG, STACK, Save, check, fails
from tests.support.vendor_files import czi_bytes, lif_bytes, nd2_bytes

pytest.importorskip("czifile")
pytest.importorskip("liffile")
pytest.importorskip("nd2")

PLANE = np.ascontiguousarray(DEEP[..., 0])
SCALING = "".join(
    f'<Distance Id="{axis}"><Value>{size}</Value></Distance>' for axis, size in (("X", 2.5e-7), ("Y", 5e-7))
)
NAMES = "".join(f'<Channel Id="{i}" Name="{name}"/>' for i, name in enumerate(("GFP", "DAPI")))
XML = (
    f"<ImageDocument><Metadata><Information><Image><Dimensions><Channels>{NAMES}</Channels></Dimensions></Image>"
    f"</Information><Scaling><Items>{SCALING}</Items></Scaling></Metadata></ImageDocument>"
)


def tiles(pixels: np.ndarray, **start: int):
    """Four tiles of a plane, as of a mosaic."""
    for m, (y, x) in enumerate([(0, 0), (0, 30), (20, 0), (20, 30)]):
        part = pixels[y : 20 if y == 0 else None, x : 30 if x == 0 else None]
        yield {"X": x - 100, "Y": y + 7, "M": m} | start, part


def test_czi(save: Save):
    planes = {(z, c): STACK[0, z, c] for z in range(3) for c in range(2)}
    path = save(czi_bytes([({"X": 0, "Y": 0, "Z": z, "C": c}, p) for (z, c), p in planes.items()], XML), "a.czi")
    image = check(path, STACK[0, 1, 1])
    assert image.format == "CZI" and image.sizes == {"T": 1, "Z": 3, "C": 2} and image.pixel_size == (0.5, 0.25)
    assert image.channel_names == ("DAPI",)
    for (z, c), expected in planes.items():
        check(path, expected, z=z, channel=c)


def test_czi_of_tiles_scenes_and_a_pyramid(save: Save):
    other = PLANE[::-1, :40]
    small = {"X": -100, "Y": 7, "S": 0, "stored": 2}, np.ascontiguousarray(PLANE[::2, ::2])
    path = save(czi_bytes([*tiles(PLANE, S=0), small, ({"X": 500, "Y": 0, "S": 1, "M": 0}, other)]), "a.czi")
    assert inspect(path).series == ("scene 1", "scene 2")
    assert "2 images" in check(path, PLANE).notes[0]
    check(path, other, series=1)
    fails(path, "Series 2", series=2)


def high_low(pixels: np.ndarray) -> bytes:
    """Zeiss's zstd: a header that says that low and high bytes are apart."""
    apart = pixels.view(np.uint8).reshape(-1, 2).T.tobytes()
    return b"\3\1\1" + imagecodecs.zstd_encode(apart)


@pytest.mark.parametrize(
    ("scheme", "pack"),
    [
        (2, lambda p: imagecodecs.lzw_encode(p.tobytes())),
        (4, lambda p: imagecodecs.jpegxr_encode(p, level=1.0)),
        (5, lambda p: imagecodecs.zstd_encode(p.tobytes())),
        (6, high_low),
        (6, lambda p: b"\1" + imagecodecs.zstd_encode(p.tobytes())),
    ],
)
def test_czi_compressions(save: Save, scheme: int, pack):
    check(save(czi_bytes([({"X": 0, "Y": 0}, PLANE)], "", pack, scheme), "a.czi"), PLANE)


def test_czi_in_colour(save: Save):
    bgr = np.ascontiguousarray(RGB[..., ::-1])
    path = save(czi_bytes([({"X": 0, "Y": 0}, bgr)]), "a.czi")
    check(path, RGB)
    check(path, RGB[..., 2], channel=2)


def test_lif(save: Save):
    second = STACK[:1, :1, :1, :9, :11]
    path = save(lif_bytes({"cells": STACK, "overview": second}), "a.lif")
    assert inspect(path).series == ("cells", "overview")
    image = check(path, STACK[0, 1, 0])
    assert image.format == "LIF" and image.sizes == {"T": 2, "Z": 3, "C": 4}
    assert image.pixel_size == pytest.approx((0.5, 0.5))
    check(path, STACK[1, 2, 3], t=1, z=2, channel=3)
    check(path, second[0, 0, 0], series=1)


POSITIONS = RNG.integers(0, 65536, (2, 3, 2, 20, 22)).astype(np.uint16)  # P, Z, C, Y, X


def test_nd2_by_position_and_plane(save: Save):
    path = save(nd2_bytes(POSITIONS, ("DAPI", "GFP")), "a.nd2")
    info = inspect(path)
    assert info.series == ("position 1", "position 2") and info.channel_names == ("DAPI", "GFP")
    for position, z, c in itertools.product(range(2), range(3), range(2)):
        image = check(path, POSITIONS[position, z, c], series=position, z=z, channel=c)
        assert image.format == "ND2" and image.pixel_size == (0.5, 0.5) and image.sizes == {"T": 1, "Z": 3, "C": 2}


def test_nd2_that_nobody_calibrated_has_no_pixel_size(save: Save):
    path = save(nd2_bytes(POSITIONS, ("DAPI", "GFP"), step=None), "a.nd2")
    assert check(path, POSITIONS[0, 1, 0]).pixel_size is None


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.czi", czi_bytes([({"X": 0, "Y": 0}, PLANE)])),
        ("a.lif", lif_bytes({"x": STACK})),
        ("a.nd2", nd2_bytes(POSITIONS, ("DAPI", "GFP"))),
    ],
)
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.9])
def test_cut_short(save: Save, name: str, data: bytes, kept: float):
    last = {"t": 1, "z": 2, "channel": 3} if name == "a.lif" else {}
    fails(save(data[: int(len(data) * kept)], name), name, **last)


def test_without_the_package_its_install_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, kind in (("czifile", "CZI"), ("liffile", "LIF"), ("nd2", "ND2")):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(ImageError, match=rf'{kind} file, .* pip install "nuclei-models\[vendor\]"'):
            vendor.open_vendor(tmp_path / "a", kind, 0)


def test_vendors_files_are_read_in_the_sandbox(save: Save, monkeypatch: pytest.MonkeyPatch):
    path = save(lif_bytes({"x": STACK}), "a.lif")
    monkeypatch.setattr(
        sandbox._SANDBOX, "ask", lambda **question: pytest.fail("asked") if 0 else ({"labels": [], "series": None}, b"")
    )
    with pytest.raises(ImageError, match="it has 0"):
        read(path)
