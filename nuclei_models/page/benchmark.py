"""How fast the page answers, measured in a real browser.

    python -m nuclei_models.page.benchmark

Prints the time from opening the page to its being usable, from pressing Segment to both overlays of a 256 x 256 image,
and from moving the threshold slider to the new picture at 1024 x 1024. Needs what `screenshots` needs.
"""

import os
import tempfile
import time
from pathlib import Path
from statistics import median

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import numpy as np
import tifffile
from playwright.sync_api import Page, sync_playwright
from scipy import ndimage

from .layout import build, launch
from .networks import Networks
from .screenshots import WIDE, browser

# the time from one animation frame with the old picture to the first with the new one, in the browser's own clock
MOVE = """value => new Promise((done) => {
  const image = [...document.querySelectorAll('.nm-layer img')].at(-1), before = image.src, start = performance.now();
  const slider = document.querySelector('#threshold input[type=range]');
  slider.value = value;
  slider.dispatchEvent(new Event('input', { bubbles: true }));
  slider.dispatchEvent(new Event('change', { bubbles: true }));
  const look = () =>
    image.src !== before && image.complete ? done(performance.now() - start) : requestAnimationFrame(look);
  look();
})"""


def blobs(side: int, spacing: int = 40) -> np.ndarray:
    """(side, side) uint8, a round nucleus in every square of `spacing` pixels."""
    points = np.zeros((side, side), np.float32)
    points[spacing // 2 :: spacing, spacing // 2 :: spacing] = 1
    image = ndimage.gaussian_filter(points, spacing / 6)
    return (255 * image / image.max()).astype(np.uint8)


def segment(page: Page, path: Path) -> float:
    """Upload, press Segment, and wait for both overlays. -> seconds."""
    start = time.perf_counter()
    page.locator("#file input[type=file]").set_input_files(path)
    page.locator(".nm-title", has_text="Your image").wait_for()
    page.locator("#run").click()
    page.locator(".nm-title", has_text="U-Net++").wait_for(timeout=600_000)
    seconds = time.perf_counter() - start
    page.locator(".nm-summary").wait_for()
    page.get_by_role("button", name="Clear").first.click()
    page.locator(".nm-empty").wait_for()
    return seconds


def measure(url: str, folder: Path) -> dict[str, float]:
    """Milliseconds by what they are of."""
    small, large = folder / "small.tif", folder / "large.tif"
    tifffile.imwrite(small, blobs(256))
    tifffile.imwrite(large, blobs(1024))
    with sync_playwright() as playwright, browser(playwright) as opened:
        page = opened.new_page(viewport=WIDE)
        start = time.perf_counter()
        page.goto(url)
        page.locator("#run").wait_for()
        first = time.perf_counter() - start
        segment(page, small)
        both = median(segment(page, small) for _ in range(3))
        page.locator("#file input[type=file]").set_input_files(large)
        page.locator(".nm-title", has_text="Your image").wait_for()
        page.locator("#run").click()
        page.locator(".nm-summary").wait_for(timeout=600_000)
        moves = []
        for value in np.linspace(0.3, 0.8, 11):
            page.wait_for_timeout(1000)  # until the numbers of the last move are there
            moves.append(page.evaluate(MOVE, f"{value:.2f}"))
    return {
        "first page": 1000 * first,
        "upload to both overlays, 256 x 256": 1000 * both,
        "threshold slider to new picture, 1024 x 1024": median(moves),
    }


def main() -> None:
    blocks = build(Networks())
    _, url, _ = launch(blocks, prevent_thread_lock=True, quiet=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            for what, milliseconds in measure(url, Path(folder)).items():
                print(f"{what}: {milliseconds:.0f} ms")
    finally:
        blocks.close()


if __name__ == "__main__":
    main()
