"""What the library gives for what stands on the page; what a visitor sees and saves must be that.

What was computed once is kept: the same network, image and settings give the same again, which other tests hold.
"""

import csv
import io
import json
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from nuclei_models.analysis.edits import Edit
from nuclei_models.analysis.history import History
from nuclei_models.analysis.measurements import measure
from nuclei_models.images.reader import read
from nuclei_models.inference.network import Network
from nuclei_models.inference.segmentation import segment
from nuclei_models.page import inputs, numbers, pictures
from nuclei_models.page.geometry import packed
from nuclei_models.page.networks import Networks
from nuclei_models.page.opened import Picture
from nuclei_models.page.state import Analysis
from tests.support.page import as_type, blobs

from .viewer import Edits
from .visitor import Visitor

FILES = {"old.tif": (1.0, 1.0), "new.tif": (0.1, 0.1), "oblong.tif": (0.5, 0.25), "stack.tif": None}
STACK, BROKEN = "stack.tif", "broken.tif"
Answer = tuple[np.ndarray, dict[str, np.ndarray]]  # labels and measurements
SLIDERS = ("threshold", "separation", "min_area")


def write_files(folder: Path) -> None:
    for seed, (name, size) in enumerate(FILES.items()):
        more: dict[str, Any] = {} if size is None else {"resolution": (1 / size[1], 1 / size[0])}
        pixels = [as_type(blobs(32, 36 + 6 * seed, spacing=10 + seed, seed=5 * seed + i), np.uint16) for i in range(6)]
        stack = np.stack(pixels).reshape(3, 2, *pixels[0].shape) if size is None else pixels[0]
        metadata = {"axes": "ZCYX"} if size is None else {"unit": "um"}
        tifffile.imwrite(folder / name, stack, imagej=True, metadata=metadata, **more)
    (folder / BROKEN).write_bytes(b"II*\0\x08\0\0\0")


def settings_of(analysis: Any) -> tuple:
    """What the networks were run with: diameter, test-time augmentation, level."""
    assert isinstance(analysis, Analysis)
    return analysis.settings.diameter, analysis.settings.tta, analysis.settings.level


def once(predict: Callable) -> Callable:
    """`Network.predict`, run only for what it hasn't been asked yet."""
    known: dict[tuple, Any] = {}

    def remembered(network, image, settings, pixel_size=None, progress=None, check_scale=None):
        key = network.sha256, image.shape, image.dtype.str, image.tobytes(), settings, pixel_size
        if key not in known:
            known[key] = predict(network, image, settings, pixel_size, progress, check_scale)
        elif progress is not None:
            progress(1, 1)  # the page looks here whether anybody still waits
        return known[key]

    return remembered


class Library:
    """The library's answers.

    Args:
        networks: The page's.
        folder: Where `write_files` wrote the images.
    """

    def __init__(self, networks: Networks, folder: Path):
        self.networks, self.folder = networks, folder
        self.fitted = inputs.defaults(networks)
        self.pixels, self._measured = cache(self._read), cache(self._measure)
        self.predict = once(Network.predict)  # for the page, in place of it

    def _read(self, file: str, plane: tuple) -> np.ndarray:
        z, channel = plane
        return read(self.folder / file, z=z, channel=channel).pixels

    def _measure(self, file: str, plane: tuple, settings: tuple, cut: tuple, key: str, size: Any) -> tuple:
        (diameter, tta, level), network, pixels = settings, self.networks[key], self.pixels(file, plane)
        given = dict(zip(SLIDERS, cut, strict=True)) | {"diameter": diameter, "tta": tta, "pixel_size": FILES[file]}
        labels = segment(pixels, network.at(level), network.processor, **given).labels
        return labels, measure(labels, pixels, size)

    def wanted(self, picture: Picture, settings: tuple, v: dict, key: str, edits: Edits) -> Answer:
        """For these values of the controls, mended."""
        assert picture.source is not None
        file = Path(picture.source.path).name
        planes = [(z, c) for z in range(3) for c in range(2)] if file == STACK else [(None, None)]
        plane = next(p for p in planes if np.array_equal(self.pixels(file, p), picture.pixels))
        return self.answer(file, plane, settings, v, key, edits)

    def answer(self, file: str, plane: tuple, settings: tuple, v: dict, key: str, edits: Edits) -> Answer:
        """For these values of the controls, mended.

        Args:
            plane: Z plane and channel.
            settings: See `settings_of`.
        """
        cut = tuple(None if v[name] == self.fitted[name] else v[name] for name in SLIDERS)
        stored, typed = FILES[file], v["pixel_size"]
        size = None if not typed else stored if stored and typed == stored[1] else (typed, typed)
        labels, table = self._measured(file, plane, settings, cut, key, size)
        done = edits.get(key, ([], []))[0]
        if not done:
            return labels, table
        history = History.begin(labels, [Edit.from_json(edit, labels.shape) for edit in done])
        numbers = np.setdiff1d(history.labels, 0)
        dense = np.searchsorted(numbers, history.labels) + 1
        table = measure(np.where(history.labels > 0, dense, 0).astype(np.int32), self.pixels(file, plane), size)
        mended = np.isin(numbers, list(history.mended)).astype(np.uint8)
        return history.labels, table | {"label": numbers, "mended": mended}


