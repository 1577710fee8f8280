"""Files and zips that a visitor gave -> a set of images, each read once, with what can't be used and why."""

import base64
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import gradio as gr
from PIL import Image

from ..batch.inputs import Inputs, name_results
from ..images.reader import SUPPORTED_EXTENSIONS, ImageError, display_name
from ..output.display import to_display
from . import limits
from .guard import QUOTA
from .image_set import ImageSet, Item
from .inputs import made_folder
from .opened import Picture, Source
from .opening import open_picture
from .state import Analysis
from .unpacking import unpack


def gather(paths: Sequence[str], before: ImageSet | None, visitor: str) -> ImageSet:
    """Read every image once: what can't be used is told by its name, and the rest goes on.

    Args:
        paths: Of files and zips, on the server.
        visitor: Their address, for the quota.
        before: What was shown; images that were in it keep their results.
    """
    folder = made_folder()
    found = unpack(paths, folder, SUPPORTED_EXTENSIONS, limits.SET_IMAGES, limits.SET_BYTES)
    if why := QUOTA.take(visitor, found.nbytes):
        raise gr.Error(why, print_exception=False)
    known = {(item.name, Path(item.path).stat().st_size): item for item in before.items} if before else {}
    items, pixels = [], 0
    names = name_results(Inputs(found.files, folder), {})
    for path in found.files:
        name = path.relative_to(folder).as_posix()
        try:
            picture, _ = open_picture(Source(str(path)), [])
            pixels += picture.size[0] * picture.size[1]
            if pixels > limits.SET_PIXELS:
                raise ImageError(f"{name}: All images together are above {limits.SET_PIXELS / 1e6:.0f} megapixels.")
        except ImageError as error:
            found.refuse(name, str(error).removeprefix(f"{display_name(path)}: ").removeprefix(f"{name}: "))
            continue
        same = known.get((name, path.stat().st_size))
        if same is not None and same.analysis is not None and same.analysis.picture.fingerprint == picture.fingerprint:
            items.append(replace(same, path=str(path), analysis=moved(same.analysis, str(path))))
        else:
            items.append(Item(name, names[path], str(path), thumbnail(picture)))
    return ImageSet(tuple(items), tuple(found.refused))


def moved(analysis: Analysis, path: str) -> Analysis:
    """The same of an image whose file lies elsewhere now."""
    source = replace(analysis.picture.source or Source(path), path=path)
    return replace(analysis, picture=replace(analysis.picture, source=source))


def thumbnail(picture: Picture) -> str:
    """A small JPEG, as a data URL; the middle square."""
    step = max(1, min(picture.size) // (2 * limits.THUMBNAIL_SIDE))
    shown = to_display(picture.pixels[::step, ::step])
    side = min(shown.shape[:2])
    top, left = (shown.shape[0] - side) // 2, (shown.shape[1] - side) // 2
    image = Image.fromarray(shown[top : top + side, left : left + side])
    file = io.BytesIO()
    image.resize((limits.THUMBNAIL_SIDE, limits.THUMBNAIL_SIDE)).save(file, "jpeg", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
