"""A result -> what a visitor should doubt about it, and what they can do about it."""

from html import escape
from typing import NamedTuple

import numpy as np

from ..analysis.figures import DOUBTFUL, saturated
from ..analysis.measurements import pixel_size_doubt
from ..analysis.out_of_domain import Domain, warning
from ..batch.doubts import SATURATED, UNSURE
from ..images.planes import COLOURS
from ..inference.settings import Cut
from .state import Analysis, Table

DRAW = "Choose the tool Diameter, draw a line across one nucleus in the picture, and press Segment."


class Doubt(NamedTuple):
    """What is wrong, in a few words, what that means, and what to do."""

    title: str
    text: str
    advice: str


def doubts(analysis: Analysis, cut: Cut, domain: Domain | None) -> list[Doubt]:
    """What to tell of a result, the gravest first; none of one that is as it should be.

    Args:
        domain: The rule that knows images of nuclei, or `None` where there is none for these networks.
    """
    found = [
        _strange(analysis, domain),
        _stains(analysis),
        _channel(analysis),
        _scale(analysis, cut),
        _pixel_size(analysis, cut),
        _run_again(analysis),
    ]
    found += [_unsure(analysis, cut), _saturation(analysis)]
    return [doubt for doubt in found if doubt is not None]


def as_html(found: list[Doubt]) -> str:
    """For the page, above the pictures; "" without any."""
    items = "".join(f"<li><b>{escape(d.title)}</b> {escape(d.text)} <em>{escape(d.advice)}</em></li>" for d in found)
    return f'<ul class="nm-doubts" role="alert" aria-label="Doubts about this image">{items}</ul>' if found else ""


def doubtful(table: Table) -> np.ndarray:
    """Numbers of the nuclei whose confidence is below `DOUBTFUL`; none where there is no confidence."""
    return table["label"][table["confidence"] < DOUBTFUL] if "confidence" in table else table["label"][:0]


def strangeness(analysis: Analysis, domain: Domain | None) -> str:
    """What `out_of_domain.warning` says of what is cut by default, without mends and however sure it is, or ""."""

    def make() -> str:
        maps, labels = list(analysis.maps.values()), [analysis.processors[k].cut(m) for k, m in analysis.maps.items()]
        return warning(domain, maps, labels, next(iter(analysis.diameters.values()), None)) or ""

    return analysis.remember("strangeness", (), make)


def _strange(analysis: Analysis, domain: Domain | None) -> Doubt | None:
    said = strangeness(analysis, domain)
    if not said:
        return None
    title, text = said.split(". ", 1)
    advice = "If it is one, choose another channel, or set the nuclear diameter with the tool Diameter."
    return Doubt(f"{title}.", text, advice if "channel" not in text else "")


def _stains(analysis: Analysis) -> Doubt | None:
    """What was taken of a merge of stains, by the first network that took one alone."""
    stain = next((maps.stain for maps in analysis.maps.values() if maps.stain is not None), None)
    if stain is None:
        return None
    text = f"Nuclei were looked for in its {COLOURS[stain]} alone, in which they are surest."
    return Doubt("Several stains are merged in this picture.", text, "If they are in another, choose it under Channel.")


def _channel(analysis: Analysis) -> Doubt | None:
    if analysis.surer_channel is None:
        return None
    first, channel = analysis.titles[next(iter(analysis.maps))], analysis.surer_channel + 1
    text = f"The file doesn't say which channel has them. The first was taken; {first} is surer of channel {channel}."
    return Doubt("The nuclei may be in another channel.", text, "Choose it under Channel, and press Segment.")


def _scale(analysis: Analysis, cut: Cut) -> Doubt | None:
    for key, maps in analysis.maps.items():
        if said := maps.diameter.doubt(analysis.found_diameter(key, cut)):
            text = said.removesuffix(" Measure a nucleus in the picture and give its diameter.")
            return Doubt("The scale may be wrong.", text, DRAW)
    return None


def _pixel_size(analysis: Analysis, cut: Cut) -> Doubt | None:
    first = next(iter(analysis.maps))
    said = pixel_size_doubt(analysis.found_diameter(first, cut), analysis.pixel_size)
    return Doubt("The pixel size may be wrong.", said, "Type the right one under Pixel size.") if said else None


def _run_again(analysis: Analysis) -> Doubt | None:
    """The pixel size was changed after the run, where it would have been evidence."""
    if analysis.pixel_size == analysis.run_pixel_size or analysis.settings.diameter:
        return None
    text = "The nuclei are measured with the new one, and were found with the diameter that the old one suggested."
    return Doubt("The pixel size was changed after the run.", text, "Press Segment to look for the diameter again.")


def _unsure(analysis: Analysis, cut: Cut) -> Doubt | None:
    for key in analysis.maps:
        table = analysis.table(key, cut)
        few, n = len(doubtful(table)), len(table["label"])
        if n and few > UNSURE * n:
            text = f"The confidence of {few} of the {n} nuclei of {analysis.titles[key]} is below {DOUBTFUL}."
            advice = "Look at those with a dashed outline, with Next doubtful under the pictures, and mend them."
            return Doubt("Many nuclei are doubtful.", text, advice)
    return None


def _saturation(analysis: Analysis) -> Doubt | None:
    share = analysis.remember("saturated", (), lambda: saturated(analysis.picture.pixels))
    if share <= SATURATED:
        return None
    text = f"{share:.0%} of the pixels are as bright as they can be: their intensities are not to be measured."
    return Doubt("The image is saturated.", text, "Expose shorter where intensities matter.")
