"""Events of a training on the page -> new values of its components."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from ..inference.bundled import DEFAULT_KEY
from . import lesson_view
from .choosing import SKIP
from .files import BOTH
from .lessons import Lesson, Lessons, why_not
from .networks import STANDARD


class Classroom:
    """The handlers."""

    def __init__(self, lessons: Lessons):
        self.lessons = lessons

    def offered(self, request: gr.Request) -> Any:
        """-> viewer, which says whether one can train here."""
        return gr.HTML(training=why_not(request) or "yes")

    def train(self, event: gr.EventData, request: gr.Request) -> Iterator[tuple]:
        """-> lesson, stop, first, second, network, again and again: a teaching set that was uploaded."""
        if why := why_not(request):
            raise gr.Error(why, print_exception=False)
        given = event._data
        self.lessons.begin(str(given.get("path")), str(given.get("network")), float(given.get("minutes") or 0))
        yield from self.told()

    def go_on(self, request: gr.Request) -> Iterator[tuple]:
        """-> as `train`: after a reload."""
        if self.lessons.lesson is None or why_not(request):
            yield (SKIP,) * 5
            return
        yield from self.told()

    def told(self) -> Iterator[tuple]:
        """How the training goes, and the networks that can be chosen when it is over."""
        for lesson in self.lessons.follow():
            yield lesson_view.as_html(lesson), gr.update(visible=not lesson.is_over), *self.choosers(lesson)

    def choosers(self, lesson: Lesson) -> tuple:
        """A new network is compared with the one that it began as, and its files can be downloaded."""
        if not lesson.is_over or not self.lessons.networks.trained:
            return SKIP, SKIP, SKIP
        choices = self.lessons.networks.choices()
        pair = (lesson.start, lesson.key) if lesson.key else STANDARD
        return *(gr.update(choices=choices, value=key, visible=True) for key in pair), self.to_download(*pair)

    def stop(self, request: gr.Request) -> None:
        """Ask the training to end."""
        if why := why_not(request):
            raise gr.Error(why, print_exception=False)
        gr.Info(self.lessons.stop())

    def to_download(self, first: str, second: str) -> Any:
        """-> network: those whose files can be downloaded."""
        titles = {key: title for title, key in self.lessons.networks.choices()}
        chosen = [(titles[key], key) for key in dict.fromkeys((first, second)) if key in titles]
        value = DEFAULT_KEY if DEFAULT_KEY in (first, second) else first
        return gr.update(choices=[*chosen, ("What both agree on", BOTH)], value=value)
