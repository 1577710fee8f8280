"""The page in a real Chromium: what a visitor does, from the upload to the files."""

import csv
import io
import json
import re
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import roifile
import tifffile
from PIL import Image
from playwright.sync_api import Page, expect

from benchmarks.screenshots import PHONE, WIDE, choose, pick_nucleus, try_example
from nuclei_models.images.reader import read
from nuclei_models.inference.bundled import DEFAULT_KEY
from nuclei_models.inference.segmentation import segment
from nuclei_models.page import inputs, opening
from nuclei_models.page.examples import find_examples
from nuclei_models.page.layout import build, launch
from nuclei_models.page.networks import Networks
from tests.support.browser import TIMEOUT, counts, move, redrawn, run, upload, wanted
from tests.support.page import as_type, blobs, make_networks, write_inputs


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def networks(folder) -> Networks:
    return make_networks(folder)


@pytest.fixture(scope="module")
def files(folder) -> dict[str, Path]:
    (folder / "inputs").mkdir()
    return write_inputs(folder / "inputs")


@pytest.fixture(scope="module")
def url(networks, folder) -> Iterator[str]:
    pixels = (blobs() * 255).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "cells.png")
    truth = segment(pixels, networks["unet"].model, networks["unet"].processor).labels
    Image.fromarray(truth.astype(np.uint16)).save(folder / "cells_labels.png")
    Image.fromarray(pixels[:128]).save(folder / "half.png")
    listed = [{"name": "cells", "title": "Cells"}, {"name": "half", "title": "Half of them"}]
    (folder / "examples.json").write_text(json.dumps(listed))
    blocks = build(networks, find_examples(folder))
    _, url, _ = launch(blocks, prevent_thread_lock=True, quiet=True)
    yield url
    blocks.close()


@pytest.fixture
def page(chromium, url) -> Iterator[Page]:
    """A fresh visitor, on the page. Fails on any script error and on any request that leaves the machine."""
    context = chromium.new_context(viewport=WIDE, accept_downloads=True)
    context.set_default_timeout(TIMEOUT)
    page = context.new_page()
    errors: list[str] = []
    outside: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda r: outside.append(r.url) if not r.url.startswith((url, "data:", "blob:")) else None)
    page.goto(url)
    page.locator("#run").wait_for()
    yield page
    context.close()
    assert errors == []
    assert outside == []


def test_every_input_type(page, files, networks):
    """All at once, as a set; one alone is read by the same function."""
    page.locator("#file input[type=file]").set_input_files(list(files.values()))
    expect(page.locator(".nm-card")).to_have_count(len(files))
    page.locator("#run-all").click()
    expect(page.locator("#status")).to_have_text(f"Done: {len(files)} of {len(files)} images.")
    for card, (kind, path) in zip(page.locator(".nm-count").all_inner_texts(), files.items(), strict=True):
        found = wanted(networks, read(path).pixels)
        assert card.split() == [str(found[0]), "·", str(found[1])], kind
        assert min(found) > 10, kind


def test_planes_are_chosen_and_said(page, files, networks):
    upload(page, files["ImageJ hyperstack"])
    expect(page.locator("#note")).to_contain_text("Z plane 2 of 3, channel 1 of 2")
    page.locator("#z input[type=range]").fill("3")
    expect(page.locator("#note")).to_contain_text("Z plane 3 of 3")
    page.locator("#channel input").click()
    page.get_by_role("option", name="2", exact=True).click()
    expect(page.locator("#note")).to_contain_text("channel 2 of 2")
    run(page)
    assert counts(page) == wanted(networks, read(files["ImageJ hyperstack"], z=2, channel=1).pixels)
    upload(page, files["OME-TIFF"])
    expect(page.locator("#note")).to_contain_text("channel 2 (DAPI) of 3")
    expect(page.locator("#pixel-size input")).to_have_value("0.5")
    expect(page.locator("#z")).not_to_be_visible()


