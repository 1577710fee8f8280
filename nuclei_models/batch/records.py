"""What a batch run remembers of every image: from which file, by which settings, which results.

The record of `out/day 1/A1_labels.tif` is `out/.nuclei/day 1/A1.json`. It is written before the results, to name them,
and again after them, to say that they are whole.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..jobs import durable
from ..jobs.stamps import hashed, stamp

FOLDER = ".nuclei"  # of the records, in the folder of results


@dataclass(frozen=True)
class Record:
    """One image's.

    Attributes:
        name: Of its results, without endings.
        source: The image's path.
        size, mtime_ns, sha256: Of the image file when it was read.
        settings: `Settings.identity`.
        files: Sizes of the results by name, `None` for one that may not be whole.
        facts: What was found; for the tables.
    """

    name: str
    source: str
    size: int
    mtime_ns: int
    sha256: str
    settings: dict[str, Any]
    files: Mapping[str, int | None]
    facts: dict[str, Any]

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), indent=1).encode() + b"\n"

    @property
    def settings_id(self) -> str:
        return settings_id(self.settings)

    def is_whole(self, out: Path) -> bool:
        """Whether all results are there, of the size they were written with."""
        folder = target(out, self.name)
        return all(size is not None and size_of(folder / name) == size for name, size in self.files.items())

    def is_of(self, source: Path) -> bool:
        """Whether the image still is what was segmented. Its content is read only where its date has changed.

        Raises:
            ImageError: There is no such file any more.
        """
        size, mtime_ns = stamp(source)
        if size != self.size:
            return False
        return (mtime_ns == self.mtime_ns and str(source) == self.source) or hashed(source) == self.sha256


def settings_id(settings: Mapping[str, Any]) -> str:
    """A short name for the settings that decide the labels: the same settings have the same."""
    return sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]


def begin(out: Path, record: Record, names: Collection[str]) -> set[str]:
    """Before the results of an image are written: say which they will be, and that they may not be whole.

    Returns:
        What an older run made of the image besides, for `finish`.
    """
    old = read_record(record_path(out, record.name))
    stale = set(old.files) - set(names) if old else set()
    _write(out, replace(record, files=dict.fromkeys([*names, *sorted(stale)])))
    return stale


def finish(out: Path, record: Record, names: Collection[str], stale: Collection[str]) -> None:
    """After the results of an image are written: what an older run made besides goes, and the record says that it is
    done."""
    folder = target(out, record.name)
    durable.remove(*(folder / name for name in stale))
    _write(out, replace(record, files={name: size_of(folder / name) for name in names}))


def record_path(out: Path, name: str) -> Path:
    return out / FOLDER / f"{name}.json"


def picture_path(out: Path, name: str) -> Path:
    """Where a small picture of an image's result lies, for the report."""
    return out / FOLDER / f"{name}.jpg"


def target(out: Path, name: str) -> Path:
    """The folder that an image's results lie in."""
    return (out / name).parent


def read_record(path: Path) -> Record | None:
    """`None` where there is none, or none that can be understood."""
    try:
        content = json.loads(path.read_bytes())
        return Record(**{field.name: content[field.name] for field in fields(Record)})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_records(out: Path) -> dict[str, Record]:
    """All of a folder of results, by name."""
    found = (read_record(path) for path in sorted((out / FOLDER).rglob("*.json")))
    return {record.name: record for record in found if record is not None}


def size_of(path: Path) -> int | None:
    """Bytes of a file, 0 for a folder, `None` where there is neither."""
    try:
        return 0 if path.is_dir() else path.stat().st_size
    except OSError:
        return None


def _write(out: Path, record: Record) -> None:
    durable.write_all({record_path(out, record.name): record.to_json()})
