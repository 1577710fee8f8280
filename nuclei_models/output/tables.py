"""Tables as CSV, for spreadsheets.

Where the decimal sign is a comma, as spreadsheets of many countries expect it, the cells are parted by semicolons.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np


def to_csv(heading: Sequence[str], rows: Iterable[Iterable[object]], decimal: str = ".") -> bytes:
    """`None` becomes an empty cell; a text that a spreadsheet would take for a formula gets an apostrophe before it.

    Args:
        decimal: "." or ",".
    """
    file = io.StringIO()
    writer = _writer(file, decimal)
    writer.writerow([_cell(name, decimal) for name in heading])
    writer.writerows([_cell(value, decimal) for value in row] for row in rows)
    return file.getvalue().encode(errors="backslashreplace")


def table_csv(table: Mapping[str, np.ndarray], decimal: str = ".") -> bytes:
    """Measurements as CSV with a heading; units are in the column names (`_px` pixels, `_um2` square micrometres).

    Args:
        table: Columns of equal length, from `measure`; what isn't finite becomes an empty cell.
        decimal: "." or ",".
    """
    file = io.StringIO()
    writer = _writer(file, decimal)
    writer.writerow(_cell(name, decimal) for name in table)
    columns = [_numbers(column, decimal) for column in table.values()]
    writer.writerows(zip(*columns, strict=True))
    return file.getvalue().encode(errors="backslashreplace")


def number(value: float, decimal: str = ".") -> str:
    """Six significant digits, and of a large number three behind the point, so that positions stay exact."""
    if not np.isfinite(value):
        return ""
    text = f"{value:.6g}" if abs(value) < 1000 else f"{value:.3f}".rstrip("0").rstrip(".")
    return text.replace(".", decimal)


def _writer(file: io.StringIO, decimal: str) -> Any:
    return csv.writer(file, lineterminator="\r\n", delimiter="," if decimal == "." else ";")


def _numbers(column: np.ndarray, decimal: str) -> list[str]:
    if column.dtype.kind == "f":
        return [number(value, decimal) for value in column.tolist()]
    if column.dtype.kind in "biu":
        return [str(int(value)) for value in column.tolist()]
    return [_cell(value, decimal) for value in column.tolist()]


def _cell(value: object, decimal: str) -> str:
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    if isinstance(value, float | np.floating):
        return str(value).replace(".", decimal) if np.isfinite(value) else ""
    return "" if value is None else str(value)
