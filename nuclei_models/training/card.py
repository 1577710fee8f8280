"""The card of a network that `nuclei train` made: its folder -> README.md. All that it says is read from the record."""

import json
from pathlib import Path
from typing import Any

import jinja2
from huggingface_hub import EvalResult, ModelCardData

from ..inference.loading import model_classes
from ..model.image_processing_nuclei import NucleiImageProcessor
from ..model.losses import class_count
from ..model.repository import CONFIG
from .candidates import FITTED, SCALED, START, TRAINED

TEMPLATES = Path(__file__).parent / "templates"
RECORD, REPORT = "training.json", "report.html"
COLUMNS = {  # heading -> figure
    "score": "score",
    "Bowl mAP": "bowl_map",
    "nucleus IoU": "iou",
    "AP at .5": "ap_50",
    "F1 at .5": "f1",
    "PQ": "pq",
}
METRICS = {"bowl_map": "Bowl mAP, IoU 0.5 to 0.95", "iou": "Nucleus IoU", "f1": "F1 at IoU 0.5"}
SAID = {
    START: "the start, as it was",
    SCALED: "the start, with the nuclear diameter of these images",
    TRAINED: "trained",
    FITTED: "trained, with thresholds fitted",
}


def environment() -> jinja2.Environment:
    """The templates of cards and reports; HTML is escaped."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=jinja2.select_autoescape(["html.jinja"], default_for_string=False),
    )
    found.globals["counted"] = counted
    return found


def counted(n: int, what: str, more: str = "") -> str:
    """ "1 step", "1,500 steps"; `more` is the plural where it isn't made by an s."""
    return f"{n:,} {what if n == 1 else more or what + 's'}"


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record of `nuclei train` in a model's folder, or `None` where the model was made in another way."""
    path = folder / RECORD
    record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return record if str(record.get("format", "")).startswith("nuclei train") else None


def build_card(
    folder: Path, repo_id: str | None = None, tag: str | None = None, onnx: bool = False, name: str | None = None
) -> str:
    """The card of a folder.

    Args:
        folder: The model with its record.
        repo_id, tag: Where it is published, for the snippets; `None`: it is a folder on a disk.
        onnx: Whether `onnx/model.onnx` goes with it.
        name: Of the model, for the metadata; by default the repository's or the folder's.

    Returns:
        Markdown, with metadata for the Hub above.
    """
    record = read_record(folder)
    assert record is not None
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    facts = {
        "card_data": metadata(record, name or repo_id or folder.name).to_yaml().strip(),
        "record": record,
        "kept": SAID[record["result"]["kept"]],
        "is_trained": record["result"]["kept"] in (TRAINED, FITTED),
        "has_report": (folder / REPORT).is_file(),
        "results": results_table(record["figures"], record["result"]["kept"]),
        "changed": changed_settings(record["settings"]),
        "title": record["initial"]["network"],
        "parameters": f"{record['initial']['parameters'] / 1e6:.2g}",
        "class_name": model_classes()[config["model_type"]].__name__,
        "names": {about["folder"]: listed(about["names"]) for about in record["data"]},
    } | usage(folder, repo_id, tag, onnx)
    return environment().get_template("card.md.jinja").render(facts)


def usage(folder: Path, repo_id: str | None, tag: str | None, onnx: bool) -> dict[str, Any]:
    """What the part "Use" of every card needs to know, see `use.md.jinja`."""
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    processor = NucleiImageProcessor.from_pretrained(folder)
    n_classes = class_count(list(processor.channel_names))
    return {
        "repo_id": repo_id,
        "tag": tag,
        "num_channels": config.get("num_channels", 3),
        "num_labels": len(config.get("id2label") or processor.channel_names),
        "n_classes": n_classes,
        "onnx": onnx and n_classes > 1 and config.get("padding") != "valid",
        "low": processor.low_percentile,
        "high": processor.high_percentile,
        "mean": processor.image_mean,
        "std": processor.image_std,
        "threshold": processor.threshold,
        "min_diameter": f"{processor.min_diameter:g}",
        "max_diameter": f"{processor.max_diameter:g}",
        "class_name": model_classes()[config["model_type"]].__name__,
    }


def metadata(record: dict[str, Any], name: str) -> ModelCardData:
    """What stands between the --- lines. Whose data it was, and under which licence, isn't known here."""
    kept, initial = record["figures"].get(record["result"]["kept"]), record["initial"]
    results = [
        EvalResult(
            task_type="image-segmentation",
            dataset_type="own",
            dataset_name=f"held-out images of {record['data'][-1]['folder']}",
            metric_type=key,
            metric_name=title,
            metric_value=kept[key],
        )
        for key, title in METRICS.items()
        if kept
    ]
    options: dict[str, Any] = {"base_model": initial["model"]} if initial["revision"] else {}
    if results:
        options |= {"eval_results": results, "model_name": name}
    return ModelCardData(
        library_name="transformers",
        pipeline_tag="image-segmentation",
        tags=["nuclei", initial["network"].lower(), "microscopy", "biology", "instance-segmentation", "custom_code"],
        **options,
    )


def results_table(figures: dict[str, dict[str, float]], kept: str) -> str:
    """The candidates' figures as Markdown; that which the model is in bold. "" where nothing was measured."""
    if not figures:
        return ""
    lines = ["| | " + " | ".join(COLUMNS) + " |", "|---|" + "---:|" * len(COLUMNS)]
    for name, row in figures.items():
        mark = "**" if name == kept else ""
        cells = [f"{mark}{row[key]:.3f}{mark}" for key in COLUMNS.values()]
        lines.append(f"| {mark}{SAID[name]}{mark} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def changed_settings(settings: dict[str, Any]) -> list[str]:
    """The settings that aren't the start's, each with both values."""
    start, result = settings["start"], settings["result"]
    return [
        f"{name} {_told(result[name])} (was {_told(start[name])})" for name in result if result[name] != start[name]
    ]


def _told(value: float | None) -> str:
    return "estimated for each image" if value is None else f"{value:g}"


def listed(names: list[str], most: int = 30) -> str:
    """Names with commas between, of many the first."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(f"`{name}`" for name in names[:most]) + more
