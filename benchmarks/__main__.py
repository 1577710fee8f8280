"""How fast the networks are, beside other people's: one run on one machine.

    python -m benchmarks.peers --install     once; without it, peers are left out
    python -m benchmarks                     within 15 minutes: results.json
    python -m benchmarks --write             the table and the plot into docs/speed.md

Every contender runs in a process of its own, one after the other. A run that was interrupted goes on where it stopped;
`--fresh` begins anew. Leave the machine alone meanwhile.
"""

import argparse
import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import report
from .contenders import CONTENDERS, NETWORK, QUICK, Contender

RESULTS = Path(__file__).resolve().parent / "results.json"
SIZES = [256, 512, 1024, 2048, 4096, 8192]
NETWORK_SIZES = [256, 1024]
MINUTES, QUICK_MINUTES = 15.0, 1.0
START = 6.0  # seconds of a contender's time to load, before its budget begins
LATE = 60.0  # seconds beyond its time after which a contender is ended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a minute: few contenders, small images")
    parser.add_argument("--only", nargs="+", choices=list(CONTENDERS), metavar="KEY", help="of these contenders")
    parser.add_argument("--minutes", type=float, help=f"in all; the default is {MINUTES:.0f}")
    parser.add_argument("--fresh", action="store_true", help="measure again what has been measured")
    parser.add_argument("--out", type=Path, default=RESULTS, help="file of results")
    parser.add_argument("--write", action="store_true", help="measure nothing: write docs/speed.md and plot")
    args = parser.parse_args()
    if args.write:
        report.write(json.loads(args.out.read_text()))
        return
    chosen = [CONTENDERS[key] for key in args.only or (QUICK if args.quick else CONTENDERS)]
    minutes = args.minutes or (QUICK_MINUTES if args.quick else MINUTES)
    results = run(chosen, minutes * 60, args.out, args.fresh, quick=args.quick)
    print(report.table(results))


def run(chosen: list[Contender], seconds: float, out: Path, fresh: bool = False, quick: bool = False) -> dict:
    """Measure contenders and write the file after each.

    Args:
        seconds: For all of them, shared by their weights.
        out: Where to write; what it holds of this machine is kept, unless `fresh`.
        quick: Small images only.
    """
    facts = machine(0.2 if quick else 3.0)
    results: dict[str, Any] = {}
    if out.is_file() and not fresh:
        results = json.loads(out.read_text())
    if results.get("machine") != facts["machine"]:
        results = {**facts, "date": datetime.now(UTC).date().isoformat(), "contenders": {}}
    results["peak_tflops"] = {k: max(v, results["peak_tflops"][k]) for k, v in facts["peak_tflops"].items()}
    todo = [c for c in chosen if "sizes" not in results["contenders"].get(c.key, {})]
    share = seconds / max(sum(c.weight for c in todo), 1e-9)
    for number, contender in enumerate(todo, 1):
        sizes = [256, 512] if quick else (NETWORK_SIZES if contender.does == NETWORK else SIZES)
        found = measure(contender, sizes, share * contender.weight)
        results["contenders"][contender.key] = found
        out.write_text(json.dumps(results, indent=1) + "\n")
        print(f"[{number}/{len(todo)}] {contender.key}: {_told(found)}", file=sys.stderr)
    return results


def machine(seconds: float) -> dict[str, Any]:
    """What `benchmarks.machine` tells, from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.machine", "--seconds", str(seconds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(contender: Contender, sizes: list[int], budget: float) -> dict[str, Any]:
    """One contender: its facts and what it took by size, or why not."""
    found: dict[str, Any] = {"title": contender.title, "does": contender.does, "precision": contender.precision}
    command = contender.command(sizes, max(budget - START, 1))
    if command is None:
        return found | {"missing": f"not installed: python -m benchmarks.peers --install {contender.peer}"}
    start = time.perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=budget + LATE)
        output, failure = done.stdout, None if done.returncode == 0 else _last_line(done.stderr, done.returncode)
    except subprocess.TimeoutExpired as late:
        output, failure = (late.stdout or b"").decode(), f"ended after {time.perf_counter() - start:.0f} s"
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    by_size = {str(line["size"]): {k: v for k, v in line.items() if k != "size"} for line in lines if "size" in line}
    found |= next((line["facts"] for line in lines if "facts" in line), {})
    return found | ({"sizes": by_size} if by_size else {}) | ({"failure": failure} if failure else {})


def _last_line(text: str, code: int) -> str:
    return (text.strip().splitlines() or [f"exit code {code}"])[-1][:200]


def _told(found: dict[str, Any]) -> str:
    sizes = ", ".join(f"{size} {s['seconds']:.3g} s" for size, s in found.get("sizes", {}).items())
    return "; ".join(filter(None, [sizes, found.get("failure"), found.get("missing")]))


if __name__ == "__main__":
    main()
