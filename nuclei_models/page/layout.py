"""The components of the page, and which event calls which handler."""

from collections.abc import Callable
from html import escape
from importlib.resources import files as resources
from types import SimpleNamespace
from typing import Any

import gradio as gr

from ..images.reader import SUPPORTED_EXTENSIONS
from ..inference.bundled import DEFAULT_KEY, TITLES
from . import limits
from .api import Api
from .choosing import EMPTY, session_of
from .cleaning import keep_clean
from .examples import Example, find_examples
from .files import BOTH, KINDS, README
from .guard import MIDDLEWARE
from .handlers import Page
from .inputs import defaults, slider_infos
from .levels import WHOLE, choices, explained
from .networks import STANDARD, Networks
from .unpacking import ZIP
from .wiring import connect, public

VIEWER = (
    "geometry",
    "strokes",
    "paint",
    "tools",
    "main",
    "bars",
    "scene",
    "teach",
    "mend",
)  # files of static/viewer/, joined in this order
STATIC = resources("nuclei_models.page") / "static"


def asset(name: str) -> str:
    """The text of a file in static/."""
    return (STATIC / name).read_text(encoding="utf-8")


def viewer_function(page: Page) -> Callable[[object], dict]:
    """What the viewer calls as `server.viewer`."""

    def viewer(request: object) -> dict:
        return page.desk.answer(request)

    return viewer


def build(networks: Networks, examples: list[Example] | None = None) -> gr.Blocks:
    """The page.

    Args:
        networks: Both, loaded.
        examples: For the gallery; by default those in `examples/`.
    """
    examples = find_examples() if examples is None else examples
    page = Page(networks, examples)
    with gr.Blocks(
        title="Find cell nuclei: U-Net and U-Net++", fill_width=True, delete_cache=limits.CACHE_SECONDS
    ) as blocks:
        gr.Markdown("# Find cell nuclei\nU-Net and U-Net++ side by side, on your own microscopy image.")
        c = SimpleNamespace()
        # keys of what the page shows and asks; sent with every event, so that all its values are of one moment
        names = ("source", "picture", "question", "made", "result", "images", "set_question", "arrived")
        for name in names:
            setattr(c, name, gr.Textbox("", visible=False))
        c.number = gr.Number(0, visible=False)
        with gr.Row(elem_id="main"):
            with gr.Column(scale=1, min_width=280):
                input_column(c, networks, examples)
            with gr.Column(scale=4, min_width=300):
                result_column(c, networks, page)
        connect(blocks, c, page)
        # an empty number is drawn as 0 at first
        blocks.load(None, None, [c.pixel_size, c.diameter], js="() => [null, null]", api_visibility="private")
        blocks.unload(page.left)
        public(Api(networks, lambda request: page.visitors.call(session_of(request))))
    blocks.temp_file_sets.append(page.several.unpacked)
    blocks.queue(max_size=limits.QUEUE)
    blocks.page = page
    return blocks


def input_column(c: SimpleNamespace, networks: Networks, examples: list[Example]) -> None:
    """Choosing an image and how the networks run on it."""
    c.file = gr.File(
        label="Your image, several, or a zip of them",
        file_types=[*SUPPORTED_EXTENSIONS, ZIP],
        file_count="multiple",
        type="filepath",
        height=160,
        elem_id="file",
    )
    c.series = gr.Dropdown(choices=[("", 0)], value=0, label="Image in the file", visible=False, elem_id="series")
    c.channel = gr.Dropdown(choices=[("1", 0)], value=0, label="Channel", visible=False, elem_id="channel")
    c.z = gr.Slider(1, 2, 1, step=1, label="Z plane", visible=False, elem_id="z")
    c.t = gr.Slider(1, 2, 1, step=1, label="Time point", visible=False, elem_id="t")
    c.note = gr.HTML(limits.beyond(), elem_id="note")
    c.pixel_size = gr.Number(
        None,
        label="Pixel size (µm)",
        info="Taken from the file where it says so. It helps to find the nuclear diameter.",
        minimum=0,
        elem_id="pixel-size",
    )
    with gr.Row():
        c.run = gr.Button("Segment", variant="primary", min_width=100, elem_id="run")
        c.cancel = gr.Button("Cancel", min_width=100, elem_id="cancel")
    c.run_all = gr.Button("Segment all", variant="primary", visible=False, elem_id="run-all")
    c.status = gr.Markdown(elem_id="status")
    with gr.Accordion("Settings of the run", open=False, elem_id="settings"):
        c.diameter = gr.Number(
            None, label="Typical nuclear diameter (pixels)", info="Empty: automatic.", minimum=0, elem_id="diameter"
        )
        # or once one is trained
        several: dict[str, Any] = {"visible": len(networks.by_key) > len(STANDARD)}
        c.first = gr.Dropdown(networks.choices(), value=STANDARD[0], label="Compare", elem_id="compare", **several)
        c.second = gr.Dropdown(networks.choices(), value=STANDARD[1], label="With", elem_id="with", **several)
        levels = networks["unetpp"].levels
        c.level = gr.Dropdown(
            choices=choices(levels, networks.measured) if levels else [WHOLE],
            value=WHOLE,
            label="Size of U-Net++",
            info=explained(networks.measured),
            visible=bool(levels),
            elem_id="level",
        )
        c.tta = gr.Checkbox(
            False,
            label="Test-time augmentation",
            info="The mean over 8 turned and mirrored views: a little more exact, 8 times slower.",
            elem_id="tta",
        )
    c.gallery = gr.HTML(html_template=gallery(examples), js_on_load=asset("examples.js"), elem_id="examples")
    with gr.Accordion("How it works, and when not to trust it", open=False, elem_id="help"):
        gr.Markdown(f"{asset('help.md')}\n{limits.told()}")


