"""Write the measured figures into README and docs/, between their markers, from the files beside the bundled weights.

python -m train.release.readme            write
python -m train.release.readme --check    exit 1 if a document is not what would be written
"""

import argparse
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from nuclei_models.inference.bundled import FURTHER, TITLES, bundled
from train.evaluation import baseline
from train.evaluation.results import COLUMNS, table
from train.release.markdown import fill

ROOT = Path(__file__).parents[2]
SHORT = ("nucleus IoU", "Dice", "AP at .5", "AP .5 to .9", "Bowl mAP")  # README's columns
SHARES = {
    "within a factor of 1.5": "within_1.5",
    "off by more than 2": "off_by_2",
    "doubtful": "doubtful",
    "wrong and not doubtful": "wrong_and_not_doubtful",
}
NETWORKS = {f"{key}-nuclei": title for key, title in (TITLES | FURTHER).items() if bundled(f"{key}-nuclei")}


def results(columns: Collection[str] = tuple(COLUMNS)) -> str:
    """The table of the test lists."""
    networks = {title: _read(name, "evaluation.json") for name, title in NETWORKS.items()}
    return table(networks | {baseline.TITLE: json.loads(baseline.FILE.read_text())}, columns)


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
    headings = "nuclear diameter found", "network", "images", *SHARES
    lines += ["", f"| {' | '.join(headings)} |", "|---" * 2 + "|---:" * (len(SHARES) + 1) + "|"]
    for name, title in NETWORKS.items():
        for kind, f in _read(name, "diameter.json").items():
            cells = " | ".join(f"{f[share]:.1%}" for share in SHARES.values())
            lines.append(f"| {kind} | {title} | {f['images']} | {cells} |")
    return "\n".join(lines)


def written() -> dict[Path, str]:
    """The documents with their blocks written anew."""
    blocks = {
        "README.md": {"results": results(SHORT)},
        "docs/quality.md": {"results": results()},
        "docs/training.md": {"recipe": recipe()},
    }
    return {ROOT / name: fill((ROOT / name).read_text(), filled) for name, filled in blocks.items()}


def _read(name: str, file: str) -> Any:
    return json.loads((ROOT / "weights" / name / file).read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only tell whether the documents are up to date")
    args = parser.parse_args()
    for path, text in written().items():
        if args.check and text != path.read_text():
            raise SystemExit(f"{path.relative_to(ROOT)} is out of date: python -m train.release.readme")
        path.write_text(text)


if __name__ == "__main__":
    main()
