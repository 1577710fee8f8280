"""How fast images are read, beside another version of the project: both in one run, in turns.

    git worktree add ../before v0.1.0
    python -m benchmarks.reading --against ../before

CPU seconds for a folder of small PNGs, one of small TIFFs, and tiled TIFFs of 100 megapixels by window. Each version
runs in a process of its own, which reads everything once before it is timed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

HERE = Path(__file__).resolve()
WINDOW, OVERLAP = 1024, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, required=True, help="a checkout of another version")
    parser.add_argument("--files", type=int, default=500, help="small files of each kind")
    parser.add_argument("--side", type=int, default=10_000, help="pixels, of the large image")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve)
        return
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), args.files, args.side)
        versions = {"before": args.against.resolve(), "now": HERE.parents[1]}
        workers = {name: start(path, Path(folder)) for name, path in versions.items()}
        print(table(measure(workers, args.rounds)))
        for worker in workers.values():
            worker.communicate("\n")


def make(folder: Path, files: int, side: int) -> None:
    """What is read: blobs and noise, as images of cells have."""
    random = np.random.default_rng(0)
    rows, cols = np.mgrid[:256, :256]
    cells = 20_000 * (np.sin(rows / 9) * np.cos(cols / 11) > 0.5) + random.integers(0, 2000, (256, 256))
    for kind in ("png", "tif"):
        (folder / kind).mkdir()
    for number in range(files):
        grey = np.roll(cells, number, axis=0).astype(np.uint16)
        colour = np.stack([grey >> 7] * 3, axis=-1).astype(np.uint8)
        Image.fromarray(colour).save(folder / "png" / f"{number:04}.png")
        tifffile.imwrite(folder / "tif" / f"{number:04}.tif", grey)
    large = np.tile(cells.astype(np.uint16), (side // 256 + 1, side // 256 + 1))[:side, :side]
    tifffile.imwrite(folder / "plain.large.tif", large, tile=(512, 512))
    tifffile.imwrite(folder / "deflate.large.tif", large, tile=(512, 512), compression="zlib")


def start(version: Path, folder: Path) -> subprocess.Popen:
    """A process that reads with this version of the project."""
    return subprocess.Popen(
        [sys.executable, str(HERE), "--against", str(version), "--serve", str(folder)],
        env=os.environ | {"PYTHONPATH": str(version), "OMP_NUM_THREADS": "1", "TIFFFILE_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def serve(folder: Path) -> None:
    """Read what is asked for, and answer with the CPU seconds that it took."""
    from nuclei_models.images.reader import read
    from nuclei_models.images.source import Source

    def every(kind: str) -> Callable[[], int]:
        paths = sorted((folder / kind).iterdir())
        return lambda: sum(read(path).pixels.size for path in paths)

    def by_window(path: Path) -> int:
        source, n = Source(path), 0
        height, width = source.shape
        for top in range(0, height, WINDOW):
            for left in range(0, width, WINDOW):
                n += source.read(
                    slice(max(top - OVERLAP, 0), min(top + WINDOW + OVERLAP, height)),
                    slice(max(left - OVERLAP, 0), min(left + WINDOW + OVERLAP, width)),
                ).size
        return n

    tasks = {f"{len(list((folder / kind).iterdir()))} small {kind} files": every(kind) for kind in ("png", "tif")}
    for path in sorted(folder.glob("*.large.tif")):
        tasks[f"{path.name.split('.')[0]} tiles by window"] = lambda path=path: by_window(path)  # type: ignore[misc]
    print(json.dumps(list(tasks)), flush=True)
    while name := sys.stdin.readline().strip():
        started = time.process_time()
        tasks[name]()
        print(time.process_time() - started, flush=True)


def measure(workers: dict[str, subprocess.Popen], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of each task by each version, in turns."""
    for worker in workers.values():
        tasks = json.loads(worker.stdout.readline())  # type: ignore[union-attr]
    found: dict[str, dict[str, list[float]]] = {task: {name: [] for name in workers} for task in tasks}
    for task in tasks:
        for number in range(rounds + 1):
            for name, worker in list(workers.items())[:: 1 if number % 2 else -1]:
                assert worker.stdin and worker.stdout
                worker.stdin.write(f"{task}\n")
                worker.stdin.flush()
                seconds = float(worker.stdout.readline())
                if number:
                    found[task][name].append(seconds)
    return found


def table(found: dict[str, dict[str, list[float]]]) -> str:
    """Median and least seconds of each task, in Markdown."""
    lines = [
        "| CPU seconds, median (least) | before | now | now / before, medians (least) |",
        "|---|---|---|---|",
    ]
    for task, by_version in found.items():
        cells = [f"{statistics.median(times):.3f} ({min(times):.3f})" for times in by_version.values()]
        before, now = by_version["before"], by_version["now"]
        ratio = f"{statistics.median(now) / statistics.median(before):.2f} ({min(now) / min(before):.2f})"
        lines.append(f"| {task} | {' | '.join(cells)} | {ratio} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
