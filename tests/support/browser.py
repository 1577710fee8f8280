"""What a visitor does on the page in a browser, and what they read there."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.screenshots import WIDE
from nuclei_models.inference.segmentation import segment
from nuclei_models.page.networks import Networks

TIMEOUT = int(os.environ.get("PAGE_TIMEOUT", 240_000))  # milliseconds; the machine may be busy
expect.set_options(timeout=TIMEOUT)


def open_page(chromium: Browser, url: str, **context) -> Page:
    """The page in a context of its own, to be closed by its user; an error of a script fails the test."""
    opened = chromium.new_context(**({"viewport": WIDE, "accept_downloads": True} | context))
    opened.set_default_timeout(TIMEOUT)
    page = opened.new_page()
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.goto(url)
    page.locator("#run").wait_for()
    return page


def upload(page: Page, path: Path) -> None:
    """Give a file and wait for its preview."""
    if page.get_by_role("button", name="Clear").count():
        page.get_by_role("button", name="Clear").first.click()
        expect(page.locator(".nm-empty")).to_be_visible()
        expect(page.locator(".nm-summary")).to_have_count(0)
    page.locator("#file input[type=file]").set_input_files(path)
    expect(page.locator(".nm-title", has_text="Your image")).to_be_visible()


def run(page: Page) -> None:
    page.locator("#run").click()
    expect(page.locator(".nm-title", has_text="U-Net++")).to_be_visible()
    expect(page.locator("#status")).to_contain_text("Done")
    page.locator(".nm-summary").wait_for()


def counts(page: Page) -> list[int]:
    """Nuclei of both networks, as the summary says."""
    cells = page.locator(".nm-summary tr", has_text=re.compile("^Nuclei")).locator("td").all_inner_texts()
    return [int(cell.replace(",", "")) for cell in cells]


def wanted(networks: Networks, pixels: np.ndarray, **settings) -> list[int]:
    return [segment(pixels, n.model, n.processor, **settings).count for n in networks]


@contextmanager
def redrawn(page: Page) -> Iterator[None]:
    """Wait for other pictures than there were before."""
    pixels = "[...document.querySelectorAll('.nm-stage canvas')].map((canvas) => canvas.toDataURL()).join()"
    page.evaluate(f"() => {{ window.before = {pixels} }}")
    yield
    page.wait_for_function(f"{pixels} !== window.before")


def move(page: Page, slider: str, value: float) -> None:
    """Move a slider and wait for the pictures that follow."""
    with redrawn(page):
        page.locator(f"#{slider} input[type=range]").fill(str(value))
