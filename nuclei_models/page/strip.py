"""A set of images -> what the strip and its buttons show."""

from typing import Any

import gradio as gr

from ..inference.settings import Cut
from .choosing import EMPTY
from .image_set import ImageSet
from .inputs import defaults
from .networks import Networks


def strip(
    networks: Networks,
    key: str,
    images: ImageSet,
    running: int | None = None,
    cut: Cut = Cut(),  # noqa: B008 - it is frozen
    at: int | None = None,
    whole: bool = False,
) -> Any:
    """What `static/strip.js` shows.

    Args:
        running: Which image is worked on.
        at: Which is opened, if that is new.
        whole: Whether to send the thumbnails.
    """
    items = [
        {
            "name": item.name,
            "token": item.token,
            "image": item.analysis.picture.fingerprint if item.analysis else "",
            "counts": [item.analysis.count(key, cut) for key in item.analysis.maps] if item.analysis else [],
            "error": item.error,
            "doubt": item.doubt,
        }
        for item in images.items
    ]
    value: dict[str, Any] = {"of": key, "cut": list(defaults(networks).values()), "items": items}
    titles = next((list(item.analysis.titles.values()) for item in images.items if item.analysis), [])
    value |= {"titles": titles, "refused": images.refused, "at": at, "running": running}
    return gr.HTML(value=value, thumbs=[item.thumbnail for item in images.items]) if whole else gr.HTML(value=value)


def buttons(images: ImageSet) -> tuple:
    """-> values of the buttons that run and save all."""
    n = len(images.items)
    text = "1 image" if n == 1 else f"all {n} images"
    this = gr.update(value="Only this", variant="secondary")
    return this, gr.update(value=f"Segment {text}", visible=True), gr.update(visible=True)


def no_set() -> tuple:
    """-> set, strip, its buttons: where one image or none is shown."""
    this, hidden = gr.update(value="Segment", variant="primary"), gr.update(visible=False)
    return "", gr.HTML(value=EMPTY, thumbs=[]), this, hidden, hidden
