"""The model card of a network: its folder -> README.md. Every figure of ours is read from the folder's files.

    python -m train.release.card weights/unet-nuclei                      write weights/unet-nuclei/README.md again
    python -m train.release.card weights/unet-nuclei --data data  and its examples/{typical,limits}.png

`train.release.publish` makes the card for the Hub with the same function. The text is in `card.md.jinja`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
import yaml
from huggingface_hub import EvalResult, ModelCardData
from PIL import Image, PngImagePlugin

from nuclei_models import NucleiImageProcessor
from nuclei_models.inference.bundled import title_of
from nuclei_models.inference.loading import load, model_classes
from nuclei_models.inference.segmentation import segment
from nuclei_models.model.losses import class_count
from nuclei_models.model.repository import CONFIG, WEIGHTS, sha256
from nuclei_models.training.card import environment
from nuclei_models.training.samples import laboratory
from train.evaluation.figures import draw_comparison
from train.evaluation.lists import samples_by_id
from train.release.card_text import (
    CITATIONS,
    LISTS,
    by_kind,
    describe_log,
    describe_network,
    describe_recipe,
    describe_tests,
    figure,
    kinds_table,
    results_table,
    set_of_list,
    stardist_table,
    strata_of,
)
from train.release.origin import SETS, citations, describe_data, sets_of

ROOT = Path(__file__).parents[2]
RECORD = "training.json"
EVALUATION, RECIPE = "evaluation.json", "training.yaml"
TRAINING_RECORD = ("training.json", "log.json", "curves.png", "diameter.json", "thresholds.json", "levels.json")
PICTURES = {  # name -> which image of each kind it shows: its place in the order of quality, 0 the worst .. 1
    "typical": 0.5,
    "limits": 0.0,
}


def build_card(folder: Path, repo_id: str, tag: str) -> str:
    """The card.

    Args:
        folder: The network's files: weights, configs, `evaluation.json`, and what there is of the training record, the
            pictures in `examples/` and `onnx/model.onnx`.
        repo_id, tag: Where it is, for the snippets.

    Returns:
        Markdown, with metadata for the Hub above.
    """
    config, evaluation = read_json(folder / CONFIG), read_json(folder / EVALUATION)
    processor = NucleiImageProcessor.from_pretrained(folder)
    title = title_of(folder.name, config["model_type"])
    recipe = yaml.safe_load(read_recipe(folder))
    record = read_json(folder / RECORD) if (folder / RECORD).is_file() else {}
    log = read_json(folder / "log.json") if (folder / "log.json").is_file() else []
    n_classes = class_count(list(processor.channel_names))
    facts = {
        "card_data": metadata(repo_id, tag, title, evaluation, record).to_yaml().strip(),
        "title": title,
        "repo_id": repo_id,
        "tag": tag,
        "class_name": model_classes()[config["model_type"]].__name__,
        "parameters": f"{count_parameters(config) / 1e6:.1f}",
        "channels": describe_channels(list(processor.channel_names)),
        "num_channels": config.get("num_channels", 3),
        "num_labels": len(config["id2label"]),
        "n_classes": n_classes,
        "onnx": n_classes > 1 and config.get("padding") != "valid",
        "low": processor.low_percentile,
        "high": processor.high_percentile,
        "mean": processor.image_mean,
        "std": processor.image_std,
        "threshold": processor.threshold,
        "estimates": processor.diameter_estimator is not None,
        "min_diameter": f"{processor.min_diameter:g}",
        "max_diameter": f"{processor.max_diameter:g}",
        "settings": ", with test-time augmentation" if evaluation.get("settings", {}).get("tta") else "",
        "results": results_table(evaluation),
        "stardist": stardist_table(evaluation, title),
        "stardist_images": evaluation["lists"].get("stardist_test", {}).get("images"),
        "kinds": kinds_table(evaluation),
        "network": describe_network(config),
        "data": describe_data(record, describe_tests(evaluation)),
        "bowl": "stage1_test" in evaluation["lists"],
        "n_sets": len(sets_of(record)),
        "recipe": describe_recipe(recipe, record),
        "recipe_file": RECIPE,
        "log": describe_log(log, recipe),
        "curves": "curves.png" if (folder / "curves.png").is_file() else None,
        "citation": "\n".join(filter(None, (CITATIONS[config["model_type"]], citations(record)))),
    }
    for name in PICTURES:
        facts[name], facts[f"{name}_caption"] = find_picture(folder, name, evaluation)
    template = (Path(__file__).parent / "card.md.jinja").read_text(encoding="utf-8")
    return environment().from_string(template).render(facts)  # with the parts that all cards share


def metadata(repo_id: str, tag: str, title: str, evaluation: dict[str, Any], record: dict[str, Any]) -> ModelCardData:
    """What stands between the --- lines: the Hub's search, widget and leaderboard read it."""
    metrics = {  # the Hub's name of the metric -> ours
        "mean_iou": ("Two-class mean IoU", lambda f: f["mean_iou"]),
        "nucleus_iou": ("Nucleus IoU", lambda f: f["nucleus_iou"]),
        "dice": ("Dice", lambda f: f["dice"]),
        "average_precision": ("AP at IoU 0.5", lambda f: f["ap"]["0.5"]),
        "mean_average_precision": ("Bowl mAP, IoU 0.5 to 0.95", lambda f: f["bowl_map"]),
        "panoptic_quality": ("Panoptic quality", lambda f: f["panoptic_quality"]),
    }
    results = [
        EvalResult(
            task_type="image-segmentation",
            dataset_type=hub_name(set_of_list(name)) or "own",
            dataset_name=LISTS.get(name, name),
            dataset_split=name,
            metric_type=kind,
            metric_name=metric,
            metric_value=read(figures),
        )
        for name, figures in evaluation["lists"].items()
        for kind, (metric, read) in metrics.items()
    ]
    where = f"https://huggingface.co/{repo_id}/resolve/{tag}/examples"
    shown = read_examples()[:4]
    widget = [{"src": f"{where}/{e['name']}.png", "example_title": e.get("title", e["name"])} for e in shown]
    options: Any = {"widget": widget} if widget else {}
    return ModelCardData(
        library_name="transformers",
        pipeline_tag="image-segmentation",
        license="mit",
        datasets=[hub_name(name) or name for name in sets_of(record)] or None,
        metrics=list(metrics),
        tags=["nuclei", title.lower(), "microscopy", "biology", "instance-segmentation", "custom_code"],
        model_name=f"{title} for nuclei",
        eval_results=results,
        **options,
    )


