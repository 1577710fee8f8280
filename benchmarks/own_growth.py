"""Measures `nuclei segment` at growing amounts of work, in this process; called by `python -m benchmarks growth`.

python -m benchmarks.own_growth images --sizes 256 512 --budget 60      one image, pixels a side
python -m benchmarks.own_growth large --sizes 2048 --budget 60          the same by the small U-Net
python -m benchmarks.own_growth folder --sizes 10 30 --budget 60        images of 256 x 256
python -m benchmarks.own_growth workers --sizes 1 2 --budget 60         processes of a LocalCluster; 0 without it
"""

import argparse
import contextlib
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

import nuclei_cli
from nuclei_models.images.reader import read

from .own import PICTURE, picture
from .timing import peak_megabytes, say

TILE = 512  # pixels, of a TIFF
SMALL, MEDIUM = 256, 1024  # pixels a side, of the images of a folder and of those that workers share
SHARED = 8  # images that workers share
SMALL_NETWORK = "unet-small-nuclei"
REPEATS, SHORT = 3, 2.0  # runs of what takes fewer seconds than this


def amount(how: str, size: int) -> float:
    """Megapixels."""
    return {"images": size**2, "large": size**2, "folder": size * SMALL**2, "workers": SHARED * MEDIUM**2}[how] / 1e6


def prepare(how: str, size: int, folder: Path) -> list[str]:
    """Make what is segmented, and say what follows `nuclei segment`."""
    source = folder / f"{how}-{size}"
    source.mkdir(exist_ok=True)
    if how in ("images", "large"):
        shape = (size, size)
        tifffile.imwrite(source / "image.tif", tiles(size), shape=shape, dtype=np.uint8, tile=(TILE, TILE))
    else:
        side, count = (SMALL, size) if how == "folder" else (MEDIUM, SHARED)
        pixels = picture(2 * side)
        for number in range(count):
            at = number * side // 16 % side
            Image.fromarray(pixels[at : at + side, at : at + side]).save(source / f"{number:05}.png")
    if how == "large":
        return [str(source), "--model", SMALL_NETWORK]
    return [str(source), *(["--scheduler", f"local:{size}"] if how == "workers" and size else [])]


def tiles(size: int) -> Iterator[np.ndarray]:
    """Of an example mirrored to (size, size), row by row; the whole is never in memory."""
    pixels = read(PICTURE).pixels
    places = [np.abs((np.arange(size + TILE) + n - 1) % (2 * n - 2) - (n - 1)) for n in pixels.shape]
    for top in range(0, size, TILE):
        for left in range(0, size, TILE):
            yield pixels[places[0][top : top + TILE, None], places[1][left : left + TILE]]


def segment(given: list[str], out: Path) -> float:
    """Seconds of the command, from its arguments to its files; what it is imported from is there."""
    start = time.perf_counter()
    sys.argv = ["nuclei", "segment", *given, "--out", str(out), "--quiet"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        nuclei_cli.main()
    seconds = time.perf_counter() - start
    if not any(out.rglob("*_labels.tif")):
        raise SystemExit(f"nuclei segment wrote no labels of {given[0]}.")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("how", choices=["images", "large", "folder", "workers"])
    parser.add_argument("--sizes", nargs="+", type=int, required=True)
    parser.add_argument("--budget", type=float, required=True, help="seconds")
    args = parser.parse_args()
    end = time.perf_counter() + args.budget
    say(facts={})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        segment(prepare("folder", 1, folder), folder / "warm")
        last = None
        for size in sorted(args.sizes):
            expected = last[1] * amount(args.how, size) / amount(args.how, last[0]) if last else 0.0
            if time.perf_counter() + 1.2 * expected > end:
                say(left_out=size, expected_seconds=round(expected, 1))
                continue
            given = prepare(args.how, size, folder)
            runs = [segment(given, folder / f"out-{size}")]
            while runs[0] < SHORT and len(runs) < REPEATS:
                runs.append(segment(given, folder / f"out-{size}-{len(runs)}"))
            last = size, statistics.median_low(runs)
            say(size=size, seconds=last[1], best=min(runs), runs=len(runs), megapixels=amount(args.how, size),
                peak_mb=peak_megabytes())  # fmt: skip


if __name__ == "__main__":
    main()