def test_time_points_and_images_of_a_file_are_chosen(page, folder, networks):
    frames = np.stack([as_type(blobs(seed=seed), np.uint16) for seed in range(3)])
    path = folder / "film.tif"
    tifffile.imwrite(path, frames, imagej=True, metadata={"axes": "TYX"})
    upload(page, path)
    expect(page.locator("#note")).to_contain_text("time point 1 of 3")
    page.locator("#t input[type=range]").fill("3")
    expect(page.locator("#note")).to_contain_text("time point 3 of 3")
    run(page)
    assert counts(page) == wanted(networks, frames[2])

    path = folder / "two.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(as_type(blobs(), np.uint8))
        file.write(as_type(blobs(192, 224), np.uint8))
    upload(page, path)
    expect(page.locator("#note")).to_contain_text("256 x 256")
    page.locator("#series input").click()
    page.get_by_role("option").nth(1).click()
    expect(page.locator("#note")).to_contain_text("224 x 192")
    run(page)
    assert counts(page) == wanted(networks, read(path, series=1).pixels)


def test_compare_views_and_live_controls_run_no_network(page, url, networks):
    try_example(page, url, 0)
    runs = networks.runs
    choose(page, "Swipe")
    expect(page.locator(".nm-stage")).to_have_count(1)
    page.get_by_label("Swipe between U-Net and U-Net++").fill("20")
    choose(page, "Agreement")
    expect(page.locator(".nm-head")).to_contain_text(re.compile(r"\d+% of the nuclei are found by both"))
    expect(page.locator(".nm-legend")).to_contain_text("split differently")
    choose(page, "True mask")
    expect(page.locator(".nm-scores").nth(1)).to_contain_text("mean AP 1.000")
    choose(page, "Side by side")
    for paint in ("Probability", "Image only", "Filled"):
        choose(page, paint)
    page.locator(".nm-look summary").click()
    with redrawn(page):
        page.locator("#nm-opacity").fill("0.8")
    page.locator(".nm-look summary").click()
    choose(page, "Outlines")
    pixels = (blobs() * 255).astype(np.uint8)
    move(page, "threshold", 0.8)
    move(page, "min-area", 80)
    both = wanted(networks, pixels, threshold=0.8, min_area=80)
    expect(page.locator(".nm-title").first).to_contain_text(f"{both[0]} nuclei")
    expect(page.locator(".nm-title").last).to_contain_text(f"{both[1]} nuclei")
    move(page, "separation", 0.9)
    both = wanted(networks, pixels, threshold=0.8, min_area=80, separation=0.9)
    expect(page.locator(".nm-title").first).to_contain_text(f"{both[0]} nuclei")
    page.locator(".nm-look summary").click()
    for slider, value in (("gamma", 0.5), ("white", 95)):
        with redrawn(page):
            page.locator(f"#nm-{slider}").fill(str(value))
    assert networks.runs == runs


def test_table_and_pictures_are_linked(page, url):
    try_example(page, url, 0)
    pick_nucleus(page)
    expect(page.locator("#picked")).to_contain_text("U-Net nucleus 3")
    expect(page.locator(".nm-mark")).to_have_count(2)
    page.locator(".nm-table th button", has_text="area").click()
    expect(page.locator(".nm-table th[aria-sort=descending]")).to_contain_text("area")
    areas = [float(t.replace(",", "")) for t in page.locator(".nm-table tbody td:nth-child(2)").all_inner_texts()]
    assert areas == sorted(areas, reverse=True)
    stage = page.locator(".nm-stage").nth(1)
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    spot = page.locator(".nm-mark").nth(1).bounding_box()
    page.locator(".nm-table tbody tr").nth(7).press("Enter")
    expect(page.locator("#picked")).not_to_contain_text("nucleus 3:")
    assert box is not None and spot is not None
    middle = {"x": spot["x"] + spot["width"] / 2 - box["x"], "y": spot["y"] + spot["height"] / 2 - box["y"]}
    stage.click(position=middle)
    expect(page.locator("#picked")).to_contain_text("U-Net++ nucleus 3")
    expect(page.locator("tr[aria-selected=true] td").first).to_have_text("3")
    stage.click(position={"x": 2, "y": 2})
    expect(page.locator("#picked")).to_contain_text("No nucleus of U-Net++ there")
    expect(page.locator(".nm-mark")).to_have_count(0)


