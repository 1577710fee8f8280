"""Mending in a real Chromium, by mouse, by keyboard and by touch.

The label image that is downloaded is, pixel by pixel, what the library makes of the same edits.
"""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from playwright.sync_api import Browser, Page, expect

from benchmarks.screenshots import PHONE
from nuclei_models.analysis.consensus import agreed, sureness
from nuclei_models.analysis.history import History, edits_from_json
from nuclei_models.inference.segmentation import segment
from nuclei_models.page.layout import build, launch
from nuclei_models.page.networks import Networks
from nuclei_models.training.folders import find_pairs
from tests.support.browser import open_page, run, upload
from tests.support.page import as_type, blobs

Point = tuple[float, float]
SIDE = 128
KEPT = "Object.keys(localStorage).find((key) => key.startsWith('nuclei-mends'))"


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("mending") / "cells.tif"
    tifffile.imwrite(path, as_type(blobs(SIDE, SIDE), np.uint16))
    return path


@pytest.fixture(scope="module")
def url(nets: Networks) -> Iterator[str]:
    blocks = build(nets, [])
    _, url, _ = launch(blocks, prevent_thread_lock=True, quiet=True, server_port=None)
    yield url
    blocks.close()


@pytest.fixture(scope="module")
def base(nets, image) -> np.ndarray:
    """What U-Net finds."""
    labels = segment(tifffile.imread(image), nets["unet"].model, nets["unet"].processor).labels
    assert labels.max() >= 9
    return labels


def open_with(chromium: Browser, url: str, image: Path, **context) -> Page:
    page = open_page(chromium, url, **context)
    upload(page, image)
    run(page)
    return page


def downloaded(page: Page) -> np.ndarray:
    """The label image of U-Net as the page saves it."""
    page.get_by_role("tab", name="Download").click()
    page.get_by_role("radio", name="U-Net", exact=True).click()
    with page.expect_download() as waiting:
        page.locator("#download-labels").click()
    return tifffile.imread(io.BytesIO(Path(waiting.value.path()).read_bytes()))


def kept(page: Page) -> dict:
    """What the browser keeps of the image."""
    return json.loads(page.evaluate(f"localStorage.getItem({KEPT})") or '{"nets": {"unet": {}}}')


def made_of(page: Page, base: np.ndarray) -> History:
    """The edits that the browser keeps, done by the library."""
    done, undone = edits_from_json(kept(page)["nets"]["unet"], base.shape)
    history = History.begin(base, done, undone)
    assert history.idle == 0
    return history


class Hand:
    """Someone who draws on U-Net's picture. Points are in pixels of the image."""

    def __init__(self, page: Page):
        self.page, self.stage = page, page.locator(".nm-stage").first
        self.stage.scroll_into_view_if_needed()

    def tool(self, name: str) -> None:
        self.page.locator(f"button[data-tool={name}]").click()

    def at(self, point: Point) -> Point:
        """On the screen."""
        box = self.stage.bounding_box()
        assert box is not None
        scale = min(box["width"], box["height"]) / SIDE
        return (
            box["x"] + box["width"] / 2 + (point[0] - SIDE / 2) * scale,
            box["y"] + box["height"] / 2 + (point[1] - SIDE / 2) * scale,
        )

    def act(self, tool: str, *points: Point) -> None:
        self.stage.scroll_into_view_if_needed()
        before = self.page.locator(".nm-viewer").get_attribute("data-acts") or "0"
        self.tool(tool)
        self.draw(*points)
        self.settled(before)

    def settled(self, before: str) -> None:
        self.page.wait_for_function(
            "before => (document.querySelector('.nm-viewer').dataset.acts || '0') !== before", arg=before
        )

    def draw(self, *points: Point) -> None:
        raise NotImplementedError

    def undo(self, key: str = "Control+z") -> None:
        before = self.page.locator(".nm-viewer").get_attribute("data-acts") or "0"
        self.stage.focus()
        self.page.keyboard.press(key)
        self.settled(before)


class Mouse(Hand):
    def draw(self, *points: Point) -> None:
        self.page.mouse.move(*self.at(points[0]))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.at(point))
        self.page.mouse.up()


class Fingers(Hand):
    def __init__(self, page: Page):
        super().__init__(page)
        self.cdp = page.context.new_cdp_session(page)

    def touch(self, kind: str, *points: Point) -> None:
        touches = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        self.cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    def draw(self, *points: Point) -> None:
        self.touch("touchStart", self.at(points[0]))
        for point in points[1:]:
            self.touch("touchMove", self.at(point))
        self.touch("touchEnd")

    def undo(self, key: str = "Control+z") -> None:
        before = self.page.locator(".nm-viewer").get_attribute("data-acts") or "0"
        self.page.locator(f"[data-act={'undo' if key == 'Control+z' else 'redo'}]").tap()
        self.settled(before)


