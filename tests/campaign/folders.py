"""A folder of files, such as an OME-Zarr, as bytes that can be spoiled; and any bytes as a folder again."""

import struct
from pathlib import Path, PurePosixPath

MARK = b"A folder:"
_HEAD = struct.Struct("<BL")


def packed(folder: Path) -> bytes:
    data = MARK
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, content = path.relative_to(folder).as_posix().encode(), path.read_bytes()
        data += _HEAD.pack(len(name), len(content)) + name + content
    return data


def unpack(data: bytes, folder: Path) -> None:
    """As much as there is of it, within the folder, whatever the names are."""
    folder.mkdir()
    at = len(MARK)
    while at + _HEAD.size <= len(data):
        n_name, n_content = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        name = "".join(c for c in data[at : at + n_name].decode(errors="ignore") if c.isprintable())
        at += n_name
        path = folder.joinpath(*(part for part in PurePosixPath("/", name).parts[1:] if part != ".."))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data[at : at + n_content])
        except OSError:
            continue  # a file where another needs a folder
        at += n_content
