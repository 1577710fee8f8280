"""Tables as they were written."""

import csv
from pathlib import Path


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))
