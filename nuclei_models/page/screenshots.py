"""Pictures of the page for the docs, taken in a real browser.

    python -m nuclei_models.page.screenshots --out docs/screenshots [--example 0]

Needs `pip install playwright` and Chromium (`playwright install chromium`, or a system package).
"""

import argparse
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

from playwright.sync_api import Page, Playwright, sync_playwright

from .layout import build, launch
from .networks import Networks

WIDE, PHONE = {"width": 1400, "height": 1000}, {"width": 390, "height": 844}
VIEWS = {"swipe": "Swipe", "agreement": "Agreement", "true_mask": "True mask", "side_by_side": "Side by side"}
PAINTS = {"filled": "Filled", "probability": "Probability"}
TABS = {"table": "Every nucleus", "download": "Download", "numbers": "Numbers"}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@contextmanager
def browser(playwright: Playwright) -> Iterator[Any]:
    """Chromium: the system's, if there is one, or else Playwright's own."""
    system = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    opened = playwright.chromium.launch(executable_path=system, args=FLAGS)
    try:
        yield opened
    finally:
        opened.close()


def try_example(page: Page, url: str, example: int, timeout: float = 120_000) -> None:
    """Open the page and click an example, until its numbers are there."""
    page.goto(url)
    page.locator(".nm-example").nth(example).click()
    page.locator(".nm-summary").wait_for(timeout=timeout)


def choose(page: Page, name: str) -> None:
    """Click a radio button and wait for the pictures that follow."""
    before = page.locator("#viewer .nm-viewer").inner_html()
    page.get_by_role("radio", name=name, exact=True).click()
    page.wait_for_function("before => document.querySelector('#viewer .nm-viewer').innerHTML !== before", arg=before)
    page.wait_for_timeout(400)  # until the pictures are decoded


def pick_nucleus(page: Page) -> None:
    """Click the third row of the table."""
    page.get_by_role("tab", name=TABS["table"]).click()
    page.locator(".nm-table tbody tr").nth(2).click()
    page.locator(".nm-mark").first.wait_for(state="attached")


def take(url: str, out: Path, example: int) -> list[Path]:
    """Every picture; their paths."""
    taken: list[Path] = []

    def shoot(page: Page, name: str, whole: bool = False) -> None:
        taken.append(out / f"{name}.png")
        page.screenshot(path=taken[-1], full_page=whole)

    with sync_playwright() as playwright, browser(playwright) as opened:
        page = opened.new_page(viewport=WIDE)
        page.goto(url)
        page.locator("#run").wait_for()
        page.wait_for_timeout(500)
        shoot(page, "start")
        try_example(page, url, example)
        page.wait_for_timeout(500)
        for name, label in (VIEWS | PAINTS).items():
            radio = page.get_by_role("radio", name=label, exact=True)
            if radio.count() and not radio.is_checked():
                choose(page, label)
            if radio.count():
                shoot(page, name)
        pick_nucleus(page)
        page.wait_for_timeout(400)
        shoot(page, "table", whole=True)
        for name in ("download", "numbers"):
            page.get_by_role("tab", name=TABS[name]).click()
            page.wait_for_timeout(400)
            shoot(page, name, whole=True)
        for name, theme, size in (("dark", "dark", WIDE), ("phone", "light", PHONE)):
            page = opened.new_page(viewport=size, device_scale_factor=2 if size is PHONE else 1)
            try_example(page, f"{url}?__theme={theme}", example)
            page.wait_for_timeout(500)
            shoot(page, name, whole=size is PHONE)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/screenshots"), help="folder for the PNG files")
    parser.add_argument("--example", type=int, default=0, help="which example is shown, from 0")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    blocks = build(Networks())
    _, url, _ = launch(blocks, prevent_thread_lock=True, quiet=True)
    try:
        for path in take(url, arguments.out, arguments.example):
            print(path)
    finally:
        blocks.close()


if __name__ == "__main__":
    main()
