"""What the published weights were at each attempt to better them, from the repository's own history.

    python -m train.studies.attempts

reads `evaluation.json` and `thresholds.json` beside both networks' weights, as they were committed after each attempt
and as they are now, and writes the figures to docs/studies/attempts/. Needs git and the history.
"""

import json
import subprocess
from pathlib import Path

from nuclei_models.inference.bundled import TITLES

OUT = Path("docs/studies/attempts")
ATTEMPTS = [  # commit, "" is the working tree; and what was done
    ("e0e448d", "first weights: 2,400 and 1,400 steps, cores where the distance map is high"),
    ("33f35eb", "same weights, the distance map smoothed, thresholds fitted anew"),
    ("18838b8", "trained on for 2,200 steps with copy-paste; range of nuclear diameters fitted"),
    ("f63e69d", "same weights, the minimum area in proportion to the nuclei"),
    ("997e37d", "trained on for 1,500 steps with less augmentation, holes filled, all fitted anew"),
    ("2c5fea6", "the scale found by looks through the network; the U-Net trained on all five laboratories on a CPU"),
    ("c40ddee", "both trained on all five for 5,000 steps of 32 crops on a GPU, all fitted anew"),
    ("", "same weights, nuclei of a low confidence dropped, the U-Net++'s looks fitted anew (the bundled ones)"),
]


def read(commit: str, path: str) -> dict | list:
    """A JSON file as it was committed, or as it is."""
    if not commit:
        return json.loads(Path(path).read_text())
    return json.loads(subprocess.run(["git", "show", f"{commit}:{path}"], capture_output=True, check=True).stdout)


def figures(evaluation: dict, fitted: dict) -> dict[str, float]:
    """Of one network: the validation figure that was fitted for, and those of the test lists."""
    bowl, stardist = evaluation["lists"]["stage1_test"], evaluation["lists"]["stardist_test"]
    return {
        "validation Bowl mAP": fitted["bowl_map"],
        "stage1_test Bowl mAP": bowl["bowl_map"],
        "nucleus IoU": bowl["nucleus_iou"],
        "Dice": bowl["dice"],
        "colour Bowl mAP": bowl["colour"]["bowl_map"],
        "stardist_test AP at .5": stardist["ap"]["0.5"],
        "AP .5 to .9": stardist["ap_5_to_9"],
    }


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    for number, (commit, what) in enumerate(ATTEMPTS, 1):
        found = {}
        for key, title in TITLES.items():
            evaluation, fitted = (read(commit, f"weights/{key}-nuclei/{f}.json") for f in ("evaluation", "thresholds"))
            assert isinstance(evaluation, dict) and isinstance(fitted, list)
            found[title] = figures(evaluation, fitted[0])
        record = {"what": what, "commit": commit, "figures": found}
        (OUT / f"{number}.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