class Keyboard(Hand):
    KEYS = {
        "delete": "d",
        "split": "s",
        "merge": "m",
        "draw": "n",
        "find": "f",
        "take": "t",
        "paint": "b",
        "erase": "e",
    }
    where: tuple[int, int] | None = None

    def tool(self, name: str) -> None:
        self.stage.focus()
        self.page.keyboard.press(self.KEYS[name])

    def go(self, point: Point) -> None:
        """The cross begins in the middle, and steps of a pixel lead anywhere."""
        x, y = self.where or (SIDE // 2, SIDE // 2)
        dx, dy = int(point[0]) - x, int(point[1]) - y
        for steps, keys in ((dx, ("ArrowLeft", "ArrowRight")), (dy, ("ArrowUp", "ArrowDown"))):
            for _ in range(abs(steps)):
                self.page.keyboard.press(f"Shift+{keys[steps > 0]}")
        self.where = int(point[0]), int(point[1])

    def draw(self, *points: Point) -> None:
        for point in points[:-1]:
            self.go(point)
            self.page.keyboard.press("Space")
        self.go(points[-1])
        self.page.keyboard.press("Enter")


def story(base: np.ndarray) -> list[tuple[str, list[Point]]]:
    """Every act, on nuclei in the middle of the picture."""

    def box(number: int) -> tuple[int, int, int, int]:
        ys, xs = np.nonzero(base == number)
        return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1

    middle = [n for n in range(1, int(base.max()) + 1) if min(box(n)) > 16 and max(box(n)) < SIDE - 16]
    x0, y0, x1, y1 = box(middle[0])
    a0, b0, a1, b1 = box(middle[-1])
    x, y, a, b = (x0 + x1) / 2, (y0 + y1) / 2, (a0 + a1) / 2, (b0 + b1) / 2
    return [
        ("split", [(x0 - 3, y), (x1 + 3, y)]),
        ("merge", [(x, y0 + 1), (x, y1 - 1)]),
        ("delete", [(x, y)]),
        ("find", [(x, y)]),
        ("draw", [(SIDE - 9, 3), (SIDE - 2, 3), (SIDE - 2, 11), (SIDE - 9, 11)]),
        ("paint", [(a, b), (a1 + 2, b)]),
        ("erase", [(a0 - 2, b0), (a0, b1)]),
        ("take", [(a, b)]),
    ]


def open_for(hand: type, chromium: Browser, url: str, image: Path) -> Page:
    if hand is Fingers:
        return open_with(chromium, url, image, viewport=PHONE, has_touch=True, is_mobile=True)
    return open_with(chromium, url, image)


@pytest.mark.parametrize("hand", [Mouse, Keyboard, Fingers])
def test_every_act_and_back_to_the_first_state(chromium, url, image, base, hand):
    page = open_for(hand, chromium, url, image)
    person, states = hand(page), [base]
    assert np.array_equal(downloaded(page), base)
    for i, (act, points) in enumerate(story(base), 1):
        person.act(act, *points)
        assert len(kept(page)["nets"]["unet"]["done"]) == i, page.locator(".nm-said").inner_text()
        edit = kept(page)["nets"]["unet"]["done"][-1]
        assert edit["act"] == act
        if act not in ("take", "find"):
            assert np.abs(np.array(edit["points"][0]) - points[0]).max() < 1.01
        history = made_of(page, base)
        states.append(history.labels)
        assert not np.array_equal(states[-1], states[-2])
        if act in ("split", "paint", "take"):  # it would be slow to save all of them
            assert np.array_equal(downloaded(page), history.labels), act
        count = len(np.unique(history.labels)) - 1
        expect(page.locator(".nm-title").first).to_contain_text(f"{count} nuclei")
        expect(page.locator(".nm-summary td").nth(1)).to_have_text(str(count))
    for i in range(len(states) - 2, -1, -1):
        person.undo()
        assert len(kept(page)["nets"]["unet"].get("done", [])) == i
    assert np.array_equal(downloaded(page), base)
    for _ in states[1:]:
        person.undo("Control+Shift+z")
    assert np.array_equal(downloaded(page), states[-1])
    page.context.close()


def test_a_reload_and_a_lost_connection_lose_nothing(chromium, url, image, base):
    page = open_with(chromium, url, image)
    person = Mouse(page)
    for act, points in story(base)[:3]:
        person.act(act, *points)
    person.undo()
    wanted = made_of(page, base).labels
    page.context.set_offline(True)
    before = len(kept(page)["nets"]["unet"]["done"])
    person.act("delete", (64, 64))
    expect(page.locator(".nm-said")).to_contain_text("can't be reached")
    assert len(kept(page)["nets"]["unet"]["done"]) == before
    page.context.set_offline(False)
    page.reload()
    page.locator("#run").wait_for()
    upload(page, image)
    run(page)
    expect(page.locator(".nm-said")).to_contain_text("2 mends")
    assert np.array_equal(downloaded(page), wanted)
    person = Mouse(page)
    person.undo("Control+Shift+z")  # what was undone before can be done again
    assert len(kept(page)["nets"]["unet"]["done"]) == 3
    page.locator("[data-act=clear]").click()
    page.wait_for_function(f"!({KEPT})")
    assert np.array_equal(downloaded(page), base)
    page.context.close()


def test_two_visitors_mend_the_same_image_each_their_own(chromium, url, image, base):
    first, second = (open_with(chromium, url, image) for _ in range(2))
    (one, points), (other, places) = story(base)[0], story(base)[2]
    Mouse(first).act(one, *points)
    Mouse(second).act(other, *places)
    results = [downloaded(page) for page in (first, second)]
    for page, found in zip((first, second), results, strict=True):
        assert np.array_equal(found, made_of(page, base).labels)
    assert not np.array_equal(*results)
    for page in (first, second):
        page.context.close()


def test_sliders_repeat_the_mends_on_other_nuclei(chromium, url, image, base, nets):
    page = open_with(chromium, url, image)
    Mouse(page).act("delete", *story(base)[2][1])
    page.locator("#threshold input[type=range]").fill("0.8")
    network = nets["unet"]
    other = segment(tifffile.imread(image), network.model, network.processor, threshold=0.8).labels
    wanted = made_of(page, other).labels
    expect(page.locator(".nm-title").first).to_contain_text(f"{len(np.unique(wanted)) - 1} nuclei")
    assert np.array_equal(downloaded(page), wanted)
    page.context.close()


@pytest.mark.parametrize("hand", [Mouse, Keyboard, Fingers])
def test_a_ring_deletes_what_lies_in_it(chromium, url, image, base, hand):
    page = open_for(hand, chromium, url, image)
    hand(page).act("delete", (2, 2), (SIDE - 2, 2), (SIDE - 2, SIDE // 2), (2, SIDE // 2))
    assert kept(page)["nets"]["unet"]["done"][-1]["act"] == "lasso"
    wanted = made_of(page, base).labels
    assert 0 < len(np.unique(wanted)) < len(np.unique(base)) - 3
    assert np.array_equal(downloaded(page), wanted)
    page.context.close()


def test_what_both_agree_on_is_saved(chromium, url, image, base, nets):
    page = open_with(chromium, url, image)
    found = [segment(tifffile.imread(image), n.model, n.processor) for n in nets]
    sure = [sureness(f.labels, f.maps.probability) for f in found]
    wanted = agreed(found[0].labels, found[1].labels, *sure)
    page.get_by_role("tab", name="Download").click()
    page.get_by_role("radio", name="What both agree on").click()
    with page.expect_download() as waiting:
        page.locator("#download-labels").click()
    assert waiting.value.suggested_filename == "cells_both_labels.tif"
    assert wanted.max() > 3
    assert np.array_equal(tifffile.imread(io.BytesIO(Path(waiting.value.path()).read_bytes())), wanted)
    page.context.close()


def test_a_line_over_a_nucleus_sets_the_diameter(chromium, url, image):
    page = open_with(chromium, url, image)
    hand = Mouse(page)
    hand.tool("measure")
    hand.draw((20, 30), (20, 54))
    page.locator("#settings button").first.click()
    expect(page.locator("#diameter input")).to_have_value("24")
    page.context.close()


def test_pinching_and_the_wheel_zoom(chromium, url, image):
    page = open_with(chromium, url, image, viewport=PHONE, has_touch=True, is_mobile=True)
    hand = Fingers(page)
    left, right = hand.at((50, 64)), hand.at((78, 64))
    hand.touch("touchStart", left, right)
    for step in range(1, 6):
        hand.touch("touchMove", (left[0] - 8 * step, left[1]), (right[0] + 8 * step, right[1]))
    hand.touch("touchEnd")
    page.wait_for_function("Number(document.querySelector('.nm-viewer').dataset.zoom) > 1.3")
    page.context.close()


def test_a_teaching_set_is_kept_and_is_what_training_reads(chromium, url, image, base, tmp_path):
    page = open_with(chromium, url, image)
    Mouse(page).act("delete", *story(base)[2][1])
    wanted = made_of(page, base).labels
    page.locator(".nm-teach summary").click()
    page.locator("[data-act=teach]").click()
    expect(page.locator(".nm-set")).to_have_text(f"(1 image, {len(np.unique(wanted)) - 1} nuclei)")
    page.reload()  # the set is kept
    page.locator("#run").wait_for()
    other = tmp_path / "cells.tif"  # another image of the same name
    tifffile.imwrite(other, as_type(blobs(96, 96, seed=5), np.uint16))
    upload(page, other)
    run(page)
    page.locator(".nm-teach summary").click()
    page.locator("[data-act=teach]").click()
    expect(page.locator(".nm-set")).to_contain_text("2 images")
    with page.expect_download() as waiting:
        page.locator("[data-act=save-set]").click()
    with zipfile.ZipFile(waiting.value.path()) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path)
    folder = tmp_path / "teaching-set"
    assert np.array_equal(tifffile.imread(folder / "images/cells.tif"), tifffile.imread(image))
    found = tifffile.imread(folder / "labels/cells.tif")
    assert np.array_equal(found > 0, wanted > 0) and found.max() == len(np.unique(wanted)) - 1
    pairs = {pair.image.name: pair.truth[0].name for pair in find_pairs(folder).pairs}
    assert pairs == {name: name for name in ("cells.tif", "cells-2.tif")}
    page.locator("[data-act=empty-set]").click()
    expect(page.locator(".nm-set")).to_have_text("(empty)")
    page.context.close()
