"""Write the measured figures into README.md, between its markers, from the files beside the bundled weights.

python -m train.release.readme            write
python -m train.release.readme --check    exit 1 if README is not what would be written
"""

import argparse
import json
from pathlib import Path
from typing import Any

from nuclei_models.inference.bundled import TITLES
from train.evaluation.evaluate import table
from train.release.markdown import fill

ROOT = Path(__file__).parents[2]
NETWORKS = {f"{key}-nuclei": title for key, title in TITLES.items()}


def results() -> str:
    """The table of the test lists."""
    return table({title: _read(name, "evaluation.json") for name, title in NETWORKS.items()})


def recipe() -> str:
    """How each bundled network came about."""
    lines = ["| network | parameters | steps | kept from step | validation nucleus IoU | validation Bowl mAP |",
             "|---|---:|---:|---:|---:|---:|"]  # fmt: skip
    for name, title in NETWORKS.items():
        record, fitted = _read(name, "training.json"), _read(name, "thresholds.json")[0]  # what is kept comes first
        lines.append(
            f"| {title} | {record['parameters']:,} | {record['steps']} | {record['best_step']} | "
            f"{fitted['nucleus_iou']:.3f} | {fitted['bowl_map']:.3f} |"
        )
    diameter = _read("unet-nuclei", "diameter.json")
    lines += ["", "| estimate of the nuclear diameter | images | median error | 90% within | off by more than 2 |",
              "|---|---:|---:|---:|---:|"]  # fmt: skip
    for title, error in diameter.items():
        lines.append(
            f"| {title} | {error['images']} | {2 ** error['median_octaves'] - 1:.0%} | "
            f"{2 ** error['percentile_90_octaves'] - 1:.0%} | {error['share_off_by_two']:.1%} |"
        )
    return "\n".join(lines)


def written() -> str:
    """README with its blocks written anew."""
    return fill((ROOT / "README.md").read_text(), {"results": results(), "recipe": recipe()})


def _read(name: str, file: str) -> Any:
    return json.loads((ROOT / "weights" / name / file).read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only tell whether README is up to date")
    args = parser.parse_args()
    readme = ROOT / "README.md"
    text = written()
    if args.check:
        raise SystemExit(
            0 if text == readme.read_text() else "README.md is out of date: python -m train.release.readme"
        )
    readme.write_text(text)


if __name__ == "__main__":
    main()
