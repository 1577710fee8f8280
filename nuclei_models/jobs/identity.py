"""What decides a result, in one place: the network's files, this package's code, the settings and the image.

Two results of one identity are the same. It is checked where work is done (`settings.network_of`, `large.workplace`)
and where work is taken as done (`batch.job.is_done`, `large.run`); temporary names carry its key.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..version import __version__

PACKAGE = Path(__file__).resolve().parents[1]
# whose code decides results
ROOMS = (
    "model",
    "images",
    "inference",
    "analysis",
    "output",
    "large",
    "batch/job.py",
    "batch/making.py",
    "batch/stacks.py",
)


@dataclass(frozen=True)
class Identity:
    """Everything that decides a result.

    Attributes:
        code: See `code_version`.
        weights_sha256, config_sha256, processor_sha256: Of the network's files.
        settings: Those that decide labels and measurements, by name.
        image: The SHA-256 of the image's content, or what `image_by_stamp` gives; "" where no image is meant yet.
    """

    code: str
    weights_sha256: str
    config_sha256: str
    processor_sha256: str
    settings: Mapping[str, Any]
    image: str = ""

    def of(self, image: str) -> "Identity":
        """The same for an image."""
        return replace(self, image=image)

    def to_dict(self) -> dict[str, Any]:
        """Flat, as it is kept in records, without the image."""
        network = {name: getattr(self, name) for name in ("weights_sha256", "config_sha256", "processor_sha256")}
        return json.loads(json.dumps({"nuclei_models": self.code} | network | dict(self.settings)))

    @property
    def key(self) -> str:
        """16 hexadecimal digits, for names of files and folders."""
        text = json.dumps([self.to_dict(), self.image], sort_keys=True)
        return sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]


def image_by_stamp(source: Path, stamp: tuple[int, int]) -> str:
    """What stands for the content of an image that is too large to be hashed for every step: its path, size and time of
    the last change."""
    return f"{source} {stamp[0]} {stamp[1]}"


@cache
def code_version() -> str:
    """This package's version, and a hash of the code that decides results: "0.1.0+1f0c..".

    So a clone whose code has changed makes its results anew, though its version number is still the same.
    """
    digest = sha256()
    for room in ROOMS:
        path = PACKAGE / room
        for file in [path] if path.suffix else sorted(path.glob("*.py")):
            digest.update(file.name.encode() + b"\0" + file.read_bytes().replace(b"\r\n", b"\n"))
    return f"{__version__}+{digest.hexdigest()[:12]}"
