"""Whether an image on the disk still is what it was; and where a large one is worked on."""

from hashlib import sha256
from pathlib import Path

from ..images.reader import display_name
from ..images.series import ImageError
from ..model.repository import sha256 as sha256_of_file


def stamp(source: Path) -> tuple[int, int]:
    """Size and time of the last change of an image, a file or a folder. Raises ImageError where there is none."""
    try:
        stats = [path.stat() for path in _files(source)]
    except OSError as error:
        raise ImageError(f"{display_name(source)}: There is no such file any more. Check its folder.") from error
    return sum(stat.st_size for stat in stats), max((stat.st_mtime_ns for stat in stats), default=0)


def hashed(source: Path) -> str:
    """SHA-256 of an image file, or of a folder's names and files. Raises ImageError where it can't be read."""
    try:
        if source.is_file():
            return sha256_of_file(source)
        listed = (f"{path.relative_to(source).as_posix()} {sha256_of_file(path)}" for path in _files(source))
        return sha256("\n".join(listed).encode(errors="surrogateescape")).hexdigest()
    except OSError as error:
        raise ImageError(f"{display_name(source)}: It can't be read any more ({error.strerror}).") from error


def work_folder(name: str) -> str:
    """The folder, beside the results of this name, in which an image is worked on part by part until it is done."""
    return f".{name}.nuclei-work"


def _files(source: Path) -> list[Path]:
    return sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