def hub_name(name: str | None) -> str | None:
    """What the Hub calls a set of images, of those in `train/data_sets.json`."""
    return SETS.get(name or "", {}).get("hub")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def read_recipe(folder: Path) -> str:
    """The experiment's YAML."""
    return (folder / RECIPE).read_text(encoding="utf-8")


def read_examples() -> list[dict[str, str]]:
    """The project's pictures to try, as `examples/examples.json` lists them, first one of each modality."""
    listing = ROOT / "examples" / "examples.json"
    entries = read_json(listing) if listing.is_file() else []
    seen: list[str] = []
    for entry in entries:
        entry["turn"] = seen.count(entry.get("modality", ""))
        seen.append(entry.get("modality", ""))
    return sorted(entries, key=lambda entry: entry["turn"])


def count_parameters(config: dict[str, Any]) -> int:
    """Of the network that a config describes; no weights are made."""
    model_class = model_classes()[config["model_type"]]
    with torch.device("meta"):
        model = model_class(model_class.config_class.from_dict(dict(config)))  # type: ignore[union-attr]
    return sum(p.numel() for p in model.parameters())


def describe_channels(names: list[str]) -> str:
    """["background", "nucleus", "distance"] -> the end of a sentence."""
    classes = names[: class_count(names)]
    listed = f"{', '.join(classes[:-1])} or {classes[-1]}" if len(classes) > 1 else ""
    said = f"whether it is {listed}" if listed else "how likely it is nucleus"
    return f"{said}, and how far it lies inside its nucleus" if "distance" in names else said


def choose(evaluation: dict[str, Any], place: float) -> dict[str, str]:
    """kind -> id of the image at this place in the kind's order of Bowl mAP."""
    chosen = {}
    for kind, images in by_kind(evaluation).items():
        ordered = sorted(images, key=lambda i: (images[i]["bowl_map"], i))
        chosen[kind] = ordered[round(place * (len(ordered) - 1))]
    return chosen


def draw_pictures(folder: Path, data: Path) -> None:
    """Write `examples/typical.png` and `examples/limits.png`, marked with the SHA-256 of the weights they show."""
    evaluation = read_json(folder / EVALUATION)
    title = title_of(folder.name, read_json(folder / CONFIG)["model_type"])
    model, processor = load(folder)
    (folder / "examples").mkdir(exist_ok=True)
    for name, place in PICTURES.items():
        samples = samples_by_id(data, list(choose(evaluation, place).values()))
        found = {s.id: segment(s.image, model, processor).labels for s in samples}
        path = folder / "examples" / f"{name}.png"
        draw_comparison(samples, strata_of(evaluation), {title: found}, path)
        mark = PngImagePlugin.PngInfo()
        mark.add_text("weights_sha256", sha256(folder / WEIGHTS))
        with Image.open(path) as picture:
            picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=255).save(path, pnginfo=mark, optimize=True)


def find_picture(folder: Path, name: str, evaluation: dict[str, Any]) -> tuple[str | None, str]:
    """Path in the folder and caption of a picture; `None` if there is none or it shows other weights."""
    path = folder / "examples" / f"{name}.png"
    if not path.is_file():
        return None, ""
    with Image.open(path) as picture:
        if picture.info.get("weights_sha256") != evaluation["weights_sha256"]:
            return None, ""
    results = by_kind(evaluation)
    parts = [
        f"{kind}, Bowl mAP {figure(results[kind][i]['bowl_map'])} ({i if laboratory(i) else i[:8]})"
        for kind, i in choose(evaluation, PICTURES[name]).items()
    ]
    which = "The median" if PICTURES[name] else "The worst"
    return (
        f"examples/{name}.png",
        f"{which} test image of each kind, by Bowl mAP: {'; '.join(parts)}.{_images(evaluation)}",
    )


def _images(evaluation: dict[str, Any]) -> str:
    """Whose the images in the pictures are."""
    names = dict.fromkeys(filter(None, map(set_of_list, evaluation["lists"])))
    shown = [f"{SETS[name]['title']}, {SETS[name]['licence']}" for name in names if name in SETS]
    return f" Images: {'; '.join(shown)}." if shown else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="+", type=Path, help="folders of networks, evaluated")
    parser.add_argument("--data", type=Path, help="folder of the packed folders (train.data): draw the pictures again")
    parser.add_argument("--owner", default="org", help="of the repositories that the snippets name")
    parser.add_argument("--tag", default="v1.0.0", help="version that the snippets name")
    args = parser.parse_args()
    for folder in args.folder:
        if not (folder / EVALUATION).is_file():
            parser.exit(
                1,
                f"{folder} has no {EVALUATION}: measure it with python -m train.evaluation.evaluate --model {folder}\n",
            )
        if args.data:
            draw_pictures(folder, args.data)
        (folder / "README.md").write_text(build_card(folder, f"{args.owner}/{folder.name}", args.tag), encoding="utf-8")
        print(folder / "README.md")


if __name__ == "__main__":
    main()
