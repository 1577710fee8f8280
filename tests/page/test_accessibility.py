"""Accessibility, by axe-core in a real Chromium: no serious finding, in light and dark, wide and on a phone."""

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from benchmarks.screenshots import PHONE, WIDE
from nuclei_models.page.examples import find_examples
from nuclei_models.page.layout import build, launch
from tests.support.browser import TIMEOUT
from tests.support.page import CELLS

# in Gradio's own components, which the page can't change
OURS = "#viewer, #strip, #doubts, #table, #examples, #summary, #histogram, #picked, #note, #status"


@pytest.fixture(scope="module")
def url(nets) -> Iterator[str]:
    blocks = build(nets, find_examples()[:2])
    _, url, _ = launch(blocks, prevent_thread_lock=True, quiet=True, server_port=None)
    yield url
    blocks.close()


def serious(page: Page) -> list[str]:
    """What axe-core finds that hinders people, but for what lies in Gradio's own components."""
    found = Axe().run(page).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
        if page.evaluate(
            "([target, ours]) => { const node = document.querySelector(target); return !node || !!node.closest(ours) }",
            [node["target"][0], OURS],
        )
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE])
def test_no_serious_finding(chromium, url, tmp_path, size, theme):
    page = chromium.new_page(viewport=size)
    page.set_default_timeout(TIMEOUT)
    page.goto(f"{url}?__theme={theme}")
    page.locator("#run").wait_for()
    assert serious(page) == []
    paths = [tmp_path / name for name in ("cells.tif", "same.tif", "broken.tif")]
    for path in paths:
        path.write_bytes(b"no image" if path.stem == "broken" else CELLS)
    page.locator("#file input[type=file]").set_input_files(paths)  # so that the strip is there
    page.locator("#run-all").click()
    expect(page.locator("#status")).to_have_text("Done: 2 of 2 images.")
    page.locator(".nm-summary").wait_for()
    page.locator(".nm-refused summary").click()
    page.locator(".nm-teach summary").click()
    page.locator(".nm-look summary").click()
    page.locator(".nm-keys summary").click()
    page.get_by_role("tab", name="Every nucleus").click()
    page.locator(".nm-table tbody tr").first.click()
    page.locator(".nm-mark").first.wait_for(state="attached")
    assert serious(page) == []
    page.close()
