"""Files that a visitor gave, some of them zips -> files in one folder, and why others aren't there.

A zip is a stranger's: its names may lead out of the folder, it may hold links, and it may become larger than any disk.
So every member is written under a name that was checked, and its bytes are counted as they come.
"""

import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ..images.reader import display_name
from . import limits

ZIP = ".zip"
CHUNK = 1 << 20  # bytes read at once
WINDOWS = 'cannot be used in a file name: one of <>:"|?* or a control character'


@dataclass
class Unpacked:
    """What became of the files.

    Attributes:
        folder: They lie in it, each where the visitor had it.
        files: In order.
        refused: Name, and a sentence that says why it isn't there.
        nbytes: Of all files together.
    """

    folder: Path
    files: list[Path] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    nbytes: int = 0

    def refuse(self, name: str, why: str) -> None:
        self.refused.append((display_name(name), why))


class Refused(Exception):
    """A member of a zip can't be taken; the message says why."""


def is_zip(path: str | Path) -> bool:
    return Path(path).suffix.lower() == ZIP


def unpack(given: Sequence[str | Path], folder: Path, extensions: Iterable[str], files: int, nbytes: int) -> Unpacked:
    """Put files, and those in zips, into an empty folder.

    Args:
        extensions: Of the files that are wanted, as in ".tif".
        files, nbytes: At most so many files, and bytes of all of them together.
    """
    found, wanted = Unpacked(folder), tuple(extensions)
    for path in map(Path, given):
        if is_zip(path):
            _unzip(path, found, wanted, files, nbytes)
            continue
        try:
            _check_room(found, files, nbytes, path.stat().st_size)
            target = _free(folder / path.name)
            _link(path, target)
        except (Refused, OSError) as error:
            found.refuse(path.name, _why(error))
            continue
        found.files.append(target)
        found.nbytes += path.stat().st_size
    return found


def _unzip(path: Path, found: Unpacked, wanted: tuple[str, ...], files: int, nbytes: int) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > limits.ZIP_ENTRIES:
                raise Refused(f"It lists {len(members):,} files, at most {limits.ZIP_ENTRIES:,} are looked at.")
            for member in sorted(members, key=lambda one: one.filename):
                if member.is_dir() or _is_hidden(member.filename):
                    continue
                try:
                    parts = _checked(member, wanted)
                    _check_room(found, files, nbytes, member.file_size)
                    target = _free(found.folder.joinpath(*parts))
                    size = _write(archive, member, target, min(limits.MAX_FILE_BYTES, nbytes - found.nbytes))
                except (Refused, OSError, *BROKEN) as error:
                    found.refuse(member.filename, _why(error))
                    continue
                found.files.append(target)
                found.nbytes += size
    except (Refused, OSError, *BROKEN) as error:
        found.refuse(path.name, _why(error))


BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, NotImplementedError)


def _checked(member: zipfile.ZipInfo, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """The parts of a member's path. Raises Refused."""
    name = member.filename.replace("\\", "/")
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or (parts and parts[0][1:2] == ":"):
        raise Refused("Its path leads out of the zip's own folder.")
    if not parts or not all(c.isprintable() and c not in '<>:"|?*' for c in name):
        raise Refused(f"Its name has a character that {WINDOWS}.")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise Refused("It is a link, not a file.")
    if is_zip(name):
        raise Refused("It is a zip in a zip: unpack it, and zip its images.")
    if not name.lower().endswith(wanted):
        raise Refused("It is no image that is known here.")
    if member.flag_bits & 1:
        raise Refused("It is encrypted: zip it without a password.")
    return parts


def _check_room(found: Unpacked, files: int, nbytes: int, size: int) -> None:
    if len(found.files) >= files:
        raise Refused(f"At most {files} images are taken at once.")
    if size > limits.MAX_FILE_BYTES:
        raise Refused(f"It is larger than {limits.MAX_FILE_BYTES / 2**20:.0f} MB.")
    if found.nbytes + size > nbytes:
        raise Refused(f"All files together are larger than {nbytes / 2**20:.0f} MB.")


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, most: int) -> int:
    """-> bytes. What a zip says of the size isn't believed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    try:
        with archive.open(member) as source, target.open("wb") as file:
            while data := source.read(CHUNK):
                size += len(data)
                if size > most:
                    raise Refused("It is larger than the zip says, as a zip bomb is.")
                file.write(data)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return size


def _is_hidden(name: str) -> bool:
    """What systems put into zips beside the files."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in parts)


def _free(path: Path) -> Path:
    """The path, or one with a number where a file has it already."""
    names = (path.with_name(f"{path.stem} ({n}){path.suffix}") for n in range(2, 10_000))
    return path if not path.exists() else next(one for one in names if not one.exists())


def _link(path: Path, target: Path) -> None:
    try:
        target.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, target)


def _why(error: Exception) -> str:
    if isinstance(error, Refused):
        return str(error)
    if isinstance(error, OSError):
        return f"It can't be written: {error.strerror or 'the name is not possible here'}."
    return "It is damaged: zip it again."
