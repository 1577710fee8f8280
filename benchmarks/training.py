"""How fast the networks train on this machine, beside other people's: one run.

    python -m benchmarks training                         within a quarter of an hour: training.json
    python -m benchmarks training --against ../before     a checkout of another version, too

8 crops a step, of 160 x 160 and of 256 x 256 pixels, in bfloat16. "step" is forward, backward and AdamW on crops that
are there; "training" is `nuclei train` as it runs, with crops drawn from the examples. All are measured in rounds, and
of each size the fastest counts.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import peers
from .contenders import HERE, Contender
from .running import run

RESULTS = HERE / "training.json"
SIZES, MINUTES, ROUNDS = [160, 256], 7.0, 2  # minutes of a round
COMPILED = "small", 160  # the network and the size whose step is compiled, too: others take many minutes of compiling
STEP, TRAINING = "step", "training"
OURS = {"unet": "U-Net 32..512", "unetpp": "U-Net++", "small": "U-Net 16..256"}
WEIGHT = {"unet": 2.0, "unetpp": 4.0, "small": 1.0}
BATCH = 8


@dataclass(frozen=True)
class Learner(Contender):
    """One that trains: `arguments` are of `own_training.py` or of `peer_networks.py`."""

    def command(self, sizes: list[int], budget: float) -> list[str] | None:
        how = ["--precision", self.precision, "--sizes", *map(str, sizes), "--budget", f"{budget:.0f}"]
        if not self.peer:
            return [sys.executable, str(HERE / "own_training.py"), *self.arguments, *how]
        python = peers.python(self.peer)
        return [str(python), str(HERE / "peer_networks.py"), *self.arguments, "--train", *how] if python else None


def contenders(against: Path | None) -> list[Learner]:
    """Ours, ours of another version beside them, and peers."""
    found = []
    for key, title in OURS.items():
        found.append(Learner(f"{key}-step", title, STEP, "bfloat16", ("step", key), weight=WEIGHT[key]))
        found.append(Learner(f"{key}-training", title, TRAINING, "bfloat16", ("training", key), weight=2 * WEIGHT[key]))
        if against is not None and key != "unetpp":
            given = ("training", key, "--code", str(against.resolve()))
            title = f"{title}, version before"
            found.append(Learner(f"{key}-before", title, TRAINING, "bfloat16", given, weight=2 * WEIGHT[key]))
    key, size = COMPILED
    title = f"{OURS[key]}, torch.compile"
    how = ("compiled", key)
    found.append(Learner(f"{key}-compiled", title, STEP, "bfloat16", how, weight=5.0, sizes=(size,)))
    smp = "segmentation_models_pytorch Unet++ (resnet34)"
    found.append(Learner("smp-step", smp, STEP, "bfloat16", ("smp",), "smp", 3.0))
    found.append(Learner("cellpose-step", "Cellpose 3 CPnet", STEP, "bfloat16", ("cellpose",), "cellpose", 4.0))
    return found


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--against", type=Path, help="a checkout of another version of this project")
    parser.add_argument("--only", nargs="+", metavar="KEY", help="of these contenders")
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, help="pixels of a crop's side")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of a round")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often to measure each")
    parser.add_argument("--fresh", action="store_true", help="begin anew, even if a run was interrupted")
    parser.add_argument("--out", type=Path, default=RESULTS, help="file of results")
    args = parser.parse_args(arguments)
    chosen = [c for c in contenders(args.against) if not args.only or c.key in args.only]
    if not chosen:
        parser.error(f"--only takes {', '.join(c.key for c in contenders(args.against))}.")

    def sizes(learner: Contender) -> list[int]:
        return list(learner.sizes) or args.sizes

    print(table(run(chosen, args.minutes * 60, args.out, sizes, args.fresh, False, bool(args.only), args.rounds)))


def table(results: dict[str, Any]) -> str:
    """Two tables in Markdown: the step alone, and the training as it runs."""
    rows = list(results["contenders"].values())
    sizes = sorted({int(size) for row in rows for size in row.get("sizes", {})})
    heading = " | ".join(f"s a step of {BATCH} x {size}² | share of the peak" for size in sizes)
    lines = [
        f"| step alone, bfloat16 | MFLOP a pixel | {heading} | memory |",
        "|---" + "|---:" * (2 * len(sizes) + 2) + "|",
    ]
    for row in sorted((row for row in rows if row["does"] == STEP), key=lambda row: _seconds(row, sizes)):
        cells = [f"{row['flops_per_pixel'] / 1e6:.2f}" if "flops_per_pixel" in row else "–"]
        lines.append(f"| {row['title']} | " + " | ".join([*cells, *_cells(row, sizes, results), memory(row)]) + " |")
    heading = " | ".join(f"s a step of {BATCH} x {size}² | of it for crops" for size in sizes)
    lines += [
        "",
        f"| training as it runs, bfloat16 | {heading} | memory |",
        "|---" + "|---:" * (2 * len(sizes) + 1) + "|",
    ]
    for row in (row for row in rows if row["does"] == TRAINING):
        cells = []
        for size in sizes:
            found = row.get("sizes", {}).get(str(size))
            cells += [f"{found['seconds']:.2f}", f"{loader(found):.1%}"] if found else ["–", "–"]
        lines.append(f"| {row['title']} | " + " | ".join([*cells, memory(row)]) + " |")
    return "\n".join(lines)


def share(row: dict[str, Any], size: int, results: dict[str, Any]) -> float:
    """Of the matrix peak, that a row reaches at a size."""
    operations = row["flops_per_pixel"] * BATCH * size**2
    return operations / row["sizes"][str(size)]["seconds"] / results["peak_tflops"][row["precision"]] / 1e12


def loader(found: dict[str, Any]) -> float:
    """The share of a step in which it waits for its crops."""
    return found["parts"]["loader"] / found["seconds"]


def memory(row: dict[str, Any]) -> str:
    """The most that the process took, at the largest size; or why there is nothing."""
    if "sizes" not in row:
        return row.get("failure") or row.get("missing", "–")
    return f"{gigabytes(row):.1f} GB"


def gigabytes(row: dict[str, Any]) -> float:
    return row["sizes"][max(row["sizes"], key=int)]["peak_mb"] / 1024


def _cells(row: dict[str, Any], sizes: list[int], results: dict[str, Any]) -> list[str]:
    cells = []
    for size in sizes:
        found = row.get("sizes", {}).get(str(size))
        cells += [f"{found['seconds']:.2f}", f"{share(row, size, results):.0%}"] if found else ["–", "–"]
    return cells


def _seconds(row: dict[str, Any], sizes: list[int]) -> float:
    return row.get("sizes", {}).get(str(sizes[-1]), {}).get("seconds", float("inf")) if sizes else 0.0
