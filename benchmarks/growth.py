"""What `nuclei segment` costs against how much there is to do: one run, one plot.

    python -m benchmarks growth                 within 13 minutes: growth.json, docs/growth.svg
    python -m benchmarks growth --minutes 90    up to images of 20,000 x 20,000 pixels, and folders of 10,000

One image of growing size by the U-Net, and larger ones by the small U-Net, which takes less time a pixel; a folder of
growing length, of images of 256 x 256; and growing numbers of processes of a LocalCluster that share 8 images of 1024
x 1024. Of what would not fit the time the tables say how long it would take.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .contenders import HERE, Contender
from .running import run

RESULTS = HERE / "growth.json"
PLOT = HERE.parent / "docs" / "growth.svg"
MINUTES = 13.0
SIZES = {
    "images": [256, 512, 1024, 2048, 4096],
    "large": [2048, 6144, 12288, 20000],
    "folder": [10, 30, 100, 300, 1000, 10000],
    "workers": [0, 1, 2, 3, 4],
}
TITLES = {
    "images": "one image",
    "large": "one image, small U-Net",
    "folder": "a folder of 256 x 256",
    "workers": "processes",
}
WEIGHT = {"images": 1.4, "large": 6.6, "folder": 1.9, "workers": 3.0}  # minutes that they take on two slow cores
HEADINGS = {
    "images": "one image, pixels a side",
    "large": "one image by the small U-Net, pixels a side",
    "folder": "images of 256 x 256",
    "workers": "8 images of 1024 x 1024, processes of a cluster",
}
FITTED = 1.0  # megapixels, from which on the exponent is fitted: below, what is done once an image or run weighs
BEYOND = 4096**2 / 1e6  # megapixels of the largest block


@dataclass(frozen=True)
class Growing(Contender):
    """A kind of work; `arguments` are of `own_growth.py`."""

    def command(self, sizes: list[int], budget: float) -> list[str]:
        how = ["--sizes", *map(str, sizes), "--budget", f"{budget:.0f}"]
        return [sys.executable, "-m", "benchmarks.own_growth", *self.arguments, *how]


def kinds() -> list[Growing]:
    return [Growing(key, TITLES[key], "growth", "default", (key,), weight=WEIGHT[key]) for key in SIZES]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks growth", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=list(SIZES), help="of these kinds of work")
    parser.add_argument("--most", type=int, default=10**6, help="leave out sizes beyond this")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="in all")
    parser.add_argument("--fresh", action="store_true", help="begin anew, even if a run was interrupted")
    parser.add_argument("--out", type=Path, default=RESULTS, help="file of results")
    args = parser.parse_args(arguments)
    chosen = [kind for kind in kinds() if not args.only or kind.key in args.only]

    def sizes(kind: Contender) -> list[int]:
        return [size for size in SIZES[kind.key] if size <= args.most]

    print(table(run(chosen, args.minutes * 60, args.out, sizes, args.fresh, keep=bool(args.only))))


def exponent(results: dict[str, Any], key: str) -> float | None:
    """Of the power of megapixels that the seconds follow, by least squares of their logarithms; `None` of one point."""
    points = [p for p in results["contenders"].get(key, {}).get("sizes", {}).values() if p["megapixels"] >= FITTED]
    if len(points) < 2:
        return None
    return float(np.polyfit(np.log([p["megapixels"] for p in points]), np.log([p["seconds"] for p in points]), 1)[0])


def flatness(results: dict[str, Any]) -> tuple[float, float, float] | None:
    """Beyond a block: (factor of the pixels, gigabytes before, gigabytes after); `None` of fewer than two images."""
    sizes = results["contenders"].get("large", {}).get("sizes", {})
    points = sorted((p["megapixels"], p["peak_mb"] / 1024) for p in sizes.values() if p["megapixels"] > BEYOND * 1.01)
    if len(points) < 2:
        return None
    return points[-1][0] / points[0][0], points[0][1], points[-1][1]


def table(results: dict[str, Any]) -> str:
    """Every point, Markdown."""
    blocks = []
    for key, heading in HEADINGS.items():
        row = results["contenders"].get(key, {})
        if "sizes" not in row:
            blocks.append(f"{TITLES[key]}: {row.get('failure', 'not measured')}")
            continue
        points = sorted(((int(size), point) for size, point in row["sizes"].items()))
        if key == "workers":
            titles = ["none" if size == 0 else str(size) for size, _ in points]
        else:
            titles = [f"{size:,}" for size, _ in points]
        cells = [
            ["seconds", *(_seconds(p["seconds"]) for _, p in points)],
            ["seconds a megapixel", *(f"{p['seconds'] / p['megapixels']:.2f}" for _, p in points)],
        ]
        if key != "workers":
            cells.append(["memory, GB", *(f"{p['peak_mb'] / 1024:.1f}" for _, p in points)])
        for size, seconds in row.get("left_out", {}).items():
            titles.append("none" if size == "0" else f"{int(size):,}")
            for line, said in zip(cells, (f"{seconds:,.0f} expected", "not run", "not run"), strict=False):
                line.append(said)
        lines = [f"| {' | '.join(line)} |" for line in ([heading, *titles], *cells)]
        lines.insert(1, "|---" + "|---:" * len(titles) + "|")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _seconds(seconds: float) -> str:
    """With three digits, or all that stand before the point."""
    return f"{seconds:,.0f}" if seconds >= 1000 else f"{seconds:.3g}"


def plot(results: dict[str, Any], path: Path = PLOT) -> None:
    """Seconds and memory against megapixels, and seconds against processes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (time, memory, workers) = plt.subplots(1, 3, figsize=(10.5, 3.6))
    for key, marker in (("images", "o"), ("large", "^"), ("folder", "s")):
        points = list(results["contenders"].get(key, {}).get("sizes", {}).values())
        power = exponent(results, key)
        label = TITLES[key] + (f", exponent {power:.2f}" if power is not None else "")
        pixels = [p["megapixels"] for p in points]
        time.plot(pixels, [p["seconds"] for p in points], marker=marker, label=label)
        memory.plot(pixels, [p["peak_mb"] / 1024 for p in points], marker=marker, label=TITLES[key])
    time.set(xscale="log", yscale="log", xlabel="megapixels", ylabel="seconds")
    memory.set(xscale="log", xlabel="megapixels", ylabel="memory, GB")
    memory.set_ylim(bottom=0)
    memory.axvline(BEYOND, color="grey", linewidth=1, linestyle=":")
    memory.text(BEYOND, 0, " largest block", fontsize=8, color="grey", va="bottom", rotation=90)
    found = results["contenders"].get("workers", {}).get("sizes", {})
    bars = sorted((int(size), point["seconds"]) for size, point in found.items())
    workers.bar(["none" if size == 0 else str(size) for size, _ in bars], [seconds for _, seconds in bars], 0.6)
    workers.set(xlabel="processes of a LocalCluster", ylabel="seconds, 8 images of 1024 x 1024")
    for axes in (time, memory):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="upper left")
    workers.grid(alpha=0.3, axis="y")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