def result_column(c: SimpleNamespace, networks: Networks, page: Page) -> None:
    """What was found: pictures, live controls, numbers, files."""
    c.strip = gr.HTML(
        value=EMPTY,
        html_template='<div class="nm-strip"></div>',
        js_on_load=asset("strip.js"),
        server_functions=[viewer_function(page)],
        thumbs=[],
        elem_id="strip",
    )
    c.save_all = gr.Button("Download all results with a report (zip)", size="sm", visible=False, elem_id="save-all")
    c.saved = gr.DownloadButton(
        "Save", visible="hidden", elem_id="saved"
    )  # in no tab, for what a tab holds is made when it is opened
    c.doubts = gr.HTML(elem_id="doubts")
    c.viewer = gr.HTML(
        value=EMPTY,
        html_template='<div class="nm-viewer"></div>',
        js_on_load="\n".join(asset(f"viewer/{part}.js") for part in VIEWER),
        server_functions=[viewer_function(page)],
        bases={},
        numbers="",
        mark=None,
        of="",
        training="",
        elem_id="viewer",
        min_height=40,
    )
    with gr.Row():
        c.lesson = gr.HTML(elem_id="lesson")
        c.stop = gr.Button("Stop training", size="sm", visible=False, elem_id="stop-training")
    c.picked = gr.Markdown(elem_id="picked")
    live_controls(c, networks)
    with gr.Tabs(elem_id="results"):
        with gr.Tab("Numbers"), gr.Row():
            c.summary = gr.HTML(min_width=300, elem_id="summary")
            c.histogram = gr.HTML(min_width=300, elem_id="histogram")
        with gr.Tab("Every nucleus"):
            c.table = gr.HTML(
                value=EMPTY,
                html_template='<div class="nm-table"></div>',
                js_on_load=asset("table.js"),
                mark=None,
                elem_id="table",
            )
        with gr.Tab("Download"):
            downloads(c)


def live_controls(c: SimpleNamespace, networks: Networks) -> None:
    """Controls that never run a network."""
    fitted, infos = defaults(networks), slider_infos(network.processor for network in networks)

    with gr.Group(elem_id="live"), gr.Row():
        c.threshold = gr.Slider(
            0.02, 0.98, fitted["threshold"], step=0.01, label="Probability threshold", elem_id="threshold",
            info=infos["threshold"],
        )  # fmt: skip
        c.separation = gr.Slider(
            0.02, 0.98, fitted["separation"], step=0.01, label="Separation of touching", elem_id="separation",
            info=infos["separation"],
        )  # fmt: skip
        c.min_area = gr.Slider(
            0, 500, fitted["min_area"], step=1, label="Minimum area (pixels)", elem_id="min-area",
            info="Smaller nuclei are dropped. By default the fitted value is used, a larger one for large nuclei.",
        )  # fmt: skip
        c.least_confidence = gr.Slider(
            0, 0.95, fitted["least_confidence"], step=0.01, label="Least confidence", elem_id="least-confidence",
            info=infos["least_confidence"],
            visible=any(n.processor.confidence_model is not None for n in networks),
        )  # fmt: skip


def downloads(c: SimpleNamespace) -> None:
    """One click for everything, or a file at a time."""
    c.download = gr.Button("Download everything (zip)", variant="primary", elem_id="download-all")
    sources = [*((title, key) for key, title in TITLES.items()), ("What both agree on", BOTH)]
    c.network = gr.Radio(sources, value=DEFAULT_KEY, label="Or single files of", elem_id="of-network")
    with gr.Row(elem_id="singles"):
        c.singles = {
            kind: gr.Button(text, size="sm", min_width=200, elem_id=f"download-{kind.split('.')[0]}")
            for kind, text in KINDS.items()
        }
        c.singles[README] = gr.Button("README (text)", size="sm", min_width=200, elem_id="download-readme")


def gallery(examples: list[Example]) -> str:
    """Thumbnails as buttons, HTML."""
    buttons = "".join(
        f'<button type="button" class="nm-example" data-index="{i}" aria-label="Segment the example {escape(e.title)}">'
        f'<img src="{e.thumbnail()}" alt=""><span>{escape(e.title)}</span></button>'
        for i, e in enumerate(examples)
    )
    return f'<p><b>Or click an example</b></p><div class="nm-examples">{buttons}</div>' if examples else ""


STREAM = f"<script>{asset('stream.js')}</script>"  # before Gradio's own scripts


def launch(blocks: gr.Blocks, **changes):
    """Open the page. `changes` go to Gradio's `launch` over the settings here."""
    settings: dict[str, Any] = {
        "theme": gr.themes.Default(primary_hue="blue", text_size="md").set(body_text_color_subdued="*neutral_500"),
        "css": asset("page.css"),
        "head": STREAM,
        "max_file_size": limits.MAX_FILE_BYTES,
        "app_kwargs": {"middleware": MIDDLEWARE},
        "show_error": False,
        "ssr_mode": False,
        "run_history": False,
        "enable_monitoring": False,
        "state_session_capacity": limits.SESSIONS,
        "footer_links": ["api"],
    }
    keep_clean(blocks)
    return blocks.launch(**settings | changes)