def check(visitor: Visitor, held: dict[str, tuple]) -> None:
    """Nothing that is seen is of another image than the one that is shown.

    Args:
        held: What the page's store holds, by its keys.
    """
    seen = visitor.seen
    if seen is None or seen["of"] not in held:
        return
    shown = held[seen["of"]][1]
    if isinstance(shown, Analysis):
        assert isinstance(shown.picture, Picture)
        assert inputs.as_html(shown.picture.about) == visitor.values["note"], "a result under another image's note"
    elif visitor.values["summary"]:
        raise AssertionError("numbers beside an image that has no result")


def check_quiet(visitor: Visitor, held: dict[str, tuple], library: Library) -> bool:
    """All has come to rest: what is seen is what the library gives for exactly what stands on the page.

    -> Whether there was a result.
    """
    v, seen = visitor.values, visitor.seen
    if visitor.file is None or visitor.file == BROKEN:
        assert seen is None and v["result"] == "" and v["summary"] == ""
        return False
    assert visitor.file == file_of(visitor, held) and seen is not None
    shown = held[seen["of"]][1]
    picture = shown.picture if isinstance(shown, Analysis) else shown
    plane = (v["z"] - 1, v["channel"]) if visitor.file == STACK else (None, None)
    assert np.array_equal(picture.pixels, library.pixels(visitor.file, plane)), "another plane than was chosen"
    if not v["result"]:
        assert not visitor.is_sure and isinstance(shown, Picture)
        assert v["summary"] == "" and v["table"] == {}
        return False
    assert v["result"] == seen["of"] and isinstance(shown, Analysis)
    used = settings_of(shown)
    assert used == visitor.asked[-1] if visitor.is_sure else used in visitor.asked
    for i, key in enumerate(("unet", "unetpp")):
        labels, table = library.wanted(picture, used, v, key, visitor.edits_of(v["result"]))
        assert seen["networks"][i]["key"] == key
        assert seen["networks"][i]["geometry"] == packed(labels), "other nuclei are drawn"
        check_table(json.loads(v["table"]["rows"]), i, table, bool(v["pixel_size"]))
        assert f"<td>{len(table['area_px']):,}</td>" in v["summary"]
    assert visitor.viewer["bases"] == pictures.preview(picture)[1]
    return True


def check_table(shown: dict, network: int, wanted: dict[str, np.ndarray], in_um: bool) -> None:
    """The page's table of one network's nuclei."""
    columns, rows = shown["columns"], np.array(shown["networks"][network]["rows"], float)
    assert len(rows) == len(wanted["area_px"])
    for name, title in numbers.COLUMNS.items():
        if title in columns and name in wanted:
            column = rows[:, columns.index(title)] if len(rows) else np.zeros(0)
            assert np.allclose(column, wanted[name], rtol=1e-4), name
    assert ("area (µm²)" in columns) == in_um


def file_of(visitor: Visitor, held: dict[str, tuple]) -> str | None:
    source = held.get(visitor.values["source"])
    return Path(source[1].path).name if source else None


def check_zip(data: bytes, stem: str, used: tuple, answers: dict[str, Answer]) -> None:
    """The zip of everything that is made of an image.

    Args:
        stem: Of the names in it.
        used: See `settings_of`.
        answers: The library's, by network.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        readme = archive.read("README.txt").decode()
        for key, (labels, table) in answers.items():
            assert np.array_equal(tifffile.imread(io.BytesIO(archive.read(f"{stem}_{key}_labels.tif"))), labels)
            rows = list(csv.DictReader(io.StringIO(archive.read(f"{stem}_{key}_measurements.csv").decode())))
            assert [int(row["label"]) for row in rows] == table["label"].tolist()
            assert np.allclose([float(row["area_px"]) for row in rows], table["area_px"])
            assert [int(row.get("mended", 0)) for row in rows] == table.get("mended", np.zeros(len(rows))).tolist()
            if "area_um2" in table:
                assert np.allclose([float(row["area_um2"]) for row in rows], table["area_um2"], rtol=1e-4)
            else:
                assert not rows or "area_um2" not in rows[0]
    assert f"nuclear diameter given, pixels: {used[0] or 'automatic'}" in readme
    assert f"test-time augmentation: {'yes' if used[1] else 'no'}" in readme
