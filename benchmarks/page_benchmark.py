"""How fast the page answers, measured in a real browser.

    python -m benchmarks.page_benchmark

Prints the time from opening the page to its being usable, from uploading a 256 x 256 image to both overlays of it,
from moving the threshold slider to the new picture at 1024 x 1024 (with the share of it that the server takes to cut
maps into nuclei and pack these), from the end of a stroke to the picture of what came of it, and between frames while
the picture is moved and zoomed; the last two at 1024 x 1024 and at 17 megapixels. What cutting takes depends on how
many pixels of nuclei touch others, so the images are tiled with several examples: one of the commonest kind in the
training data, 2.7 times as dense as the mean of it; one that is 6.5 times as dense; and one that is nearly half covered
by clusters. Needs what `screenshots` needs.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from statistics import median

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import numpy as np
import tifffile
from playwright.sync_api import Page, sync_playwright

from nuclei_models.images.reader import read
from nuclei_models.inference.bundled import data_folder
from nuclei_models.page.desk import Desk
from nuclei_models.page.layout import build, launch
from nuclei_models.page.networks import Networks

from .screenshots import WIDE, browser

# the time from a slider's move to the frame that shows the new outlines, in the browser's own clock
MOVE = """value => new Promise((done) => {
  const viewer = document.querySelector('.nm-viewer'), before = viewer.dataset.turn;
  const slider = document.querySelector('#threshold input[type=range]'), start = performance.now();
  slider.value = value;
  slider.dispatchEvent(new Event('input', { bubbles: true }));
  slider.dispatchEvent(new Event('change', { bubbles: true }));
  const observer = new MutationObserver(() => {
    if (viewer.dataset.turn === before) return;
    observer.disconnect();
    requestAnimationFrame(() => done(performance.now() - start));
  });
  observer.observe(viewer, { attributes: true, attributeFilter: ['data-turn'] });
})"""
# the time from the end of a stroke on the first picture to the frame that shows what came of it; the strokes cut the
# nucleus in the middle of the list in two, make it one again, and so on
ACT = """async (what) => {
  const viewer = document.querySelector('.nm-viewer'), { desk } = viewer, [stage] = desk.stages;
  const list = [...desk.nets.unet.nuclei.byNumber.values()].filter((n) => n.w > 8 && n.h > 8);
  const n = (window.chosen ??= list[list.length >> 1]), y = n.y0 + n.h / 2, x = n.x0 + n.w / 2;
  const strokes = { split: [[n.x0 - 2, y], [n.x0 + n.w + 2, y]], merge: [[x, n.y0 + 1], [x, n.y0 + n.h - 1]] };
  const box = stage.node.getBoundingClientRect(), send = (type, point) => {
    const [left, top] = desk.toStage(stage, point);
    const where = { clientX: box.left + left, clientY: box.top + top };
    stage.node.dispatchEvent(new PointerEvent(type, { pointerId: 1, button: 0, ...where }));
  };
  const before = viewer.dataset.acts;
  stage.node.setPointerCapture = () => {};
  const done = new Promise((then) => new MutationObserver((_, observer) => {
    if (viewer.dataset.acts === before) return;
    observer.disconnect();
    requestAnimationFrame(() => requestAnimationFrame(() => then(performance.now())));
  }).observe(viewer, { attributes: true, attributeFilter: ['data-acts'] }));
  let start;
  if (what === 'undo') { start = performance.now(); desk.undo(); }
  else {
    desk.choose(what);
    send('pointerdown', strokes[what][0]);
    send('pointermove', strokes[what][1]);
    start = performance.now();
    send('pointerup', strokes[what][1]);
  }
  return (await done) - start;
}"""
# milliseconds between frames while the picture is moved, or zoomed in and out, at three times the size of the whole
FRAMES = """async (what) => {
  const { desk } = document.querySelector('.nm-viewer'), frame = () => new Promise(requestAnimationFrame), times = [];
  desk.fit();
  await frame();
  desk.zoomBy(3);
  await new Promise((then) => setTimeout(then, 1500));
  let last = await frame();
  for (let i = 0; i < 120; i++) {
    if (what === 'pan') desk.moveBy(i % 60 < 30 ? -6 : 6, i % 40 < 20 ? 4 : -4);
    else desk.zoomBy(i % 60 < 30 ? 1.03 : 1 / 1.03);
    const now = await frame();
    times.push(now - last);
    last = now;
  }
  desk.fit();
  return times;
}"""
# waits for a title to show; like the above without asking for frames meanwhile, as Playwright does, which costs a core
SHOWN = """title => new Promise((done) => {
  const look = () => [...document.querySelectorAll('.nm-title')].some((node) => node.textContent.includes(title));
  if (look()) return done();
  const observer = new MutationObserver(() => { if (look()) { observer.disconnect(); done(); } });
  observer.observe(document.body, { childList: true, subtree: true });
})"""
EXAMPLES = "fluorescence-small", "fluorescence-dense", "fluorescence-clustered"
MENDED, SPARSE = "fluorescence-dense", "fluorescence-dim"


def tiled(example: str, side: int) -> np.ndarray:
    """(side, side), an example and its mirror images side by side as often as it takes."""
    image = read(data_folder("examples") / f"{example}.png").pixels
    return np.pad(image, [(0, max(0, side - n)) for n in image.shape], mode="symmetric")[:side, :side]


def segment(page: Page, path: Path) -> float:
    """Upload, press Segment, and wait for both overlays. -> seconds of all that."""
    start = time.perf_counter()
    page.locator("#file input[type=file]").set_input_files(path)
    page.evaluate(SHOWN, "Your image")
    page.evaluate("document.querySelector('#run').click()")
    page.evaluate(SHOWN, "U-Net++")
    seconds = time.perf_counter() - start
    page.locator(".nm-summary").wait_for()
    page.get_by_role("button", name="Clear").first.click()
    page.locator(".nm-empty").wait_for()
    return seconds


@contextmanager
def timed(page_type: type, name: str) -> Iterator[list[float]]:
    """How long a handler takes, milliseconds, each time it is called."""
    handler, taken = getattr(page_type, name), []

    @wraps(handler)  # Gradio looks at what it takes
    def clocked(*arguments):
        start = time.perf_counter()
        try:
            return handler(*arguments)
        finally:
            taken.append(1000 * (time.perf_counter() - start))

    setattr(page_type, name, clocked)
    try:
        yield taken
    finally:
        setattr(page_type, name, handler)


def measure(
    url: str, networks: Networks, folder: Path, cuts: list[float], examples: Sequence[str], with_largest: bool
) -> Iterator[tuple[str, float]]:
    """What was measured, and its milliseconds, as it comes.

    Args:
        cuts: See `timed`.
        examples: Of `EXAMPLES`, what images of 1024 x 1024 are tiled with.
        with_largest: Whether to measure at 17 megapixels, too.
    """
    small = folder / "small.tif"
    tifffile.imwrite(small, tiled(EXAMPLES[0], 256))
    with sync_playwright() as playwright, browser(playwright) as opened:
        page = opened.new_page(viewport=WIDE)
        start = time.perf_counter()
        page.goto(url)
        page.locator("#run").wait_for()
        first = time.perf_counter() - start
        segment(page, small)
        both = median(segment(page, small) for _ in range(3))
        yield "first page", 1000 * first
        yield "upload to both overlays, 256 x 256", 1000 * both
        for example in examples:
            large = folder / f"{example}.tif"
            tifffile.imwrite(large, tiled(example, 1024))
            page.locator("#file input[type=file]").set_input_files(large)
            page.evaluate(SHOWN, "Your image")
            page.locator("#run").click()
            page.evaluate(SHOWN, "U-Net++")
            nuclei = page.locator(".nm-title span").last.inner_text()
            cuts.clear()
            moves = []
            for value in np.linspace(0.3, 0.8, 11):
                page.wait_for_timeout(1000)  # until the numbers of the last move are there
                moves.append(page.evaluate(MOVE, f"{value:.2f}"))
            yield f"threshold slider to new picture, 1024 x 1024, {example}, {nuclei}", median(moves)
            yield "of it, cutting maps into nuclei", median(cuts)
            if example == MENDED:
                yield from mending(page, f"1024 x 1024, {nuclei}")
            page.get_by_role("button", name="Clear").first.click()
            page.locator(".nm-empty").wait_for()
        if with_largest:
            yield from largest(page, networks, folder)


def mending(page: Page, where: str, rest: float = 1500) -> Iterator[tuple[str, float]]:
    """Each act, and frames while the picture is moved and zoomed.

    Args:
        rest: Milliseconds after each act until the numbers have followed.
    """
    page.wait_for_timeout(1500)
    acts: dict[str, list[float]] = {"split": [], "merge": [], "undo": []}
    for what in ("split", "merge", "undo", "undo") * 2:
        acts[what].append(page.evaluate(ACT, what))
        page.wait_for_timeout(rest)
    yield from ((f"{what}, {where}", median(times)) for what, times in acts.items())
    for what in ("pan", "zoom"):
        times = page.evaluate(FRAMES, what)
        yield f"{what}, a frame, median, {where}", median(times)
        yield f"{what}, a frame, 95 of 100 within, {where}", float(np.percentile(times, 95))


def largest(page: Page, networks: Networks, folder: Path) -> Iterator[tuple[str, float]]:
    """The same at 17 megapixels with about 5,000 nuclei. The networks look at two parts; their maps are repeated."""
    path, predict = folder / "largest.tif", networks.predict
    few, many = tiled(SPARSE, 1024), tiled(EXAMPLES[2], 1024)

    def spread(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.tile(np.block([[one, one], [one, other]]), (2, 2))

    def repeated(key, pixels, *arguments):
        first, second = (predict(key, part, *arguments) for part in (few, many))
        assert first.distance is not None and second.distance is not None
        probability = spread(first.probability, second.probability)
        return first._replace(probability=probability, distance=spread(first.distance, second.distance))

    tifffile.imwrite(path, spread(few, many), compression="zlib")
    networks.predict = repeated  # type: ignore[method-assign]
    try:
        start = time.perf_counter()
        page.locator("#file input[type=file]").set_input_files(path)
        page.evaluate(SHOWN, "Your image")
        yield "upload to preview, 4096 x 4096", 1000 * (time.perf_counter() - start)
        page.locator("#run").click()
        page.evaluate(SHOWN, "U-Net++")
        nuclei = page.locator(".nm-title span").last.inner_text()
        start = time.perf_counter()
        page.locator(".nm-summary").wait_for(timeout=120_000)
        yield f"from the picture to its numbers, 4096 x 4096, {nuclei}", 1000 * (time.perf_counter() - start)
        yield from mending(page, f"4096 x 4096, {nuclei}", 4000)
    finally:
        networks.predict = predict  # type: ignore[method-assign]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", nargs="*", default=EXAMPLES, choices=EXAMPLES, help="for 1024 x 1024 pixels")
    parser.add_argument("--without-largest", action="store_true", help="leave out 17 megapixels")
    asked = parser.parse_args()
    with timed(Desk, "nuclei") as cuts:
        networks = Networks()
        blocks = build(networks)
        _, url, _ = launch(blocks, prevent_thread_lock=True, quiet=True)
        try:
            with tempfile.TemporaryDirectory() as folder:
                found = measure(url, networks, Path(folder), cuts, asked.examples, not asked.without_largest)
                for what, milliseconds in found:
                    print(f"{what}: {milliseconds:.0f} ms", flush=True)
        finally:
            blocks.close()


if __name__ == "__main__":
    main()
