"""What a visitor gave -> typed settings, sentences about an image, and a sentence about what is wrong with it."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder

from ..images.reader import ImageError, ImageInfo, MicroscopyImage
from ..inference.settings import Cut, RunSettings
from ..model.processing import NucleiProcessing
from .guard import QUOTA
from .levels import WHOLE
from .limits import COMMAND, MAX_PIXELS, SLOW_PIXELS
from .networks import Networks

STEPS = {"threshold": 0.01, "separation": 0.01, "min_area": 1.0, "least_confidence": 0.01}
FITTED = {
    "threshold": "Higher: fewer and smaller nuclei.",
    "separation": "Higher: more cuts between nuclei that touch.",
    "least_confidence": "Nuclei below it are left out; 0 keeps all.",
}


def defaults(networks: Networks) -> dict[str, float]:
    """Where the sliders of `Cut` stand for "as fitted": the middle of both networks', on the sliders' steps."""
    return {
        name: round(round(sum(getattr(n.processor, name) for n in networks) / 2 / step) * step, 2)
        for name, step in STEPS.items()
    }


def slider_infos(processors: Iterable[NucleiProcessing]) -> dict[str, str]:
    """What is said below the sliders for `FITTED`, with the values of the networks that are shown."""
    shown = list(processors)
    infos = {}
    for name, what in FITTED.items():
        values = list(dict.fromkeys(f"{getattr(one, name):.2f}" for one in shown))
        own = "each network uses its own fitted value" if len(values) > 1 else "the networks use the fitted value"
        infos[name] = f"{what} By default {own}: {' and '.join(values)}."
    return infos


def cut_of(
    networks: Networks, threshold: float, separation: float, min_area: float, least_confidence: float | None = None
) -> Cut:
    """A slider that stands at its default leaves each network its own fitted setting."""
    given = {"threshold": threshold, "separation": separation, "min_area": min_area}
    if least_confidence is not None:
        given["least_confidence"] = least_confidence
    fitted = defaults(networks)
    return Cut(
        **{name: None if abs(value - fitted[name]) < STEPS[name] / 2 else value for name, value in given.items()}
    )


def run_settings(diameter: float | None, level: str | None, tta: bool) -> RunSettings:
    """Raises gr.Error for a diameter that is none."""
    if diameter is not None and diameter < 0:
        raise gr.Error("The nuclear diameter must be above 0 pixels; empty it for automatic.", print_exception=False)
    chosen = int(level[1]) if level and level != WHOLE else None
    return RunSettings(diameter or None, bool(tta), chosen)


def pair_of(networks: Networks, first: str | None, second: str | None) -> tuple[str, str]:
    """Keys of two networks to compare. Raises gr.Error where they are no two."""
    try:
        return networks.pair(first, second)
    except ValueError as error:
        raise gr.Error(str(error), print_exception=False) from None


def pixel_size_shown(stored: tuple[float, float] | None) -> float | None:
    """What the box of the pixel size says of the size in the file: its width, micrometres, to six digits."""
    return None if stored is None else float(f"{stored[1]:.6g}")


def pixel_size_of(typed: float | None, stored: tuple[float, float] | None) -> tuple[float, float] | None:
    """The pixel size as typed (square pixels); as stored in the file where the box still says that."""
    if not typed or typed <= 0:
        return None
    return stored if typed == pixel_size_shown(stored) else (typed, typed)


def too_large(info: ImageInfo) -> str | None:
    """What is to be said of an image too large for the page, as plain text; `None` of any other."""
    if info.width * info.height <= MAX_PIXELS:
        return None
    return (
        f"{info.name} is {info.width} x {info.height} pixels. This page takes up to {MAX_PIXELS / 1e6:.0f} megapixels. "
        f"Cut out a part, or segment it whole on your own computer: {COMMAND}"
    )


def note_of(image: MicroscopyImage) -> tuple[str, ...]:
    """What was read, which plane is shown, and what the reader has to say about it: sentences of plain text."""
    height, width = image.pixels.shape[:2]
    colour = " RGB" if image.pixels.ndim == 3 else ""
    lines = [f"{image.format}, {width} x {height} pixels, {image.pixels.dtype}{colour}."]
    shown = [f"{name} {image.plane[axis] + 1} of {image.sizes[axis]}" for axis, name in AXES if image.sizes[axis] > 1]
    if image.sizes["C"] > 1 and image.pixels.ndim == 2:
        named = f" ({image.channel_names[0]})" if image.channel_names and image.channel_names[0] else ""
        shown.append(f"channel {image.channels[0] + 1}{named} of {image.sizes['C']}")
    if shown:
        lines.append("Shown and segmented: " + ", ".join(shown) + ".")
    lines += [note for note in image.notes if not note.rstrip(".").endswith("is used")]
    if width * height > SLOW_PIXELS:
        lines.append("This is a large image: it will take a while, and can be cancelled.")
    return tuple(lines)


def as_html(lines: Iterable[str]) -> str:
    """Sentences of plain text, some of it from a file, a line each. Nothing in them is taken for markup."""
    return "<br>".join(escape(line) for line in lines)


AXES = (("Z", "Z plane"), ("T", "time point"))


@contextmanager
def told() -> Iterator[None]:
    """An unreadable image, said on the page."""
    try:
        yield
    except ImageError as error:
        raise gr.Error(escape(str(error)), title="This image can't be used", print_exception=False) from error


def written(name: str, data: bytes, request: gr.Request | None = None) -> str:
    """A file in a folder of its own, so that it keeps its name; in Gradio's cache, which is emptied. It counts for the
    visitor whose request it is."""
    if why := QUOTA.take(address(request), len(data)):
        raise gr.Error(why, print_exception=False)
    path = made_folder() / name
    path.write_bytes(data)
    return str(path)


def made_folder() -> Path:
    """A new folder in Gradio's cache."""
    cache = Path(get_upload_folder())
    cache.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="nuclei-", dir=cache))


def address(request: gr.Request | None) -> str:
    """Of the visitor whose request it is, for `QUOTA`; "" where it isn't known."""
    client = getattr(request, "client", None)
    return client.host if client else ""
