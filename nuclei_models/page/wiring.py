"""Which event of the page calls which handler."""

from types import SimpleNamespace
from typing import Any

import gradio as gr

from ..inference.bundled import DEFAULT_KEY
from .api import Api
from .choosing import SKIP, Opened
from .classroom import Classroom
from .handlers import Page
from .waiting import leaver

# the first value of an event becomes its number: what was sent before it is answered after it in vain
NUMBER = "(number, ...values) => [window.nmNumber = (window.nmNumber || 0) + 1, ...values]"
# the viewer asks for other nuclei itself, which is faster than an event, and tells of them as of a mend
SLIDE = "(...sliders) => { document.querySelector('.nm-viewer')?.desk?.slide(sliders) }"
CLICK = "() => document.querySelector('#{}').click()"


def connect(blocks: gr.Blocks, c: SimpleNamespace, page: Page) -> None:
    """Events to handlers. All are private; the public endpoint is `public`."""
    choose, private = page.chooser, {"api_visibility": "private"}
    quiet = {"show_progress": "hidden", **private}
    opened = list(Opened(**{name: getattr(c, name) for name in Opened._fields}))
    sliders = [c.threshold, c.separation, c.min_area, c.least_confidence]
    controls = [*sliders, c.pixel_size]
    shown = [c.number, c.result, *controls]
    fitted = [c.threshold, c.separation, c.least_confidence]
    counted = [c.summary, c.histogram, c.table, c.picked, c.doubts]
    settings = [c.number, c.diameter, c.level, c.tta, c.pixel_size, c.picture, c.first, c.second]

    # a new image, or another plane
    several, the_set = page.several, [c.images, c.strip, c.run, c.run_all, c.save_all]
    given = [c.file.upload, c.file.clear, c.file.delete]
    shown_of_it = [c.file, *opened, *the_set]
    # "multiple", as a file that is given while the box is still being cleared counts, too
    gr.on(given, several.uploaded, [c.number, c.file], shown_of_it, js=NUMBER, trigger_mode="multiple", **quiet)
    c.series.input(choose.series_chosen, [c.number, c.source, c.series], opened, js=NUMBER, **quiet)
    gr.on(
        [c.channel.input, c.z.input, c.t.input], choose.plane_chosen,
        [c.number, c.source, c.channel, c.z, c.t], opened, js=NUMBER, trigger_mode="always_last", **quiet,
    )  # fmt: skip
    tried = c.gallery.select(several.example_chosen, c.number, shown_of_it, js=NUMBER, **quiet)

    # a run: what is asked is settled at once, and waits for its turn
    runs = []
    for asked in (c.run.click(page.ask, settings, [c.question, c.status], js=NUMBER, **quiet),
                  tried.success(page.ask, settings, [c.question, c.status], js=NUMBER, **quiet)):  # fmt: skip
        net = {"concurrency_limit": 1, "concurrency_id": "net", "show_progress_on": [c.status], **private}
        run = asked.success(page.analyse, c.question, [c.made, c.status], trigger_mode="multiple", **net)
        made = [c.number, c.made, *controls]
        seen = run.success(page.show, made, [c.result, c.viewer, *counted], js=NUMBER, trigger_mode="multiple", **quiet)
        seen.success(page.count, shown, [*counted, c.viewer], js=NUMBER, trigger_mode="multiple", **quiet)
        seen.success(page.fitted, c.result, fitted, **quiet)
        run.success(several.strip_now, sliders, c.strip, **quiet)
        runs.append(run)
    connect_set(blocks, c, page, opened, settings, made, counted)
    connect_lessons(blocks, c, page)
    c.cancel.click(page.cancel, c.number, c.status, js=NUMBER, queue=False, **private)
    page.visitors.leave_queue = leaver(blocks, [run["id"] for run in runs], ["", SKIP])

    live = {"trigger_mode": "always_last", "concurrency_limit": 2, **quiet}
    gr.on([slider.change for slider in sliders], None, sliders, None, js=SLIDE, **private)
    gr.on([c.viewer.edit, c.strip.edit], several.strip_now, sliders, c.strip, **live)
    gr.on([c.pixel_size.change, c.viewer.edit], page.count, shown, [*counted, c.viewer], js=NUMBER, **live)
    picked = [c.viewer, c.table, c.picked]
    gr.on([c.viewer.select, c.table.select], page.pick, shown, picked, js=NUMBER, **quiet)
    c.viewer.submit(page.diameter, None, c.diameter, **quiet)

    def saver(kind: str | None):
        def save(request: gr.Request, *values):
            return page.file(request, kind, *values)

        return save

    for button, kind in [(c.download, None), *((b, k) for k, b in c.singles.items())]:
        made = button.click(saver(kind), [c.result, c.network, *controls], c.saved, **private)
        made.success(None, None, None, js=CLICK.format("saved"), **private)


