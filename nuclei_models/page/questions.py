"""What one visitor asks, and what is known of them; `visitors.py` keeps them all."""

import secrets
import threading
from dataclasses import dataclass, field

from ..inference.settings import RunSettings
from .networks import STANDARD, Cancelled
from .opened import Picture


class Question:
    """One question of a visitor, which counts until it is dropped.

    Attributes:
        key: Names it, unguessable.
        picture, settings: What the networks are to run on, and how; `None` where the question is to open an image.
        pixel_size: (y, x) in micrometres, as the visitor or the file says it.
        networks: Keys of the two that are asked.
    """

    def __init__(
        self,
        picture: Picture | None = None,
        settings: RunSettings | None = None,
        pixel_size: tuple[float, float] | None = None,
        networks: tuple[str, str] = STANDARD,
    ):
        self.key = secrets.token_urlsafe(16)
        self.picture, self.settings, self.pixel_size, self.networks = picture, settings, pixel_size, networks
        self._dropped = threading.Event()

    def drop(self) -> None:
        """Nobody waits for the answer any more."""
        self._dropped.set()

    def check(self) -> None:
        """Raise `Cancelled` once the question is dropped."""
        if self._dropped.is_set():
            raise Cancelled


class SetQuestion(Question):
    """What the networks say of a set of images.

    Attributes:
        images: Key of the set.
    """

    def __init__(
        self,
        images: str,
        settings: RunSettings,
        pixel_size: tuple[float, float] | None = None,
        networks: tuple[str, str] = STANDARD,
    ):
        super().__init__(None, settings, pixel_size, networks)
        self.images = images


@dataclass
class Visitor:
    """What is known of one visitor.

    Attributes:
        question: The last one, while it has no answer.
        number, opened, cancelled: Of the last event that asked something, of the last that gave a file, and of the last
            that cancelled a run.
        source, picture, result: Keys of what the page shows: the file, the image and, if there is one, the result.
        images: Key of the set of images in the strip, if there is one.
        set_question: The last one about a set, while it has no answer; opening an image of the set doesn't drop it.
        set_number: Of the last event that asked something about a set, or showed another.
        turns: The number of the last event of each kind about the result, as the visitor's browser counts them.
        picked, counted: What the nucleus that was last picked is of, and what the numbers of each network are of (see
            `Page.pick`): a nucleus stays picked while they are the same.
        calls: Runs of the public endpoint, which don't drop each other.
        seen: When it was last heard of.
    """

    question: Question | None = None
    number: int = 0
    opened: int = 0
    cancelled: int = 0
    source: str = ""
    picture: str = ""
    result: str = ""
    images: str = ""
    set_question: SetQuestion | None = None
    set_number: int = 0
    turns: dict[str, int] = field(default_factory=dict)
    picked: tuple[str, tuple] | None = None
    counted: dict[str, tuple] = field(default_factory=dict)
    calls: list[Question] = field(default_factory=list)
    seen: float = 0.0


@dataclass(frozen=True)
class Turn:
    """An event about a result that the visitor's page shows."""

    visitor: Visitor
    result: str
    number: int

    def is_last(self, *kinds: str) -> bool:
        """Whether the page still shows that result, and no later event of these kinds has begun."""
        turns = self.visitor.turns
        return self.visitor.result == self.result and all(turns.get(kind, 0) <= self.number for kind in kinds)
