"""What a few images of a laboratory that the weights have never seen bring: start and result on its test list.

    python -m train.studies.own_images --model unetpp-nuclei --laboratory tnbc bsst265 nuinsseg --images 2 5 10 20

Each run is `nuclei train` as anybody gives it, on so many images drawn from the laboratory's lists that are not its
test list. What it leaves is measured on the test list, of which it saw nothing, beside the weights that it began with.
Weights whose record says that they have seen the laboratory are refused. A run whose file is in --out is not run again;
the table goes into docs/your-own-images.md.
"""

import argparse
import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from nuclei_models.inference.loading import load, parse_model_id
from nuclei_models.model.repository import WEIGHTS, sha256
from nuclei_models.training import train
from nuclei_models.training.measuring import mean, measure
from nuclei_models.training.packed import load_packed
from nuclei_models.training.recipe import Recipe
from nuclei_models.training.samples import DataError, Sample, laboratory
from train.data import read_split
from train.release.markdown import fill
from train.release.origin import RECORD, sets_of

OUT, PAGE = Path("docs/studies/own_images"), Path("docs/your-own-images.md")
LISTS = ("five_train", "five_validation")


def write_folder(samples: list[Sample], folder: Path) -> None:
    """Images and label images as people have them; what nobody labelled becomes background."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for sample in samples:
        name = f"{sample.id.replace('/', '-')}.png"
        Image.fromarray(sample.image).save(folder / "images" / name)
        Image.fromarray(np.maximum(sample.labels, 0).astype(np.uint16)).save(folder / "labels" / name)


def refuse_seen(model: str, names: list[str]) -> None:
    """Raise a DataError if a network was trained on a laboratory, or if nobody recorded what it was trained on."""
    path = Path(parse_model_id(model)[0]) / RECORD
    record = json.loads(path.read_text()) if path.is_file() else {}
    if not record.get("data"):
        raise DataError(f"{model} has no {RECORD} that names what it was trained on: nothing would be shown with it.")
    if seen := [name for name in names if name in sets_of(record)]:
        raise DataError(
            f"{model} was trained on images of {', '.join(seen)}: give weights that were not, with --model."
        )


@cache
def start_on(name: str, model: str, data: Path, tests: int, seed: int) -> tuple[list[Sample], dict]:
    """The images of a laboratory's test list, at most so many, drawn at random; and the start's figures on them."""
    ids = read_split(f"{name}_test")
    order = np.random.default_rng(seed).permutation(len(ids))
    test = load_packed(data, [ids[i] for i in sorted(order[:tests])])
    return test, mean(list(measure(*load(model), test).values()))


def run(name: str, model: str, data: Path, n: int, minutes: float, tests: int, seed: int) -> dict:
    """One run.

    Args:
        name: The laboratory, whose test list is `<name>_test`.
        data: Folder of the packed folders.
        n: Images to train on.
        tests: Of the test list at most so many, drawn at random.
    """
    rng = np.random.default_rng(seed)
    ids = [i for part in LISTS for i in read_split(part) if laboratory(i) == name]
    test, start = start_on(name, model, data, tests, seed)
    own = load_packed(data, [ids[i] for i in sorted(rng.permutation(len(ids))[:n])])
    with TemporaryDirectory() as scratch:
        write_folder(own, Path(scratch, "own"))
        out = Path(scratch, "model")
        result = train(Path(scratch, "own"), out, model=model, minutes=minutes, recipe=Recipe(seed=seed))
        after = mean(list(measure(*load(out), test).values()))
    return {
        "laboratory": name,
        "images": n,
        "minutes": minutes,
        "threads": torch.get_num_threads(),
        "seed": seed,
        "model": Path(model).name,
        "weights_sha256": sha256(Path(parse_model_id(model)[0]) / WEIGHTS),
        "tests": len(test),
        "kept": result.kept,
        "steps": (result.record["training"] or {}).get("steps", 0),
        "start": start,
        "result": after,
    }


def table(folder: Path) -> str:
    """The runs as Markdown."""
    records = [json.loads(file.read_text()) for file in folder.glob("*.json")]
    records.sort(key=lambda r: (r["laboratory"], r["model"], r["images"], r["seed"]))
    columns = ["laboratory", "start", "own images", "minutes, threads", "kept", "tests"]
    columns += ["Bowl mAP, start", "after", "IoU, start", "after"]
    lines = ["| " + " | ".join(columns) + " |", "|---|---|---:|---:|---|" + "---:|" * 5]
    for r in records:
        figures = [f"{r[which][key]:.3f}" for key in ("bowl_map", "iou") for which in ("start", "result")]
        cells = [r["laboratory"], r["model"], r["images"], f"{r['minutes']:g}, {r['threads']}", r["kept"], r["tests"]]
        lines.append("| " + " | ".join(map(str, [*cells, *figures])) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--laboratory", nargs="*", default=[], help="none: only write the table")
    parser.add_argument("--model", default="unetpp-nuclei", help="weights that were trained without these laboratories")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the packed folders, see train.data")
    parser.add_argument("--images", nargs="+", type=int, default=[2, 5, 10, 20])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--tests", type=int, default=20, help="images of the test list, at most")
    parser.add_argument("--seed", nargs="+", type=int, default=[0])
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    try:
        refuse_seen(args.model, args.laboratory)
    except DataError as error:
        parser.error(str(error))
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.laboratory:
        for n in args.images:
            for seed in args.seed:
                file = args.out / f"{name}-{Path(args.model).name}-{n}-{args.minutes:g}-{seed}.json"
                if not file.is_file():
                    record = run(name, args.model, args.data, n, args.minutes, args.tests, seed)
                    file.write_text(json.dumps(record, indent=1) + "\n")
    PAGE.write_text(fill(PAGE.read_text(), {"own_images": table(args.out)}))


if __name__ == "__main__":
    main()
