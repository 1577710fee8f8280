"""The examples that visitors can click: images of every kind, with the truth where it is known."""

import base64
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..images.reader import read
from ..inference.bundled import data_folder
from ..output.display import to_display
from .limits import THUMBNAIL_SIDE


@dataclass(frozen=True)
class Example:
    """An image to try.

    Attributes:
        title: As shown under the thumbnail.
        modality: As in "fluorescence".
        split: Of the data set: whether the networks were trained on it.
        id: In the data set.
    """

    path: Path
    title: str
    modality: str = ""
    split: str = ""
    id: str = ""

    def truth(self) -> np.ndarray | None:
        """(H, W) int32 labels, or `None` where they aren't known."""
        path = self.path.with_name(f"{self.path.stem}_labels.png")
        return np.asarray(Image.open(path)).astype(np.int32) if path.is_file() else None

    def thumbnail(self) -> str:
        """A small JPEG, as a data URL; the middle square."""
        shown = to_display(read(self.path).pixels)
        height, width = shown.shape[:2]
        side = min(height, width, 256)
        top, left = (height - side) // 2, (width - side) // 2
        image = Image.fromarray(shown[top : top + side, left : left + side])
        image = image.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
        file = io.BytesIO()
        image.save(file, "jpeg", quality=85)
        return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def find_examples(folder: Path | None = None) -> list[Example]:
    """The examples that `examples.json` lists, in its order; none without it."""
    folder = folder or data_folder("examples")
    listing = folder / "examples.json"
    if not listing.is_file():
        return []
    entries = json.loads(listing.read_text(encoding="utf-8"))
    return [
        Example(
            path=folder / f"{entry['name']}.png",
            title=entry.get("title", entry["name"]),
            modality=entry.get("modality", ""),
            split=entry.get("split", ""),
            id=entry.get("id", ""),
        )
        for entry in entries
    ]
