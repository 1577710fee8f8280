"""The code in our documents: found, so that it can be run."""

import re
from pathlib import Path
from typing import NamedTuple


class Snippet(NamedTuple):
    """A fenced block of a document."""

    where: str
    language: str
    code: str


def read_snippets(path: Path) -> list[Snippet]:
    """The fenced blocks of a Markdown file, in order; `where` is file, number and the heading above."""
    found, heading = [], ""
    pattern = r"^(?P<heading>#+ [^\n]*)$|^```(?P<language>\w+)\n(?P<code>.*?)^```$"
    for number, match in enumerate(re.finditer(pattern, path.read_text(), re.MULTILINE | re.DOTALL)):
        if match["heading"]:
            heading = match["heading"].lstrip("# ")
        else:
            found.append(Snippet(f"{path.name}, {number}, {heading}", match["language"], match["code"]))
    return found


def commands(snippets: list[Snippet]) -> list[str]:
    """The lines of the console blocks."""
    return [line for s in snippets if s.language == "console" for line in s.code.splitlines()]