def connect_set(
    blocks: gr.Blocks, c: SimpleNamespace, page: Page, opened: list, settings: list, made: list, counted: list
) -> None:
    """Events of several images: opening one, running all, saving all."""
    several, private = page.several, {"api_visibility": "private"}
    quiet = {"show_progress": "hidden", **private}
    chosen = c.strip.select(several.item_chosen, [c.number, c.images], [*opened, c.made], js=NUMBER, **quiet)
    arrived = [c.number, c.arrived, *made[2:]]
    for event, asked in ((chosen.success, made), (c.arrived.change, arrived)):
        seen = event(page.show, asked, [c.result, c.viewer, *counted], js=NUMBER, trigger_mode="multiple", **quiet)
        counts = [c.number, c.result, *made[2:]]
        seen.success(page.count, counts, [*counted, c.viewer], js=NUMBER, trigger_mode="multiple", **quiet)
        seen.success(page.fitted, c.result, [c.threshold, c.separation, c.least_confidence], **quiet)
    asked = c.run_all.click(several.ask, [*settings, c.images], [c.set_question, c.status], js=NUMBER, **quiet)
    run = asked.success(
        several.analyse,
        [c.set_question, *made[2:-1]],
        [c.strip, c.arrived, c.status],
        trigger_mode="multiple",
        concurrency_limit=1,
        concurrency_id="sets",
        show_progress="minimal",
        show_progress_on=[c.status],
        **private,
    )
    page.visitors.leave_set_queue = leaver(blocks, [run["id"]], [SKIP, SKIP, SKIP])
    saved = c.save_all.click(several.save, made[2:-1], c.saved, **private)
    saved.success(None, None, None, js=CLICK.format("saved"), **private)


def connect_lessons(blocks: gr.Blocks, c: SimpleNamespace, page: Page) -> None:
    """Events of a training, and of the networks that come of it."""
    lessons = Classroom(page.lessons)
    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    seen = [c.lesson, c.stop, c.first, c.second, c.network]
    begun = c.viewer.upload(lessons.train, None, seen, concurrency_limit=4, concurrency_id="lesson", **private)
    begun.failure(lambda: gr.update(visible=False), None, c.stop, **private)
    blocks.load(lessons.offered, None, c.viewer, **private)
    blocks.load(lessons.go_on, None, seen, concurrency_limit=4, concurrency_id="lesson", **private)
    c.stop.click(lessons.stop, None, None, queue=False, **private)
    chosen = [c.first.input, c.second.input]  # by the visitor: what a training chooses it tells of itself
    gr.on(chosen, lessons.to_download, [c.first, c.second], c.network, trigger_mode="always_last", **private)


def public(api: Api) -> None:
    """The endpoint `segment`, on components that nobody sees."""
    with gr.Column(visible=False):
        inputs = [
            gr.File(label="image"),
            gr.Dropdown(list(api.networks.by_key), value=DEFAULT_KEY, label="network"),
            *(gr.Number(None, label=name) for name in ("threshold", "separation", "min_area", "diameter")),
            gr.Checkbox(False, label="tta"),
            *(gr.Number(None, label=name, precision=0) for name in ("z", "t", "channel", "series")),
            gr.Number(None, label="least_confidence"),
        ]
        outputs = [gr.File(label="labels"), gr.JSON(label="facts")]
        gr.Button("segment").click(
            api.segment, inputs, outputs, api_name="segment", concurrency_limit=1, concurrency_id="net"
        )
