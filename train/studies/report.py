"""docs/studies/*.json -> the tables of docs/studies.md, between their markers."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from nuclei_models.inference.bundled import TITLES
from train.evaluation import levels
from train.release.markdown import fill

PAGE = Path("docs/studies.md")
WEIGHTS = Path("weights")
LEVELS = WEIGHTS / "unetpp-nuclei" / "levels.json"
OF_A_RUN = ("name", "seed", "overrides", "minutes", "settings", "figures")
COLUMNS = {"nucleus IoU": "nucleus_iou", "Dice": "dice", "AP at .5": "ap_50", "Bowl mAP": "bowl_map"}


def table(folder: Path, ranked: bool = True) -> str:
    """The runs of one study as Markdown, best Bowl mAP first or in the order of their files, the range of seeds where
    there are several.

    A record's other numbers, as "seconds an image", get columns of their own.
    """
    runs: dict[str, list[dict]] = {}
    for file in sorted(folder.glob("*.json")):
        record = json.loads(file.read_text())
        runs.setdefault(record["name"], []).append(record)
    records = [r for group in runs.values() for r in group]
    more = [key for key in (records[0] if records else {}) if key not in OF_A_RUN]
    heads = [*COLUMNS, "Bowl mAP, colour", "Bowl mAP, other", *more]
    lines = ["| " + " | ".join(["run", "seeds", *heads]) + " |", "|---|---:" + "|---:" * len(heads) + "|"]

    def figures(records: list[dict]) -> list[list[float]]:
        whole = [[r["figures"]["all"][key] for r in records] for key in COLUMNS.values()]
        parts = [[r["figures"][part]["bowl_map"] for r in records] for part in ("colour", "other")]
        return [*whole, *parts, *([r[key] for r in records] for key in more)]

    def rank(records: list[dict]) -> float:
        return -sum(r["figures"]["all"]["bowl_map"] for r in records) / len(records)

    for name, records in sorted(runs.items(), key=lambda item: rank(item[1])) if ranked else runs.items():
        lines.append("| " + " | ".join([name, str(len(records)), *map(_with_range, figures(records))]) + " |")
    return "\n".join(lines)


def _with_range(values: list[float]) -> str:
    mean = sum(values) / len(values)
    return f"{mean:.3f}" if len(values) == 1 else f"{mean:.3f} ({min(values):.3f} to {max(values):.3f})"


def protocol96(folder: Path) -> str:
    """The runs of `train.studies.protocol96` as Markdown: a row for each network and number of steps, with the range
    over its seeds."""
    heads = ["network", "parameters", "steps", "seeds", "validation nucleus IoU", "test nucleus IoU"]
    heads += ["two-class mean IoU", "Dice", "test nucleus IoU, pooled", "two-class mean IoU, pooled"]
    lines = [f"| {' | '.join(heads)} |", "|---" + "|---:" * 9 + "|"]
    runs: dict[tuple[int, str], list[dict]] = {}
    for file in sorted(folder.glob("*.json")):
        record = json.loads(file.read_text())
        name = record["name"] + ", images turned and stretched" * record.get("bent", False)
        runs.setdefault((record["steps"], name), []).append(record)
    keys = ("nucleus_iou", "mean_iou", "dice", "nucleus_iou_pooled", "mean_iou_pooled")
    for (steps, name), records in sorted(runs.items()):
        cells = [name, f"{records[0]['parameters']:,}", f"{steps:,}", str(len(records))]
        cells.append(_with_range([r["validation"]["nucleus_iou"] for r in records]))
        cells += [_with_range([r["test"][key] for r in records]) for key in keys]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def laboratories(folder: Path) -> str:
    """The runs of `train.studies.laboratories` as Markdown, the range of seeds where there are several."""
    runs: dict[str, list[dict]] = {}
    for file in sorted(folder.glob("*.json")):
        record = json.loads(file.read_text())
        runs.setdefault(record["name"], []).append(record["bowl_map"])
    sets = list(next(iter(runs.values()))[0])
    lines = ["| trained on | seeds | " + " | ".join(sets) + " |", "|---|---:" + "|---:" * len(sets) + "|"]
    for name, records in runs.items():
        cells = [_with_range([record[key] for record in records]) for key in sets]
        lines.append("| " + " | ".join([name, str(len(records)), *cells]) + " |")
    return "\n".join(lines)


def diameters(folder: Path) -> str:
    """The records of `train.studies.diameters` as Markdown: a column for each list or scale."""
    records = [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
    kinds = [kind for kind in records[0]["figures"] if all(kind in r["figures"] for r in records)]
    lines = ["| the diameter is found by | " + " | ".join(kinds) + " |", "|---" + "|---:" * len(kinds) + "|"]
    for record in records:
        rows = [record["figures"][kind] for kind in kinds]
        cells = [f"{row['within_1.5']:.0%} / {row['off_by_2']:.0%}" for row in rows]
        lines.append("| " + " | ".join([record["name"], *cells]) + " |")
    return "\n".join(lines)


def earlier(folder: Path) -> str:
    """The records of `train.studies.earlier` beside the bundled networks' figures, as Markdown."""
    heads = ["list", "network"]
    heads += [f"{figure}, {seen}" for figure in ("AP at .5", "Bowl mAP") for seen in ("the Bowl alone", "all five")]
    lines = ["| " + " | ".join([*heads, "times"]) + " |", "|---|---" + "|---:" * 5 + "|"]
    for file in sorted(folder.glob("*.json")):
        now = json.loads((WEIGHTS / f"{file.stem}-nuclei" / "evaluation.json").read_text())["lists"]
        for name, then in json.loads(file.read_text()).items():
            ap, bowl = (then["ap_50"], now[name]["ap"]["0.5"]), (then["bowl_map"], now[name]["bowl_map"])
            cells = [name, TITLES[file.stem], *(f"{value:.3f}" for value in (*ap, *bowl)), f"{bowl[1] / bowl[0]:.2f}"]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def paper(folder: Path) -> str:
    """What `train.evaluation.evaluate` said of the paper's U-Net beside the bundled one, as Markdown."""
    networks = {
        "U-Net 64..1024, unpadded": folder / "unet-paper.json",
        "U-Net 32..512, bundled": WEIGHTS / "unet-nuclei" / "evaluation.json",
    }
    lists = {name: json.loads(file.read_text())["lists"] for name, file in networks.items()}
    heads = ["list", *(f"{figure}, {name}" for figure in ("AP at .5", "Bowl mAP") for name in networks)]
    lines = ["| " + " | ".join(heads) + " |", "|---" + "|---:" * (len(heads) - 1) + "|"]
    for row in next(iter(lists.values())):
        values = [of[row]["ap"]["0.5"] for of in lists.values()] + [of[row]["bowl_map"] for of in lists.values()]
        lines.append("| " + " | ".join([row, *(f"{value:.3f}" for value in values)]) + " |")
    return "\n".join(lines)


def attempts(folder: Path) -> str:
    """The records of `train.studies.attempts` as Markdown."""
    lines: list[str] = []
    for file in sorted(folder.glob("*.json")):
        record = json.loads(file.read_text())
        for title, figures in record["figures"].items():
            if not lines:
                heads = " | ".join(["attempt", "network", *figures])
                lines = [f"| {heads} |", "|---|---" + "|---:" * len(figures) + "|"]
            cells = [f"{file.stem}. {record['what']}", title, *(f"{value:.3f}" for value in figures.values())]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write(out: Path) -> None:
    """Write the table of every study that has been run."""
    in_order = partial(table, ranked=False)
    makers: dict[str, Callable[[Path], str]] = {"protocol96": protocol96, "paper": paper, "attempts": attempts}
    makers |= {
        "earlier": earlier,
        "scale": in_order,
        "tta": in_order,
        "laboratories": laboratories,
        "diameters": diameters,
    }
    folders = [folder for folder in sorted(out.iterdir()) if folder.is_dir()]
    blocks = {folder.name: makers.get(folder.name, table)(folder) for folder in folders}
    PAGE.write_text(
        fill(PAGE.read_text(), blocks | {"pruning": levels.table(json.loads(LEVELS.read_text())["levels"])})
    )
