"""Make the lists of ids in `train/splits/`: who trains, who validates, who tests.

    python -m train.make_splits --data data/dsb2018 --stage1-test stage1_test.zip --stardist stardist_test50_ids.txt

The tests are given: stage1_test (65), and the StarDist paper's test ids as far as they are in the corrected training
part (49). From the rest a tenth validates, drawn stratum by stratum (modality and image size, which tell the Bowl's
experiments apart), near-duplicates kept on one side; what looks like a test image is left
out. Each line is an id and its stratum.
"""

import argparse
from collections import defaultdict
from pathlib import Path, PurePosixPath

import numpy as np

from nuclei_models.training.likeness import near_duplicates, stratum
from nuclei_models.training.packed import Source, load_packed
from train.data import SPLITS

VALIDATION_SHARE = 0.1


def draw_validation(ids: list[str], strata: list[str], groups: list[int], seed: int) -> set[str]:
    """About a tenth of each stratum's images, whole groups at a time."""
    rng = np.random.default_rng(seed)
    members: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for image_id, name, group in zip(ids, strata, groups, strict=True):
        members[name][group].append(image_id)
    chosen: set[str] = set()
    for name in sorted(members):
        wanted = max(1, round(VALIDATION_SHARE * sum(map(len, members[name].values()))))
        drawn: list[str] = []
        for group in rng.permutation(sorted(members[name])):
            size = len(members[name][group])
            if len(drawn) + size <= wanted:
                drawn += members[name][group]
        chosen |= set(drawn)
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="packed folder, see train.data")
    parser.add_argument("--stage1-test", required=True, help="zip or folder of stage1_test")
    parser.add_argument("--stardist", required=True, help="file with the StarDist test ids")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    all_ids = sorted(p.stem for p in (Path(args.data) / "labels").glob("*.png"))
    stage1_test = {PurePosixPath(n).stem for n in Source(args.stage1_test).names if "/images/" in f"/{n}"}
    stardist = set(Path(args.stardist).read_text().split()) & set(all_ids)
    samples = load_packed(args.data, all_ids)
    strata = {s.id: stratum(s.image) for s in samples}
    groups = dict(zip(all_ids, near_duplicates(samples), strict=True))

    test_groups = {groups[i] for i in stage1_test | stardist}
    twins = sorted(i for i in all_ids if groups[i] in test_groups and i not in stage1_test | stardist)
    rest = [i for i in all_ids if groups[i] not in test_groups]
    validation = draw_validation(rest, [strata[i] for i in rest], [groups[i] for i in rest], args.seed)
    splits = {
        "train": [i for i in rest if i not in validation],
        "validation": sorted(validation),
        "stage1_test": sorted(stage1_test),
        "stardist_test": sorted(stardist),
        "left_out": twins,
    }
    for name, ids in splits.items():
        (SPLITS / f"{name}.txt").write_text("".join(f"{i} {strata[i]}\n" for i in ids))
        print(f"{name}: {len(ids)}")


if __name__ == "__main__":
    main()
