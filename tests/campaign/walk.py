"""Visitors in a real Chromium who do anything in any order, often before the answer to what they did before is there.

Now and then they wait, and then what each sees, nucleus by nucleus, and saves must be what the library gives for what
stands on the page.
"""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page, expect, sync_playwright

from benchmarks.screenshots import WIDE, browser
from nuclei_models.page.examples import Example
from nuclei_models.page.layout import build, launch
from nuclei_models.page.levels import WHOLE
from nuclei_models.page.networks import Networks
from tests.support.browser import TIMEOUT

from .expected import FILES, STACK, Answer, Library, check_zip, write_files

KEYS = ("unet", "unetpp")
SEEN = """() => {
  const { desk } = document.querySelector('.nm-viewer');
  const rows = [...document.querySelectorAll('.nm-summary tr')].filter((row) => row.innerText.startsWith('Nuclei'));
  const counts = rows.flatMap((row) => [...row.querySelectorAll('td')].map((cell) => cell.innerText));
  const nets = Object.entries(desk.nets).map(([key, { nuclei, done, undone }]) => [key, { done, undone,
    nuclei: [...nuclei.byNumber.values()].map(({ number, area, x0, y0, w, h }) => [number, area, x0, y0, w, h]) }]);
  return { name: desk.value?.name || '', counts, nets: Object.fromEntries(nets) };
}"""
NAMED = "(name) => (document.querySelector('.nm-viewer').desk.value?.name || '') === name"
DELETE = "(at) => { document.querySelector('.nm-viewer').desk.act('unet', { act: 'delete', points: [at] }); }"
SLOW = 0.1  # seconds that a network takes at least


class Walker:
    """A visitor, and what stands on their page.

    Attributes:
        file: The last that was chosen.
        is_run: Whether the networks have been run since.
    """

    def __init__(self, chromium: Browser, url: str, library: Library, random: Random):
        self.library, self.random = library, random
        self.context = chromium.new_context(viewport=WIDE, accept_downloads=True)
        self.context.set_default_timeout(TIMEOUT)
        self.page: Page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(url)
        self.page.locator("#run").wait_for()
        self.file: str | None = None
        self.is_run = False
        self.z, self.channel = 2, 0  # the middle one, and the first, as the page chooses
        self.sliders = dict(library.fitted)
        self.typed: float | None = None

    # what a visitor does

    def upload(self) -> None:
        name = self.random.choice([*FILES, STACK])
        if self.page.get_by_role("button", name="Clear").count():
            self.page.get_by_role("button", name="Clear").first.click()
            expect(self.page.locator(".nm-empty")).to_be_visible()
        self.page.locator("#file input[type=file]").set_input_files(self.library.folder / name)
        self.file, self.is_run, self.z, self.channel = name, False, 2, 0
        self.typed = FILES[name][1] if FILES[name] else None  # type: ignore[index]

    def click_an_example(self) -> None:
        """Which runs the networks too."""
        self.page.locator(".nm-example").first.click()
        self.file, self.is_run, self.typed = "new.tif", True, FILES["new.tif"][1]  # type: ignore[index]

    def choose_a_plane(self) -> None:
        self.settle()
        if self.file == STACK:
            self.z, self.is_run = self.random.choice([1, 2, 3]), False
            before = self.page.locator("#z input[type=range]").input_value()
            self.page.locator("#z input[type=range]").fill(str(self.z))
            self.is_run = self.is_run and before == str(self.z)

    def type_a_pixel_size(self) -> None:
        self.settle()
        if self.file:
            self.typed = self.random.choice([0.3, 0.25, 1.0])
            self.page.locator("#pixel-size input").fill(str(self.typed))
            self.page.locator("#pixel-size input").press("Tab")

    def move_a_slider(self) -> None:
        self.sliders["threshold"] = self.random.choice([0.3, 0.7, 0.9])
        self.page.locator("#threshold input[type=range]").fill(str(self.sliders["threshold"]))

    def run(self) -> None:
        self.wait_for_picture()
        if self.file:
            self.page.locator("#run").click()
            self.is_run = True

    def cancel(self) -> None:
        """A run that has just begun. What was shown stays, or its result is shown if it came first."""
        self.settle()
        if self.file:
            self.page.locator("#run").click()
            self.page.locator("#cancel").click()
            expect(self.page.locator("#status")).to_contain_text(re.compile("Cancelled|Nothing is running"))
            self.page.wait_for_timeout(1000 * SLOW)
            has_result = bool(self.page.evaluate(SEEN)["nets"])
            assert has_result or not self.is_run, "a result is gone, as another run was cancelled"
            self.is_run = has_result

    def mend(self) -> None:
        """A nucleus is deleted."""
        self.settle()
        wanted = self.wanted()
        if wanted and (numbers := np.setdiff1d(wanted["unet"][0], 0)).size:
            ys, xs = np.nonzero(wanted["unet"][0] == self.random.choice(list(numbers)))
            point = [int(xs[0]) + 0.5, int(ys[0]) + 0.5]
            self.page.evaluate(DELETE, point)
            self.wait_for_mend()

    def download(self) -> None:
        self.settle()
        wanted = self.wanted()
        if wanted and self.file:
            self.page.get_by_role("tab", name="Download").click()
            with self.page.expect_download() as waiting:
                self.page.locator("#download-all").click()
            data = Path(waiting.value.path()).read_bytes()
            check_zip(data, Path(self.file).stem, (None, False), wanted)
            self.page.get_by_role("tab", name="Numbers").click()

    # what must come of it

    def wanted(self) -> dict[str, Answer]:
        """By network; nothing where nothing was run."""
        if not self.is_run or self.file is None:
            return {}
        plane = (self.z - 1, self.channel) if self.file == STACK else (None, None)
        v = self.sliders | {"pixel_size": self.typed, "level": WHOLE}
        nets = self.page.evaluate(SEEN)["nets"]
        edits = {key: (nets[key]["done"], nets[key]["undone"]) for key in KEYS if key in nets}
        return {key: self.library.answer(self.file, plane, (None, False, None), v, key, edits) for key in KEYS}

    def differs(self) -> str:
        """From what must be seen."""
        seen: dict[str, Any] = self.page.evaluate(SEEN)
        stem = Path(self.file).stem if self.file else ""
        if seen["name"] != stem:
            return f"{seen['name']!r} is shown, expected {stem!r}"
        wanted = self.wanted()
        if not wanted:
            return f"counts of nothing: {seen['counts']}" if seen["counts"] or seen["nets"] else ""
        counts = [f"{len(table['area_px']):,}" for _, table in wanted.values()]
        if seen["counts"] != counts:
            return f"{seen['counts']} nuclei are told of, expected {counts}"
        for key, (labels, _) in wanted.items():
            if sorted(seen["nets"][key]["nuclei"]) != nuclei_of(labels):
                return f"other nuclei of {key} are drawn"
        return ""

    def settle(self) -> None:
        """Wait until what must be seen is seen."""
        said = ""
        for _ in range(200):
            if not (said := self.differs()):
                break
            self.page.wait_for_timeout(50)
        assert said == "" and self.errors == [], (said, self.errors)

    def wait_for_picture(self) -> None:
        self.page.wait_for_function(NAMED, arg=Path(self.file).stem if self.file else "")

    def wait_for_mend(self) -> None:
        self.page.wait_for_function("!document.querySelector('.nm-viewer').dataset.busy")

    def close(self) -> None:
        self.context.close()


