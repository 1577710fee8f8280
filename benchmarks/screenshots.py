"""Pictures of the page and of a run's report for the docs, taken in a real browser.

    python -m benchmarks.screenshots --out docs/screenshots [--example 0] [--in-the-dark 9]
    python -m benchmarks.screenshots --out docs/screenshots --several
    python -m benchmarks.screenshots --out docs/screenshots --report

The second takes only the picture of several images, the third only that of a report.

Needs `pip install playwright` and Chromium (`playwright install chromium`, or a system package).
"""

import argparse
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import numpy as np
from PIL import Image
from playwright.sync_api import Page, Playwright, sync_playwright

from nuclei_models.page.layout import build, launch
from nuclei_models.page.networks import Networks

WIDE, PHONE = {"width": 1400, "height": 1060}, {"width": 390, "height": 844}
VIEWS = {"swipe": "Swipe", "agreement": "Agreement", "true_mask": "True mask", "side_by_side": "Side by side"}
PAINTS = {"filled": "Filled", "probability": "Probability"}
TABS = {"table": "Every nucleus", "download": "Download", "numbers": "Numbers"}
REPORT = {"width": 1200, "height": 1600}
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
REPORTED = {
    "cultures": ["fluorescence-clustered", "fluorescence-dense", "fluorescence-speckled"],
    "tissue": ["histology-pink", "purple-small", "white-ground", "brightfield"],
}
SEVERAL = "fluorescence-small", "fluorescence-clustered", "fluorescence-sharp", "purple-small", "histology-pink"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@contextmanager
def browser(playwright: Playwright, *flags: str) -> Iterator[Any]:
    """Chromium: the system's, if there is one, or else Playwright's own. With more flags than usual, if need be."""
    system = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    opened = playwright.chromium.launch(executable_path=system, args=[*FLAGS, *flags])
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
    page.get_by_role("radio", name=name, exact=True).click()
    page.wait_for_timeout(600)  # until the pictures are drawn


def pick_nucleus(page: Page, number: int = 3) -> None:
    """Click a row of the table."""
    page.get_by_role("tab", name=TABS["table"]).click()
    page.locator(".nm-table tbody tr").nth(number - 1).click()
    page.locator(".nm-mark").first.wait_for(state="attached")


def mend(page: Page) -> None:
    """Look closely, cut one nucleus in two and delete another."""
    page.locator(".nm-tools button", has_text="+").click(click_count=2)
    page.wait_for_timeout(400)
    cut, gone = page.evaluate(
        """() => {
          const { desk } = document.querySelector('.nm-viewer'), { view } = desk;
          const far = (n) => Math.hypot(n.x0 + n.w / 2 - view.x, n.y0 + n.h / 2 - view.y);
          const list = [...desk.nets.unet.nuclei.byNumber.values()].sort((a, b) => far(a) - far(b));
          const [n, other] = list;
          return [[[n.x0 - 2, n.y0 + n.h / 2], [n.x0 + n.w + 2, n.y0 + n.h / 2]], [desk.nuclei('unet').middle(other)]];
        }"""
    )
    for act, points in (("split", cut), ("delete", gone)):
        page.evaluate(
            "([act, points]) => document.querySelector('.nm-viewer').desk.act('unet', { act, points })", [act, points]
        )
    page.locator("button[data-tool=split]").click()
    page.wait_for_timeout(1500)


def run_several(page: Page, kinds: Sequence[str] = SEVERAL) -> None:
    """Drop some examples and an empty field, run all, and open one."""
    page.locator("#run").wait_for()
    with tempfile.TemporaryDirectory() as name:
        empty = Path(name, "empty-field.png")
        Image.fromarray(np.random.default_rng(0).normal(12, 2, (256, 320)).astype(np.uint8)).save(empty)
        given = [*(EXAMPLES / f"{kind}.png" for kind in kinds), empty]
        page.locator("#file input[type=file]").set_input_files(given)
        page.locator(".nm-card").last.wait_for()
    page.locator("#run-all").click()
    page.get_by_text(f"Done: {len(given)} of {len(given)} images").wait_for(timeout=300_000)
    page.locator(".nm-card").nth(1).click()
    page.locator("#status", has_text="Done: U-Net").wait_for()
    page.locator(".nm-summary").wait_for()
    page.wait_for_timeout(1000)


