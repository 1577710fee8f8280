"""State -> what is counted: the summary, the histogram of areas, the rows of the table, the words for one nucleus."""

from html import escape

import numpy as np

from ..analysis.figures import DOUBTFUL
from ..inference.settings import Cut
from .limits import TABLE_ROWS
from .state import Analysis, Table

BINS = 20
COLOURS = "#0072b2", "#d55e00"  # of the first network and the second: Okabe and Ito's blue and vermilion
COLUMNS = {
    "label": "number",
    "area_um2": "area (µm²)",
    "area_px": "area (px)",
    "diameter_um": "diameter (µm)",
    "diameter_px": "diameter (px)",
    "confidence": "confidence",
    "mean_intensity": "mean intensity",
    "eccentricity": "eccentricity",
    "x_px": "x (px)",
    "y_px": "y (px)",
}


def area_column(table: Table) -> tuple[np.ndarray, str]:
    """Areas and their unit: micrometres where the pixel size is known."""
    return (table["area_um2"], "µm²") if "area_um2" in table else (table["area_px"], "px")


def summary(analysis: Analysis, cut: Cut) -> str:
    """A table of figures, a column a network, as HTML."""
    columns = {analysis.titles[key]: _figures(analysis, key, cut) for key in analysis.maps}
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in columns)
    rows = ""
    for name in next(iter(columns.values())):
        cells = "".join(f"<td>{escape(figures[name])}</td>" for figures in columns.values())
        rows += f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>'
    return (
        '<table class="nm-summary"><caption>What each network found</caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _figures(analysis: Analysis, key: str, cut: Cut) -> dict[str, str]:
    table, size = analysis.table(key, cut), analysis.pixel_size
    area, unit = area_column(table)
    count, pixels = len(area), analysis.picture.size[0] * analysis.picture.size[1]
    if size is None:
        density = f"{count / pixels * 1e6:,.0f} per megapixel"
    else:
        mm2 = pixels * size[0] * size[1] / 1e6
        density = f"{count / mm2:,.0f} per mm²"

    def middle(values: np.ndarray) -> str:
        known = values[np.isfinite(values)]
        return _short(float(np.median(known))) if len(known) else "–"

    diameter = analysis.diameters.get(key)
    figures = {"Nuclei": f"{count:,}"}
    if "confidence" in table:
        figures[f"Doubtful (confidence below {DOUBTFUL})"] = f"{(table['confidence'] < DOUBTFUL).sum():,}"
        figures["Left out for low confidence"] = left_out(analysis, key, cut)
    figures |= {
        "Median area": f"{middle(area)} {unit}" if count else "–",
        "Density": density,
        "Covered by nuclei": f"{table['area_px'].sum() / pixels:.1%}",
        "Median of the mean intensities": middle(table["mean_intensity"]),
        "Median eccentricity": middle(table["eccentricity"]),
    }
    if analysis.diameters:
        figures["Nuclear diameter assumed"] = "not known" if diameter is None else f"{diameter:.0f} px"
    if key in analysis.seconds:
        figures["Time taken"] = f"{analysis.seconds[key]:.2f} s"
    return figures


def left_out(analysis: Analysis, key: str, cut: Cut) -> str:
    """How many nuclei are left out, and below which confidence, in words."""
    return f"{analysis.left_out(key, cut):,} (below {analysis.least_confidence(key, cut):g})"


def took(analysis: Analysis) -> str:
    """How long each network took, in words."""
    return ", ".join(f"{analysis.titles[key]} {seconds:.1f} s" for key, seconds in analysis.seconds.items())


def rows(analysis: Analysis, cut: Cut) -> dict:
    """What the table shows, see `static/table.js`."""
    networks, names = [], []
    for key in analysis.maps:
        table = analysis.table(key, cut)
        names = [name for name in COLUMNS if name in table]
        cells = [table[name].tolist() if name == "label" else _rounded(table[name]) for name in names]
        networks.append({"key": key, "title": analysis.titles[key], "rows": list(zip(*cells, strict=True))})
    columns = [COLUMNS[name] for name in names]
    return {"columns": columns, "networks": networks, "limit": TABLE_ROWS, "doubtful": DOUBTFUL}


def _rounded(values: np.ndarray) -> list[float | None]:
    """To five significant digits, for a shorter message; `None` for what is no number, which JSON doesn't know."""
    known = np.isfinite(values)
    scale = 10.0 ** (4 - np.floor(np.log10(np.maximum(np.abs(np.where(known, values, 1)), 1e-12))))
    rounded = (np.round(values * scale) / scale).tolist()
    return [value if is_known else None for value, is_known in zip(rounded, known, strict=True)]


def histogram(analysis: Analysis, cut: Cut) -> str:
    """The areas of both networks' nuclei side by side, as an SVG with text for screen readers."""
    tables = {key: area_column(analysis.table(key, cut)) for key in analysis.maps}
    unit = next(iter(tables.values()))[1]
    areas = {key: area for key, (area, _) in tables.items()}
    every = np.concatenate(list(areas.values()))
    if not len(every):
        return '<p class="nm-note">No nuclei, no histogram.</p>'
    top = _round_up(float(np.percentile(every, 99)))  # a few giants shouldn't squeeze the rest
    counts = {key: np.histogram(np.minimum(a, top * 0.9999), BINS, (0, top))[0] for key, a in areas.items()}
    return _svg({analysis.titles[key]: count for key, count in counts.items()}, top, unit, int((every > top).sum()))


def _svg(counts: dict[str, np.ndarray], top: float, unit: str, beyond: int) -> str:
    width, height, left, bottom = 520, 300, 44, 46
    peak = max(int(c.max()) for c in counts.values())
    slot = (width - left - 20) / BINS
    bar = slot * 0.84 / len(counts)
    bars = ""
    for i, (title, count) in enumerate(counts.items()):
        for j, n in enumerate(count):
            tall = (height - bottom - 36) * n / peak
            x, y = left + j * slot + slot * 0.08 + i * bar, height - bottom - tall
            where = f"{_short(top * j / BINS)} to {_short(top * (j + 1) / BINS)} {unit}"
            bars += (
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{bar:.1f}" height="{tall:.1f}" fill="{COLOURS[i]}">'
                f"<title>{title}: {n} nuclei of {where}</title></rect>"
            )
    ticks = "".join(
        f'<text x="{left + (width - left - 20) * k / 4:.0f}" y="{height - bottom + 18}" text-anchor="middle">'
        f"{_short(top * k / 4)}</text>"
        for k in range(5)
    )
    legend = "".join(
        f'<rect x="{left + 8 + 110 * i}" y="4" width="12" height="12" fill="{COLOURS[i]}"/>'
        f'<text x="{left + 26 + 110 * i}" y="15">{title}</text>'
        for i, title in enumerate(counts)
    )
    said = "; ".join(f"{title}: most between {_most(c, top)} {unit}" for title, c in counts.items())
    last = f" (the last bar holds {beyond} larger)" if beyond else ""
    return (
        f'<svg class="nm-histogram" viewBox="0 0 {width} {height}" role="img" aria-label="Histogram of areas. {said}">'
        f'<g fill="currentColor" font-size="13">{legend}{ticks}'
        f'<text x="{left - 6}" y="{height - bottom}" text-anchor="end">0</text>'
        f'<text x="{left - 6}" y="42" text-anchor="end">{peak}</text>'
        f'<text x="{left + (width - left) / 2:.0f}" y="{height - 6}" text-anchor="middle">'
        f"area of a nucleus ({unit}){last}</text>"
        f'<text transform="translate(12 {height / 2:.0f}) rotate(-90)" text-anchor="middle">nuclei</text></g>'
        f'<path d="M{left} 36V{height - bottom}H{width - 20}" fill="none" stroke="currentColor"/>{bars}</svg>'
    )


def _most(count: np.ndarray, top: float) -> str:
    j = int(count.argmax())
    return f"{_short(top * j / BINS)} and {_short(top * (j + 1) / BINS)}"


def about_nucleus(analysis: Analysis, key: str, label: int, cut: Cut) -> str:
    """One line about a nucleus, in Markdown."""
    table = analysis.table(key, cut)
    i = int(np.searchsorted(table["label"], label))
    area, unit = area_column(table)
    return (
        f"**{analysis.titles[key]} nucleus {label}**: area {_short(area[i])} {unit}, mean intensity "
        f"{_short(table['mean_intensity'][i])}, eccentricity {table['eccentricity'][i]:.2f}, "
        f"at x {table['x_px'][i]:.0f}, y {table['y_px'][i]:.0f}"
    )


def _short(value: float) -> str:
    """A number in as few digits as tell something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _round_up(value: float) -> float:
    """To a number of one or two digits that divides into quarters well."""
    power = 10 ** np.floor(np.log10(max(value, 1e-9)))
    return float(next(step * power for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if step * power >= value))
