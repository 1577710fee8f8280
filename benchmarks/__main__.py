"""How fast the networks are, beside other people's: one run on one machine.

    python -m benchmarks.peers --install     once; without it, peers are left out
    python -m benchmarks                     images to nuclei, within half an hour: results.json
    python -m benchmarks training            steps of training, within a quarter of an hour: training.json
    python -m benchmarks growth              cost against size, within 13 minutes: growth.json, docs/growth.svg
    python -m benchmarks all                 the three of them, each that is not done; then what follows
    python -m benchmarks --write             tables and plots into README and docs

Every contender runs in a process of its own, one after the other, in several rounds (`--rounds`), and of each size the
fastest round counts: a machine that others share is slower at times. A run that was interrupted goes on where it
stopped; a finished one is begun anew, as every run is with `--fresh`. Leave the machine alone meanwhile.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from . import growth, report, training
from .contenders import CONTENDERS, NETWORK, QUICK
from .running import run, unfinished

RESULTS = Path(__file__).resolve().parent / "results.json"
SIZES = [256, 512, 1024, 2048, 4096]  # larger ones are those of `growth`
NETWORK_SIZES = [256, 1024]
MINUTES, QUICK_MINUTES = 10.0, 1.0  # of a round
ROUNDS = 3


def main() -> None:
    parts = {"training": training.main, "growth": growth.main, "all": everything}
    if len(sys.argv) > 1 and sys.argv[1] in parts:
        parts[sys.argv[1]](sys.argv[2:])
    else:
        networks(sys.argv[1:])


def everything(arguments: list[str]) -> None:
    """What `make benchmark` measures: the parts that an interrupted run has not finished, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks all", description=everything.__doc__)
    parser.add_argument("--against", help="a checkout of another version of this project, to train with that, too")
    args = parser.parse_args(arguments)
    given = {training.RESULTS: ["--against", args.against]} if args.against else {}
    parts = {RESULTS: networks, training.RESULTS: training.main, growth.RESULTS: growth.main}
    for file in unfinished(list(parts)):
        parts[file](given.get(file, []))
    report.write(RESULTS)


def networks(arguments: list[str]) -> None:
    """Images to nuclei."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="a minute: few contenders, small images; nothing is kept without --out"
    )
    parser.add_argument("--only", nargs="+", choices=list(CONTENDERS), metavar="KEY", help="of these contenders")
    parser.add_argument("--minutes", type=float, help=f"of the first round; the default is {MINUTES:.0f}")
    parser.add_argument("--rounds", type=int, help=f"how often to measure each; the default is {ROUNDS}")
    parser.add_argument("--fresh", action="store_true", help="begin anew, even if a run was interrupted")
    parser.add_argument("--out", type=Path, help=f"file of results; the default is {RESULTS.name}")
    parser.add_argument("--write", action="store_true", help="measure nothing: write README, docs and plots")
    args = parser.parse_args(arguments)
    if args.write:
        report.write(args.out or RESULTS)
        return
    chosen = [CONTENDERS[key] for key in args.only or (QUICK if args.quick else CONTENDERS)]
    minutes, rounds = (QUICK_MINUTES, 1) if args.quick else (MINUTES, ROUNDS)
    minutes, rounds = args.minutes or minutes, args.rounds or rounds

    def sizes(contender) -> list[int]:
        usual = [256, 512] if args.quick else (NETWORK_SIZES if contender.does == NETWORK else SIZES)
        return list(contender.sizes) or usual

    with tempfile.TemporaryDirectory() as folder:
        out = args.out or (Path(folder) / RESULTS.name if args.quick else RESULTS)
        print(report.table(run(chosen, minutes * 60, out, sizes, args.fresh, args.quick, bool(args.only), rounds)))


if __name__ == "__main__":
    main()
