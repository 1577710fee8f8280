"""What was named on the command line -> image files, and each with a name for its results that no other has."""

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from ..images.reader import SUPPORTED_EXTENSIONS
from ..jobs.settings import Settings
from .records import FOLDER, Record, read_records, results

LARGE_FOLDER = ".zarr"  # a folder that is one image
_MADE = re.compile(r"_(labels|overlay|coloured)$")
PLANE = ("series", "t", "z", "channel")  # settings that say which plane of a file is segmented
_NAME_BYTES = 160  # of the 255 that a file system allows; the rest is for endings


@dataclass
class Inputs:
    """Image files, absolute paths, none twice.

    Attributes:
        files: In order.
        root: The deepest folder that holds all that was named; names of results are relative to it.
        missing: What was named and isn't there.
        left_out: Why files in the folders aren't images to segment, and how many.
    """

    files: list[Path]
    root: Path
    missing: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def find_inputs(given: Sequence[str], out: Path, recursive: bool = False) -> Inputs:
    """The images that files, folders and globs name.

    Of a folder, what has an image's extension, isn't hidden and doesn't lie in `out`. What a run has made is left out,
    in whatever folder and however it was named: the records of that folder tell. So is a file called as another with
    "_labels", "_overlay" .. behind its name: that one's label image or picture, by whomever.

    Args:
        given: As on the command line; "**" in a glob is any depth.
        out: The folder of results.
        recursive: Whether to look into the folders' folders.
    """
    files: dict[Path, None] = {}
    roots, missing, left_out = [], [], Counter[str]()
    for text in given:
        path = _absolute(text)
        if path.exists() or not glob.has_magic(text):
            named, root = [path], path if path.is_dir() and not _is_image_folder(path) else path.parent
        else:
            named, root = _matches(text, out)
        if not any(path.exists() for path in named):
            missing.append(text)
            continue
        roots.append(root)
        for path in named:
            is_folder = path.is_dir() and not _is_image_folder(path)
            files |= dict.fromkeys(_listed(path, out, recursive, left_out) if is_folder else [path])
    made = _Made()
    for path in [path for path in files if path in made]:
        del files[path]
        left_out["result(s) of an earlier run"] += 1
    stems = {path.with_suffix("") for path in files}
    for path in list(files):
        base = _MADE.sub("", path.stem)
        if base and base != path.stem and path.with_name(base) in stems:
            del files[path]
            left_out["label image(s) or picture(s) of another image"] += 1
    root = Path(os.path.commonpath(roots)) if roots else Path.cwd()
    return Inputs(list(files), root, missing, left_out)


class _Made:
    """The results of runs, wherever they lie."""

    def __init__(self) -> None:
        self._of: dict[Path, set[Path]] = {}

    def __contains__(self, path: Path) -> bool:
        return any(path in self._in(folder) for folder in path.parents)

    def _in(self, out: Path) -> set[Path]:
        if out not in self._of:
            self._of[out] = results(out, read_records(out)) if (out / FOLDER).is_dir() else set()
        return self._of[out]


def name_results(inputs: Inputs, records: Mapping[str, Record], settings: Settings | None = None) -> dict[Path, str]:
    """A name for the results of every image: its path in `root` without the extension, with it ("x_tif") where another
    image has the same, and with a number where that isn't enough.

    Args:
        records: Of earlier runs, by name. An image keeps the name it had, and none gets one that another image has.
        settings: Of the run. Where a plane, channel or series is asked for, names carry it ("x_z3"): the results of
            another plane stay.
    """
    tag = settings.plane_tag if settings else ""
    if settings:  # what was made of another plane is as another image's
        planes = {name: getattr(settings, name) for name in PLANE}
        own = {n: r for n, r in records.items() if {name: r.settings.get(name) for name in PLANE} == planes}
    else:
        own = dict(records)
    mine = set(map(str, inputs.files))
    named = {Path(record.source): name for name, record in own.items() if record.source in mine}
    taken = {name.casefold() for name in named.values()}
    theirs = {n.casefold(): r for n, r in records.items() if n not in own or r.source not in mine}
    plain = {path: _short(path.relative_to(inputs.root).with_suffix("").as_posix()) for path in inputs.files}
    several = Counter(name.casefold() for name in plain.values())
    for path in inputs.files:
        if path in named:
            continue
        ending = f"{plain[path]}_{path.suffix[1:].lower()}"
        options = [plain[path]] if several[plain[path].casefold()] == 1 else []
        options += [ending, *(f"{ending}_{n}" for n in range(2, len(inputs.files) + len(records) + 2))]
        options = [f"{option}{tag}" for option in options]
        named[path] = next(
            name for name in options if name.casefold() not in taken and _is_free(path, theirs.get(name.casefold()))
        )
        taken.add(named[path].casefold())
    return {path: named[path] for path in inputs.files}


