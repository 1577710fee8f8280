"""Several images that a visitor gave at once, and what the networks said of each."""

from dataclasses import dataclass, field, replace
from typing import Any

from .opened import Picture
from .state import Analysis


@dataclass(frozen=True)
class Item:
    """One of several images.

    Attributes:
        name: As the visitor knows it, with folders in a zip.
        result: Of its results, without endings; no other has it.
        path: On the server.
        thumbnail: A small picture, a data URL.
        token: Names the analysis, see `Store.get`; "" without one.
        analysis: What the networks said of it, once they have.
        error: Why there is none, a sentence.
        doubt: What is to be doubted about it, in a few words; "" where nothing is.
    """

    name: str
    result: str
    path: str
    thumbnail: str = field(repr=False)
    token: str = ""
    analysis: Analysis | None = field(default=None, repr=False)
    error: str = ""
    doubt: str = ""


@dataclass(frozen=True)
class ImageSet:
    """Several images that a visitor gave at once.

    Attributes:
        items: In order.
        refused: Name, and why it isn't among them.
    """

    items: tuple[Item, ...]
    refused: tuple[tuple[str, str], ...] = ()

    @property
    def nbytes(self) -> int:
        return sum(item.analysis.nbytes for item in self.items if item.analysis is not None)

    def result(self, token: str) -> Analysis | None:
        """The analysis of this name."""
        return next((item.analysis for item in self.items if item.token == token), None)

    def index(self, picture: Picture) -> int | None:
        """Which of the images a picture is of."""
        path = picture.source.path if picture.source else ""
        return next((i for i, item in enumerate(self.items) if item.path == path), None)

    def changed(self, index: int, **values: Any) -> "ImageSet":
        """With other values of one item."""
        items = list(self.items)
        items[index] = replace(items[index], **values)
        return replace(self, items=tuple(items))
