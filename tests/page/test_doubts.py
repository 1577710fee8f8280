"""What a visitor is told to doubt, and a typed pixel size as evidence for the diameter."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from nuclei_models.inference.segmentation import nuclear_diameter
from nuclei_models.inference.settings import Cut, RunSettings
from nuclei_models.model.scale import Diameter
from nuclei_models.page.doubts import as_html, doubtful, doubts
from nuclei_models.page.files import make_readme
from nuclei_models.page.handlers import Page
from nuclei_models.page.opened import Picture, Source
from nuclei_models.page.state import Analysis
from tests.support.page import as_type, blobs

REQUEST = SimpleNamespace(session_hash="visitor", client=None)
PIXELS = as_type(blobs(96, 96), np.uint16)


def titles(analysis: Analysis) -> list[str]:
    return [doubt.title for doubt in doubts(analysis, Cut(), None)]


@pytest.fixture
def page(nets) -> Page:
    return Page(nets, [])


def test_another_channel_that_the_network_is_surer_of_is_told(page, nets, monkeypatch):
    looks = []
    monkeypatch.setattr(nets, "find_channel", lambda key, *where: looks.append(key) or (2, "said"))
    shown = Picture("cells", PIXELS, source=Source("cells.tif"), channels=(0,), is_default=True)
    told = page.run(shown, RunSettings(24.0), None, None)
    assert told.surer_channel == page.run(shown, RunSettings(30.0), None, None).surer_channel == 2
    assert looks == ["unet"]  # the same image is looked at once
    [doubt] = [doubt for doubt in doubts(told, Cut(), None) if "channel" in doubt.title]
    assert "channel 3" in doubt.text and "Channel" in doubt.advice
    for other in (replace(shown, is_default=False), replace(shown, channels=(2,)), replace(shown, source=None)):
        assert page.run(other, RunSettings(24.0), None, None).surer_channel is None


def test_a_pixel_size_that_is_typed_is_evidence_as_one_in_the_file_is(page, nets, monkeypatch):
    """The question carries it to the networks, unless it was typed for another image."""
    seen, predict = [], nets.predict

    def watched(key, pixels, settings, progress=None, check=None, pixel_size=None):
        seen.append(pixel_size)
        return predict(key, pixels, settings, progress, check, pixel_size)

    monkeypatch.setattr(nets, "predict", watched)
    key = page.store.put(Picture("cells", PIXELS, (0.25, 0.25)))
    page.visitors._visitor("visitor").picture = key
    for number, (typed, about, wanted) in enumerate(
        [(0.5, key, (0.5, 0.5)), (0.25, key, (0.25, 0.25)), (None, key, None), (0.5, "another", (0.25, 0.25))], 1
    ):
        seen.clear()
        question, _ = page.ask(REQUEST, number, None, None, False, typed, about)
        result, _ = page.analyse(REQUEST, question, None)
        assert seen == [wanted] * 2, (typed, about)
        analysis = page.store.get(result)
        assert analysis.run_pixel_size == analysis.pixel_size == wanted
    readme = make_readme(page.store.get(result), nets, Cut()).decode()
    assert "pixel size given as evidence for it (y, x), micrometres: 0.25, 0.25" in readme


def test_the_pixel_size_moves_the_diameter_that_is_assumed(nets):
    """So that the test above is about something."""
    network = nets["unet"]
    found = [nuclear_diameter(PIXELS, network.model, network.processor, size).trust for size in (None, (40.0, 40.0))]
    assert found[0] != found[1] or network.processor.diameter_estimator is None


def test_a_pixel_size_changed_after_the_run_is_told(page):
    analysis = page.run(Picture("cells", PIXELS), RunSettings(), None, None)
    assert "The pixel size was changed after the run." not in titles(analysis)
    assert "The pixel size was changed after the run." in titles(analysis.measured((0.3, 0.3)))
    given = page.run(Picture("cells", PIXELS), RunSettings(diameter=20), None, None)
    assert "The pixel size was changed after the run." not in titles(given.measured((0.3, 0.3)))


def test_doubts_of_scale_pixel_size_and_saturation_say_what_to_do(page):
    pixels = PIXELS.copy()
    pixels[:4] = np.iinfo(np.uint16).max
    analysis = page.run(Picture("cells", pixels, (40.0, 40.0)), RunSettings(diameter=80), None, None, (40.0, 40.0))
    found = doubts(analysis, Cut(), None)
    assert [d.title for d in found] == [
        "The scale may be wrong.", "The pixel size may be wrong.", "The image is saturated.",
    ]  # fmt: skip
    assert "about 80 px across were given; those found are" in found[0].text
    assert all(d.advice for d in found) and "Diameter" in found[0].advice
    assert as_html([]) == "" and as_html(found).count("<li>") == 3
    assert Diameter(80.0, given=True).doubt(20.0).endswith(" Measure a nucleus in the picture and give its diameter.")


def test_doubtful_nuclei_are_counted(page, monkeypatch):
    analysis = page.run(Picture("cells", PIXELS), RunSettings(diameter=20), None, None)
    table = analysis.table("unet", Cut())
    assert len(doubtful(table)) == 0 and "confidence" not in table
    n = len(table["label"])
    sure = np.linspace(0.2, 1, n)
    monkeypatch.setattr(type(analysis), "table", lambda *_, **__: table | {"confidence": sure})
    few = int((sure < 0.5).sum())
    assert len(doubtful(analysis.table("unet", Cut()))) == few > 0
    (doubt,) = [d for d in doubts(analysis, Cut(), None) if d.title == "Many nuclei are doubtful."]
    assert f"{few} of the {n} nuclei of U-Net" in doubt.text