def _is_free(path: Path, record: Record | None) -> bool:
    """Whether a name can be an image's: no other has it, or the image was moved since."""
    return record is None or (path.is_file() and record.is_of(path))


def _matches(pattern: str, out: Path) -> tuple[list[Path], Path]:
    """What a glob matches but for results, and the folder that it starts from. What is there by that name, as a folder
    "day [1]", is no pattern."""
    parts, root = Path(os.path.expanduser(pattern)).parts, Path()  # noqa: PTH111
    taken: list[str] = []
    for i, part in enumerate(parts):
        is_there = root == Path(*parts[:i]) and (root / part).exists()
        root = root / part if is_there else root
        taken.append(glob.escape(part) if is_there else part)
    root = _absolute(str(root))
    matches = [_absolute(match) for match in sorted(glob.glob(str(Path(*taken)), recursive=True))]  # noqa: PTH207
    return [match for match in matches if not _is_result(match, root, out)], root


def _listed(folder: Path, out: Path, recursive: bool, left_out: Counter[str]) -> Iterable[Path]:
    seen = {_identity(folder)}  # links are followed, and may lead in a circle
    for at, folders, names in os.walk(folder, followlinks=True):
        here = Path(at)
        images = sorted(f for f in folders if f.endswith(LARGE_FOLDER))
        inside = [f for f in folders if not f.startswith(".") and f not in images]
        inside = sorted(f for f in inside if not _is_result(here / f, folder, out))
        found = {_identity(here / f): f for f in reversed(inside)}
        inside = sorted(f for identity, f in found.items() if identity not in seen)
        seen |= found.keys()
        for name in sorted(n for n in names if not n.startswith(".")):
            if name.lower().endswith(SUPPORTED_EXTENSIONS):
                yield here / name
            else:
                left_out[f"{Path(name).suffix.lower() or 'other'} file(s)"] += 1
        yield from (here / name for name in images)
        folders[:] = inside if recursive else []
        if not recursive and inside:
            left_out["folder(s) inside (--recursive looks into them)"] += len(inside)


def _identity(folder: Path) -> tuple[int, int]:
    """Equal for one folder under several names."""
    found = folder.stat()
    return found.st_dev, found.st_ino


def _is_result(path: Path, root: Path, out: Path) -> bool:
    """Whether a path lies in the folder of results, where that is a folder of its own inside `root`."""
    return path.is_relative_to(out) and out != root and out.is_relative_to(root)


def _absolute(text: str) -> Path:
    return Path(os.path.abspath(os.path.expanduser(text)))  # noqa: PTH100, PTH111


def _is_image_folder(path: Path) -> bool:
    return path.suffix == LARGE_FOLDER and path.is_dir()


def _short(name: str) -> str:
    """A name whose last part leaves room for endings in 255 bytes."""
    folder, slash, last = name.rpartition("/")
    if len(os.fsencode(last)) <= _NAME_BYTES:
        return name
    kept = os.fsencode(last)[: _NAME_BYTES - 9].decode(errors="ignore")
    return f"{folder}{slash}{kept}-{sha256(os.fsencode(last)).hexdigest()[:8]}"
