"""An event of the page -> new values of its components. No component is made here, and nothing is drawn or computed:
that is in the modules before this one."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from html import escape
from pathlib import Path

import gradio as gr

from ..analysis.out_of_domain import read_domain, warning
from ..images.reader import ImageError, ImageInfo, MicroscopyImage, inspect, read
from ..inference.bundled import TITLES
from ..inference.settings import Cut, RunSettings
from . import files, numbers, pictures
from .examples import Example
from .inputs import cut_of, look_of, note_of, pixel_size_of, run_settings, told, too_large, written
from .limits import CUTS, MAX_PIXELS, beyond
from .networks import Cancelled, Networks
from .state import Analysis, Picture
from .store import Forgotten, Store

EMPTY: dict = {}
ALL_COLOURS = "all colours"
PICK = "Click a nucleus in a picture, or a row of the table, to see it here."


def preview(image: MicroscopyImage):
    """-> viewer, before the networks have run."""
    value, bases = pictures.preview(image.pixels, image.name)
    return gr.HTML(value=value, bases=bases)


class Page:
    """The handlers, with what they share: the networks, the visitors' analyses, and who pressed Cancel."""

    def __init__(self, networks: Networks, examples: list[Example]):
        self.networks, self.examples, self.store = networks, examples, Store()
        self._cancelled: dict[str, threading.Event] = {}
        self._cutting = threading.Semaphore(CUTS)  # `cut` is not queued, which would slow it
        rule = read_domain()
        self.domain = rule if rule is not None and rule.knows([n.sha256 for n in networks]) else None

    # choosing an image

    def uploaded(self, path: str | None):
        """-> series, channel, z, t choosers, note, pixel size, viewer; and no example, no analysis."""
        if not path:
            return *(gr.update(visible=False),) * 4, beyond(), None, EMPTY, None, None
        with told():
            info = inspect(path)
        return *self.choosers(path, info), None, None

    def series_chosen(self, path: str | None, series: int):
        """-> as `uploaded`, for another image of the file."""
        with told():
            return *self.choosers(path or "", inspect(path or "", series), series), None, None

    def choosers(self, path: str, info: ImageInfo, series: int = 0):
        several = [(label, i) for i, label in enumerate(info.series)]
        chooser = gr.update(choices=several, value=series, visible=len(several) > 1)
        if why := too_large(info):
            gr.Warning(escape(why), title="Too large for this page")
            return chooser, *(gr.update(visible=False),) * 3, escape(why), None, EMPTY
        with told():
            image = read(path, series=series, max_pixels=MAX_PIXELS)
        sizes, size = info.sizes, info.pixel_size
        names: list[tuple[str, int]] = [(name, i) for i, name in enumerate(info.channel_choices)]
        names = [(ALL_COLOURS, -1), *names] if info.is_rgb else names
        return (
            chooser,
            gr.update(choices=names, value=names[0][1] if info.is_rgb else image.channels[0], visible=len(names) > 1),
            gr.update(maximum=max(sizes["Z"], 2), value=image.plane["Z"] + 1, visible=sizes["Z"] > 1),
            gr.update(maximum=max(sizes["T"], 2), value=image.plane["T"] + 1, visible=sizes["T"] > 1),
            note_of(image),
            None if size is None else round(size[1], 5),
            preview(image),
        )

    def plane_chosen(self, path: str | None, series: int, channel: int, z: int, t: int):
        """-> note, viewer; and no analysis."""
        if not path:
            return "", EMPTY, None
        image = self.read_plane(path, series, channel, z, t)
        return note_of(image), preview(image), None

    def read_plane(self, path: str, series: int, channel: int, z: int, t: int) -> MicroscopyImage:
        """The chosen plane, whose indexes count from 1 on the page but for the channel and series."""
        with told():
            info = inspect(path, series or 0)
            if why := too_large(info):
                raise ImageError(why)
            wanted = {
                "z": int(z) - 1 if info.sizes["Z"] > 1 else None,
                "t": int(t) - 1 if info.sizes["T"] > 1 else None,
                "channel": channel if len(info.channel_choices) > 1 and (channel or 0) >= 0 else None,
            }
            return read(path, series=series or 0, max_pixels=MAX_PIXELS, **wanted)

    def example_chosen(self, event: gr.EventData):
        """-> file, and the example's index."""
        index = int(event._data["index"])
        return str(self.examples[index].path), index

    def tried(self, path: str):
        """-> as `uploaded`, but the example is kept."""
        return self.choosers(path, inspect(path))

    # running the networks

    def analyse(
        self,
        path: str | None,
        example: int | None,
        series: int,
        channel: int,
        z: int,
        t: int,
        diameter: float | None,
        level: str | None,
        tta: bool,
        threshold: float,
        separation: float,
        min_area: float,
        pixel_size: float | None,
        view: str,
        paint: str,
        opacity: float,
        white: float,
        gamma: float,
        request: gr.Request,
        progress=gr.Progress(),  # noqa: B008 - Gradio's way to ask for it
    ):
        """-> key of the analysis, status, what can be compared, viewer."""
        if not path:
            raise gr.Error(
                "Choose an image first: drop a file into the box or click an example.", print_exception=False
            )
        image = self.read_plane(path, series, channel, z, t)
        truth = self.examples[example].truth() if example is not None else None
        picture = Picture(
            name=Path(image.name).stem,
            pixels=image.pixels,
            pixel_size=pixel_size_of(pixel_size, image.pixel_size),
            about=note_of(image).replace("  \n", "; "),
            truth=truth if truth is not None and truth.shape == image.pixels.shape[:2] else None,
        )
        settings = run_settings(diameter, level, tta)
        try:
            with self.watch(request) as check:
                analysis = self.run(picture, settings, progress, check)
        except Cancelled:
            return None, "Cancelled. Nothing was kept of this run.", gr.skip(), gr.skip()
        except ValueError as error:
            raise gr.Error(escape(str(error)), print_exception=False) from error
        took = ", ".join(f"{TITLES[key]} {seconds:.1f} s" for key, seconds in analysis.seconds.items())
        strange = self.strange(analysis)
        choices = list(pictures.VIEWS)[: None if picture.truth is not None else -1]
        view = view if view in choices else choices[0]
        key = self.store.put(analysis)
        viewer = self.draw(key, threshold, separation, min_area, pixel_size, view, paint, opacity, white, gamma)
        return key, f"Done: {took}.{strange}", gr.update(choices=choices, value=view), viewer

    def run(
        self, picture: Picture, settings: RunSettings, progress: Callable | None, check: Callable[[], None] | None
    ) -> Analysis:
        """Both networks on an image."""
        analysis = Analysis(picture, {}, {n.key: n.processor for n in self.networks}, settings)
        for i, network in enumerate(self.networks):

            def tell(done: int, total: int, i: int = i, title: str = network.title) -> None:
                if progress is not None:
                    progress((i + done / total) / 2, desc=f"{title}: {done / total:.0%}")

            start = time.perf_counter()
            processor = network.processor
            diameter = settings.diameter or processor.diameter or processor.estimate_diameter(picture.pixels)
            known = replace(settings, diameter=diameter)  # lest it be estimated again
            analysis.maps[network.key] = self.networks.predict(network.key, picture.pixels, known, tell, check)
            analysis.seconds[network.key] = time.perf_counter() - start
            analysis.diameters[network.key] = diameter
        return analysis

    def strange(self, analysis: Analysis) -> str:
        """What the visitor is warned of, as Markdown."""
        maps, labels = list(analysis.maps.values()), [analysis.labels(key, Cut()) for key in analysis.maps]
        text = warning(self.domain, maps, labels, next(iter(analysis.diameters.values()), None))
        return f"\n\n⚠️ **{text.split('. ', 1)[0]}.** {text.split('. ', 1)[1]}" if text else ""

    @contextmanager
    def watch(self, request: gr.Request | None) -> Iterator[Callable[[], None]]:
        """A run of a visitor: what raises `Cancelled` in it once they press Cancel, or leave."""
        session, flag = (request.session_hash if request is not None else None) or "", threading.Event()

        def check() -> None:
            if flag.is_set():
                raise Cancelled

        self._cancelled[session] = flag
        try:
            yield check
        finally:
            if self._cancelled.get(session) is flag:
                del self._cancelled[session]

    def cancel(self, request: gr.Request) -> str:
        """-> status. Stops the visitor's run at its next layer."""
        flag = self._cancelled.pop(request.session_hash or "", None)
        if flag:
            flag.set()
        return "Cancelling …" if flag else "Nothing is running."

    def left(self, request: gr.Request) -> None:
        """A visitor has gone: nobody waits for their run."""
        self.cancel(request)

    # showing what they said

    def analysis(self, key: str, pixel_size: float | None) -> Analysis:
        """The visitor's analysis, with the pixel size as it is on the page now."""
        try:
            analysis = self.store.get(key)
        except Forgotten:
            text = "This image is no longer held in memory. Press Segment to run the networks again."
            raise gr.Error(text, print_exception=False) from None
        size = pixel_size_of(pixel_size, analysis.picture.pixel_size)
        if size != analysis.picture.pixel_size:
            analysis.picture = replace(analysis.picture, pixel_size=size)
        return analysis

    def draw(self, key: str | None, *controls):
        """-> viewer."""
        if not key:
            return gr.skip()
        cut, look, pixel_size = self.controls(*controls)
        analysis = self.analysis(key, pixel_size)
        return gr.HTML(value=pictures.render(analysis, cut, look), bases=pictures.bases(analysis, look))

    def cut(self, key: str | None, *controls):
        """-> viewer, whose images stay; only what lies over them is new."""
        if not key:
            return gr.skip()
        cut, look, pixel_size = self.controls(*controls)
        with self._cutting:
            return pictures.render(self.analysis(key, pixel_size), cut, look)

    def count(self, key: str | None, *controls):
        """-> summary, histogram, table, picked nucleus."""
        if not key:
            return "", "", EMPTY, ""
        cut, _, pixel_size = self.controls(*controls)
        analysis = self.analysis(key, pixel_size)
        table = gr.HTML(value=numbers.rows(analysis, cut), mark=None)
        return numbers.summary(analysis, cut), numbers.histogram(analysis, cut), table, PICK

    def pick(self, event: gr.EventData, key: str | None, *controls):
        """-> viewer, table, picked nucleus: a click on a picture or on a row."""
        if not key:
            return gr.skip(), gr.skip(), gr.skip()
        cut, _, pixel_size = self.controls(*controls)
        analysis, network = self.analysis(key, pixel_size), event._data["key"]
        labels = analysis.labels(network, cut)
        if "label" in event._data:
            label = int(event._data["label"])
        else:
            y, x = int(event._data["y"]), int(event._data["x"])
            label = int(labels[min(max(y, 0), labels.shape[0] - 1), min(max(x, 0), labels.shape[1] - 1)])
        if not 0 < label <= labels.max(initial=0):
            return gr.HTML(mark=None), gr.HTML(mark=None), f"No nucleus of {TITLES[network]} there."
        mark = {"key": network, "label": label, "box": numbers.box_of(labels, analysis.table(network, cut), label)}
        return gr.HTML(mark=mark), gr.HTML(mark=mark), numbers.about_nucleus(analysis, network, label, cut)

    def controls(self, threshold, separation, min_area, pixel_size, *look) -> tuple[Cut, pictures.Look, float | None]:
        """Values of the live controls -> how to cut, how to draw, and the pixel size."""
        return cut_of(self.networks, threshold, separation, min_area), look_of(*look), pixel_size

    # files

    def file(self, key: str | None, kind: str | None, network: str, *controls) -> str:
        """-> path of a file to download: a kind of `files.KINDS`, or everything for `None`."""
        if not key:
            raise gr.Error("There is nothing to download yet: press Segment first.", print_exception=False)
        cut, _, pixel_size = self.controls(*controls)
        analysis = self.analysis(key, pixel_size)
        if kind == files.README:
            name, data = files.README, files.make_readme(analysis, self.networks, cut)
        elif kind is None:
            name, data = files.make_all(analysis, self.networks, cut)
        else:
            name, data = files.make_file(analysis, network, cut, kind)
        return written(name, data)
