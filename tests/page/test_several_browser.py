"""Several images, and nuclei that are doubtful, in a real Chromium: by mouse, by keyboard and by touch."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from playwright.sync_api import Browser, Page, expect

from benchmarks.screenshots import PHONE
from nuclei_models.inference.segmentation import segment
from nuclei_models.model.confidence import FEATURES, measured
from nuclei_models.page.layout import build, launch
from nuclei_models.page.networks import Networks
from tests.support.browser import open_page
from tests.support.page import as_type, blobs, tiff

IMAGES = {f"{name}.tif": as_type(blobs(64, 96, seed=seed), np.uint16) for seed, name in enumerate("abc")}


@pytest.fixture(scope="module")
def doubting(nets) -> Networks:
    """Networks that are the surer of a nucleus the larger it is: of half of them they aren't."""
    network, at = nets["unet"], FEATURES.index("size")
    found = [segment(image, network.model, network.processor) for image in IMAGES.values()]
    maps = [(f.labels, f.maps.probability, f.maps.distance, f.maps.pixel_area) for f in found]
    sizes = np.concatenate([measured(*one)[:, at] for one in maps])
    model = {name: [value] * len(FEATURES) for name, value in (("mean", 0.0), ("std", 1.0), ("weights", 0.0))}
    model["mean"][at], model["weights"][at] = float(np.median(sizes)), 20.0
    for network in nets:
        network.processor.confidence_model = {"alone": model | {"features": list(FEATURES), "bias": 0.0}}
    return nets


@pytest.fixture(scope="module")
def url(doubting) -> Iterator[str]:
    blocks = build(doubting, [])
    _, url, _ = launch(blocks, prevent_thread_lock=True, quiet=True, server_port=None)
    yield url
    blocks.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    """Two images, and a zip with a third and with what can't be used."""
    folder = tmp_path_factory.mktemp("several")
    paths = []
    for name in ("a.tif", "b.tif"):
        paths.append(folder / name)
        paths[-1].write_bytes(tiff(IMAGES[name]))
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.writestr("c.tif", tiff(IMAGES["c.tif"]))
        archive.writestr("../out.tif", b"x")
        archive.writestr("broken.tif", b"II*\0\x08\0\0\0")
    return [*paths, folder / "more.zip"]


def counts(nets: Networks) -> list[list[int]]:
    return [[segment(i, n.model, n.processor).count for n in nets] for i in IMAGES.values()]


def open_with(chromium: Browser, url: str, files: list[Path], **context) -> Page:
    page = open_page(chromium, url, **context)
    page.locator("#file input[type=file]").set_input_files(files)
    expect(page.locator(".nm-card")).to_have_count(3)
    return page


def press(page: Page, hand: str, target: str) -> None:
    """Use a button by mouse, finger or keyboard."""
    node = page.locator(target).first
    if hand == "mouse":
        node.click()
    elif hand == "touch":
        node.tap()
    else:
        node.focus()
        page.keyboard.press("Enter")


