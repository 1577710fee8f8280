"""A short film of the page for the docs, taken in a real browser: an image is dropped, compared, mended and saved.

    python -m benchmarks.recording --out docs/screenshots/recording.webp

Needs what `screenshots` needs.
"""

import argparse
import io
import os
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from nuclei_models.inference.bundled import data_folder
from nuclei_models.page.layout import build, launch
from nuclei_models.page.networks import Networks

from .screenshots import browser, choose

SIZE, WIDTH = {"width": 1280, "height": 860}, 960  # of the window, and of the film
MAX_BYTES = 3_000_000
# a browser without a screen shows no pointer
POINTER = """() => {
  const dot = document.createElement('div');
  dot.style.cssText = 'position:fixed;z-index:9999;width:18px;height:18px;margin:-9px;border-radius:50%;' +
    'background:#ff3b30cc;border:2px solid #fff;pointer-events:none;left:-50px;top:-50px';
  document.body.append(dot);
  const follow = (event) => { dot.style.left = `${event.clientX}px`; dot.style.top = `${event.clientY}px`; };
  document.addEventListener('pointermove', follow, true);
}"""
# two ends of a line across the largest nucleus of U-Net that lies in the middle of the picture, on the screen
ACROSS = """() => {
  const { desk } = document.querySelector('.nm-viewer'), [stage] = desk.stages, { width, height } = desk.value;
  const apart = (at, length, side) => at > 0.2 * side && at + length < 0.8 * side;
  const inner = (n) => apart(n.x0, n.w, width) && apart(n.y0, n.h, height);
  const list = [...desk.nets.unet.nuclei.byNumber.values()].filter(inner).sort((a, b) => b.area - a.area), n = list[0];
  const box = stage.node.getBoundingClientRect();
  return [[n.x0 - 2, n.y0 + n.h / 2], [n.x0 + n.w + 2, n.y0 + n.h / 2]].map((point) => {
    const [x, y] = desk.toStage(stage, point);
    return [box.left + x, box.top + y];
  });
}"""


class Film:
    """Frames of a page, each shown for a while."""

    def __init__(self, page: Page):
        self.page = page
        self.frames: list[Image.Image] = []
        self.milliseconds: list[int] = []

    def take(self, milliseconds: int = 700) -> None:
        """One more frame."""
        with Image.open(io.BytesIO(self.page.screenshot())) as picture:
            height = round(picture.height * WIDTH / picture.width)
            self.frames.append(picture.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS))
        self.milliseconds.append(milliseconds)

    def move(self, start: tuple[float, float], end: tuple[float, float], steps: int = 6) -> None:
        """The pointer's way, frame by frame."""
        for share in np.linspace(0, 1, steps + 1)[1:]:
            self.page.mouse.move(*(a + (b - a) * share for a, b in zip(start, end, strict=True)))
            self.take(90)

    def save(self, path: Path) -> None:
        """As an animated WebP, as good as `MAX_BYTES` allow."""
        for quality in (80, 65, 50, 35, 20):
            first, *rest = self.frames
            first.save(path, save_all=True, append_images=rest, duration=self.milliseconds, loop=0, quality=quality)
            if path.stat().st_size <= MAX_BYTES:
                return
        raise ValueError(f"The film has {path.stat().st_size:,} bytes, more than {MAX_BYTES:,}: take fewer frames.")


def act(page: Page) -> Film:
    """Drop, compare, mend, save."""
    film = Film(page)
    film.take(900)
    page.locator("#file input[type=file]").set_input_files(data_folder("examples") / "fluorescence-clustered.png")
    page.locator(".nm-title", has_text="Your image").wait_for()
    page.wait_for_timeout(500)
    film.take()
    page.locator("#run").click()
    page.locator(".nm-summary").wait_for(timeout=120_000)
    page.wait_for_timeout(800)
    film.take(1200)
    choose(page, "Swipe")
    for share in (30, 45, 60, 75):
        page.locator(".nm-swipe").fill(str(share))
        page.wait_for_timeout(100)
        film.take(200)
    choose(page, "Agreement")
    film.take(1500)
    choose(page, "Side by side")
    page.evaluate(POINTER)
    (x0, y0), (x1, y1) = page.evaluate(ACROSS)
    page.locator("button[data-tool=split]").click()
    page.mouse.move(x0, y0)
    film.take()
    page.mouse.down()
    film.move((x0, y0), (x1, y1))
    page.mouse.up()
    page.wait_for_timeout(1200)
    film.take(1200)
    page.locator("button[data-tool=delete]").click()
    page.mouse.move(x0 + 0.25 * (x1 - x0), y0 - 12)
    film.take(500)
    page.mouse.down()
    page.mouse.up()
    page.wait_for_timeout(1200)
    film.take(1200)
    page.get_by_role("tab", name="Download").click()
    page.locator("#download-all").scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    film.take(600)
    page.locator("#download-all").hover()
    with page.expect_download():
        page.locator("#download-all").click()
    film.take(1500)
    return film


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/screenshots/recording.webp"))
    arguments = parser.parse_args()
    blocks = build(Networks())
    _, url, _ = launch(blocks, prevent_thread_lock=True, quiet=True)
    try:
        with sync_playwright() as playwright, browser(playwright) as opened:
            page = opened.new_page(viewport=SIZE, accept_downloads=True)
            page.goto(f"{url}?__theme=light")
            page.locator("#run").wait_for()
            page.wait_for_timeout(500)
            act(page).save(arguments.out)
            print(f"{arguments.out}: {arguments.out.stat().st_size:,} bytes")
    finally:
        blocks.close()


if __name__ == "__main__":
    main()
