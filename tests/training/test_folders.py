"""Reading people's folders: every layout gives the same images and nuclei, and what is wrong is said with its file."""

import io
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import roifile
import tifffile
from PIL import Image

from nuclei_models.analysis.measurements import measure
from nuclei_models.images.label_images import to_labels
from nuclei_models.output import export
from nuclei_models.training.reading import Data, read_folder
from nuclei_models.training.samples import DataError

SIZE = (60, 80)


def field(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """An image and its labels: discs, of which two touch."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(SIZE, np.int32)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    for number, (cy, cx) in enumerate(((15, 14), (15, 27), (42, 20 + seed), (30, 60)), 1):
        labels[np.hypot(y - cy, x - cx) < 6.6] = number
    image = ((labels > 0) * 150 + rng.integers(0, 50, SIZE)).astype(np.uint8)
    return image, labels


FIELDS = {name: field(seed) for seed, name in enumerate(("a", "b"))}


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        Image.fromarray(pixels.astype(np.uint16) if pixels.dtype == np.int32 else pixels).save(path)
    else:
        tifffile.imwrite(path, pixels.astype(np.uint16) if pixels.dtype == np.int32 else pixels)


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def seg_npy(labels: np.ndarray, protocol: int = 4, more: object = None) -> bytes:
    content = {"masks": labels.astype(np.uint16), "outlines": labels * 0, "filename": Path("x"), "more": more}
    content["est_diam"] = np.float64(13.0)
    file = io.BytesIO()
    array = np.array(content, dtype=object)
    np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
    pickle.dump(array, file, protocol=protocol)
    return file.getvalue()


def bowl(root: Path, name: str, image: np.ndarray, labels: np.ndarray) -> None:
    save(root / name / "images" / f"{name}.png", image)
    for number in range(1, labels.max() + 1):
        save(root / name / "masks" / f"{number:04}.png", ((labels == number) * 255).astype(np.uint8))


def cell(ring: np.ndarray) -> dict:
    """A QuPath cell, whose own outline is larger than its nucleus."""
    outer = (ring - ring.mean(0)) * 1.5 + ring.mean(0)
    geometry = {"type": "Polygon", "coordinates": [outer.tolist()]}
    nucleus = {"type": "Polygon", "coordinates": [ring.tolist()]}
    return {"type": "Feature", "geometry": geometry, "nucleusGeometry": nucleus, "properties": {"objectType": "cell"}}


def cells(labels: np.ndarray) -> bytes:
    region = {"type": "Polygon", "coordinates": [[[0, 0], [80, 0], [80, 60], [0, 60], [0, 0]]]}
    annotation = {"type": "Feature", "geometry": region, "properties": {"objectType": "annotation"}}
    features = [annotation, *(cell(outline.ring) for outline in export.outlines(labels))]
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


LAYOUTS = {
    "images and labels": lambda r, n, i, t: (save(r / f"images/{n}.tif", i), save(r / f"labels/{n}.png", t)),
    "images and masks": lambda r, n, i, t: (save(r / f"images/{n}.png", i), save(r / f"masks/{n}_mask.tif", t)),
    "within": lambda r, n, i, t: (save(r / f"set/images/x/{n}.png", i), save(r / f"set/labels/x/{n}.tif", t)),
    "_labels": lambda r, n, i, t: (save(r / f"{n}.tif", i), save(r / f"{n}_labels.tif", t)),
    "_masks": lambda r, n, i, t: (save(r / f"{n}.tif", i), save(r / f"{n}_masks.tif", t)),
    "_cp_masks": lambda r, n, i, t: (save(r / f"{n}.tif", i), save(r / f"{n}_cp_masks.png", t)),
    "_seg.npy": lambda r, n, i, t: (save(r / f"{n}.tif", i), write(r / f"{n}_seg.npy", seg_npy(t))),
    "old pickles": lambda r, n, i, t: (save(r / f"{n}.tif", i), write(r / f"{n}_seg.npy", seg_npy(t, 2))),
    "new pickles": lambda r, n, i, t: (save(r / f"{n}.tif", i), write(r / f"{n}_seg.npy", seg_npy(t, 5))),
    "the Bowl": bowl,
    "one label image under masks": lambda r, n, i, t: (
        save(r / n / f"images/{n}.png", i),
        save(r / n / "masks/all.png", t),
    ),
    "ROIs": lambda r, n, i, t: (save(r / f"{n}.tif", i), write(r / f"{n}_rois.zip", export.roi_zip(t))),
    "RoiSet": lambda r, n, i, t: (save(r / f"{n}.tif", i), write(r / f"{n}_RoiSet.zip", export.roi_zip(t))),
    "GeoJSON": lambda r, n, i, t: (save(r / f"{n}.tif", i), write(r / f"{n}.geojson", export.geojson(t, measure(t)))),
    "QuPath's cells": lambda r, n, i, t: (save(r / f"{n}.tif", i), write(r / f"{n}.geojson", cells(t))),
    "the command line": lambda r, n, i, t: (
        save(r / f"pictures/{n}.png", i),
        write(r / f"results/{n}_png_labels.tif", export.label_tiff(t)),
        save(r / f"results/{n}_png_overlay.png", i),
    ),
    "the page": lambda r, n, i, t: (
        save(r / f"{n}.png", i),
        write(r / f"{n}.png_unetpp_labels.tif", export.label_tiff(t)),
    ),
}


def lay(root: Path, layout: str) -> Path:
    for name, (image, labels) in FIELDS.items():
        LAYOUTS[layout](root, name, image, labels)
    return root


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_images_and_nuclei(tmp_path, layout):
    data = read_folder(lay(tmp_path, layout))
    assert [Path(s.id).name for s in data.samples] == ["a", "b"]
    for sample, (image, labels) in zip(data.samples, FIELDS.values(), strict=True):
        assert sample.image.dtype == np.uint8 and (sample.image == image).all()
        assert (sample.labels == labels).all() and sample.labels.dtype == np.int32
    assert sum(data.kinds.values()) == 2 and data.nuclei == 8
    told = " ".join(data.notes)
    assert ("one label image of 4 nuclei" in told) == (layout == "one label image under masks")
    assert ("1 object(s)" in told) == (layout == "QuPath's cells")


@pytest.mark.parametrize("says_so", [True, False])
def test_of_a_stack_the_same_plane_of_image_and_labels_is_taken(tmp_path, says_so):
    """Also where the labels' file doesn't say that its pages are Z planes."""
    image, labels = FIELDS["a"]
    planes = np.stack([labels * 0, labels[::-1], labels[:, ::-1], labels * 0, labels]).astype(np.uint16)
    stack = np.stack([image * 0, image[::-1], image[:, ::-1], image * 0, image])
    tifffile.imwrite(tmp_path / "x.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    options = {"imagej": True, "metadata": {"axes": "ZYX"}} if says_so else {"metadata": None}
    tifffile.imwrite(tmp_path / "x_labels.tif", planes, photometric="minisblack", **options)
    data = read_folder(tmp_path)
    assert (data.samples[0].image == stack[2]).all() and (data.samples[0].labels == to_labels(planes[2], "")).all()
    save(tmp_path / "x_labels.tif", planes[2].astype(np.int32))
    data = read_folder(tmp_path)
    assert data.samples[0].labels.max() == 4
    assert "x_labels.tif: It is a single plane, taken for the one of x.tif that is used." in data.notes
    tifffile.imwrite(tmp_path / "x_labels.tif", planes[:4], imagej=True, metadata={"axes": "ZYX"})
    with pytest.raises(
        DataError, match=r"x_labels.tif: It has 1 time point\(s\) and 4 Z plane\(s\), but its image x.tif"
    ):
        read_folder(tmp_path)


def test_ovals_rectangles_and_composites_are_nuclei_and_lines_are_not(tmp_path):
    save(tmp_path / "a.tif", FIELDS["a"][0])
    corners = {"left": 10, "top": 20, "right": 20, "bottom": 26, "n_coordinates": 0}
    rect = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.RECT, **corners)
    oval = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.OVAL, **corners | {"left": 40, "right": 50})
    line = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.LINE, x1=0, y1=0, x2=5, y2=5)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, roi in (("r", rect), ("o", oval), ("l", line)):
            archive.writestr(f"{name}.roi", roi.tobytes())
    data = read_folder(tmp_path)
    labels = data.samples[0].labels
    assert (labels[20:26, 10:20] == 1).all() and (labels == 1).sum() == 60
    assert 40 <= (labels == 2).sum() <= 52 and labels[23, 45] == 2
    assert "a.zip: 1 line(s) or point(s)" in " ".join(data.notes)


def read_ids(root: Path) -> tuple[dict[str, str], str]:
    """Of which of `FIELDS` each image has the labels, by id; and the notes."""
    data = read_folder(root)
    whose = {s.id: next(n for n, (_, labels) in FIELDS.items() if (labels == s.labels).all()) for s in data.samples}
    return whose, " ".join(data.notes)


def test_of_several_images_of_one_name_each_takes_its_own_truth(tmp_path):
    for day, (image, labels) in zip(("day1", "day2"), FIELDS.values(), strict=True):
        save(tmp_path / f"pictures/{day}/x.tif", image)
        write(tmp_path / f"results/{day}/x_labels.tif", export.label_tiff(labels))
    assert read_ids(tmp_path)[0] == {"pictures/day1/x": "a", "pictures/day2/x": "b"}


def test_the_truth_of_one_image_is_not_taken_for_another_of_its_name(tmp_path):
    for name, (image, labels) in FIELDS.items():
        save(tmp_path / f"{name}/x.tif", image)
        save(tmp_path / f"{name}/x_labels.tif", labels)
    (tmp_path / "b/x_labels.tif").unlink()
    whose, notes = read_ids(tmp_path)
    assert whose == {"a/x": "a"} and "1 image(s) without truth are left out: b/x.tif." in notes


def test_a_truth_that_may_be_that_of_two_images_is_nobodys(tmp_path):
    for name, (image, _) in FIELDS.items():
        save(tmp_path / f"{name}/x.tif", image)
    save(tmp_path / "results/x_labels.tif", FIELDS["a"][1])
    with pytest.raises(DataError, match="no image with its truth"):
        read_folder(tmp_path)
    save(tmp_path / "c/y.tif", FIELDS["b"][0])
    save(tmp_path / "c/y_labels.tif", FIELDS["b"][1])
    whose, notes = read_ids(tmp_path)
    assert whose == {"c/y": "b"} and "the truth found may be another's" in notes and "a/x.tif, b/x.tif" in notes


def test_a_picture_beside_the_image_of_its_name_has_no_truth(tmp_path):
    lay(tmp_path, "_labels")
    save(tmp_path / "a_raw.tif", FIELDS["b"][0])
    whose, notes = read_ids(tmp_path)
    assert whose == {"a": "a", "b": "b"} and "1 image(s) without truth are left out: a_raw.tif." in notes


def test_links_to_folders_are_followed_once(tmp_path):
    lay(tmp_path / "elsewhere", "images and labels")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/data").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/again").symlink_to(tmp_path / "mine")
    assert read_ids(tmp_path / "mine")[0] == {"data/images/a": "a", "data/images/b": "b"}


@pytest.mark.parametrize(
    ("image", "truth"),
    [
        ("x.ome.tif", "x_labels.tif"),
        ("x.ome.tif", "x.ome_labels.tif"),
        ("x.tif", "x_labels.ome.tif"),
        ("x.png", "x.png_both_labels.tif"),  # what the page writes where both networks agree
        ("images/x_label.tif", "labels/x_label.tif"),
        ("X.TIF", "x_labels.tif"),
        ("000_img.png", "000_masks.png"),  # as Cellpose has them
    ],
)
def test_names_that_belong_together(tmp_path, image, truth):
    for name, pixels in ((image, FIELDS["a"][0]), (truth, FIELDS["a"][1])):
        save(tmp_path / name, pixels)
    assert list(read_ids(tmp_path)[0].values()) == ["a"]


class Evil:
    """What a pickle may do to its reader."""

    def __reduce__(self):
        return os.mkdir, ("pickled",)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_seg_npy_runs_nothing(tmp_path, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    image, labels = FIELDS["a"]
    save(tmp_path / "set/a.tif", image)
    write(tmp_path / "set/a_seg.npy", seg_npy(labels, protocol, Evil()))
    assert (read_folder(tmp_path / "set").samples[0].labels == labels).all()
    assert not (tmp_path / "pickled").exists()


def test_a_folder_that_holds_no_pair_is_told_what_is_expected(tmp_path):
    with pytest.raises(DataError, match=r"nowhere is no folder"):
        read_folder(tmp_path / "nowhere")
    save(tmp_path / "a.tif", FIELDS["a"][0])
    with pytest.raises(DataError, match=r"1 image\(s\) \(a\.tif\) and 0 file\(s\) .*expected images/ with labels/"):
        read_folder(tmp_path)


def refused(tmp_path: Path, labels: np.ndarray, image: np.ndarray | None = None, name: str = "a_labels.tif") -> str:
    save(tmp_path / "a.tif", FIELDS["a"][0] if image is None else image)
    save(tmp_path / name, labels)
    with pytest.raises(DataError) as error:
        read_folder(tmp_path)
    return str(error.value)


def test_what_is_wrong_is_said_with_its_file(tmp_path):
    image, labels = FIELDS["a"]
    told = refused(tmp_path, labels[:50])
    assert "a_labels.tif: It is 50 x 80 pixels (height x width), but its image a.tif is 60 x 80" in told
    assert "turned by 90 degrees" in refused(tmp_path, labels.T)
    assert "a_labels.tif: Its values aren't whole" in refused(tmp_path, labels + np.float32(0.5))
    assert "a_labels.tif: It has values below 0" in refused(tmp_path, labels.astype(np.int16) - 2)
    assert "There is no nucleus in the truth" in refused(tmp_path, labels * 0)
    spoilt = image.astype(np.float32)
    spoilt[0, 0] = np.nan
    assert "a.tif: It holds values that are not a number" in refused(tmp_path, labels, spoilt)
    assert "a.tif: All of its pixels are 7" in refused(tmp_path, labels, image * 0 + 7)
    assert "expected at least 32" in refused(tmp_path, labels[:20], image[:20])


def test_a_colour_picture_of_labels_is_refused_and_grey_or_indexed_ones_are_not(tmp_path):
    image, labels = FIELDS["a"]
    write(tmp_path / "a_labels.png", export.coloured_png(labels))
    save(tmp_path / "a.tif", image)
    with pytest.raises(DataError, match=r"a_labels\.png: It is a colour picture of labels \(5 colours\)"):
        read_folder(tmp_path)
    save(tmp_path / "a_labels.png", np.repeat(labels[..., None], 3, 2).astype(np.uint8))
    assert (read_folder(tmp_path).samples[0].labels == labels).all()
    indexed = Image.fromarray(labels.astype(np.uint8))
    indexed.putpalette(np.random.default_rng(0).integers(0, 255, 768, np.uint8).tobytes())
    indexed.save(tmp_path / "a_labels.png")
    data = read_folder(tmp_path)
    assert (data.samples[0].labels == labels).all() and "palette" in " ".join(data.notes)


def test_labels_in_a_jpeg_are_refused(tmp_path):
    save(tmp_path / "a.tif", FIELDS["a"][0])
    Image.fromarray((FIELDS["a"][1] * 40).astype(np.uint8)).save(tmp_path / "a_labels.jpg")
    with pytest.raises(DataError, match=r"a_labels\.jpg: It is a JPEG"):
        read_folder(tmp_path)


@pytest.mark.parametrize("value", [1, 255])
def test_a_mask_of_all_nuclei_is_offered_as_its_parts(tmp_path, value):
    _, labels = FIELDS["a"]
    mask = ((labels > 0) * value).astype(np.uint8)
    told = refused(tmp_path, mask)
    assert "1 file is a mask" in told and "would make 3 nuclei" in told and "--binary-masks" in told
    assert f"a_labels.tif (0 and {value}: 3 parts)" in told
    data = read_folder(tmp_path, binary_masks=True)
    assert data.samples[0].labels.max() == 3 and "3 in all" in " ".join(data.notes)


def test_classes_of_pixels_are_no_nuclei(tmp_path):
    y, x = np.mgrid[:60, :80]
    classes = np.where((y % 12 < 6) & (x % 12 < 6), 1 + (x // 12) % 2, 0).astype(np.uint8)
    assert "seem to be classes" in refused(tmp_path, classes)


def test_one_nucleus_alone_is_a_label_image(tmp_path):
    image, labels = FIELDS["a"]
    save(tmp_path / "a.tif", image)
    save(tmp_path / "a_labels.tif", ((labels == 4) * 255).astype(np.uint8))
    assert read_folder(tmp_path).samples[0].labels.max() == 1


def test_what_is_left_out_is_said(tmp_path):
    lay(tmp_path, "_labels")
    save(tmp_path / "c.tif", FIELDS["a"][0])
    save(tmp_path / "d_labels.tif", FIELDS["a"][1])
    save(tmp_path / "a_cp_masks.png", FIELDS["a"][1])
    write(tmp_path / "b_rois.zip", export.roi_zip(FIELDS["b"][1]))
    told = " ".join(read_folder(tmp_path).notes)
    assert "1 image(s) without truth are left out: c.tif." in told
    assert "1 file(s) of truth belong to no image and are left out: d_labels.tif." in told
    assert "b.tif: b_labels.tif is taken for its truth, and not b_rois.zip." in told
    assert "a.tif: a_cp_masks.png is taken for its truth, and not a_labels.tif." in told


def test_what_was_corrected_later_is_taken(tmp_path):
    image, labels = FIELDS["a"]
    save(tmp_path / "x.tif", image)
    write(tmp_path / "x_labels.tif", export.label_tiff(labels * (labels < 3)))
    write(tmp_path / "x_rois.zip", export.roi_zip(labels))
    assert read_folder(tmp_path).nuclei == 2, "written together: the label image"
    hour = (tmp_path / "x_labels.tif").stat().st_mtime - 3600
    os.utime(tmp_path / "x_labels.tif", (hour, hour))
    data = read_folder(tmp_path)
    assert data.nuclei == 4
    assert "x_rois.zip is taken for its truth (it was changed last), and not x_labels.tif" in " ".join(data.notes)


def test_an_image_without_nuclei_and_a_numbered_background_are_told_of(tmp_path):
    lay(tmp_path, "_labels")
    save(tmp_path / "a_labels.tif", FIELDS["a"][1] * 0)
    assert "a_labels.tif: It has no nucleus." in " ".join(read_folder(tmp_path).notes)
    labels = np.ones(SIZE, np.int32)
    save(tmp_path / "a_labels.tif", labels)
    assert "background may have been numbered" in " ".join(read_folder(tmp_path).notes)


def test_many_nuclei_none_of_which_touches_another_are_strange(tmp_path):
    y, x = np.mgrid[:96, :96]
    labels = np.where((y % 10 < 6) & (x % 10 < 6), y // 10 * 10 + x // 10 + 1, 0).astype(np.int32)
    save(tmp_path / "a.tif", (labels > 0).astype(np.uint8) * 100)
    save(tmp_path / "a_labels.tif", labels)
    assert "None of the 100 nuclei touches another" in " ".join(read_folder(tmp_path).notes)


def test_every_problem_is_told_at_once(tmp_path):
    for name in "abc":
        save(tmp_path / f"{name}.tif", FIELDS["a"][0])
        save(tmp_path / f"{name}_labels.tif", FIELDS["a"][1][:40])
    write(tmp_path / "d_seg.npy", b"\x93NUMPY\x01\x00")
    save(tmp_path / "d.tif", FIELDS["a"][0])
    with pytest.raises(DataError) as error:
        read_folder(tmp_path)
    assert len(str(error.value).splitlines()) == 4 and "d_seg.npy" in str(error.value)


def test_the_hash_tells_data_apart(tmp_path):
    first = read_folder(lay(tmp_path / "1", "_labels"))
    assert first.sha256() == read_folder(lay(tmp_path / "2", "ROIs")).sha256()
    save(tmp_path / "1/b_labels.tif", FIELDS["a"][1])
    assert read_folder(tmp_path / "1").sha256() != first.sha256()
    assert isinstance(first, Data) and first.folder == "1"
