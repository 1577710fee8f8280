"""The records of a run -> report.html: one file that opens offline, to be looked at and kept with the results."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from ..analysis.figures import STEPS
from ..output.files import KINDS
from ..version import __version__
from .doubts import doubts, group_of
from .records import Record, picture_path

SHOWN = 200  # pictures; of more images those without doubts are left out, for the file's size
GROUPS = 12  # folders that have charts of their own
OUTERMOST = "(outermost folder)"
TITLES = {
    "diameter_um": ("Diameter of the nuclei", "µm"),
    "diameter_px": ("Diameter of the nuclei", "pixels"),
    "mean_intensity": ("Mean intensity of the nuclei", "as in the files"),
}


@dataclass(frozen=True)
class Bar:
    """One bar of a chart, in parts of its width and height; a doubtful one stands out."""

    x: float
    width: float
    height: float
    text: str
    doubtful: bool = False


@dataclass(frozen=True)
class Chart:
    """A histogram, ready to be drawn.

    Attributes:
        ticks: (place, text) on the axis below.
    """

    title: str
    unit: str
    bars: list[Bar]
    ticks: list[tuple[float, str]]


def report(
    records: Iterable[Record],
    failures: Sequence[tuple[str, str]],
    facts: Mapping[str, Mapping[str, object]],
    out: Path,
) -> bytes:
    """The report, HTML.

    Args:
        records: Of all images in the folder of results.
        failures: Image and what is wrong with it.
        facts: By heading, what is to be known to repeat the results; see `export.readme`.
        out: The folder of results.
    """
    records = sorted(records, key=lambda record: record.name)
    doubtful = doubts(records)
    order = sorted(records, key=lambda record: (-len(doubtful[record.name]), record.name))
    nuclei = sum(record.facts.get("nuclei", 0) for record in records)
    left_out = sum(sum(record.facts.get("left_out", {}).values()) for record in records)
    page = _template().render(
        images=len(records),
        nuclei=nuclei,
        left_out=left_out,
        doubtful=sum(map(bool, doubtful.values())),
        failures=failures,
        groups=_groups(records),
        charts=_charts(records, doubtful) if nuclei else [],
        pictures=[_picture(record, doubtful[record.name], out) for record in order[:SHOWN]],
        hidden=max(len(order) - SHOWN, 0),
        facts=facts,
        version=__version__,
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
    )
    return page.encode(errors="backslashreplace")


@cache
def _template() -> Template:
    folder = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.get_template("report.html.j2")


def _picture(record: Record, said: list[str], out: Path) -> dict[str, Any]:
    path = picture_path(out, record.name)
    overlay = f"{record.name}_{KINDS['overlay'].ending}"
    f = record.facts
    return {
        "name": record.name,
        "doubts": said,
        "notes": f.get("notes", []),
        "image": base64.b64encode(path.read_bytes()).decode() if path.is_file() else None,
        "link": quote(overlay, errors="surrogateescape") if (out / overlay).is_file() else None,
        "figures": f"{f.get('nuclei', 0):,} nuclei"
        + (f", {f['median_diameter_px']:.1f} px across" if f.get("median_diameter_px") else "")
        + (f", confidence {f['mean_confidence']:.2f}" if f.get("mean_confidence") is not None else ""),
    }


def _groups(records: list[Record]) -> list[dict[str, Any]]:
    """A row a folder, and one of all."""
    groups: dict[str, list[dict]] = {}
    for record in records:
        groups.setdefault(group_of(record.name) or OUTERMOST, []).append(record.facts)
    rows = [_group(name, facts) for name, facts in groups.items()]
    return rows if len(rows) <= 1 else [*rows, _group("all", [record.facts for record in records])]


def _group(name: str, facts: list[dict]) -> dict[str, Any]:
    counts = np.array([f.get("nuclei", 0) for f in facts], float)

    def middle(key: str, form: str) -> str:
        values = [f[key] for f in facts if f.get(key) is not None]
        return f"{np.median(values):{form}}" if values else "–"

    return {
        "name": name,
        "images": len(facts),
        "nuclei": int(counts.sum()),
        "mean": f"{counts.mean():,.1f}",
        "spread": f"{counts.std(ddof=1):,.1f}" if len(counts) > 1 else "–",
        "diameter": middle("median_diameter_px", ",.1f"),
        "intensity": middle("median_intensity", ",.4g"),
        "confidence": middle("mean_confidence", ".2f"),
    }


def _charts(records: list[Record], doubtful: Mapping[str, list[str]]) -> list[tuple[str, list[Chart]]]:
    """Of all images together, and of each folder where there are several and not too many."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(group_of(record.name) or OUTERMOST, []).append(record)
    parts = [("All images", records), *(groups.items() if 1 < len(groups) <= GROUPS else ())]
    return [(heading, [*_histograms(some), _counts(some, doubtful)]) for heading, some in parts]


def _histograms(records: list[Record]) -> list[Chart]:
    """Of all nuclei together: diameters, in micrometres where all images have a pixel size, and intensities."""
    found = [record.facts.get("histograms", {}) for record in records if record.facts.get("nuclei")]
    size = "diameter_um" if all("diameter_um" in one for one in found) else "diameter_px"
    charts = []
    for name in (size, "mean_intensity"):
        total: dict[int, int] = {}
        for one in found:
            for k, n in one.get(name, {}).items():
                total[int(k)] = total.get(int(k), 0) + n
        if total:
            charts.append(_chart(*TITLES[name], total))
    return charts


def _chart(title: str, unit: str, counts: dict[int, int]) -> Chart:
    """Bins of a fixed share of an octave."""
    first, last, most = min(counts), max(counts), max(counts.values())
    n = last - first + 1
    bars = []
    for k, count in sorted(counts.items()):
        low, high = 2 ** (k / STEPS), 2 ** ((k + 1) / STEPS)
        text = f"{count:,} nuclei of {low:.4g} to {high:.4g} {unit}"
        bars.append(Bar((k - first) / n, 1 / n, count / most, text))
    step = max(1, n // 6)
    ticks = [((k - first) / n, f"{2 ** (k / STEPS):.3g}") for k in range(first, last + 2, step)]
    return Chart(title, unit, bars, ticks)


def _counts(records: list[Record], doubtful: Mapping[str, list[str]]) -> Chart:
    """Nuclei an image, a bar each, in the order of the names; of many images several share a bar."""
    counts = [(record.name, record.facts.get("nuclei", 0)) for record in records]
    share = -(-len(counts) // 200)
    parts = [counts[i : i + share] for i in range(0, len(counts), share)]
    heights = [float(np.mean([n for _, n in part])) for part in parts]
    most = max(max(heights), 1)
    bars = [
        Bar(
            i / len(parts),
            1 / len(parts),
            height / most,
            f"{height:,.0f} nuclei: {part[0][0]}" + (f" to {part[-1][0]}" if len(part) > 1 else ""),
            any(doubtful[name] for name, _ in part),
        )
        for i, (part, height) in enumerate(zip(parts, heights, strict=True))
    ]
    return Chart("Nuclei in each image", f"by name; the highest bar is {most:,.0f}", bars, [])
