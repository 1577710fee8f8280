"""Results as tables, and a plot of quality against time; into README and docs/ between their markers."""

import json
import textwrap
from pathlib import Path
from typing import Any

from nuclei_models.model.repository import WEIGHTS, sha256
from train.release.markdown import fill

from . import growth, reaches, small, training
from .contenders import BUNDLED, NETWORK, WHOLE
from .precision import table as precision_table

ROOT = Path(__file__).resolve().parent.parent
PLOT = ROOT / "docs" / "speed.svg"
PRECISION = Path(__file__).resolve().parent / "precision.json"
MAIN = "1024"  # the size of the table's columns
LEVELS = {"unetpp": 4, "l3": 3, "l2": 2, "l1": 1}
PAGE = {  # a key of page.json -> what it is
    "first_page": "opening the page",
    "upload": "an image, from its upload to both overlays",
    "slider_small": "threshold slider, commonest kind of image",
    "slider_dense": "threshold slider, dense nuclei",
    "slider_clusters": "threshold slider, clusters on half of the image",
    "split": "splitting a nucleus by a stroke",
    "merge": "merging two",
    "undo": "undo",
    "pan_frame": "a frame while the picture is moved, median",
    "pan_frame_95": "the same, 95 of 100 within",
    "zoom_frame": "a frame while it is zoomed, median",
    "zoom_frame_95": "the same, 95 of 100 within",
}
SIDES = {"256": "256²", "1024": "1024²", "17mp": "4096²"}
SHORT = {"bfloat16": "bf16", "float32": "f32"}


def table(results: dict[str, Any]) -> str:
    """All contenders, Markdown."""
    rows = results["contenders"].values()
    return "\n\n".join(
        [
            f"Seconds a megapixel. {setting(results)}",
            _whole([r for r in rows if r["does"] == WHOLE]),
            _networks([r for r in rows if r["does"] == NETWORK], results["peak_tflops"]),
        ]
    )


def setting(results: dict[str, Any]) -> str:
    """The machine, the day and how often each was measured, in sentences."""
    machine, peak = results["machine"], results["peak_tflops"]
    rounds = max((found.get("rounds", 1) for found in results["contenders"].values()), default=1)
    return (
        f"On {machine['processor']}, {machine['threads']} cores, torch {machine['torch']}, {results['date']}. "
        f"Its fastest matrix products: {peak['float32']:.2f} TFLOP/s in float32, "
        f"{peak['bfloat16']:.2f} in bfloat16{' with AMX' if machine['amx'] else ''}. "
        f"{'Measured in one round.' if rounds == 1 else f'The fastest of {rounds} rounds.'}"
    )


def _whole(rows: list[dict]) -> str:
    sizes = sorted({int(s) for r in rows for s in r.get("sizes", {})})
    lines = [
        "| file to label image | in | "
        + " | ".join(f"{s}²" for s in sizes)
        + " | before the network | after it | memory |",
        "|---|---|" + "---:|" * (len(sizes) + 3),
    ]
    for r in rows:
        found: dict[str, Any] = r.get("sizes", {})
        cells = [f"{_per_megapixel(found, s):.2f}" if str(s) in found else "–" for s in sizes]
        biggest = max(found, key=int, default="")
        reference = found.get(MAIN) or (found[biggest] if biggest else None)
        before = after = "–"
        if reference:
            shares = {name: seconds / reference["seconds"] for name, seconds in reference["parts"].items()}
            before, after = f"{1 - shares['network'] - shares['after']:.0%}", f"{shares['after']:.0%}"
        memory = f"{found[biggest]['peak_mb'] / 1024:.1f} GB at {biggest}²" if biggest else r.get("failure", "–")
        lines.append(
            f"| {r['title']} | {SHORT[r['precision']]} | " + " | ".join([*cells, before, after, memory]) + " |"
        )
    return "\n".join(lines)


