"""How fast the page answers, measured in a real browser.

    python -m benchmarks.page_benchmark            measure: page.json
    python -m benchmarks.page_benchmark --quick    the same with fewer repetitions; nothing is written

Measured are, at 1024 x 1024 and at 17 megapixels, in milliseconds: from opening the page to its being usable; from
uploading an image to both overlays of it; from moving the threshold slider to the frame that shows the new outlines;
from the end of a stroke, or from undo, to the frame that shows what came of it; and between frames while the picture is
moved and zoomed. Opening the page and uploading are measured for 256 x 256, too.

What cutting maps into nuclei takes depends on how many pixels of nuclei touch others, so the slider is moved over
several images, each tiled with an example: one of the commonest kind in the training data ("small"), 2.7 times as dense
as the mean of it; one that is 6.5 times as dense, with some 1,300 nuclei at 1024 x 1024 ("dense"); and one that is
nearly half covered by clusters ("clusters"). At 17 megapixels a quarter of the image is tiled with one of the last two
and the rest is sparse, which makes some 5,000 nuclei. Needs what `screenshots` needs.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import numpy as np
import tifffile
from playwright.sync_api import Page, sync_playwright

from nuclei_models.images.reader import read
from nuclei_models.inference.bundled import data_folder
from nuclei_models.page.layout import build, launch
from nuclei_models.page.networks import Networks

from .machine import describe
from .page_scripts import ACT, COUNTED, FRAMES, MOVE, SHOWN
from .running import write
from .screenshots import WIDE, browser

RESULTS = Path(__file__).resolve().parent / "page.json"
EXAMPLES = {"small": "fluorescence-small", "dense": "fluorescence-dense", "clusters": "fluorescence-clustered"}
SPARSE, MENDED = "fluorescence-dim", "dense"
MEGAPIXEL, LARGEST = "1024", "17mp"
SIZES = "256", MEGAPIXEL, LARGEST


class Effort(NamedTuple):
    """How often things are done.

    Attributes:
        moves: Of the slider over an image.
        rounds: Of split, merge, undo and undo.
        uploads: Of an image.
        rest: Milliseconds after an act until the numbers have followed, by size.
    """

    moves: int = 11
    rounds: int = 2
    uploads: int = 3
    rest: tuple[tuple[str, int], ...] = ((MEGAPIXEL, 1500), (LARGEST, 4000))


QUICK = Effort(moves=3, rounds=1, uploads=1, rest=((MEGAPIXEL, 800), (LARGEST, 2000)))


class Measured(NamedTuple):
    """One figure: milliseconds of `what` at `size`."""

    size: str
    what: str
    milliseconds: float


def tiled(example: str, side: int) -> np.ndarray:
    """(side, side), an example and its mirror images side by side as often as it takes."""
    image = read(data_folder("examples") / f"{example}.png").pixels
    return np.pad(image, [(0, max(0, side - n)) for n in image.shape], mode="symmetric")[:side, :side]


def spread(sparse: np.ndarray, crowded: np.ndarray) -> np.ndarray:
    """Two of (h, w) to (4 h, 4 w), a quarter of which is the second."""
    return np.tile(np.block([[sparse, sparse], [sparse, crowded]]), (2, 2))


class Visit:
    """A page that is open in a browser, and what is measured there."""

    def __init__(self, page: Page, folder: Path, effort: Effort):
        self.page, self.folder, self.effort = page, folder, effort

    def opened(self, url: str) -> float:
        """Milliseconds from asking for the page to its being usable."""
        start = time.perf_counter()
        self.page.goto(url)
        self.page.locator("#run").wait_for()
        return 1000 * (time.perf_counter() - start)

    def uploaded(self, image: np.ndarray) -> float:
        """Milliseconds from choosing a file, and pressing Segment once it is shown, to both overlays."""
        path = self.folder / "image.tif"
        tifffile.imwrite(path, image, compression="zlib")
        start = time.perf_counter()
        self.page.locator("#file input[type=file]").set_input_files(path)
        self.page.evaluate(SHOWN, "Your image")
        self.page.evaluate("document.querySelector('#run').click()")
        self.page.evaluate(SHOWN, "U-Net++")
        milliseconds = 1000 * (time.perf_counter() - start)
        self.page.locator(".nm-summary").wait_for(timeout=120_000)
        return milliseconds

    def cleared(self) -> None:
        """As it was when it was opened."""
        self.page.get_by_role("button", name="Clear").first.click()
        self.page.locator(".nm-empty").wait_for()

    def nuclei(self) -> str:
        """How many nuclei are shown, of the last network, in words."""
        return self.page.locator(".nm-title span").last.inner_text().partition(" nuclei")[0] + " nuclei"

    def moved(self) -> float:
        """Milliseconds from a move of the threshold slider to the frame that shows the new outlines, the median."""
        moves = []
        for value in np.linspace(0.3, 0.8, self.effort.moves):
            self.page.evaluate(COUNTED)  # the numbers of the last move are there
            self.page.wait_for_timeout(300)
            moves.append(self.page.evaluate(MOVE, f"{value:.2f}"))
        self.page.evaluate(COUNTED)
        return median(moves)

    def mended(self, size: str) -> Iterator[Measured]:
        """Each act, and frames while the picture is moved and zoomed."""
        rest = dict(self.effort.rest)[size]
        self.page.evaluate("delete window.chosen")  # the nucleus of an image before
        self.page.wait_for_timeout(rest)
        acts: dict[str, list[float]] = {"split": [], "merge": [], "undo": []}
        for what in ("split", "merge", "undo", "undo") * self.effort.rounds:
            acts[what].append(self.page.evaluate(ACT, what))
            self.page.wait_for_timeout(rest)
        yield from (Measured(size, what, median(times)) for what, times in acts.items())
        for what in ("pan", "zoom"):
            times = self.page.evaluate(FRAMES, what)
            yield Measured(size, f"{what}_frame", median(times))
            yield Measured(size, f"{what}_frame_95", float(np.percentile(times, 95)))


@contextmanager
def repeated(networks: Networks, *parts: np.ndarray) -> Iterator[None]:
    """The networks look at two parts of an image that is `spread` of them, and their maps are repeated."""
    predict = networks.predict

    def stand_in(key: str, pixels: np.ndarray, *arguments: Any) -> Any:
        first, second = (predict(key, part, *arguments) for part in parts)
        assert first.distance is not None and second.distance is not None
        probability = spread(first.probability, second.probability)
        return first._replace(probability=probability, distance=spread(first.distance, second.distance))

    networks.predict = stand_in  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        networks.predict = predict  # type: ignore[method-assign]


def measure(url: str, networks: Networks, folder: Path, sizes: list[str], effort: Effort) -> Iterator[Measured]:
    """All figures of these sizes, as they come."""
    with sync_playwright() as playwright, browser(playwright) as opened:
        page = opened.new_page(viewport=WIDE)
        visit = Visit(page, folder, effort)
        first = visit.opened(url)
        yield from (Measured(size, "first_page", first) for size in sizes)
        visit.uploaded(tiled(EXAMPLES["small"], 256))  # so that all is loaded
        visit.cleared()
        if "256" in sizes:
            yield Measured("256", "upload", uploads(visit, tiled(EXAMPLES["small"], 256)))
        if MEGAPIXEL in sizes:
            yield from megapixel(visit)
        if LARGEST in sizes:
            yield from largest(visit, networks)


def uploads(visit: Visit, image: np.ndarray) -> float:
    """The median of several."""
    times = []
    for _ in range(visit.effort.uploads):
        times.append(visit.uploaded(image))
        visit.cleared()
    return median(times)


def megapixel(visit: Visit) -> Iterator[Measured]:
    """At 1024 x 1024."""
    yield Measured(MEGAPIXEL, "upload", uploads(visit, tiled(EXAMPLES[MENDED], 1024)))
    for kind, example in EXAMPLES.items():
        visit.uploaded(tiled(example, 1024))
        print(f"1024 x 1024, {kind}: {visit.nuclei()}", flush=True)
        yield Measured(MEGAPIXEL, f"slider_{kind}", visit.moved())
        if kind == MENDED:
            yield from visit.mended(MEGAPIXEL)
        visit.cleared()


def largest(visit: Visit, networks: Networks) -> Iterator[Measured]:
    """At 17 megapixels. The networks look at the whole of the first image."""
    sparse = tiled(SPARSE, 1024)
    for kind in ("dense", "clusters"):
        crowded = tiled(EXAMPLES[kind], 1024)
        image = spread(sparse, crowded)
        if kind == MENDED and visit.effort is not QUICK:
            yield Measured(LARGEST, "upload", visit.uploaded(image))
        else:
            with repeated(networks, sparse, crowded):
                visit.uploaded(image)
        print(f"4096 x 4096, {kind}: {visit.nuclei()}", flush=True)
        yield Measured(LARGEST, f"slider_{kind}", visit.moved())
        if kind == MENDED:
            yield from visit.mended(LARGEST)
        visit.cleared()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sizes", nargs="*", default=SIZES, choices=SIZES, help="only these; others of this day stay as they were"
    )
    parser.add_argument("--quick", action="store_true", help="fewer repetitions; nothing is written")
    asked = parser.parse_args()
    networks = Networks()
    blocks = build(networks)
    _, url, _ = launch(blocks, prevent_thread_lock=True, quiet=True)
    versions = {name: version(name) for name in ("gradio", "numpy", "scikit-image", "scipy")}
    results: dict[str, Any] = {
        "machine": describe(),
        "date": datetime.now(UTC).date().isoformat(),
        "versions": versions,
    }
    try:
        with tempfile.TemporaryDirectory() as folder:
            effort = QUICK if asked.quick else Effort()
            for found in measure(url, networks, Path(folder), asked.sizes, effort):
                results.setdefault(found.size, {})[found.what] = round(found.milliseconds, 1)
                print(f"{found.size}, {found.what}: {found.milliseconds:.0f} ms", flush=True)
    finally:
        blocks.close()
    if not asked.quick:
        before = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
        of_this_day = all(before.get(key) == results[key] for key in ("machine", "date", "versions"))
        write(before | results if of_this_day else results, RESULTS)


if __name__ == "__main__":
    main()