def nuclei_of(labels: np.ndarray) -> list[list[int]]:
    """Number, area and box of each nucleus, as the viewer has them."""
    found = []
    for number in np.setdiff1d(labels, 0):
        ys, xs = np.nonzero(labels == number)
        box = [int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1]
        found.append([int(number), len(ys), *box])
    return found


ACTS = (
    "upload",
    "click_an_example",
    "choose_a_plane",
    "type_a_pixel_size",
    "move_a_slider",
    "run",
    "cancel",
    "mend",
    "download",
)


def walk(
    chromium: Browser, url: str, library: Library, sequences: int, first: int = 0, timeout: float = TIMEOUT
) -> int:
    """Two visitors on one page. -> how many acts there were.

    Args:
        sequences: Of some acts each, after which both wait.
        first: Number of the first; a number always gives the same acts.
    """
    random = Random(first)
    walkers = [Walker(chromium, url, library, random) for _ in range(2)]
    done: list[str] = []
    quick = library.networks.predict

    def slow(*args: Any) -> Any:
        time.sleep(SLOW)
        return quick(*args)

    try:
        library.networks.predict = slow  # type: ignore[method-assign]
        for one in walkers:
            one.upload()
            one.run()
        for number in range(first, first + sequences):
            random.seed(number)
            for _ in range(5):
                i, act = random.randrange(2), random.choice(ACTS)
                done.append(f"{i}: {act}")
                getattr(walkers[i], act)()
            for one in walkers:
                one.settle()
    except Exception as error:
        error.add_note("after " + json.dumps(done))
        raise
    finally:
        library.networks.predict = quick  # type: ignore[method-assign]
        for one in walkers:
            one.close()
    return len(done)


@contextmanager
def _opened() -> Iterator[Browser]:
    with sync_playwright() as playwright, browser(playwright) as opened:
        yield opened


def try_walks(
    networks: Networks, folder: Path, sequences: int, first: int = 0, chromium: Browser | None = None
) -> tuple[int, list[str]]:
    """Walks on a page of its own, until one goes wrong. -> how many acts there were, and what was wrong.

    Args:
        chromium: The browser, if one is open: Playwright bears one in a process.
    """
    write_files(folder)
    blocks = build(networks, [Example(folder / "new.tif", "New")])
    try:
        _, url, _ = launch(blocks, prevent_thread_lock=True, quiet=True, server_port=None)
        with nullcontext(chromium) if chromium else _opened() as opened:
            return walk(opened, url, Library(networks, folder), sequences, first), []
    except Exception as error:
        wrong = "\n".join([repr(error), *getattr(error, "__notes__", [])])
        print(wrong)
        return 0, [wrong]
    finally:
        blocks.close()
