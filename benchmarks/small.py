"""How long small images take: one by the command in a fresh process, and a folder of many, with where the time goes.

    python -m benchmarks.small                         measure: small.json
    python -m benchmarks.small --against ../before     beside a checkout of another version
    python -m benchmarks.small --write                 the tables into docs/speed.md

The images are 256 x 256 crops of the examples. A command's time is that of its whole process, imports included. The
profile is of one thread that works on one image after the other; the folder's is of as many as there are.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image

from nuclei_models.batch import job, making
from nuclei_models.images.reader import read
from nuclei_models.inference import segmentation
from nuclei_models.inference.bundled import DEFAULT, data_folder
from nuclei_models.inference.streaming import work_alone
from nuclei_models.jobs.mapper import SideBySide
from nuclei_models.jobs.settings import settings_for
from nuclei_models.model.processing import NucleiProcessing
from train.release.markdown import fill

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE = ROOT / "benchmarks/small.json", ROOT / "docs/speed.md"
SIDE = 256
COMPARED, TURNS = 100, 3  # images of the folder that another version segments, too; and how often, in turns
AIMS = {"help": 0.3, "one": 2.5}  # seconds
COMMANDS = {
    "help": "`nuclei --help`",
    "torch": "`import torch` alone",
    "one": "one image, from the command to its files",
}
STAGES: dict[str, list[tuple[Any, str]]] = {  # what each consists of; a call from one into another counts for that
    "reading": [(making, "images_of")],
    "normalising": [(NucleiProcessing, "normalised")],
    "diameter": [(NucleiProcessing, "belief"), (NucleiProcessing, "look")],
    "network": [(segmentation, "predict_logits")],
    "maps and watershed": [(NucleiProcessing, "maps"), (NucleiProcessing, "instances"), (NucleiProcessing, "cut")],
    "measuring": [(making, "measure"), (NucleiProcessing, "confidence")],
    "packing files": [(making, "make_files"), (making, "thumbnail")],
    "writing and syncing": [(job, "staged"), (job, "publish")],
}


def crops(n: int, folder: Path) -> None:
    """Write n images."""
    examples = [p for p in sorted(data_folder("examples").glob("*.png")) if not p.stem.endswith("_labels")]
    rng = np.random.default_rng(0)
    for i in range(n):
        image = read(examples[i % len(examples)]).pixels
        margins = [(0, max(SIDE - length, 0)) for length in image.shape[:2]] + [(0, 0)] * (image.ndim - 2)
        image = np.pad(image, margins, mode="reflect")
        y, x = (rng.integers(0, length - SIDE + 1) for length in image.shape[:2])
        Image.fromarray(image[y : y + SIDE, x : x + SIDE]).save(folder / f"{i:04d}.png")


def seconds_of(code: str, *arguments: str, folder: Path, version: Path = ROOT) -> tuple[float, float]:
    """Of a fresh Python, from its start to its end: by the clock, and of processors' work."""
    environment = os.environ | {"PYTHONPATH": str(version)}
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code, *arguments], cwd=folder, env=environment, check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(n: int, times: int, against: Path | None = None) -> dict[str, Any]:
    """Seconds of the commands, the median of `times`; images a second; milliseconds an image by stage.

    Args:
        n: Images in the folder.
        against: A checkout of another version, which segments some of them, too, in turns with this one. The fastest
            turns count.
    """
    command = "from nuclei_cli import main; main()"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        crops(n, folder / "images")

        def segment(what: str, out: str, version: Path = ROOT) -> tuple[float, float]:
            return seconds_of(command, "segment", what, "--out", out, "--quiet", folder=folder, version=version)

        segment("images/0000.png", "warm")  # so that modules lie in the system's cache
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
        for i in range(times):
            runs["help"].append(seconds_of(command, "--help", folder=folder))
            runs["torch"].append(seconds_of("import torch", folder=folder))
            runs["one"].append(segment("images/0000.png", f"one{i}"))
        medians = [{name: statistics.median(run[i] for run in found) for name, found in runs.items()} for i in (0, 1)]
        many, _ = segment("images", "many")
        before = {}
        if against is not None:
            (folder / "compared").mkdir()
            for path in sorted((folder / "images").iterdir())[:COMPARED]:
                (folder / "compared" / path.name).symlink_to(path)
            now, then = [], []
            for i in range(TURNS):
                now.append(segment("compared", f"now{i}")[0])
                then.append(segment("compared", f"then{i}", against.resolve())[0])
            before = {"images": min(n, COMPARED), "seconds": min(then), "seconds_now": min(now)}
        return {
            "threads": torch.get_num_threads(),
            "seconds": medians[0],
            "processor_seconds": medians[1],
            "runs": runs,
            "images": n,
            "folder_seconds": many,
            "images_per_second": n / many,
            "before": before,
            "stages_ms": stages(sorted((folder / "images").iterdir())[: max(n // 5, 1)], folder / "profile"),
        }


def stages(files: list[Path], out: Path) -> dict[str, float]:
    """Milliseconds an image, by stage."""
    settings = settings_for(DEFAULT)
    jobs = [job.Job(file, file.stem, out, settings) for file in files]
    clock = Clock()

    def work(one: job.Job) -> job.Done:
        return clock.timed("other", job.segment_job)(one)

    with ExitStack() as stack:
        for stage, parts in STAGES.items():
            for owner, name in parts:
                f = getattr(owner, name)
                stack.enter_context(patch.object(owner, name, clock.timed(stage, f, name == "images_of")))
        for counted in (False, True):  # the first image warms up
            clock.spent.clear()
            for _, outcome in job.run(jobs if counted else jobs[:1], work, SideBySide(1, work_alone)):
                if isinstance(outcome, Exception):
                    raise outcome
    return {stage: 1e3 * clock.spent[stage] / len(files) for stage in (*STAGES, "other")}


class Clock:
    """Seconds by stage, each without the stages that it calls."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self._here = threading.local()

    def timed(self, stage: str, f: Callable, is_generator: bool = False) -> Callable:
        """A function that does what f does, its time counted."""

        @wraps(f)
        def counted(*args: Any, **kwargs: Any) -> Any:
            inside, self._here.inside = getattr(self._here, "inside", 0.0), 0.0
            start = time.perf_counter()
            try:
                return iter(list(f(*args, **kwargs))) if is_generator else f(*args, **kwargs)
            finally:
                whole = time.perf_counter() - start
                self.spent[stage] += whole - self._here.inside
                self._here.inside = inside + whole

        return counted


def table(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = ["| a fresh process | seconds, median | of processors' work | aim |", "|---|---:|---:|---:|"]
    for name, title in COMMANDS.items():
        aim = f"under {AIMS[name]:g}" if name in AIMS else ""
        seconds, work = results["seconds"][name], results["processor_seconds"][name]
        lines.append(f"| {title} | {seconds:.2f} | {work:.2f} | {aim} |")
    n, threads = results["images"], results["threads"]
    lines += ["", f"{n:,} images from a folder to their files by {threads} threads: "
              f"{results['folder_seconds']:.0f} s, {results['images_per_second']:.1f} images a second. "]  # fmt: skip
    if before := results.get("before"):
        lines[-1] += (f"Of {before['images']} images an earlier version segments "
                      f"{before['images'] / before['seconds']:.1f} a second, and this one "
                      f"{before['images'] / before['seconds_now']:.1f}. ")  # fmt: skip
    lines[-1] += "What one thread spends on an image:"
    lines.append("")
    spent = results["stages_ms"]
    lines += ["| " + " | ".join(spent) + " | all |", "|" + "---:|" * (len(spent) + 1)]
    lines.append("| " + " | ".join(f"{ms:.0f} ms" for ms in (*spent.values(), sum(spent.values()))) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500, help="in the folder")
    parser.add_argument("--times", type=int, default=5, help="runs of each command")
    parser.add_argument("--against", type=Path, help="a checkout of another version of this project")
    parser.add_argument("--write", action="store_true", help="measure nothing: write docs/speed.md")
    args = parser.parse_args()
    if not args.write:
        RESULTS.write_text(json.dumps(measure(args.images, args.times, args.against), indent=1) + "\n")
        print(table(json.loads(RESULTS.read_text())))
    elif RESULTS.is_file():
        PAGE.write_text(fill(PAGE.read_text(), {"small": table(json.loads(RESULTS.read_text()))}))
    else:
        raise SystemExit("Nothing has been measured yet: python -m benchmarks.small")


if __name__ == "__main__":
    main()