def _networks(rows: list[dict], peak: dict[str, float]) -> str:
    lines = [
        "| network alone, 1024² | in | MMAC a pixel | s a megapixel | share of the peak | memory |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for r in sorted(rows, key=lambda r: (SHORT[r["precision"]], _per_megapixel(r.get("sizes", {}), int(MAIN)))):
        found: dict[str, Any] = r.get("sizes", {})
        macs = r.get("macs_per_pixel")
        cells = [f"{macs / 1e6:.3f}" if macs else "–"]
        if MAIN in found:
            seconds = _per_megapixel(found, int(MAIN))
            top = peak.get(r["precision"])
            share = f"{2 * macs * 2**20 / found[MAIN]['seconds'] / top / 1e12:.0%}" if macs and top else "–"
            cells += [f"{seconds:.2f}", share, f"{found[MAIN]['peak_mb'] / 1024:.1f} GB"]
        else:
            cells += [r.get("failure") or r.get("missing", "–"), "–", "–"]
        lines.append(f"| {r['title']} | {SHORT[r['precision']]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _per_megapixel(found: dict, size: int) -> float:
    return found[str(size)]["seconds"] / size**2 * 1e6 if str(size) in found else float("inf")


def qualities() -> dict[str, float]:
    """Contender's first name -> AP at .5 of the Bowl's validation list, where files tell it.

    Those of U-Nets are from `python -m train.evaluation.evaluate --model weights/unet-nuclei --split validation --out
    benchmarks/quality`.
    """
    found: dict[str, float] = {}
    levels = ROOT / "weights" / "unetpp-nuclei" / "levels.json"
    if levels.is_file():
        rows = {row["level"]: row for row in json.loads(levels.read_text())["levels"]}
        found |= {key: rows[level]["ap_50"] for key, level in LEVELS.items() if level in rows}
    for key, name in BUNDLED.items():
        quality, weights = ROOT / "benchmarks" / "quality" / f"{name}.json", ROOT / "weights" / name / WEIGHTS
        if not (quality.is_file() and weights.is_file()):
            continue
        evaluated = json.loads(quality.read_text())
        if evaluated["weights_sha256"] == sha256(weights):
            found[key] = evaluated["lists"]["validation"]["ap"]["0.5"]
    return found


def _quality_of_small() -> dict[str, Any] | None:
    """Figures of the small U-Net on StarDist's test images; `None` where it isn't bundled."""
    evaluation = ROOT / "weights" / BUNDLED["small"] / "evaluation.json"
    return json.loads(evaluation.read_text())["lists"]["stardist_test"] if evaluation.is_file() else None


def page_table(page: dict[str, Any]) -> str:
    """What a visitor of the page waits for, Markdown."""
    sides = [side for side in SIDES if side in page]
    lines = [f"| milliseconds | {' | '.join(SIDES[side] for side in sides)} |", "|---" + "|---:" * len(sides) + "|"]
    for key, title in PAGE.items():
        cells = [f"{page[side][key]:.0f}" if key in page[side] else "–" for side in sides]
        if any(cell != "–" for cell in cells):
            lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def plot(results: dict[str, Any], path: Path = PLOT) -> None:
    """Quality against seconds a megapixel, file to label image at 1024 pixels."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4))
    quality = qualities()
    for precision, marker in (("bfloat16", "o"), ("float32", "s")):
        points = []
        for key, r in results["contenders"].items():
            name = key.rpartition("-")[0]
            if r["does"] == WHOLE and r["precision"] == precision and name in quality and MAIN in r.get("sizes", {}):
                points.append((_per_megapixel(r["sizes"], int(MAIN)), quality[name], r["title"]))
        if points:
            axes.scatter([p[0] for p in points], [p[1] for p in points], marker=marker, label=precision)
        for x, y, title in points:
            # below, or to the left, so that names of points side by side don't meet
            offset, align = ((-5, 5), "right") if "++" not in title else ((5, 5), "left")
            offset = (offset[0], -11) if precision == "float32" else offset
            axes.annotate(title, (x, y), xytext=offset, textcoords="offset points", fontsize=8, ha=align)
    axes.set(xscale="log", xlabel="seconds a megapixel, file to label image", ylabel="AP at IoU .5, validation list")
    axes.grid(alpha=0.3)
    axes.margins(x=0.2, y=0.15)
    for axis in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        axis(lambda value, _: f"{value:g}")
    if axes.collections:
        axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def short(results: dict[str, Any], single: dict[str, Any] | None = None, page: dict[str, Any] | None = None) -> str:
    """README's sentences: by what factors the U-Net leads other people's networks, and what a user waits for.

    Args:
        single: Of `python -m benchmarks.small`.
        page: Of `python -m benchmarks.page_benchmark`.
    """
    machine, size = results["machine"], reaches.SIZE
    ahead = sorted(reaches.leads(results).items(), key=lambda item: -item[1])
    faster = ", ".join(f"{lead:.1f} as {peer}" for peer, lead in ahead if lead >= 1).replace(
        " as", " times as fast as", 1
    )
    slower = " ".join(
        f"{peer} needs {lead:.2f} of its time{reaches.WHY.get(peer, '')}." for peer, lead in ahead if lead < 1
    )
    ours = reaches.seconds(results, "unet-bands-bf16")
    text = (
        f"On {machine['threads']} cores of {machine['processor']} the U-Net needs {ours:.2f} s a megapixel "
        f"({size} x {size}). It is {faster}. {slower}".rstrip()
    )
    small = reaches.seconds(results, "small-bands-bf16")
    if max(small, ours) < float("inf"):
        text += f" The small U-Net needs {small / ours:.2f} of the U-Net's time."
    if single:
        text += (
            f" An image of 256 x 256 takes {single['seconds']['one']:.1f} s from the command to its files, and in a "
            f"folder {1 / single['images_per_second']:.2f} s."
        )
    if page and "slider_dense" in page.get("1024", {}):
        text += f" On the page, outlines follow a slider in {page['1024']['slider_dense'] / 1e3:.2f} s."
    text += " More: [docs/speed.md](docs/speed.md)."
    return "\n".join(textwrap.wrap(text, 127, break_long_words=False, break_on_hyphens=False))


def write(out: Path) -> None:
    """Tables and plots into README and docs/, from the files of results that are there.

    Args:
        out: The results of `python -m benchmarks`; those of its parts lie beside it.
    """
    precision = json.loads(PRECISION.read_text())
    paths = [out, *(out.with_name(f"{part}.json") for part in ("training", "growth", "small", "page"))]
    results, trained, grown, single, page = (json.loads(path.read_text()) if path.is_file() else None for path in paths)
    speed = {"precision": precision_table(precision)}
    blocks = {"docs/speed.md": speed, "docs/trust.md": {"precision": precision_table(precision)}}
    if results is not None:
        beside = {"trained": trained, "grown": grown, "small": single, "page": page}
        rows = reaches.rows(results, _quality_of_small(), **beside)
        speed |= {"speed": table(results), "reaches": reaches.table(rows), "missed": reaches.missed(rows)}
        blocks["README.md"] = {"speed": short(results, single, page)}
        plot(results)
    if single is not None:
        speed["small"] = small.table(single)
    if page is not None:
        speed["page"] = page_table(page)
    if trained is not None:
        speed["training"] = f"{setting(trained)}\n\n{training.table(trained)}"
    if grown is not None:
        picture = f"![Time and memory against megapixels, and time against processes]({growth.PLOT.name})"
        speed["growth"] = f"{setting(grown)}\n\n{picture}\n\n{growth.table(grown)}"
        growth.plot(grown)
    for name, content in blocks.items():
        path = ROOT / name
        path.write_text(fill(path.read_text(), content))
