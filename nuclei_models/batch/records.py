"""What a batch run remembers of every image: from which file, by what, which results.

The record of `out/day 1/A1_labels.tif` is `out/.nuclei/day 1/A1.json`. It is written before the results get their names
and again after, so that after a crash every file in the folder is known to be a run's, or a person's.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any

from ..images.series import ImageError
from ..jobs import durable
from ..jobs.stamps import hashed, stamp
from ..output.files import README

FOLDER = ".nuclei"  # of the records, in the folder of results
STAGE = ".nuclei-work"  # ends the name of the folder, beside the records, in which a run's results wait for their names


SETTINGS, SUMMARY, FAILURES, REPORT = "settings.json", "summary.csv", "failures.csv", "report.html"
REGIONS = "summary_regions.csv"
SAID = {  # of settings whose names don't say it
    "nuclei_models": "nuclei-models",
    "weights_sha256": "weights",
    "config_sha256": "network's configuration",
    "processor_sha256": "processor's settings",
    "tta": "test-time augmentation",
    "linked": "linked planes",
    "tracked": "tracking",
}
OVERVIEWS = (
    README,
    SETTINGS,
    SUMMARY,
    REGIONS,
    FAILURES,
    REPORT,
)  # what tells of a whole run, in the folder of results


@dataclass(frozen=True)
class Made:
    """A result, file or folder, as it was written: its size, time of the last change and content."""

    size: int
    mtime_ns: int
    sha256: str

    @classmethod
    def at(cls, path: Path) -> "Made":
        """As it is. Raises ImageError where there is none."""
        return cls(*stamp(path), hashed(path))

    def is_at(self, path: Path) -> bool:
        """Whether it is there as it was left. Its content is read only where its date has changed."""
        try:
            size, mtime_ns = stamp(path)
            return size == self.size and (mtime_ns == self.mtime_ns or hashed(path) == self.sha256)
        except ImageError:
            return False


@dataclass(frozen=True)
class Record:
    """One image's.

    Attributes:
        name: Of its results, without endings.
        source: The image's path.
        size, mtime_ns, sha256: Of the image file when it was read.
        settings: What decided the results but for the image, see `Identity.to_dict`.
        files: Results by name.
        facts: What was found; for the tables.
        older: While results get their names, those that were there before, by name; they may be there still.
    """

    name: str
    source: str
    size: int
    mtime_ns: int
    sha256: str
    settings: dict[str, Any]
    files: Mapping[str, Made]
    facts: dict[str, Any]
    older: Mapping[str, Made] | None = field(default=None)

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), indent=1).encode() + b"\n"

    @property
    def settings_id(self) -> str:
        return settings_id(self.settings)

    def is_whole(self, out: Path) -> bool:
        """Whether all results are there as they were left."""
        folder = target(out, self.name)
        return self.older is None and all(made.is_at(folder / name) for name, made in self.files.items())

    def changed(self, out: Path) -> list[str]:
        """Results that are there, and not as a run left them: a person has changed them."""
        folder = target(out, self.name)
        return [
            name
            for name in {**self.files, **(self.older or {})}
            if (folder / name).exists() and self.made(folder / name) is None
        ]

    def made(self, path: Path) -> Made | None:
        """What a result is known as, if it is there as a run left it."""
        known = (of.get(path.name) for of in (self.files, self.older or {}))
        return next((made for made in known if made and made.is_at(path)), None)

    def made_otherwise(self, out: Path, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """How other settings than these made the results that are there: "threshold 0.5, now 0.3", and so on."""
        folder = target(out, self.name)
        is_there = any((folder / name).exists() for name in known_names(self))
        return differences(self.settings, settings) if is_there else ()

    def is_of(self, source: Path) -> bool:
        """Whether the image still is what was segmented. Its content is read only where its date has changed.

        Raises:
            ImageError: There is no such file any more.
        """
        size, mtime_ns = stamp(source)
        if size != self.size:
            return False
        return (mtime_ns == self.mtime_ns and str(source) == self.source) or hashed(source) == self.sha256


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    """Between settings as records have them, in words."""
    old, new = _flat(before), _flat(now)
    names = [name for name in old | new if old.get(name, ...) != new.get(name, ...)]
    return tuple(f"{SAID.get(name, _plain(name))} {_said(old, name)}, now {_said(new, name)}" for name in names)


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """With the filters among the others."""
    inner = {name: value for name, value in settings.items() if isinstance(value, Mapping)}
    plain = {name: value for name, value in settings.items() if name not in inner}
    return plain | {name: value for values in inner.values() for name, value in values.items()}


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _said(settings: Mapping[str, Any], name: str) -> str:
    value = settings.get(name)
    if value is None:
        return "not given"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return value[:12] if name.endswith("_sha256") else str(value)


def settings_id(settings: Mapping[str, Any]) -> str:
    """A short name for the settings that decide the labels: the same settings have the same."""
    return sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]


@contextmanager
def stage(out: Path) -> Iterator[Path]:
    """A folder for one run's results until they get their names. Its name is this run's alone: work that another run
    left behind on a cluster finds its own folder gone, and has nowhere to write."""
    folder = out / FOLDER / f"{token_hex(8)}{STAGE}"
    durable.make_folder(folder)
    try:
        yield folder
    finally:
        durable.remove(folder)


def clean(out: Path) -> None:
    """Remove what killed runs left half-done; the folder is locked."""
    durable.clean(out)
    durable.remove(*(out / FOLDER).glob(f"*{STAGE}"))


def publish(
    out: Path, record: Record, made: Mapping[str, tuple[Path, Made]], picture: bytes, overwrite: bool = False
) -> None:
    """Give results their names, in place of what an earlier run made of the image, and record that they are done.

    What an earlier run made besides stays if it is of the same image, settings, network and code, and goes if not: it
    would tell of other nuclei.

    Args:
        record: Without `files`.
        made: Where each result waits, and what it is, by its name to be.
        picture: A small one of the result, for the report.
        overwrite: Whether results of other settings are replaced, and files that a person has made or changed. None of
            a person's is removed without a new one.

    Raises:
        ImageError: What would be replaced was made with other settings, or isn't as a run left it. Nothing has been
            changed.
        RunStopped: The folder can't be written.
    """
    folder = target(out, record.name)
    old = read_record(record_path(out, record.name))
    if not overwrite:
        refuse_other_settings(out, old, record.settings)
        refuse_changed(out, old, folder, list(made))
    there = {name: is_made for name in known_names(old) if old and (is_made := old.made(folder / name))}
    same = old is not None and (old.sha256, old.settings) == (record.sha256, record.settings)
    others = {name: was for name, was in old.files.items() if name not in made} if old and same else {}
    added = {name: was for name, was in others.items() if was.is_at(folder / name)}
    stale = [name for name in known_names(old) if name not in made and name not in added]
    files = added | {name: what for name, (_, what) in made.items()}
    _write(out, replace(record, files=files, older=there))
    durable.make_folder(folder)
    durable.rename({path: folder / name for name, (path, _) in made.items()})
    durable.remove(*(folder / name for name in stale if name in there))
    durable.write_all({picture_path(out, record.name): picture})
    _write(out, replace(record, files=files, older=None))


def refuse_other_settings(out: Path, old: Record | None, settings: Mapping[str, Any]) -> None:
    """Raise an ImageError if an image has results of other settings, which its new ones would replace."""
    if old and (differs := old.made_otherwise(out, settings)):
        raise ImageError(
            f"Its results in {out} were made with other settings ({'; '.join(differs)}). They are kept: give another "
            f"--out, or replace them by --overwrite."
        )


def refuse_changed(out: Path, old: Record | None, folder: Path, names: list[str]) -> None:
    """Raise an ImageError if a person has made or changed results of an image, which its new ones would replace."""
    mine = old.changed(out) if old else []
    mine += [name for name in names if name not in known_names(old) and (folder / name).exists()]
    if mine:
        raise ImageError(changed_by_hand(mine))


def changed_by_hand(names: list[str]) -> str:
    """What to tell of an image whose results a person has changed."""
    return (
        f"{', '.join(sorted(names))} isn't as it was made: it was changed since, and is kept with the image's other "
        f"results. Move it elsewhere and give the command again, give another --out, or replace it by --overwrite."
    )


def known_names(record: Record | None) -> list[str]:
    """Of the results that a record tells of."""
    return list({**record.files, **(record.older or {})}) if record else []


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
        said = {field.name: content[field.name] for field in fields(Record)}
        for name in ("files", "older"):
            if said[name] is not None:
                said[name] = {file: Made(**made) for file, made in said[name].items()}
        return Record(**said)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def read_records(out: Path) -> dict[str, Record]:
    """All of a folder of results, by name."""
    found = (read_record(path) for path in sorted((out / FOLDER).rglob("*.json")))
    return {record.name: record for record in found if record is not None}


def results(out: Path, records: Mapping[str, Record]) -> set[Path]:
    """All files that runs have made in a folder of results, whatever a person has made of them since."""
    made = {target(out, record.name) / name for record in records.values() for name in known_names(record)}
    return made | {out / name for name in OVERVIEWS}


def _write(out: Path, record: Record) -> None:
    durable.write_all({record_path(out, record.name): record.to_json()})