@pytest.mark.parametrize("hand", ["mouse", "keyboard", "touch"])
def test_several_images_are_run_opened_and_saved_and_doubtful_nuclei_found(chromium, url, files, doubting, hand):
    touch = {"viewport": PHONE, "has_touch": True, "is_mobile": True} if hand == "touch" else {}
    page, wanted = open_with(chromium, url, files, **touch), counts(doubting)
    expect(page.locator(".nm-refused summary")).to_have_text("2 files were not taken")
    expect(page.locator(".nm-card").first).to_have_attribute("aria-current", "true")
    press(page, hand, "#run-all")
    expect(page.locator("#status")).to_have_text("Done: 3 of 3 images.")
    expect(page.locator(".nm-count")).to_contain_text([f"{a} · {b}" for a, b in wanted])
    expect(page.locator(".nm-title").first).to_contain_text(f"{wanted[0][0]} nuclei")  # of the image that is opened
    if hand == "keyboard":
        page.locator(".nm-card").first.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
    else:
        press(page, hand, ".nm-card:nth-child(3)")
    expect(page.locator(".nm-card").nth(2)).to_have_attribute("aria-current", "true")
    expect(page.locator("#status")).to_contain_text("Done: U-Net")
    expect(page.locator(".nm-summary td").nth(1)).to_have_text(str(wanted[2][0]))

    doubtful = page.locator(".nm-summary tr", has_text="Doubtful").locator("td").first
    expect(doubtful).not_to_have_text("0")
    expect(page.locator(".nm-title").first).to_contain_text(f"{doubtful.inner_text()} doubtful")
    if hand == "mouse":
        is_told_again_after_a_slider_went_and_came_back(page)
    if hand == "keyboard":
        page.locator(".nm-stage").first.focus()
        page.keyboard.press("u")
    else:
        press(page, hand, "[data-act=doubtful]")
    expect(page.locator(".nm-said")).to_contain_text(f"doubtful nucleus 1 of {doubtful.inner_text()}")
    expect(page.locator(".nm-mark").first).to_be_attached()
    page.get_by_role("tab", name="Every nucleus").click()
    press(page, hand, ".nm-table .nm-tabs button:last-child")
    expect(page.locator(".nm-table tbody tr")).to_have_count(int(doubtful.inner_text()))
    expect(page.locator(".nm-table tr.nm-doubtful")).to_have_count(int(doubtful.inner_text()))

    with page.expect_download() as waiting:
        press(page, hand, "#save-all")
    with zipfile.ZipFile(waiting.value.path()) as archive:
        assert "unetpp/report.html" in archive.namelist()
        for name, image in IMAGES.items():
            for network in doubting:
                saved = tifffile.imread(io.BytesIO(archive.read(f"{network.key}/{Path(name).stem}_labels.tif")))
                assert np.array_equal(saved, segment(image, network.model, network.processor).labels)
    page.context.close()


def is_told_again_after_a_slider_went_and_came_back(page: Page) -> None:
    title, slider = page.locator(".nm-title").first, page.locator("#threshold input[type=range]")
    told, at, turn = title.inner_text(), slider.input_value(), page.locator(".nm-viewer").get_attribute("data-turn")
    slider.fill("0.9")
    slider.fill(at)
    at_rest = "({ desk, dataset }, turn) => dataset.turn !== turn && !desk.following && !desk.isBehind"
    page.wait_for_function(f"turn => ({at_rest})(document.querySelector('.nm-viewer'), turn)", arg=turn)
    assert title.inner_text() == told


def test_mends_that_a_browser_kept_are_in_the_zip_before_an_image_is_opened(chromium, url, files, doubting):
    page, wanted = open_with(chromium, url, files), counts(doubting)
    press(page, "mouse", "#run-all")
    expect(page.locator("#status")).to_have_text("Done: 3 of 3 images.")
    page.locator(".nm-card").nth(1).click()
    expect(page.locator("#status")).to_contain_text("Done: U-Net")
    page.locator(".nm-summary").wait_for()
    expect(page.locator(".nm-title", has_text="U-Net++")).to_be_visible()
    page.evaluate(
        """() => {
          const { desk } = document.querySelector('.nm-viewer'), nuclei = desk.nuclei('unet');
          return desk.act('unet', { act: 'delete', points: [nuclei.middle(nuclei.byNumber.get(1))] });
        }"""
    )
    mended = f"{wanted[1][0] - 1} · {wanted[1][1]}"
    expect(page.locator(".nm-count").nth(1)).to_contain_text(mended)  # the strip follows
    page.reload()
    page.locator("#run").wait_for()
    page.locator("#file input[type=file]").set_input_files(files)
    expect(page.locator(".nm-card")).to_have_count(3)
    press(page, "mouse", "#run-all")
    expect(page.locator(".nm-count").nth(1)).to_contain_text(mended)
    expect(page.locator("#status")).to_have_text("Done: 3 of 3 images.")
    with page.expect_download() as waiting:
        page.locator("#save-all").click()
    with zipfile.ZipFile(waiting.value.path()) as archive:
        saved = tifffile.imread(io.BytesIO(archive.read("unet/b_labels.tif")))
    network = doubting["unet"]
    labels = segment(IMAGES["b.tif"], network.model, network.processor).labels
    assert np.array_equal(saved, np.where(labels == 1, 0, labels))
    page.context.close()
