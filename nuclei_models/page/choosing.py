"""A visitor chooses an image, or another plane of it -> all that changes on the page with it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import gradio as gr

from ..images.reader import ImageError
from . import pictures
from .examples import Example
from .inputs import as_html, pixel_size_shown
from .limits import beyond
from .opened import Picture, Source
from .opening import Choices, open_picture, open_plane
from .questions import Question
from .store import Forgotten, Held, Store
from .visitors import Visitors

EMPTY: dict = {}
SKIP: Any = gr.skip()


class Opened(NamedTuple):
    """Everything on the page that is of one image, and so changes with it."""

    series: Any = SKIP
    channel: Any = SKIP
    z: Any = SKIP
    t: Any = SKIP
    note: Any = SKIP
    pixel_size: Any = SKIP
    source: Any = SKIP
    picture: Any = SKIP
    result: Any = SKIP
    status: Any = SKIP
    viewer: Any = SKIP
    summary: Any = SKIP
    histogram: Any = SKIP
    table: Any = SKIP
    picked: Any = SKIP
    doubts: Any = SKIP


def no_numbers() -> dict[str, Any]:
    """Values for the components that `Page.count` fills."""
    return {"summary": "", "histogram": "", "table": gr.HTML(value=EMPTY, mark=None), "picked": "", "doubts": ""}


def session_of(request: gr.Request | None) -> str:
    """Names the visitor."""
    return (request.session_hash if request is not None else None) or ""


def held(store: Store, key: str) -> Held:
    """What a key names, or an error for the visitor."""
    try:
        return store.get(key)
    except Forgotten:
        text = "This image is no longer held in memory. Choose it again and press Segment."
        raise gr.Error(text, print_exception=False) from None


class Chooser:
    """The handlers of these events; see `handlers.py` for the others."""

    def __init__(self, store: Store, visitors: Visitors, examples: list[Example]):
        self.store, self.visitors, self.examples = store, visitors, examples

    def uploaded(self, request: gr.Request, number: float, path: str | None) -> Opened:
        """A file, or none any more."""
        if path:
            return self.open(request, number, Source(path))
        question, session = Question(), session_of(request)
        if not self.visitors.ask(session, number, question) or not self.visitors.answer(session, question):
            return Opened()
        hidden = dict.fromkeys(("series", "channel", "z", "t"), gr.update(visible=False))
        nothing: dict[str, Any] = dict.fromkeys(("source", "picture", "result", "status"), "")
        nothing["viewer"] = gr.HTML(value=EMPTY, of="", mark=None)
        return Opened(**hidden, **nothing, **no_numbers(), note=beyond(), pixel_size=None)

    def example(self, event: gr.EventData) -> str:
        """The file of an example that was clicked."""
        return str(self.examples[int(event._data["index"])].path)

    def example_chosen(self, event: gr.EventData, request: gr.Request, number: float) -> Opened:
        """An example that was clicked."""
        return self.open(request, number, Source(self.example(event), example=int(event._data["index"])))

    def series_chosen(self, request: gr.Request, number: float, key: str, series: int) -> Opened:
        """Another image of the file."""
        source = self.source(key)
        return self.open(request, number, Source(source.path, series), key) if source else Opened()

    def plane_chosen(self, request: gr.Request, number: float, key: str, channel: int, z: int, t: int) -> Opened:
        """Another plane; on the page its numbers count from 1, but for the channel's."""
        if (source := self.source(key)) is None:
            return Opened()
        known = source
        return self.read(request, number, lambda: (open_plane(known, channel, int(z) - 1, int(t) - 1), None), key)

    def open(self, request: gr.Request, number: float, source: Source, about: str | None = None) -> Opened:
        """Show an image, and what can be chosen in it."""
        return self.read(request, number, lambda: open_picture(source, self.examples), about)

    def read(
        self,
        request: gr.Request,
        number: float,
        reading: Callable[[], tuple[Picture, Choices | None]],
        about: str | None,
        result: str = "",
    ) -> Opened:
        """A new image, unless the visitor has asked for another one by the time it is read.

        Args:
            number: Of the event, see `Visitors.ask`.
            reading: Reads it, and tells what can be chosen in the file; `None` for another plane of the same.
            about: The key of the file that is shown, if the image is in it.
            result: The key of what the networks have said of it already.
        """
        question, session = Question(), session_of(request)
        if not self.visitors.ask(session, number, question, about):
            return Opened()
        try:
            picture, choices = reading()
        except ImageError as error:
            text = as_html([str(error)])
            if not self.visitors.answer(session, question):
                return Opened()
            gr.Warning(text, title="This image can't be used")
            return self.changed(viewer=gr.HTML(value=EMPTY, of="", mark=None), note=text, **unreadable(about))
        except BaseException:
            self.visitors.answer(session, question)  # a run that is asked for doesn't wait for it
            raise
        shown = {"picture": self.store.put(picture)}
        if choices is not None and picture.source is not None:
            shown["source"] = self.store.put(picture.source)
        if not self.visitors.answer(session, question, **shown, result=result):
            for key in shown.values():
                self.store.drop(key)
            return Opened()
        value, images = pictures.preview(picture)
        value |= {"of": shown["picture"], "turn": 0}
        return self.changed(
            picture=shown["picture"],
            viewer=gr.HTML(value=value, bases=images, of=shown["picture"], mark=None),
            note=as_html(picture.about),
            pixel_size=pixel_size_shown(picture.pixel_size),
            **({"source": shown["source"]} | chosen(choices, picture) if choices is not None else {}),
        )

    def changed(self, **values: Any) -> Opened:
        """What is of an image, and nothing of the result that was shown before."""
        return Opened(**{"picture": "", "result": "", "status": ""} | no_numbers() | values)

    def source(self, key: str | None) -> Source | None:
        """The file of this key, which is shown; `None` if none is."""
        if not key:
            return None
        source = held(self.store, key)
        return source if isinstance(source, Source) else None


def chosen(choices: Choices, picture: Picture) -> dict[str, Any]:
    """What can be chosen in a file -> values of the choosers."""
    series = [(label, i) for i, label in enumerate(choices.series)]
    planes, times = choices.planes, choices.times
    return {
        "series": gr.update(
            choices=series, value=picture.source.series if picture.source else 0, visible=len(series) > 1
        ),
        "channel": gr.update(choices=list(choices.channels), value=choices.channel, visible=len(choices.channels) > 1),
        "z": gr.update(maximum=max(planes, 2), value=choices.z + 1, visible=planes > 1),
        "t": gr.update(maximum=max(times, 2), value=choices.t + 1, visible=times > 1),
    }


def unreadable(about: str | None) -> dict[str, Any]:
    """Values of the choosers when an image can't be read: of a file that is shown another plane may be readable."""
    if about:
        return {}
    return dict.fromkeys(("series", "channel", "z", "t"), gr.update(visible=False)) | {"pixel_size": None, "source": ""}
