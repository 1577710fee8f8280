"""The records of a batch run -> files that tell of the whole: README.txt, settings.json, summary.csv, failures.csv."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from ..inference.network import Network
from ..jobs.settings import Settings
from ..output.export import readme
from ..output.files import FILES
from ..output.provenance import network_facts, versions
from ..output.tables import to_csv
from .records import FAILURES, README, REGIONS, REPORT, SETTINGS, SUMMARY, Record, settings_id
from .report import report

FIGURES = (
    "nuclei",
    "left_out",
    "median_diameter_px",
    "median_intensity",
    "mean_confidence",
    "covered",
    "diameter_assumed_px",
    "width",
    "height",
)


def overview(
    settings: Settings,
    network: Network,
    records: Iterable[Record],
    command: str,
    failures: Sequence[tuple[str, str]],
    out: Path,
) -> dict[str, bytes]:
    """README.txt, settings.json, summary.csv, report.html; failures.csv where anything failed, and summary_regions.csv
    where nuclei were counted in regions.

    Args:
        settings: Of the last run.
        network: Of the last run, see `network_of`.
        records: Of all images in the folder of results.
        command: The last run's.
        failures: Image and what is wrong with it, of the last run.
        out: The folder of results.
    """
    records = list(records)
    this, counts = settings_id(settings.identity.to_dict()), Counter(record.settings_id for record in records)
    cut = (settings.threshold, settings.separation, settings.min_area)
    made: dict[str, dict[str, Any]] = {r.settings_id: {"images": counts[r.settings_id]} | r.settings for r in records}
    made[this] = {"images": counts[this], "source": network.source, "revision": network.revision} | asdict(settings)

    facts: dict[str, Mapping[str, object]] = {
        "Last run": {"date": datetime.now().astimezone().isoformat(timespec="seconds"), "command": command},
        f"{network.title}, settings {this}: {counts[this]} images": network_facts(
            network, cut, settings.least_confidence, settings.diameter, settings.tta, settings.level
        )
        | {f"{axis}, from 0": "automatic" if n is None else n for axis, n in _plane(settings).items()}
        | _numbering(settings)
        | _kept(settings),
    }
    for other in sorted(counts.keys() - {this}):
        facts[f"Earlier runs, settings {other}: {counts[other]} images"] = made[other]
    facts["Versions"] = used = versions(*(["laptrack"] if settings.tracked else []))
    told = dict(facts)
    facts["Files"] = {
        SUMMARY: "one row an image; left_out: nuclei that the filters did not let through; covered: share of the "
        "pixels; settings: as above",
        REGIONS: "with --regions, one row a region: nuclei with their centroid in it, its area, and their density",
        REPORT: "all of it to look at, the doubtful images first",
        SETTINGS: "the above, for programs",
        FAILURES: "images that couldn't be segmented in the last run, if there were any",
    } | FILES
    files = {
        README: readme(facts),
        SETTINGS: json.dumps({"last": this, "settings": made, "versions": used}, indent=1).encode() + b"\n",
        SUMMARY: summary_csv(records, settings.decimal),
        REPORT: report(records, failures, told, out),
    }
    if any("regions" in record.facts for record in records):
        files[REGIONS] = regions_csv(records, settings.decimal)
    return files | ({FAILURES: failures_csv(failures)} if failures else {})


def summary_csv(records: Iterable[Record], decimal: str = ".") -> bytes:
    """One row an image; `left_out` counts the nuclei that the filters did not let through."""
    rows = []
    for record in records:
        pixel = record.facts.get("pixel_size_um") or (None, None)
        facts = record.facts | {"left_out": sum(record.facts.get("left_out", {}).values())}
        figures = [facts.get(name) for name in FIGURES]
        notes = " ".join(record.facts.get("notes", ()))
        rows.append([record.name, record.source, *figures, *pixel, record.settings_id, notes])
    heading = ["image", "source", *FIGURES, "pixel_height_um", "pixel_width_um", "settings", "notes"]
    return to_csv(heading, rows, decimal)


def regions_csv(records: Iterable[Record], decimal: str = ".") -> bytes:
    """One row a region of an image, and one of what is outside all of them."""
    names = ("region", "nuclei", "area_px", "area_um2", "nuclei_per_mm2", "nuclei_per_megapixel")
    rows = [
        [record.name, *(one[name] for name in names), record.facts["regions"]["file"]]
        for record in records
        for one in record.facts.get("regions", {}).get("counts", ())
    ]
    return to_csv(["image", *names, "file"], rows, decimal)


def failures_csv(failures: Iterable[tuple[str, str]]) -> bytes:
    """Image and what is wrong with it, one row each."""
    return to_csv(["image", "failure"], failures)


def _kept(settings: Settings) -> dict[str, object]:
    """Which nuclei are kept, how wide a ring is measured, and in which regions they are counted."""
    filters = {name.replace("_", " "): value for name, value in asdict(settings.filters).items() if value}
    said: dict[str, object] = {"nuclei kept": ", ".join(f"{k} {v}" for k, v in filters.items()) or "all"}
    said |= {"regions": settings.regions} if settings.regions else {}
    return said | ({"ring, pixels": f"{settings.ring:g}"} if settings.ring else {})


def _numbering(settings: Settings) -> dict[str, object]:
    """How nuclei are numbered that are in several planes or frames."""
    said: dict[str, object] = {"planes linked by overlap": "yes"} if settings.linked else {}
    if settings.tracked:
        said["tracks, farthest step in pixels"] = settings.max_step or "the median diameter of all nuclei"
    return said


def _plane(settings: Settings) -> dict[str, int | str | None]:
    return {
        "image in the file": settings.series,
        "Z plane": settings.z,
        "time point": settings.t,
        "channel": settings.channel,
    }
