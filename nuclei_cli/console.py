"""What is seen in the terminal: lines, tables, a bar with rate and time left, and errors in a sentence."""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from nuclei_models.images.reader import ImageError, display_name
from nuclei_models.model.repository import flat

OK, SOME_FAILED, WRONG_USAGE, STOPPED, INTERRUPTED = 0, 1, 2, 3, 130
EVERY = 30  # seconds between two lines of progress where there is no terminal
SHOWN = 20  # rows of a table

out = Console(markup=False, highlight=False, emoji=False)
err = Console(markup=False, highlight=False, emoji=False, stderr=True)


def say(line: str) -> None:
    out.print(printable(line), soft_wrap=True)


def complain(line: str) -> None:
    err.print(printable(line), soft_wrap=True)


def printable(text: str) -> str:
    """Names may hold what isn't text; it is escaped, control characters too."""
    clean = "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )
    return clean.encode(out.encoding, "backslashreplace").decode(out.encoding)


def explain(error: BaseException, source: Path) -> str:
    """What became of an image, in a sentence, without its name."""
    text = flat(error)
    if isinstance(error, ImageError):
        return text.removeprefix(f"{display_name(source)}: ")
    if isinstance(error, MemoryError) or "allocate memory" in text or "out of memory" in text:
        return "It doesn't fit into the memory here: give a smaller --tile, or a machine with more."
    if isinstance(error, ValueError | OSError):
        return text
    return f"{type(error).__name__}: {text[:300]}"


def table(heading: Sequence[str], rows: Iterable[Sequence[str]], wide: int = 1) -> None:
    """Print a table; columns from the `wide`-th on are figures, to the right."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for n, name in enumerate(heading):
        shown.add_column(name, justify="left" if n < wide else "right", no_wrap=n >= wide, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(printable(cell)) for cell in row))
    out.print(shown)


def pairs(rows: Iterable[tuple[str, str]]) -> None:
    """Print names, and what is to be said of each beside them."""
    shown = Table(box=None, pad_edge=False, show_header=False)
    shown.add_column(no_wrap=True)
    shown.add_column(overflow="fold")
    for name, text in rows:
        shown.add_row(Text(name), Text(printable(text)))
    out.print(shown)


def shortened(name: str, others: int) -> str:
    """A name that fits into a line beside `others` characters; its middle goes, for names differ at their ends."""
    room = max(out.width - others, 12)
    return name if len(name) <= room else f"{name[: room // 2 - 1]}…{name[-(room - room // 2) :]}"


def count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def span(seconds: float) -> str:
    """12 s, 3:05 or 1:02:03."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


class Usage(Exception):
    """The command was given in a way that can't be followed; nothing was done. The message says what to do."""


class Bar:
    """Progress over images of known sizes. In a terminal a bar, elsewhere a line every `EVERY` seconds.

    Use it in a `with`; `say` prints a line above the bar.
    """

    def __init__(self, images: int, pixels: int, quiet: bool = False):
        self.images, self.pixels = images, pixels
        self.done, self.done_pixels = 0, 0
        self.start = self.told = time.monotonic()
        self.quiet = quiet
        columns = (SpinnerColumn("line"), BarColumn(None), TextColumn("{task.description}", markup=False))
        self.progress = Progress(
            *columns, console=err, transient=True, expand=True, disable=quiet or not err.is_terminal
        )
        self.task = self.progress.add_task(self.text(), total=max(pixels, 1))

    def __enter__(self) -> "Bar":
        self.progress.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.progress.stop()

    def advance(self, pixels: int) -> None:
        """An image is done, or has failed."""
        self.done += 1
        self.done_pixels += pixels
        self.show(self.text(), self.done_pixels)

    def inside(self, name: str, pixels: int) -> Callable[[str, int, int], None]:
        """For a large image, what is to be called with (what is done, how far, of how much)."""
        share = 0.0

        def progress(what: str, done: int, total: int) -> None:
            nonlocal share
            if what == "network":  # which takes nearly all of the time
                share = done / max(total, 1)
            told = f"{self.done:,}/{self.images:,}, {shortened(name, 50)}: {what} {100 * done // max(total, 1)}%"
            self.show(told, self.done_pixels + int(pixels * share))

        return progress

    def show(self, text: str, pixels: int) -> None:
        self.progress.update(self.task, completed=pixels, description=text)
        if not (self.quiet or err.is_terminal) and time.monotonic() - self.told > EVERY:
            self.told = time.monotonic()
            complain(text)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start

    def rates(self) -> str:
        seconds = max(self.seconds, 1e-3)
        return f"{self.done / seconds:.2g} images/s, {self.done_pixels / 1e6 / seconds:.2g} Mpx/s"

    def text(self) -> str:
        left = "" if not self.done_pixels else span(self.seconds * (self.pixels / self.done_pixels - 1))
        return f"{self.done:,}/{self.images:,}" + (f", {self.rates()}, {left} left" if left else "")


def is_quoted(argument: str) -> str:
    return argument if argument.isprintable() and " " not in argument else repr(argument)


def command() -> str:
    """The command line as it was given."""
    return " ".join([Path(sys.argv[0]).name, *map(is_quoted, sys.argv[1:])])
