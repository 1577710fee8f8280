"""An event of the page -> new values of its components. No component is made here, and nothing is drawn or computed:
that is in the modules before this one.

An event that asks for something new (an image, a plane, a run) takes the place of the one before. All others say by its
key which result they are about, and are answered only while the page shows that result. `visitors.py` keeps both.
"""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from html import escape
from typing import Any

import gradio as gr

from ..analysis.out_of_domain import read_domain
from ..images.reader import ImageError
from ..inference.settings import Cut, RunSettings
from . import doubts, files, numbers, pictures
from .choosing import SKIP, Chooser, held, no_numbers, session_of
from .desk import Desk
from .examples import Example
from .inputs import FITTED, cut_of, pair_of, pixel_size_of, run_settings, slider_infos, written
from .lessons import Lessons
from .networks import STANDARD, Cancelled, Networks
from .opened import Picture
from .questions import Question
from .several import Several
from .state import Analysis
from .store import Store
from .visitors import Visitors

PICK = "Click a nucleus in a picture, or a row of the table, to see it here."
PICTURE, NUMBERS, PICKS = "picture", "numbers", "picks"  # kinds of events of which the last one counts


class Page:
    """The handlers, with what they share: the networks, the visitors, and what those look at."""

    def __init__(self, networks: Networks, examples: list[Example]):
        self.networks, self.store = networks, Store()
        self.visitors = Visitors(self.store.drop)
        self.chooser = Chooser(self.store, self.visitors, examples)
        self.desk = Desk(self.store, networks)
        self.lessons = Lessons(networks)
        self.several = Several(networks, self.store, self.visitors, self.chooser, self.run, lambda: self.domain)
        rule = read_domain()
        self.domain = rule if rule is not None and rule.knows([n.sha256 for n in networks]) else None

    # running the networks

    def ask(
        self,
        request: gr.Request,
        number: float,
        diameter: float | None,
        level: str | None,
        tta: bool,
        pixel_size: float | None = None,
        about: str = "",
        first: str | None = None,
        second: str | None = None,
    ) -> tuple:
        """-> question, status. All that a run is made of is settled here, before it waits for its turn.

        Args:
            pixel_size: As typed on the page. It counts for the image that it was typed for: that of the key `about`.
            first, second: Keys of the networks to compare.
        """
        settings, session = run_settings(diameter, level, tta), session_of(request)
        key = self.visitors.picture(session)
        if not key:
            text = "Choose an image first: drop a file into the box or click an example."
            raise gr.Error(text, print_exception=False)
        picture = held(self.store, key)
        assert isinstance(picture, Picture)
        size = pixel_size_of(pixel_size, picture.pixel_size) if about == key else picture.pixel_size
        question = Question(picture, settings, size, pair_of(self.networks, first, second))
        return (question.key, "") if self.visitors.ask(session, number, question, key) else ("", SKIP)

    def analyse(self, request: gr.Request, key: str, progress=gr.Progress()) -> tuple:  # noqa: B008 - Gradio's way
        """-> result, status. When its turn has come, the question may count no more."""
        session = session_of(request)
        question = self.visitors.question(session, key)
        if question is None or question.picture is None or question.settings is None:
            return "", SKIP
        try:
            asked = question.picture, question.settings
            analysis = self.run(*asked, progress, question.check, question.pixel_size, question.networks)
        except Cancelled:
            return "", SKIP
        except ValueError as error:
            if not self.visitors.answer(session, question):
                return "", SKIP
            raise gr.Error(escape(str(error)), print_exception=False) from error
        result = self.several.took(session, analysis) or self.store.put(analysis)
        if not self.visitors.answer(session, question, result=result):
            self.store.drop(result)
            return "", SKIP
        return result, f"Done: {numbers.took(analysis)}."

    def run(
        self,
        picture: Picture,
        settings: RunSettings,
        progress: Callable | None,
        check: Callable[[], None] | None,
        pixel_size: tuple[float, float] | None = None,
        keys: tuple[str, str] = STANDARD,
    ) -> Analysis:
        """Both networks on an image.

        Args:
            pixel_size: (y, x) in micrometres: evidence for the nuclear diameter.
            keys: Of the networks.
        """
        maps, seconds, diameters = {}, {}, {}
        networks = [self.networks[key] for key in keys]
        for i, network in enumerate(networks):

            def tell(done: int, total: int, i: int = i, title: str = network.title) -> None:
                if progress is not None:
                    progress((i + done / total) / 2, desc=f"{title}: {done / total:.0%}")

            start = time.perf_counter()
            key = network.key
            maps[key] = self.networks.predict(key, picture.pixels, settings, tell, check, pixel_size)
            seconds[key], diameters[key] = time.perf_counter() - start, maps[key].diameter.pixels
        processors, titles = {n.key: n.processor for n in networks}, {n.key: n.title for n in networks}
        sizes = pixel_size, pixel_size
        surer = self._surer_channel(picture, keys[0], check)
        analysis = Analysis(picture, maps, processors, settings, seconds, diameters, *sizes, titles, surer)
        # while the maps are cut as fitted; the rule knows only these two
        doubts.strangeness(analysis, self.domain if keys == STANDARD else None)
        return analysis

    def _surer_channel(self, picture: Picture, key: str, check: Callable[[], None] | None) -> int | None:
        """Of a file that names none for the nuclei, where the visitor chose none."""
        if not picture.is_default or picture.source is None:
            return None
        sizes = picture.source.sizes
        z, t = (picture.plane.get(axis) if sizes.get(axis, 1) > 1 else None for axis in "ZT")
        with suppress(ImageError):  # the file has gone since it was opened
            if key not in picture.surest:  # each look takes about as long as a run
                where = picture.source.path, z, t, picture.source.series
                picture.surest[key], _ = self.networks.find_channel(key, *where, check)
            channel = picture.surest[key]
            return None if channel in picture.channels else channel
        return None

    def cancel(self, request: gr.Request, number: float) -> str:
        """-> status. The visitor's run stops at its next layer, or before it has begun; what is shown stays."""
        session = session_of(request)
        was_running = self.visitors.cancel(session, number)
        if self.visitors.cancel_set(session):
            return "Cancelled. The images that are done stay."
        return "Cancelled. Nothing was kept of this run." if was_running else "Nothing is running."

    def left(self, request: gr.Request) -> None:
        """A visitor has gone: nobody waits for their run."""
        self.visitors.leave(session_of(request))

    # showing what they said

    def analysis(self, key: str | None, pixel_size: float | None) -> Analysis:
        """The result of this key, measured with the pixel size on the page."""
        analysis = held(self.store, key or "")
        assert isinstance(analysis, Analysis)
        measured = analysis.measured(pixel_size_of(pixel_size, analysis.picture.pixel_size))
        if measured is not analysis:
            self.several.keep(key or "", measured)
        return measured

    def show(self, request: gr.Request, number: float, key: str | None, *controls) -> tuple:
        """-> result, viewer, summary, histogram, table, picked, doubts: a new result takes the place of all before."""
        turn = self.visitors.take_turn(session_of(request), key, number, PICTURE)
        if turn is None:
            return (SKIP,) * 7
        cut, pixel_size = self.controls(*controls)
        analysis = self.analysis(key, pixel_size)
        value = pictures.render(analysis, cut, list(controls[:-1])) | {"of": key, "turn": turn.number}
        images = {"image": pictures.image(analysis, pictures.Look())}
        if not turn.is_last(PICTURE):
            return (SKIP,) * 7
        return key, gr.HTML(value=value, bases=images, of=key), *no_numbers().values()

    def fitted(self, request: gr.Request, key: str | None) -> tuple:
        """-> threshold, separation, least confidence: below them the values of the networks that are shown."""
        if self.visitors.take_turn(session_of(request), key, 0) is None:
            return (SKIP,) * len(FITTED)
        analysis = held(self.store, key or "")
        assert isinstance(analysis, Analysis)
        infos = slider_infos(analysis.processors.values())
        return tuple(gr.Slider(info=info) for info in infos.values())

    def diameter(self, event: gr.EventData) -> float:
        """-> the typical diameter, from a line that was drawn over a nucleus."""
        return round(float(event._data["diameter"]), 1)

    def count(self, request: gr.Request, number: float, key: str | None, *controls) -> tuple:
        """-> summary, histogram, table, picked nucleus, doubts, and the viewer, which shows numbers too."""
        turn = self.visitors.take_turn(session_of(request), key, number, NUMBERS)
        if turn is None:
            return (SKIP,) * 6
        cut, pixel_size = self.controls(*controls)
        analysis = self.analysis(key, pixel_size)
        of = {network: (pixel_size, analysis.state(network, cut)) for network in analysis.maps}
        if turn.is_last(NUMBERS):
            turn.visitor.counted = of
        analysis.each(lambda network: analysis.table(network, cut))
        # Gradio copies every value again and again: one text is fast
        about = {"of": key, "cut": list(controls[:-1])}
        rows = json.dumps(numbers.rows(analysis, cut) | about, allow_nan=False)
        told = doubts.as_html(doubts.doubts(analysis, cut, self.domain))
        summary, histogram = numbers.summary(analysis, cut), numbers.histogram(analysis, cut)
        stays = turn.visitor.picked in list(of.items())  # what was picked, before this event or since
        mark: dict[str, Any] = {} if stays else {"mark": None}
        picked = SKIP if stays else PICK
        table, viewer = gr.HTML(value={"rows": rows}, **mark), gr.HTML(numbers=rows, **mark)
        return (summary, histogram, table, picked, told, viewer) if turn.is_last(NUMBERS) else (SKIP,) * 6

    def pick(self, event: gr.EventData, request: gr.Request, number: float, key: str | None, *controls) -> tuple:
        """-> viewer, table, picked nucleus: a click on a picture or on a row."""
        turn = self.visitors.take_turn(session_of(request), key, number, PICKS)
        if turn is None:
            return (SKIP,) * 3
        cut, pixel_size = self.controls(*controls)
        analysis, network = self.analysis(key, pixel_size), event._data["key"]
        of = (pixel_size, analysis.state(network, cut))
        if turn.is_last(PICKS):
            turn.visitor.picked = network, of
        labels = analysis.labels(network, cut)
        if "label" in event._data:
            label = int(event._data["label"])
        else:
            y, x = int(event._data["y"]), int(event._data["x"])
            label = int(labels[min(max(y, 0), labels.shape[0] - 1), min(max(x, 0), labels.shape[1] - 1)])
        mark, text = None, f"No nucleus of {analysis.titles[network]} there."
        if label in analysis.table(network, cut)["label"]:
            mark = {"key": network, "label": label, "of": key, "cut": list(controls[:-1])}
            text = numbers.about_nucleus(analysis, network, label, cut)
        if not turn.is_last(PICKS) or not (turn.is_last(NUMBERS) or turn.visitor.counted.get(network) == of):
            return (SKIP,) * 3
        return gr.HTML(mark=mark), gr.HTML(mark=mark), text

    def controls(self, *values) -> tuple[Cut, float | None]:
        """Values of the live controls, the sliders and the pixel size -> how to cut, and the pixel size."""
        *sliders, pixel_size = values
        return cut_of(self.networks, *sliders), pixel_size

    # files

    def file(self, request: gr.Request, kind: str | None, key: str | None, network: str, *controls) -> str:
        """-> path of a file to download: a kind of `files.KINDS`, or everything for `None`."""
        if self.visitors.take_turn(session_of(request), key, 0) is None:
            raise gr.Error("There is nothing to download yet: press Segment first.", print_exception=False)
        cut, pixel_size = self.controls(*controls)
        analysis = self.analysis(key, pixel_size)
        if network not in (files.BOTH, *analysis.maps):
            text = "The result that is shown is of other networks: press Segment, or choose another one here."
            raise gr.Error(text, print_exception=False)
        if kind == files.README:
            name, data = files.README, files.make_readme(analysis, self.networks, cut)
        elif kind is None:
            name, data = files.make_all(analysis, self.networks, cut)
        else:
            name, data = files.make_file(analysis, network, cut, kind)
        return written(name, data, request)
