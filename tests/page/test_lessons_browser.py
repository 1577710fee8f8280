"""Training from the page in a real Chromium; a stub stands for the training."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from playwright.sync_api import expect

from benchmarks.screenshots import PHONE, WIDE
from nuclei_models.page.layout import build, launch
from nuclei_models.page.lessons import Lessons
from nuclei_models.page.networks import Networks
from tests.page.test_lessons import STUB
from tests.support.browser import open_page, run, upload
from tests.support.page import as_type, blobs, save_networks


@pytest.fixture
def url(tmp_path) -> Iterator[str]:
    networks = Networks(save_networks(tmp_path / "networks"))
    blocks = build(networks, [])
    blocks.page.lessons.__init__(networks, tmp_path / "trained", [sys.executable, "-c", STUB])
    assert isinstance(blocks.page.lessons, Lessons)
    _, url, _ = launch(blocks, prevent_thread_lock=True, quiet=True, server_port=None)
    yield url
    blocks.close()


def test_the_teaching_set_is_trained_stopped_and_compared(chromium, url, tmp_path: Path):
    page = open_page(chromium, url, viewport=WIDE)
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, as_type(blobs(64, 64), np.uint16))
    upload(page, path)
    run(page)
    page.locator(".nm-teach summary").click()
    page.locator("[data-act=teach]").click()
    expect(page.locator(".nm-set")).to_contain_text("1 image")
    page.locator(".nm-minutes").fill("10")
    page.locator("[data-act=train]").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#lesson")).to_contain_text("step 7, loss 0.250")
    page.reload()  # it goes on, and is seen again
    expect(page.locator("#lesson")).to_contain_text("step 7, loss 0.250")
    page.locator("#stop-training").click()
    expect(page.locator("#lesson")).to_contain_text("Trained: better.")
    expect(page.locator("#stop-training")).not_to_be_visible()
    page.locator("#lesson summary").click()
    expect(page.frame_locator("#lesson iframe").locator("p")).to_have_text("before & after")
    page.locator("#settings button").first.click()
    expect(page.locator("#compare input")).to_have_value("U-Net++")
    expect(page.locator("#with input")).to_have_value("Mine 1, from U-Net++")
    upload(page, path)
    page.locator("#run").click()
    expect(page.locator(".nm-title").last).to_contain_text("Mine 1, from U-Net++")
    page.locator(".nm-summary").wait_for()
    page.get_by_role("tab", name="Download").click()
    page.get_by_role("radio", name="Mine 1").click()
    with page.expect_download() as waiting:
        page.locator("#download-labels").click()
    assert waiting.value.suggested_filename == "cells_own1_labels.tif"
    page.close()


def test_by_touch_on_a_phone(chromium, url, tmp_path: Path):
    page = open_page(chromium, url, viewport=PHONE, has_touch=True, is_mobile=True)
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, as_type(blobs(64, 64), np.uint16))
    upload(page, path)
    run(page)
    page.locator(".nm-teach summary").tap()
    page.locator("[data-act=teach]").tap()
    expect(page.locator(".nm-set")).to_contain_text("1 image")
    page.locator("[data-act=train]").tap()
    expect(page.locator("#lesson")).to_contain_text("step 7, loss 0.250")
    page.locator("#stop-training").tap()
    expect(page.locator("#lesson")).to_contain_text("Trained: better.")
    page.locator("#lesson summary").tap()
    expect(page.frame_locator("#lesson iframe").locator("p")).to_have_text("before & after")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.context.close()
