"""Two label images compared, and `nuclei compare`: figures, pairs, and what has none."""

import csv
from importlib import import_module

import numpy as np
import pytest
import tifffile
from PIL import Image

from nuclei_models.analysis.comparison import compare
from nuclei_models.images.label_images import read_label_planes, read_labels
from nuclei_models.images.reader import ImageError


def squares(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    labels = np.zeros((40, 40), np.uint16)
    for number, (top, left, bottom, right) in enumerate(boxes, 1):
        labels[top:bottom, left:right] = number
    return labels


TRUE = squares((0, 0, 10, 10), (20, 0, 30, 10), (0, 20, 10, 40), (20, 20, 30, 30))
FOUND = squares(
    (0, 0, 10, 10), (20, 0, 30, 7), (0, 20, 10, 30), (0, 30, 10, 40)
)  # same, smaller, split in two; one lost


def test_figures_of_two_label_images():
    figures = compare(TRUE, FOUND)
    assert {name: value for name, value in figures.items() if isinstance(value, int)} == {
        "a": 4, "b": 4, "both": 2, "only_a": 1, "only_b": 0, "split_a": 1, "split_b": 2,
    }  # fmt: skip
    assert figures["iou"] == pytest.approx(370 / 500) and figures["dice"] == pytest.approx(740 / 870)
    # at .5 the whole and one of its halves pair too: an IoU of exactly .5 is reached, but not exceeded
    assert figures["ap_50"] == pytest.approx(3 / 5) and figures["ap_75"] == pytest.approx(1 / 7)
    assert figures["bowl_map"] == pytest.approx((4 * 2 / 6 + 6 * 1 / 7) / 10, abs=1e-6)
    assert figures["f1"] == pytest.approx(6 / 8) and figures["pq"] == pytest.approx((1 + 0.7 + 0.5) / 4)
    assert compare(TRUE, TRUE)["pq"] == compare(TRUE * 0, TRUE * 0)["ap_95"] == 1


def test_compare_two_files_and_two_folders(nuclei, tmp_path):
    for side, labels in (("a", TRUE), ("b", FOUND)):
        for name in ("x", "deep/y"):
            path = tmp_path / side / f"{name}_labels.{'png' if side == 'a' else 'tif'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(labels if name == "x" else TRUE).save(path)
    Image.fromarray(TRUE.astype(np.uint8)).save(tmp_path / "b" / "x_overlay.png")  # no label image
    code, printed = nuclei("compare", "a/x_labels.png", "b/x_labels.tif")
    assert code == 0 and "IoU 0.740" in printed
    code, printed = nuclei("compare", "a", "b", "--out", "out")
    assert code == 0 and "all" in printed
    text = (tmp_path / "out" / "comparison.csv").read_text()
    rows = {row["image"]: row for row in csv.DictReader(text.splitlines())}
    assert sorted(rows) == ["all", "deep/y", "x"]
    assert rows["all"]["a"] == "8" and float(rows["all"]["iou"]) == pytest.approx((1 + 0.74) / 2)
    assert rows["deep/y"]["pq"] == "1.0"


def test_compare_tells_of_what_has_no_partner_or_fails(nuclei, tmp_path):
    for side in "ab":
        (tmp_path / side).mkdir()
        Image.fromarray(TRUE).save(tmp_path / side / "x.png")
    Image.fromarray(TRUE).save(tmp_path / "a" / "only.png")
    Image.fromarray(TRUE).save(tmp_path / "a" / "size.png")
    Image.fromarray(TRUE[:20]).save(tmp_path / "b" / "size.png")
    code, printed = nuclei("compare", "a", "b")
    assert code == 1 and "1 only in A: only" in printed and "failed: size: Label images of shapes" in printed
    code, printed = nuclei("compare", "a", "b/x.png")
    assert code == 2 and "two files or two folders" in printed


def test_compare_goes_on_past_an_image_that_fails_for_any_reason(nuclei, tmp_path, monkeypatch):
    for side in "ab":
        (tmp_path / side).mkdir()
        for name in ("w", "x", "y", "z"):
            Image.fromarray(TRUE).save(tmp_path / side / f"{name}.png")
    reasons = {"w": MemoryError(), "x": RuntimeError("a codec's own"), "y": OSError(5, "Input/output error")}

    def fails(path):
        if path.parent.name == "b" and path.stem in reasons:
            raise reasons[path.stem]
        return read_label_planes(path)

    monkeypatch.setattr(import_module("nuclei_cli.compare"), "read_label_planes", fails)
    code, printed = nuclei("compare", "a", "b", "--out", "out")
    assert code == 1 and "Traceback" not in printed
    assert "failed: w: They don't fit into the memory" in printed
    assert "failed: x: RuntimeError: a codec's own" in printed and "failed: y: [Errno 5]" in printed
    rows = list(csv.DictReader((tmp_path / "out" / "comparison.csv").read_text().splitlines()))
    assert [row["image"] for row in rows] == ["z", "all"]


@pytest.mark.parametrize(
    "labels, words",
    [
        (np.zeros((4, 4, 3), np.uint8), "colours"),
        (np.full((4, 4), 0.5, np.float32), "aren't whole"),
        (np.full((4, 4), -1, np.int16), "below 0"),
    ],
)
def test_what_is_no_label_image(tmp_path, labels, words):
    tifffile.imwrite(tmp_path / "x.tif", labels, photometric="rgb" if labels.ndim == 3 else "minisblack")
    with pytest.raises(ImageError, match=words):
        read_labels(tmp_path / "x.tif")


def test_label_numbers_may_have_gaps_and_any_type(tmp_path):
    for dtype in (np.uint8, np.uint32, np.float32):
        tifffile.imwrite(tmp_path / "x.tif", (np.eye(3) * [7, 0, 200]).astype(dtype))
        assert read_labels(tmp_path / "x.tif").diagonal().tolist() == [1, 0, 2]
    tifffile.imwrite(tmp_path / "x.tif", np.array([[3, 4]], np.uint8))  # no background
    assert read_labels(tmp_path / "x.tif").tolist() == [[1, 2]]
