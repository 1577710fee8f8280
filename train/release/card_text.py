"""Figures and settings -> the sentences and tables of a model card. Functions of dictionaries; nothing is read here
but the lists of ids."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from nuclei_models.training.samples import DataError
from train.data import read_split, read_strata
from train.evaluation.results import COLUMNS
from train.release.origin import describe_start, set_of

AP_LEVELS = ("0.5", "0.6", "0.7", "0.8", "0.9")
LISTS = {
    "stage1_test": "the Bowl's stage1_test",
    "stardist_test": "the StarDist paper's test images",
    "bsst265_test": "BSST265's own test images",
    "tnbc_test": "TNBC's patients 10 and 11",
    "nuinsseg_test": "six organs of NuInsSeg",
}
PEERS = (  # on the StarDist paper's 50 images, AP at AP_LEVELS; `None` where none is published
    ("PatchPerPix", (0.868, 0.827, 0.755, 0.635, 0.379), 1),
    ("StarDist", (0.864, 0.804, 0.685, 0.450, 0.119), 1),
    ("Mask R-CNN", (0.832, 0.773, 0.684, 0.489, 0.189), 1),
    ("EmbedSeg", (0.887, None, None, None, None), 2),
)
CITATIONS = {
    "nuclei_unet": """@inproceedings{ronneberger2015unet,
  title     = {U-Net: Convolutional Networks for Biomedical Image Segmentation},
  author    = {Ronneberger, Olaf and Fischer, Philipp and Brox, Thomas},
  booktitle = {Medical Image Computing and Computer-Assisted Intervention (MICCAI)},
  pages     = {234--241},
  year      = {2015}
}""",
    "nuclei_unetpp": """@inproceedings{zhou2018unetpp,
  title     = {UNet++: A Nested U-Net Architecture for Medical Image Segmentation},
  author    = {Zhou, Zongwei and Siddiquee, Md Mahfuzur Rahman and Tajbakhsh, Nima and Liang, Jianming},
  booktitle = {Deep Learning in Medical Image Analysis (DLMIA)},
  pages     = {3--11},
  year      = {2018}
}""",
}


def figure(value: float | None) -> str:
    """.843, as the field writes it."""
    return "" if value is None else f"{value:.3f}".removeprefix("0")


def markdown(header: list[str], rows: list[list[str]], text_columns: int = 1) -> str:
    """A Markdown table; the columns after the first `text_columns` are figures."""
    rule = ["---"] * text_columns + ["---:"] * (len(header) - text_columns)
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *rows])


def results_table(evaluation: dict[str, Any]) -> str:
    """The network's figures on each list, and on the colour images among them."""
    rows = []
    for name, figures in evaluation["lists"].items():
        for part, label in ((figures, LISTS.get(name, name)), (figures.get("colour"), "of these, stained in colour")):
            if part:
                row = [label, str(part["images"]), str(part["nuclei"])]
                rows.append(row + [figure(read(part)) for read in COLUMNS.values()])
    return markdown(["images", "number", "nuclei", *COLUMNS], rows)


def stardist_table(evaluation: dict[str, Any], title: str) -> str:
    """AP beside published figures on the StarDist paper's images; "" without that list."""
    ours = evaluation["lists"].get("stardist_test")
    if ours is None:
        return ""
    rows = [[f"**{title}, this network**", *(f"**{figure(ours['ap'][t])}**" for t in AP_LEVELS), "measured"]]
    rows += [[name, *map(figure, ap), f"({source})"] for name, ap, source in PEERS]
    return markdown(["", *(t.removeprefix("0") for t in AP_LEVELS), "source"], rows)


def strata_of(evaluation: dict[str, Any]) -> dict[str, str]:
    """id -> kind ("fluorescence", "purple" ...) of the evaluated lists that `train/splits` has."""
    kinds: dict[str, str] = {}
    for name in evaluation["lists"]:
        try:
            kinds |= {i: stratum.partition("-")[0] for i, stratum in read_strata(name).items()}
        except DataError:
            continue  # a list of someone else's
    return kinds


