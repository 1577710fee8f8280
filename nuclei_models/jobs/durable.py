"""Bytes -> files that are whole or not there, whatever happens: the process killed, the power lost, the disk full.

A file is written under a temporary name, brought to the disk, and only then given its name. What a killed process left
under temporary names is removed by `clean`.
"""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

PART = ".nuclei-part"  # ends every temporary name
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_NAME = {errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL}  # a file's own trouble, not its folder's


class RunStopped(Exception):
    """The whole run can't go on, not only one image. The message says why and what to do."""


def write_all(files: Mapping[Path, bytes]) -> None:
    """Write files, together: none has its name before all are on the disk.

    Args:
        files: Contents by path; folders are made.

    Raises:
        RunStopped: The disk is full or the folder can't be written.
        OSError: The file system doesn't take such a name.
    """
    parts: dict[Path, Path] = {}
    try:
        for path, data in files.items():
            make_folder(path.parent)
            part = path.with_name(f".{secrets.token_hex(8)}{PART}")
            parts[part] = path
            with part.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for part, path in parts.items():
            part.replace(path)
        for folder in {path.parent for path in files}:
            sync_folder(folder)
    except BaseException as error:
        for part in parts:
            with suppress(OSError):
                part.unlink()
        if isinstance(error, OSError) and error.errno not in _NAME:
            raise RunStopped(_explained(error, path.parent)) from error
        raise


def stage(files: Mapping[Path, bytes]) -> None:
    """Write files under temporary names, to be given their own by `rename`, in a folder that is there for it.

    Raises:
        RunStopped: The folder is gone, as the run that it belongs to is over; or the disk is full.
    """
    for path, data in files.items():
        try:
            with path.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except FileNotFoundError as error:
            raise RunStopped(
                f"{path.parent} isn't there: the run that made it is over, or this machine sees other folders than the "
                f"one that began the run."
            ) from error
        except OSError as error:
            raise RunStopped(_explained(error, path.parent)) from error


def rename(names: Mapping[Path, Path]) -> None:
    """Give files, or folders, that are on the disk their names, in place of what has them.

    Raises:
        RunStopped: A folder can't be written, or a file isn't seen from here.
        OSError: The file system doesn't take such a name.
    """
    for path, final in names.items():
        if not path.exists():
            raise RunStopped(
                f"{path} isn't seen from here: all machines must have the folder of results under one path."
            )
        try:
            if final.is_dir() or path.is_dir():
                remove(final)
            path.replace(final)
        except OSError as error:
            if error.errno in _NAME:
                raise
            raise RunStopped(_explained(error, final.parent)) from error
    for folder in {final.parent for final in names.values()}:
        sync_folder(folder)


def sync_all() -> None:
    """Bring all that was written to the disk, where many files were written without."""
    if hasattr(os, "sync"):
        os.sync()


def make_folder(folder: Path) -> None:
    """Make a folder and those that it lies in, for good.

    Raises:
        RunStopped: It can't be made.
    """
    if folder.is_dir():
        return
    try:
        missing = [f for f in (folder, *folder.parents) if not f.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for made in missing:
            sync_folder(made.parent)
    except OSError as error:
        if error.errno in _NAME:
            raise
        raise RunStopped(_explained(error, folder)) from error


def remove(*paths: Path) -> None:
    """Remove files, or folders, that may be there, for good.

    Raises:
        RunStopped: One can't be removed.
    """
    gone = [path for path in paths if path.exists()]
    try:
        for path in gone:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        for folder in {path.parent for path in gone}:
            sync_folder(folder)
    except OSError as error:
        raise RunStopped(_explained(error, gone[0].parent)) from error


def clean(folder: Path) -> int:
    """Remove what a killed process left half-written, at any depth; no other may be writing. -> how many files."""
    parts = [Path(at, name) for at, _, names in os.walk(folder) for name in names if name.endswith(PART)]
    remove(*parts)
    return len(parts)


@contextmanager
def locked(folder: Path, file: Path) -> Iterator[None]:
    """Keep other runs out of a folder; the lock goes with its process, however that ends.

    Args:
        file: Made for the lock, and left there.

    Raises:
        RunStopped: Another run has it, or the folder can't be written.
    """
    make_folder(file.parent)
    lock = FileLock(file, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise RunStopped(f"Another run is writing to {folder}: wait until it ends, or give another folder.") from None
    except NotImplementedError:  # a file system without locks
        pass
    except OSError as error:
        raise RunStopped(_explained(error, folder)) from error
    try:
        yield
    finally:
        lock.release()


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk. Windows has no call for it, some network file systems neither."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def _explained(error: OSError, folder: Path) -> str:
    if error.errno in _FULL:
        return (
            f"The disk is full, nothing more can be written to {folder}: make room, then give the same command again."
        )
    return f"{folder} can't be written ({error.strerror or error}): check the folder and your permission."
