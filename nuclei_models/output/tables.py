"""Tables as CSV, for spreadsheets."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

import numpy as np


def to_csv(heading: Sequence[str], rows: Iterable[Iterable[object]]) -> bytes:
    """`None` becomes an empty cell; a text that a spreadsheet would take for a formula gets an apostrophe before it."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(heading)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return file.getvalue().encode(errors="backslashreplace")


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return "" if value is None else value


def table_csv(table: Mapping[str, np.ndarray]) -> bytes:
    """Measurements as CSV with a heading; units are in the column names (`_px` pixels, `_um2` square micrometres).

    Args:
        table: Columns of equal length, from `measure`.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(table)
    for row in zip(*table.values(), strict=True):
        writer.writerow([f"{value:.6g}" if isinstance(value, float | np.floating) else int(value) for value in row])
    return file.getvalue().encode()