def by_kind(evaluation: dict[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """kind -> id -> figures of the image, over all lists; the most frequent kind first."""
    kinds = strata_of(evaluation)
    grouped: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    for figures in evaluation["lists"].values():
        for image_id, result in figures["by_image"].items():
            grouped[kinds.get(image_id, "other")][image_id] = result
    return dict(sorted(grouped.items(), key=lambda item: -len(item[1])))


def kinds_table(evaluation: dict[str, Any]) -> str:
    """Mean and worst figures by kind of image."""
    names = {"purple": "stained, purple", "white": "stained, on white", "pink": "stained, pink"}
    rows = []
    for kind, images in by_kind(evaluation).items():
        iou = [result["nucleus_iou"] for result in images.values()]
        bowl = [result["bowl_map"] for result in images.values()]
        cells = [figure(float(f(values))) for values in (iou, bowl) for f in (np.mean, np.min)]
        rows.append([names.get(kind, kind), str(len(images)), *cells])
    return markdown(["kind", "test images", "nucleus IoU", "worst", "Bowl mAP", "worst"], rows)


def describe_network(config: dict[str, Any]) -> str:
    """The architecture in a sentence or three."""
    widths, norm = ", ".join(map(str, config["channels"])), "batch normalisation" if config.get("batch_norm") else ""
    extras = [norm] if norm else []
    if config["model_type"] == "nuclei_unetpp":
        text = f"The grid X[i][j] of the U-Net++ paper with {widths} feature maps in its rows"
        used = "last head" if config.get("inference_mode") == "fast" else "mean of all heads"
        extras += [f"deep supervision (the logits are those of the {used})"] if config.get("deep_supervision") else []
    else:
        edges = {"same": "zero-padded 3x3 convolutions", "mirror": "mirrored edges", "valid": "unpadded convolutions"}
        text = f"The U-Net of Ronneberger et al. with {widths} feature maps in its levels"
        extras = [edges[config.get("padding", "valid")], *extras]
    return f"{text}, {' and '.join(extras)}." if extras else f"{text}."


def describe_tests(evaluation: dict[str, Any]) -> str:
    """The lists that were measured on, in prose."""
    return " and ".join(f"{f['images']} images of {LISTS.get(n, n)}" for n, f in evaluation["lists"].items())


def set_of_list(name: str) -> str | None:
    """The set of images that an evaluated list is of; `None` for a list of someone else's."""
    try:
        return set_of(next(iter(read_split(name))))
    except (DataError, StopIteration):
        return None


def describe_recipe(recipe: dict[str, Any], record: dict[str, Any]) -> str:
    """What the weights began as, optimisation and augmentation, in prose."""
    t, a = recipe["training"], recipe.get("augment", {})
    batch = t["per_device_train_batch_size"] * t.get("gradient_accumulation_steps", 1)
    skip = ("crop_size", "min_diameter", "max_diameter", "on_nucleus")
    used = ", ".join(key.replace("_", " ") for key, value in a.items() if key not in skip and value)
    precision = "bfloat16" if t.get("bf16") else "float32"
    schedule = f"{t.get('lr_scheduler_type', 'linear')} schedule after {t.get('warmup_steps', 0)} steps of warm-up"
    steps = record.get("steps", t["max_steps"])
    return (
        f"{describe_start(record)}{steps:,} steps of {batch} crops of {a.get('crop_size')} pixels, "
        f"{t.get('optim', 'AdamW')}, learning rate {t['learning_rate']:g}, weight decay {t.get('weight_decay', 0):g}, "
        f"{schedule}, {precision}; "
        f"the weights are an average with decay {recipe.get('ema_decay')}, the best on validation. The scale "
        f"of each crop is drawn so that its nuclei are {a.get('min_diameter')} to {a.get('max_diameter')} pixels wide. "
        f"{describe_teacher(recipe)}"
        f"Augmentation, beside the 8 symmetries: {used}."
    )


def describe_teacher(recipe: dict[str, Any]) -> str:
    """The network that taught it, if there was one, as a sentence and a space."""
    if recipe.get("teacher") is None:
        return ""
    folder = Path(recipe["teacher"])
    name = folder.parent.name if folder.name == "best" else folder.name  # of a run, or of weights
    return f"Of each target, {recipe.get('teacher_part', 0.5):.0%} is what {name} says of the crop. "


def describe_log(log: list[dict[str, Any]], recipe: dict[str, Any]) -> str:
    """What the Trainer's log says of the run; "" for an empty log."""
    measured = [entry for entry in log if "eval_map" in entry]
    if not measured:
        return ""
    best = max(measured, key=lambda entry: entry["eval_map"])
    how = "with the earlier weights' thresholds" if recipe.get("initial") else "before any threshold was fitted"
    if recipe["model"].get("deep_supervision"):
        heads = "last head alone" if recipe["model"].get("inference_mode") == "fast" else "mean of the heads"
        how += f", by the {heads}"
    text = (
        f"While training, on central crops of the validation images at their true scale and {how}, the best was step "
        f"{best['step']:,}: Bowl mAP {figure(best['eval_map'])}"
    )
    return text + (f", nucleus IoU {figure(best['eval_iou'])}." if "eval_iou" in best else ".")