def save(data: bytes, path: Path, width: int | None = None) -> Path:
    """A screenshot in 32 levels a channel, for a smaller file; reduced to a width, if one is given."""
    with Image.open(io.BytesIO(data)) as picture:
        picture.thumbnail((width or picture.width, picture.height), Image.Resampling.LANCZOS)
        small = picture.convert("RGB").point([round(round(v * 31 / 255) * 255 / 31) for v in range(256)] * 3)
        small.save(path, optimize=True)
    return path


def take_report(out: Path) -> Path:
    """The report of a run of `nuclei segment` over examples in folders, an empty field, and a file that is no image."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for group, kinds in REPORTED.items():
            (folder / "images" / group).mkdir(parents=True)
            for kind in kinds:
                shutil.copy(EXAMPLES / f"{kind}.png", folder / "images" / group)
        (folder / "images" / "tissue" / "notes.png").write_text("no image")
        dark = np.random.default_rng(0).normal(12, 2, (512, 640)).astype(np.uint8)
        Image.fromarray(dark).save(folder / "images" / "cultures" / "empty-field.png")
        line = [
            sys.executable,
            "-m",
            "nuclei_cli",
            "segment",
            str(folder / "images"),
            "-r",
            "--out",
            str(folder / "out"),
        ]
        subprocess.run([*line, "--exclude-edge"], stdout=subprocess.DEVNULL, check=False)
        with sync_playwright() as playwright, browser(playwright) as opened:
            page = opened.new_page(viewport=REPORT)
            page.goto((folder / "out" / "report.html").as_uri())
            return save(page.screenshot(), out / "report.png", width=900)


def take_several(opened: Any, url: str, out: Path) -> Path:
    """Several images, all segmented."""
    page = opened.new_page(viewport=WIDE)
    page.goto(url)
    run_several(page)
    return save(page.screenshot(), out / "several.png")


def take(url: str, out: Path, example: int, in_the_dark: int) -> list[Path]:
    """Every picture; their paths."""
    taken: list[Path] = []

    def shoot(page: Page, name: str, whole: bool = False, part: str = "") -> None:
        data = (
            page.screenshot(full_page=True) if whole else page.locator(part).screenshot() if part else page.screenshot()
        )
        taken.append(save(data, out / f"{name}.png"))

    with sync_playwright() as playwright, browser(playwright) as opened:
        page = opened.new_page(viewport=WIDE)
        page.goto(url)
        page.locator("#run").wait_for()
        page.wait_for_timeout(500)
        shoot(page, "start")
        try_example(page, url, example)
        try_example(
            page, url, example
        )  # the first run takes longer than those after it, and its time is in the pictures
        page.wait_for_timeout(500)
        for name, label in (VIEWS | PAINTS).items():
            radio = page.get_by_role("radio", name=label, exact=True)
            if radio.count() and not radio.is_checked():
                choose(page, label)
            if radio.count():
                shoot(page, name)
        choose(page, "Outlines")
        mend(page)
        shoot(page, "mending")
        page.locator("button[data-act=clear]").click()
        page.locator(".nm-tools button", has_text="Fit").click()
        page.wait_for_timeout(800)
        pick_nucleus(page, 9)
        page.wait_for_timeout(400)
        shoot(page, "table", whole=True)
        for name in ("download", "numbers"):
            page.get_by_role("tab", name=TABS[name]).click()
            page.wait_for_timeout(400)
            shoot(page, name, part="#results")
        taken.append(take_several(opened, url, out))
        page = opened.new_page(viewport=WIDE)
        try_example(page, f"{url}?__theme=dark", in_the_dark)
        page.evaluate("window.scrollTo(0, 0)")
        page.wait_for_timeout(500)
        shoot(page, "dark")
        page = opened.new_page(viewport=PHONE)
        try_example(page, f"{url}?__theme=light", example)
        page.wait_for_timeout(500)
        shoot(page, "phone", whole=True)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/screenshots"), help="folder for the PNG files")
    parser.add_argument("--example", type=int, default=0, help="which example is shown, from 0")
    parser.add_argument("--in-the-dark", type=int, default=9, help="which is shown in dark mode")
    parser.add_argument("--several", action="store_true", help="of several images only")
    parser.add_argument("--report", action="store_true", help="of a run's report, not of the page")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.report:
        print(take_report(arguments.out))
        return
    blocks = build(Networks())
    _, url, _ = launch(blocks, prevent_thread_lock=True, quiet=True)
    try:
        if arguments.several:
            with sync_playwright() as playwright, browser(playwright) as opened:
                print(take_several(opened, url, arguments.out))
            return
        for path in take(url, arguments.out, arguments.example, arguments.in_the_dark):
            print(path)
    finally:
        blocks.close()


if __name__ == "__main__":
    main()
