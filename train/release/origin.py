"""What a network was trained on and began with, as its training.json records it, in dictionaries and in prose.

    python -m train.release.origin weights/unet-nuclei --data data/dsb2018

writes it into a folder that has a training.yaml but no such record; `train.fit.bundle` does so for new ones.
"""

import argparse
import json
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from nuclei_models.inference.loading import parse_model_id
from nuclei_models.model import repository
from nuclei_models.training.packed import packed_name
from nuclei_models.training.samples import laboratory
from train.data import DataError, read_split

RECORD, RECIPE = "training.json", "training.yaml"
CONFIGS = Path(__file__).parents[1] / "configs"
SETS: dict[str, dict[str, str]] = json.loads((Path(__file__).parents[1] / "data_sets.json").read_text(encoding="utf-8"))
NOT_RECORDED = "What it was trained on was not recorded."


def origin(recipe: dict[str, Any], packed: Path | None = None) -> dict[str, Any]:
    """What training.json says of where weights come from.

    Args:
        recipe: The experiment's YAML.
        packed: The packed folder, to take the data's hash of; `None`: the recipe's, if it is there.

    Returns:
        "data": a dictionary for each set of images, with how many trained and validated and the hash of their files;
        "initial": what the weights began as, `None` for random ones.
    """
    initial = recipe.get("initial")
    return {"data": _data(recipe, packed), "initial": _initial(initial, packed) if initial else None}


def set_of(image_id: str, data: str = "dsb2018") -> str:
    """The set that an id belongs to; an id without one is of the set that the packed folder is named for."""
    return laboratory(image_id) or Path(data).name


def _data(recipe: dict[str, Any], packed: Path | None) -> list[dict[str, Any]]:
    folder = packed or Path(recipe["data"])
    counts: dict[str, Counter[str]] = {}
    ids = []
    for part in ("train", "validation"):
        for image_id in read_split(recipe.get(f"{part}_split", part)):
            counts.setdefault(set_of(image_id, recipe["data"]), Counter())[part] += 1
            ids.append(image_id)
    return [
        {
            "set": name,
            "train": n["train"],
            "validation": n["validation"],
            "sha256": _hash(folder, [i for i in ids if set_of(i, recipe["data"]) == name]),
        }
        for name, n in counts.items()
    ]


def _hash(folder: Path, ids: list[str]) -> str | None:
    """Of the names and packed files of these images; `None` where they aren't here."""
    digest = sha256()
    for image_id in sorted(ids):
        for kind in ("images", "labels"):
            path = folder / packed_name(kind, image_id)
            if not path.is_file():
                return None
            digest.update(f"{kind}/{image_id} ".encode() + sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _initial(name: str, packed: Path | None) -> dict[str, Any]:
    """What is known of the weights that a run began with: a folder of any run, a bundled network or one on the Hub."""
    told = "/".join(Path(name).parts[-2:]) if Path(name).is_absolute() else name  # where it lay is nobody's business
    about: dict[str, Any] = {"model": told, "revision": None, "weights_sha256": None}
    config = CONFIGS / f"{Path(name).parent.name}.yaml"
    folder = Path(parse_model_id(name)[0])
    if folder.is_dir():
        weights = folder / repository.WEIGHTS
        about["weights_sha256"] = repository.sha256(weights) if weights.is_file() else None
        about |= {"config": config.name} if config.is_file() else {}
        for record in (folder / RECORD, folder.parent / RECORD):
            if record.is_file():
                return about | {
                    k: v for k, v in json.loads(record.read_text()).items() if k in ("steps", "data", "initial")
                }
    elif not config.is_file():
        source, revision = parse_model_id(name)
        files = repository.Repository(source, revision=revision)
        path = files.find(repository.WEIGHTS)
        return about | {"revision": files.commit, "weights_sha256": repository.sha256(path) if path else None}
    if config.is_file():
        recipe = yaml.safe_load(config.read_text(encoding="utf-8"))
        about |= {"config": config.name, "steps": recipe["training"]["max_steps"]} | origin(recipe, packed)
    return about


def sets_of(record: dict[str, Any]) -> list[str]:
    """The sets that the weights, or those that they began with, have seen."""
    names = [_name(about) for about in record.get("data") or []]
    earlier = sets_of(record["initial"]) if record.get("initial") else []
    return list(dict.fromkeys([*names, *earlier]))


def describe_data(record: dict[str, Any], tests: str) -> str:
    """Who trained, validated and tested, in prose."""
    known = record.get("data")
    if not known:
        return f"{NOT_RECORDED} Measured on {tests}."
    parts = [_counts(about) for about in known]
    hashes = [f"`{_name(about)}` {about['sha256'][:16]}" for about in known if about.get("sha256")]
    text = f"{_capital('; '.join(parts))}. Tested on {tests}."
    text += f" SHA-256 of names and packed files: {', '.join(hashes)}." if hashes else ""
    earlier = [name for name in sets_of(record) if name not in map(_name, known)]
    text += f" The weights that it began with had also seen {', '.join(map(_title, earlier))}." if earlier else ""
    return text


def describe_start(record: dict[str, Any]) -> str:
    """What the run began with, in prose, the end of a sentence before the number of its steps."""
    if "initial" not in record:
        return "From weights that were not recorded, "
    initial = record["initial"]
    if initial is None:
        return "From random weights, "
    before = describe_start(initial) if "initial" in initial else ""
    named = f"`train/configs/{initial['config']}`" if initial.get("config") else f"`{initial['model']}`"
    digest = f" (SHA-256 {initial['weights_sha256'][:16]})" if initial.get("weights_sha256") else ""
    if before and initial.get("steps"):
        return f"{before}{initial['steps']:,} steps of {named}; from the weights{digest} that were best there, "
    return f"From the weights of {named}{digest}{', whose own origin was not recorded' if not before else ''}, "


def citations(record: dict[str, Any]) -> str:
    """BibTeX of the sets that the weights have seen."""
    return "\n".join(SETS[name]["citation"] for name in sets_of(record) if name in SETS)


def _name(about: dict[str, Any]) -> str:
    """Of a set, or of the folder that `nuclei train` was given."""
    return about.get("set") or about["folder"]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _counts(about: dict[str, Any]) -> str:
    """Of one set; a record of `nuclei train` names a folder instead, on all of whose images it trained or measured."""
    if "set" not in about:
        return f"a folder `{about.get('folder')}` of {about.get('images')} images"
    return f"{_title(about['set'])}: {about['train']} images train, {about['validation']} validate"


def _title(name: str) -> str:
    return (
        f"{SETS[name]['title']}, {SETS[name]['licence']}"
        if name in SETS
        else f"`{name}`, of which no more was recorded"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="+", type=Path, help="folders with a training.yaml")
    parser.add_argument("--data", type=Path, help="packed folder; by default the recipe's")
    args = parser.parse_args()
    for folder in args.folder:
        path = folder / RECORD
        record = json.loads(path.read_text()) if path.is_file() else {}
        try:
            record |= origin(yaml.safe_load((folder / RECIPE).read_text(encoding="utf-8")), args.data)
        except DataError as error:
            parser.exit(1, f"{error}\n")
        path.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