def test_every_download_opens(page, files, networks):
    upload(page, files["OME-TIFF"])
    run(page)
    move(page, "min-area", 80)
    page.get_by_role("tab", name="Download").click()
    network = networks[DEFAULT_KEY]
    pixels = read(files["OME-TIFF"]).pixels
    labels = segment(pixels, network.model, network.processor, min_area=80).labels

    def download(button: str) -> bytes:
        with page.expect_download() as waiting:
            page.locator(f"#download-{button}").click()
        return Path(waiting.value.path()).read_bytes()

    with tifffile.TiffFile(io.BytesIO(download("labels"))) as file:
        assert np.array_equal(file.asarray(), labels)
        assert file.pages[0].tags["XResolution"].value == (2, 1)
    for button in ("coloured", "overlay"):
        assert Image.open(io.BytesIO(download(button))).size == labels.shape[::-1]
    rows = list(csv.DictReader(io.StringIO(download("measurements").decode())))
    assert [float(row["area_um2"]) for row in rows] == pytest.approx(np.bincount(labels.ravel())[1:] / 4)
    with zipfile.ZipFile(io.BytesIO(download("rois"))) as archive:
        rois = [roifile.ImagejRoi.frombytes(archive.read(name)) for name in archive.namelist()]
    assert len(rois) == len(rows) == len(json.loads(download("qupath"))["features"]) == labels.max()
    assert network.sha256 in download("readme").decode()
    with zipfile.ZipFile(io.BytesIO(download("all"))) as archive:
        assert "cells.ome_unet_labels.tif" in archive.namelist()


def test_settings_of_the_run(page, url, networks):
    page.locator("#settings button").first.click()
    page.locator("#diameter input").wait_for()
    page.wait_for_timeout(500)  # the accordion's fields have just been made
    page.locator("#diameter input").fill("72")
    page.locator("#diameter input").press("Tab")
    page.locator("#level input").click()
    page.get_by_role("option", name="L1").click()
    page.get_by_label("Test-time augmentation").check()
    page.locator(".nm-example").first.click()
    page.locator(".nm-summary").wait_for()
    pixels = (blobs() * 255).astype(np.uint8)
    models = [networks["unet"].model, networks["unetpp"].at(1)]
    processor = networks["unet"].processor
    assert counts(page) == [segment(pixels, m, processor, diameter=72, tta=True).count for m in models]
    expect(page.locator(".nm-summary")).to_contain_text("72 px")


def test_cancel_and_then_run(page, files, networks, monkeypatch):
    running, go = threading.Event(), threading.Event()
    predict = networks.predict

    def slow(key, pixels, settings, progress=None, check=None, pixel_size=None):
        running.set()
        assert go.wait(TIMEOUT / 1000)
        return predict(key, pixels, settings, progress, check, pixel_size)

    monkeypatch.setattr(networks, "predict", slow)
    upload(page, files["PNG 8 bit"])
    page.locator("#run").click()
    assert running.wait(TIMEOUT / 1000)
    page.locator("#cancel").click()
    expect(page.locator("#status")).to_contain_text("Cancel")
    page.wait_for_timeout(300)
    go.set()
    expect(page.locator("#status")).to_contain_text("Cancelled")
    expect(page.locator(".nm-title", has_text="U-Net")).to_have_count(0)
    monkeypatch.undo()
    run(page)


def test_a_long_run_tells_its_tiles_and_leaves_the_page_usable(page, url, networks, monkeypatch):
    try_example(page, url, 0)
    running, go = threading.Event(), threading.Event()
    predict = networks.predict

    def slow(key, pixels, settings, progress=None, check=None, pixel_size=None):
        progress(1, 4)
        running.set()
        assert go.wait(TIMEOUT / 1000)
        return predict(key, pixels, settings, progress, check, pixel_size)

    monkeypatch.setattr(networks, "predict", slow)
    page.locator("#run").click()
    assert running.wait(TIMEOUT / 1000)
    expect(page.locator("#main")).to_contain_text("U-Net: 25%")
    move(page, "threshold", 0.8)
    choose(page, "Agreement")
    go.set()
    expect(page.locator("#status")).to_contain_text("Done")


