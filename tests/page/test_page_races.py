"""What comes too late is not shown: an image, a plane or a run that a visitor has replaced by another, in Chromium."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from playwright.sync_api import Page, expect

from benchmarks.screenshots import WIDE
from nuclei_models.inference.segmentation import segment
from nuclei_models.page.examples import Example
from nuclei_models.page.layout import build, launch
from nuclei_models.page.networks import Cancelled, Networks
from tests.support.browser import TIMEOUT, counts, run, upload, wanted
from tests.support.page import as_type, blobs


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("races")
    sizes = {"old": (1.0, 1.0), "new": (0.1, 0.1), "oblong": (0.5, 0.25)}
    for seed, (name, (height, width)) in enumerate(sizes.items()):
        pixels = as_type(blobs(128, 160 + 32 * seed, spacing=24 + 4 * seed, seed=seed), np.uint16)
        tifffile.imwrite(
            folder / f"{name}.tif", pixels, imagej=True, resolution=(1 / width, 1 / height), metadata={"unit": "um"}
        )
    stack = np.stack([as_type(blobs(128, 128, spacing=20 + 8 * seed, seed=seed), np.uint16) for seed in range(3)])
    tifffile.imwrite(folder / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    named = {"axes": "CYX", "Channel": {"Name": ["![x](http://127.0.0.1:9/told.png)", "<img src=//127.0.0.1:9/a>"]}}
    tifffile.imwrite(folder / "named.ome.tif", stack[:2], metadata=named, photometric="minisblack")
    return folder


@pytest.fixture(scope="module")
def url(nets: Networks, folder) -> Iterator[str]:
    blocks = build(nets, [Example(folder / "new.tif", "New")])
    _, url, _ = launch(blocks, prevent_thread_lock=True, quiet=True, server_port=None)
    yield url
    blocks.close()


@pytest.fixture
def page(chromium, url) -> Iterator[Page]:
    context = chromium.new_context(viewport=WIDE, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(TIMEOUT)
    outside: list[str] = []
    page.on("request", lambda r: outside.append(r.url) if not r.url.startswith((url, "data:", "blob:")) else None)
    page.goto(url)
    page.locator("#run").wait_for()
    yield page
    context.close()
    assert outside == []


class Slow:
    """Runs that begin, and go on when they are told to."""

    def __init__(self, networks: Networks, monkeypatch: pytest.MonkeyPatch):
        self.began, self.go, self.ended = threading.Event(), threading.Event(), []
        self.checks: list[Callable[[], None]] = []  # of the runs, in their order
        predict = networks.predict

        def slow(key, pixels, settings, progress=None, check=None, pixel_size=None):
            self.checks.append(check)
            self.began.set()
            assert self.go.wait(TIMEOUT / 1000)
            try:
                maps = predict(key, pixels, settings, progress, check, pixel_size)
            except BaseException as error:
                self.ended.append(type(error).__name__)
                raise
            self.ended.append("done")
            return maps

        monkeypatch.setattr(networks, "predict", slow)

    def is_cancelled(self, number: int) -> bool:
        """Whether a run will stop as soon as it looks."""
        try:
            self.checks[number]()
        except Cancelled:
            return True
        return False


@pytest.fixture
def slow(nets, monkeypatch) -> Slow:
    return Slow(nets, monkeypatch)


def median_area(page: Page) -> str:
    return page.locator(".nm-summary tr", has_text="Median area").locator("td").first.inner_text()


def library_area(networks: Networks, pixels: np.ndarray, pixel_size: tuple[float, float]) -> float:
    network = networks["unet"]
    labels = segment(pixels, network.model, network.processor).labels
    return float(np.median(np.bincount(labels.ravel())[1:])) * pixel_size[0] * pixel_size[1]


@pytest.mark.parametrize("replaced_by", ["upload", "example", "plane", "clear"])
def test_a_result_of_the_image_before_is_never_shown(page, folder, nets, slow, replaced_by):
    upload(page, folder / ("stack.tif" if replaced_by == "plane" else "old.tif"))
    page.locator("#run").click()
    assert slow.began.wait(TIMEOUT / 1000)
    wants_new = replaced_by in ("upload", "example")
    if replaced_by == "upload":
        upload(page, folder / "new.tif")
        expect(page.locator("#note")).to_contain_text("192 x 128")
    elif replaced_by == "example":
        page.locator(".nm-example").click()
        expect(page.locator("#note")).to_contain_text("192 x 128")
    elif replaced_by == "plane":
        page.locator("#z input[type=range]").fill("3")
        expect(page.locator("#note")).to_contain_text("Z plane 3 of 3")
    else:
        page.get_by_role("button", name="Clear").first.click()
        expect(page.locator(".nm-empty")).to_be_visible()
    slow.go.set()
    if replaced_by != "example":
        page.wait_for_timeout(1500)
        expect(page.locator("#status")).to_have_text("")
        expect(page.locator(".nm-summary")).to_have_count(0)
        expect(page.locator(".nm-title", has_text="U-Net")).to_have_count(0)
        if wants_new:
            run(page)
    else:
        expect(page.locator("#status")).to_contain_text("Done")
        page.locator(".nm-summary").wait_for()
    assert slow.ended[0] == "Cancelled"
    if wants_new:
        pixels = tifffile.imread(folder / "new.tif")
        assert counts(page) == wanted(nets, pixels)
        assert median_area(page) == f"{library_area(nets, pixels, (0.1, 0.1)):.3g} µm²"


def test_a_pixel_size_typed_over_and_typed_back_is_the_stored_one(page, folder, nets):
    upload(page, folder / "oblong.tif")
    run(page)
    pixels, box = tifffile.imread(folder / "oblong.tif"), page.locator("#pixel-size input")
    expect(box).to_have_value("0.25")
    for typed, size in ((None, (0.5, 0.25)), ("0.3", (0.3, 0.3)), ("0.25", (0.5, 0.25))):
        if typed:
            box.fill(typed)
            box.press("Tab")
        area = f"{library_area(nets, pixels, size):.3g} µm²"
        expect(page.locator(".nm-summary tr", has_text="Median area").locator("td").first).to_have_text(area)


def test_cancel_works_while_queued(chromium, url, page, folder, nets, slow):
    first = page
    upload(first, folder / "old.tif")
    first.locator("#run").click()
    assert slow.began.wait(TIMEOUT / 1000)
    second = chromium.new_page(viewport=WIDE)
    second.set_default_timeout(TIMEOUT)
    second.goto(url)
    upload(second, folder / "new.tif")
    second.locator("#run").click()
    expect(second.locator("#main")).to_contain_text("1/1")
    second.locator("#cancel").click()
    expect(second.locator("#status")).to_contain_text("Cancelled")
    expect(second.locator("#main")).not_to_contain_text("1/1")
    second.locator("#run").click()  # and again, which takes its place in the queue anew
    expect(second.locator("#main")).to_contain_text("1/1")
    before = nets.runs
    slow.go.set()
    for visitor, name in ((first, "old"), (second, "new")):
        expect(visitor.locator("#status")).to_contain_text("Done")
        visitor.locator(".nm-summary").wait_for()
        assert counts(visitor) == wanted(nets, tifffile.imread(folder / f"{name}.tif"))
    assert nets.runs == before + 4  # of the second visitor's two runs only the last
    second.close()


def test_the_last_of_two_runs_is_shown(page, folder, nets, slow):
    upload(page, folder / "old.tif")
    page.locator("#settings button").first.click()
    page.locator("#diameter input").wait_for()
    page.wait_for_timeout(500)  # the accordion's fields have just been made
    page.locator("#run").click()
    assert slow.began.wait(TIMEOUT / 1000)
    page.locator("#diameter input").fill("72")
    page.locator("#diameter input").press("Tab")
    page.locator("#run").click()
    tries = TIMEOUT // 50
    while not slow.is_cancelled(0) and tries:  # until the server knows of the second
        page.wait_for_timeout(50)
        tries -= 1
    slow.go.set()
    expect(page.locator("#status")).to_contain_text("Done")
    expect(page.locator(".nm-summary")).to_contain_text("72 px")
    assert slow.ended == ["Cancelled", "done", "done"]
    assert counts(page) == wanted(nets, tifffile.imread(folder / "old.tif"), diameter=72)


def test_text_from_a_file_is_shown_as_text(page, folder):
    upload(page, folder / "named.ome.tif")
    expect(page.locator("#note")).to_contain_text("![x](http://127.0.0.1:9/told.png)")
    page.locator("#channel input").click()
    page.get_by_role("option").nth(1).click()
    expect(page.locator("#note")).to_contain_text("<img src=//127.0.0.1:9/a>")
    run(page)
    page.wait_for_timeout(300)
