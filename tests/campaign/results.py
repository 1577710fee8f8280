"""What must hold of a folder of results, whatever was done to it.

After each step every file in the folder must be what its record says: of that image, network, code and settings; or a
person's, untouched. After a run that came to its end, the folder is what a fresh run makes, but for what people
changed.
"""

import json
import tempfile
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import tifffile
from hypothesis.stateful import invariant

from nuclei_cli import console
from nuclei_models.batch.records import FAILURES, OVERVIEWS, STAGE, known_names, read_records
from nuclei_models.inference.loading import PROCESSOR
from nuclei_models.jobs.durable import PART
from nuclei_models.jobs.stamps import hashed
from nuclei_models.model.repository import CONFIG, WEIGHTS
from nuclei_models.output.files import KINDS

from .world import Process, image_of, nuclei, write_image

IMAGES = ("a.tif", "b.tif", "c.png.tif")
FILES = {"weights": WEIGHTS, "config": CONFIG, "processor": PROCESSOR}


class Wrong(AssertionError):
    """Something that a person would be misled by, or would miss."""


class Results:
    """A folder of results, and what is known of how it came about.

    Attributes:
        root, images, out: Folders: all, the images', the results'.
        client: The process in which the command runs.
        network: The numbers in its files.
        content: Of the images.
        theirs: What people made.
        threshold, save: Asked for.
    """

    root: Path
    images: Path
    out: Path
    client: Process
    network: dict[str, int]
    content: dict[str, int]
    theirs: dict[Path, bytes]
    threshold: float | None
    save: tuple[str, ...]

    @invariant()
    def what_people_made_is_there(self) -> None:
        for path, data in self.theirs.items():
            if not path.exists() or path.read_bytes() != data:
                raise Wrong(f"{path.name}, which a person made, is {'another' if path.exists() else 'gone'}")

    @invariant()
    def results_are_what_their_records_say(self) -> None:
        for record in read_records(self.out).values():
            if record.older is not None:
                continue  # a run was killed just then; nothing is said of them
            for name, made in record.files.items():
                path = self.out / name
                if path in self.theirs or not path.exists():
                    continue
                if not made.is_at(path):
                    raise Wrong(f"{name} isn't as its record says")
                self.look(path, record.facts, record.settings, record.sha256)

    def settings_of_what_is_there(self) -> dict[str, dict[str, Any]]:
        """Of images that have results."""
        records = read_records(self.out).values()
        return {r.name: r.settings for r in records if any((self.out / name).exists() for name in known_names(r))}

    def none_was_replaced(self, before: dict[str, dict[str, Any]]) -> None:
        """After a run that wasn't told to replace results: those that were there are of the settings that they had."""
        now = {record.name: record.settings for record in read_records(self.out).values()}
        for name, settings in before.items():
            if now[name] != settings:
                raise Wrong(f"{name}: results of {settings} were replaced by those of {now[name]}, unasked")

    def look(self, path: Path, facts: dict[str, Any], by: dict[str, Any], image: str) -> None:
        """Whether a result is of that image, by that network, code and settings."""
        numbers = [numbers_of_files()[by[f"{name}_sha256"]] for name in FILES]
        labels = nuclei(image_of(contents()[image]), *numbers, by["threshold"], version_of(by))
        if facts["nuclei"] != labels.max():
            raise Wrong(f"{path.name}: {facts['nuclei']} nuclei are recorded, of what it says there are {labels.max()}")
        if path.name.endswith("labels.tif") and not (tifffile.imread(path) == labels).all():
            raise Wrong(f"{path.name} is of other nuclei than its record says")
        if path.suffix == ".csv" and len(path.read_text().splitlines()) != labels.max() + 1:
            raise Wrong(f"{path.name} has another number of nuclei than its record says")

    def ended(self, code: int, whole: bool = True) -> None:
        """After a run that came to its end: the folder is that of a fresh run, but for what people made."""
        if code not in (console.OK, console.SOME_FAILED):
            return
        left = [p for p in self.root.rglob("*") if p.name.endswith((PART, STAGE)) and p.exists()]
        if left:
            raise Wrong(f"{left[0].name} is left behind")
        records = read_records(self.out)
        sources = {Path(record.source).name for record in records.values()}
        if not sources <= set(IMAGES):
            raise Wrong(f"{sorted(sources - set(IMAGES))} was taken for an image")
        failures = (self.out / FAILURES).read_text() if (self.out / FAILURES).exists() else ""
        if whole and (code == console.SOME_FAILED) != bool(failures):
            raise Wrong(f"it ended with {code}, and failures are {failures!r}")
        for name in IMAGES:
            mine = [p for p in self.theirs if p.name.startswith(f"{name[:-4]}_")]
            if name in failures:
                if whole and not mine:
                    raise Wrong(f"{name} failed: {failures}")
                continue
            if whole:
                self.is_fresh(name, records)
        known = {self.out / file for record in records.values() for file in known_names(record)}
        known |= {self.out / name for name in OVERVIEWS} | {self.images / name for name in IMAGES}
        strange = [p for p in self.out.iterdir() if p.is_file() and p not in known and p not in self.theirs]
        if strange:
            raise Wrong(f"{strange[0].name} is there, and nothing tells why")

    def is_fresh(self, name: str, records: dict[str, Any]) -> None:
        """All that was asked for is there, by what holds now."""
        record = records.get(name[:-4])
        if record is None:
            raise Wrong(f"{name} has no record, and didn't fail")
        numbers, threshold = list(self.network.values()), 0.5 if self.threshold is None else self.threshold
        wanted = nuclei(image_of(self.content[name]), *numbers, threshold, self.client.version)
        for kind in self.save:
            path = self.result(name, kind)
            if not path.exists():
                raise Wrong(f"{path.name} was asked for, and isn't there")
            is_theirs = path in self.theirs
            if kind == "labels" and not is_theirs and not (tifffile.imread(path) == wanted).all():
                raise Wrong(f"{path.name} isn't what a fresh run makes")
        if record.facts["nuclei"] != wanted.max():
            raise Wrong(f"{name}: {record.facts['nuclei']} nuclei are told of, a fresh run finds {wanted.max()}")
        if sorted(record.files) != sorted({*record.files, *(self.result(name, kind).name for kind in self.save)}):
            raise Wrong(f"{name}: its record doesn't tell of all that was asked for")

    def result(self, name: str, kind: str) -> Path:
        return self.out / f"{name[:-4]}_{KINDS[kind].ending}"

    def made(self) -> list[Path]:
        """Results that are there."""
        return sorted(p for p in (self.result(name, kind) for name in IMAGES for kind in KINDS) if p.exists())

    def write(self, path: Path, data: bytes) -> None:
        """What a person makes of a file."""
        path.write_bytes(data)
        self.theirs[path] = data

    def state(self) -> dict[str, bytes]:
        files = [p for p in sorted(self.root.rglob("*")) if p.is_file() and p.name != "lock"]
        return {str(p): p.read_bytes() for p in files}


@cache
def contents() -> dict[str, int]:
    """The contents of images, by their hashes."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for content in range(5):
            write_image(Path(folder, "x.tif"), content)
            found[hashed(Path(folder, "x.tif"))] = content
    return found


def version_of(made_by: dict[str, Any]) -> int:
    """Of the code, by a record's settings."""
    return int(made_by["nuclei_models"].rsplit(".", 1)[1])


@cache
def numbers_of_files() -> dict[str, int]:
    """The numbers in a network's files, by their hashes."""
    return {sha256(json.dumps(n).encode()).hexdigest(): n for n in range(3)}