BAD = (
    ("empty.tif", b"", "It is empty (0 bytes)"),
    ("<b>text.png", b"hello", "It is no image that is known here"),
    ("cut.tif", b"II*\0\x08\0\0\0", "damaged"),
)


def test_bad_files_are_told_in_a_sentence(page, folder):
    for name, content, said in BAD:
        (folder / name).write_bytes(content)
        page.locator("#file input[type=file]").set_input_files(folder / name)
        toast = page.locator("[data-testid=toast-body]", has_text=said)
        toast.wait_for()
        assert str(folder) not in toast.inner_text()
        assert "/tmp" not in toast.inner_text()
        if page.get_by_role("button", name="Clear").count():
            page.get_by_role("button", name="Clear").first.click()


def test_a_too_large_image_is_told_the_command_line(page, files, monkeypatch):
    expect(page.locator("#note")).to_contain_text("nuclei segment FILE --out DIR")
    for module in (inputs, opening):
        monkeypatch.setattr(module, "MAX_PIXELS", 1000)
    page.locator("#file input[type=file]").set_input_files(files["TIFF uint8"])
    expect(page.locator("#note")).to_contain_text("uint8.tif is 256 x 256 pixels")
    for place in ("#note", "[data-testid=toast-body]"):
        expect(page.locator(place)).to_contain_text("on your own computer: nuclei segment FILE --out DIR")
    page.locator("#run").click()
    expect(page.locator("[data-testid=toast-body]").last).to_contain_text("Choose an image first")


def test_nothing_to_segment_is_told(page):
    page.locator("#run").click()
    expect(page.locator("[data-testid=toast-body]")).to_contain_text("Choose an image first")


def test_phone_width_and_dark_mode(chromium, url):
    page = chromium.new_page(viewport=PHONE)
    page.set_default_timeout(TIMEOUT)
    try_example(page, f"{url}?__theme=dark", 0)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.evaluate("document.body.classList.contains('dark')")
    for part in (".nm-stage", ".nm-summary", ".nm-histogram", "#run", "#threshold"):
        box = page.locator(part).first.bounding_box()
        assert box is not None
        assert box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"], part
        assert box["width"] > 100, part
    ink = page.locator(".nm-summary td").last.evaluate("node => getComputedStyle(node).color")
    assert min(int(n) for n in re.findall(r"\d+", ink)[:3]) > 150
    for button in page.locator(".nm-mend button").all():  # none is cut off
        box = button.bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"]
    for width in (800, PHONE["width"]):  # the whole image stays whole
        page.set_viewport_size(PHONE | {"width": width})
        page.wait_for_function("""() => { const { stages, view, value } = document.querySelector('.nm-viewer').desk;
          return Math.abs(view.scale * value.width / stages[0].node.clientWidth - 1) < 0.01; }""")
    page.close()


def test_by_keyboard_and_with_labels(page, url):
    try_example(page, url, 0)
    stage = page.locator(".nm-stage").first
    stage.focus()
    page.keyboard.press("+")
    expect(page.locator(".nm-viewer")).to_have_attribute("data-zoom", "1.500")
    page.keyboard.press("0")
    expect(page.locator(".nm-viewer")).to_have_attribute("data-zoom", "1.000")
    page.locator("#threshold input[type=range]").focus()
    with redrawn(page):
        page.keyboard.press("PageUp")
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('#viewer img, .nm-example, #viewer button, #live input, .nm-stage')]
        .filter((node) => node.offsetParent && node.role !== 'presentation')
        .filter((node) => !(node.alt || node.ariaLabel || node.innerText || node.labels?.length))
        .map((node) => node.outerHTML.slice(0, 120))"""
    )
    assert unnamed == []


def test_a_16_bit_image_is_not_clipped(page, folder, networks):
    """The top of the range is a few pixels; what is dim must be found all the same."""
    image = as_type(blobs(), np.uint16)
    image[:2, :2] = 65535
    tifffile.imwrite(folder / "dim.tif", image)
    upload(page, folder / "dim.tif")
    run(page)
    assert counts(page) == wanted(networks, image)
    assert counts(page)[0] > 10
