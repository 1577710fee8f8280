"""Several images at once, or a zip of them: gathered, segmented one after the other, opened by a click, saved together.

What the networks said of each image is an `Analysis` as of any other, so an opened image is shown, mended and saved as
if it had come alone. The set runs beside what is looked at: opening an image doesn't stop it.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from html import escape
from secrets import token_urlsafe
from typing import Any

import gradio as gr

from ..analysis.out_of_domain import Domain
from ..images.reader import ImageError
from ..inference.settings import Cut, RunSettings
from . import doubts, numbers
from .choosing import SKIP, Chooser, Opened, held, session_of
from .gathering import gather
from .guard import QUOTA
from .image_set import ImageSet, Item
from .inputs import address, as_html, cut_of, made_folder, pair_of, pixel_size_of, pixel_size_shown, run_settings
from .networks import Cancelled, Networks
from .opened import Picture, Source
from .opening import Choices, open_picture
from .questions import SetQuestion
from .several_files import save_all
from .state import Analysis
from .store import Forgotten, Store
from .strip import buttons, no_set, strip
from .unpacking import is_zip
from .visitors import Visitors

LOG = logging.getLogger(__name__)

Run = Callable[[Picture, RunSettings, None, Callable[[], None], tuple[float, float] | None, tuple[str, str]], Analysis]


class Several:
    """The handlers of events about several images."""

    def __init__(
        self,
        networks: Networks,
        store: Store,
        visitors: Visitors,
        chooser: Chooser,
        run: Run,
        domain: Callable[[], Domain | None],
    ):
        """Args:
        run: Both networks on an image, see `Page.run`.
        domain: Gives the rule of images of nuclei, see `doubts.doubts`.
        """
        self.networks, self.store, self.visitors, self.chooser = networks, store, visitors, chooser
        self.run, self.domain = run, domain
        self.unpacked: set[str] = set()  # paths, for those who clean the disk

    # giving and opening images

    def uploaded(self, request: gr.Request, number: float, given: str | Sequence[str] | None) -> tuple:
        """-> files, as `Opened`, set, strip, its buttons: a file, several, a zip, or none any more."""
        paths = [given] if isinstance(given, str) else list(given or ())
        if len(paths) < 2 and not any(map(is_zip, paths)):
            path = paths[0] if paths else None
            files = SKIP if paths else None  # an example's may have come into the box after it was cleared
            return self.without_set(request, number, files, lambda: self.chooser.uploaded(request, number, path))
        gathered = self.gather(paths, request)
        key = self.store.put(gathered) if gathered.items else ""
        if not self.visitors.show_set(session_of(request), number, key):
            self.store.drop(key or None)
            return SKIP, *Opened(), *(SKIP,) * 5
        if not gathered.items:
            opened = self.chooser.uploaded(request, number, None)
            text = as_html(f"{name}: {why}" for name, why in gathered.refused) or "There is no image in it."
            gr.Warning(text, title="No image can be used")
            return SKIP, *opened._replace(note=text), *no_set()
        opened, _ = self.open_item(request, number, key, 0)
        return SKIP, *opened, key, strip(self.networks, key, gathered, at=0, whole=True), *buttons(gathered)

    def without_set(self, request: gr.Request, number: float, files: Any, open_one: Callable[[], tuple]) -> tuple:
        """-> as `uploaded`: one image or none takes the place of a set; nothing of what later events have replaced."""
        session = session_of(request)
        self.visitors.show_set(session, number, "")
        opened = open_one()
        is_late = opened == tuple(Opened())
        return SKIP if is_late else files, *opened, *((SKIP,) * 5 if self.visitors.set_of(session) else no_set())

    def gather(self, paths: Sequence[str], request: gr.Request) -> ImageSet:
        """Images that were in the last set keep their results."""
        found = gather(paths, self.set_of(request), address(request))
        self.unpacked.update(item.path for item in found.items)
        return found

    def open_item(self, request: gr.Request, number: float, key: str, index: int) -> tuple[Opened, str]:
        """-> as `Opened`, and the key of the image's result, "" where it has none yet."""
        images = self.set_of(request)
        if images is None or key != self.visitors.set_of(session_of(request)):
            return Opened(), SKIP
        item = images.items[min(max(int(index), 0), len(images.items) - 1)]
        analysis, result = item.analysis, f"{key}/{item.token}" if item.token else ""
        for one in images.items:  # their age is that of the last use
            with suppress(OSError):
                os.utime(one.path)

        def reading() -> tuple[Picture, Choices | None]:
            picture, choices = open_picture(Source(item.path), self.chooser.examples)
            return (analysis.picture, choices.at(analysis.picture)) if analysis is not None else (picture, choices)

        opened = self.chooser.read(request, number, reading, None, result)
        if opened.picture == "" or opened.picture is SKIP:
            return opened, ""
        if analysis is not None:
            opened = opened._replace(
                pixel_size=pixel_size_shown(analysis.pixel_size), status=f"Done: {numbers.took(analysis)}."
            )
        return opened, result

    def item_chosen(self, event: gr.EventData, request: gr.Request, number: float, key: str) -> tuple:
        """-> as `Opened`, and made: a click on a thumbnail."""
        opened, result = self.open_item(request, number, key, int(event._data["index"]))
        return *opened, result

    # running the networks

    def ask(
        self,
        request: gr.Request,
        number: float,
        diameter: float | None,
        level: str | None,
        tta: bool,
        pixel_size: float | None,
        about: str,
        first: str | None,
        second: str | None,
        key: str,
    ) -> tuple:
        """-> question, status. A pixel size that is typed counts for all images whose files say none."""
        settings, session = run_settings(diameter, level, tta), session_of(request)
        images = self.set_of(request)
        if images is None:
            raise gr.Error("Drop several images, or a zip of images, into the box first.", print_exception=False)
        shown, typed = self.store.get(about) if about else None, None
        if isinstance(shown, Picture):
            size = pixel_size_of(pixel_size, shown.pixel_size)
            typed = size if size != shown.pixel_size else None
        question = SetQuestion(key, settings, typed, pair_of(self.networks, first, second))
        return (question.key, "") if self.visitors.ask_set(session, number, question) else ("", SKIP)

    def analyse(self, request: gr.Request, key: str, *sliders: float) -> Iterator[tuple]:
        """-> strip, arrived, status, again and again: one image after the other."""
        session, cut = session_of(request), cut_of(self.networks, *sliders)
        question = self.visitors.set_question(session, key)
        if question is None or question.settings is None:
            yield SKIP, SKIP, SKIP
            return
        images = held(self.store, question.images)
        assert isinstance(images, ImageSet)
        n = len(images.items)
        for index, item in enumerate(images.items):
            yield (
                strip(self.networks, question.images, images, index, cut),
                SKIP,
                f"Image {index + 1} of {n}: {escape(item.name)}",
            )
            try:
                values = self.segmented(item, question)
                question.check()
            except Cancelled:
                return
            changed = self.store.change(question.images, changer(index, values))
            if changed is None:
                yield SKIP, SKIP, "This set of images is no longer held in memory. Give it again."
                return
            images = changed
            arrived = SKIP
            if token := images.items[index].token:
                arrived = self.arrived(session, question.images, images, index, token)
            yield strip(self.networks, question.images, images, index + 1, cut), arrived, SKIP
        self.visitors.end_set(session, question)
        failed = sum(bool(item.error) for item in images.items)
        text = f"Done: {n - failed} of {n} images." + (f" {failed} failed: see the strip." if failed else "")
        yield strip(self.networks, question.images, images, None, cut), SKIP, text

    def segmented(self, item: Item, question: SetQuestion) -> dict[str, Any]:
        """New values of an item."""
        assert question.settings is not None
        try:
            source = item.analysis.picture.source if item.analysis else Source(item.path)
            picture = item.analysis.picture if item.analysis else open_picture(source or Source(item.path), [])[0]
            size = picture.pixel_size or question.pixel_size
            analysis = self.run(picture, question.settings, None, question.check, size, question.networks)
            return self.values(analysis)
        except Cancelled:
            raise
        except Exception as error:  # of any type: it is this image's own trouble, and the others go on
            why = str(error)
            if not isinstance(error, ImageError | ValueError):
                LOG.exception("An image of a set failed.")
                why = "It failed, and the server's log says why."
            return {"token": "", "analysis": None, "error": why, "doubt": ""}

    def values(self, analysis: Analysis) -> dict[str, Any]:
        """Of an item, from what the networks said."""
        found = doubts.doubts(analysis, Cut(), self.domain())
        return {"token": token_urlsafe(8), "analysis": analysis, "error": "", "doubt": found[0].title if found else ""}

    def arrived(self, session: str, key: str, images: ImageSet, index: int, token: str) -> Any:
        """The key of a result that has come, if its image is the one that is shown; else nothing."""
        shown = self.visitors.picture(session, 0)
        try:
            picture = self.store.get(shown) if shown else None
        except Forgotten:
            return SKIP
        if not isinstance(picture, Picture) or images.index(picture) != index:
            return SKIP
        return f"{key}/{token}" if self.visitors.arrive(session, shown, f"{key}/{token}") else SKIP

    def took(self, session: str, analysis: Analysis) -> str:
        """Put the result of a run of the shown image alone into the set. -> its key, "" where it is of no set."""
        key = self.visitors.set_of(session)
        images = self.set_at(key)
        index = images.index(analysis.picture) if images else None
        if index is None:
            return ""
        values = self.values(analysis)
        return f"{key}/{values['token']}" if self.store.change(key, changer(index, values)) else ""

    def keep(self, key: str, analysis: Analysis) -> None:
        """Put an analysis, measured otherwise, in the place of the one with this key, if that is of a set."""
        key, _, token = key.partition("/")
        images = self.set_at(key) if token else None
        if images is None:
            return
        for index, item in enumerate(images.items):
            if item.token == token:
                self.store.change(key, changer(index, {"analysis": analysis}))

    # what the strip shows

    def example_chosen(self, event: gr.EventData, request: gr.Request, number: float) -> tuple:
        """-> as `uploaded`: a click on an example takes the place of a set."""
        files = [self.chooser.example(event)]
        return self.without_set(request, number, files, lambda: self.chooser.example_chosen(event, request, number))

    def strip_now(self, request: gr.Request, *sliders: float) -> Any:
        """-> strip: the counts as the sliders have it, and with what was mended."""
        key = self.visitors.set_of(session_of(request))
        images = self.set_at(key)
        return SKIP if images is None else strip(self.networks, key, images, None, cut_of(self.networks, *sliders))

    def set_of(self, request: gr.Request) -> ImageSet | None:
        return self.set_at(self.visitors.set_of(session_of(request)))

    def set_at(self, key: str) -> ImageSet | None:
        try:
            found = self.store.get(key) if key else None
        except Forgotten:
            return None
        return found if isinstance(found, ImageSet) else None

    # saving

    def save(
        self,
        request: gr.Request,
        *sliders: float,
        progress=gr.Progress(),  # noqa: B008 - Gradio's way
    ) -> str:
        """-> path of the zip with all results."""
        images = self.set_of(request)
        if images is None:
            raise gr.Error("This set of images is no longer held in memory. Give it again.", print_exception=False)
        path, cut = made_folder() / "nuclei.zip", cut_of(self.networks, *sliders)
        try:
            save_all(images, self.networks, cut, path, lambda n, of: progress((n, of), unit="files"))
        except ValueError as error:
            raise gr.Error(escape(str(error)), print_exception=False) from None
        if why := QUOTA.take(address(request), path.stat().st_size):
            path.unlink()
            raise gr.Error(why, print_exception=False)
        return str(path)


def changer(index: int, values: dict[str, Any]) -> Callable[[ImageSet], ImageSet]:
    """Gives a set with other values of one item."""
    return lambda images: images.changed(index, **values)
