"""The report of a run: what is doubtful and why, what stands in it, and that nothing in a file's name or text acts."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from nuclei_models.analysis.figures import histogram, saturated
from nuclei_models.batch.doubts import doubts
from nuclei_models.batch.records import Record, picture_path
from nuclei_models.batch.report import SHOWN, report
from nuclei_models.output.overlay import thumbnail

GOOD = {
    "nuclei": 100,
    "left_out": {},
    "median_diameter_px": 20.0,
    "median_intensity": 900.0,
    "mean_confidence": 0.9,
    "doubtful": 5,
    "at_edge": 10,
    "saturated": 0.0,
    "diameter_assumed_px": 21.0,
    "histograms": {"diameter_px": {"17": 60, "18": 40}, "mean_intensity": {"39": 100}},
    "notes": [],
}


def record(name: str, **facts) -> Record:
    return Record(name, f"/images/{name}.tif", 1, 1, "", {}, {}, GOOD | facts)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, None),
        ({"nuclei": 0}, "No nuclei"),
        ({"doubtful": 40}, "Confidence: that of 40 of 100 nuclei"),
        ({"median_diameter_px": 40.0}, "nuclei of 21 pixels were assumed, and of 40 were found"),
        ({"diameter_doubtful": True}, "nothing in the picture confirms"),
        ({"at_edge": 60}, "Edge: 60 of 100"),
        ({"saturated": 0.2}, "Saturation: 20%"),
        ({"doubtful": None, "diameter_assumed_px": None}, None),
    ],
)
def test_why_an_image_is_doubtful(facts, words):
    [said] = doubts([record("x", **facts)]).values()
    assert (said == []) if words is None else (len(said) == 1 and words in said[0])


def test_outliers_are_those_of_their_own_folder():
    dense = [record(f"dense/{n}", nuclei=1000 + n) for n in range(6)]
    sparse = [record(f"sparse/{n}", nuclei=100 + n) for n in range(6)]
    assert not any(doubts([*dense, *sparse]).values())
    said = doubts([*dense, *sparse, record("sparse/odd", nuclei=1000)])
    assert [name for name, sentences in said.items() if sentences] == ["sparse/odd"]
    assert "number of nuclei, 1000, is far above" in said["sparse/odd"][0]


class Page(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def made(tmp_path: Path, records: list[Record], failures=()) -> Page:
    for one in records:
        path = picture_path(tmp_path, one.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(thumbnail(np.zeros((30, 40), np.uint8), np.zeros((30, 40), np.int32)))
    facts = {"Last run": {"command": "nuclei segment <b>", "nothing": None}}
    return Page(report(records, failures, facts, tmp_path).decode())


def test_it_shows_the_doubtful_first_and_says_why(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "2_overlay.png").touch()
    records = [
        record("a/1"),
        record("a/2", saturated=0.5, left_out={"exclude_edge": 7}),
        record("b/3", notes=["12 Z planes."]),
    ]
    page = made(tmp_path, records, [("c/4.tif", "It is empty.")])
    names = re.findall(r"\b[ab]/\d\b", page.text[page.text.index("Images") : page.text.index("Folders")])
    assert names == ["a/2", "a/1", "b/3"]
    for text in (
        "300 nuclei in 3 images",
        "left out 7 more",
        "1 could not be",
        "It is empty.",
        "Saturation: 50%",
        "12 Z",
    ):
        assert text in page.text
    assert [attrs["href"] for tag, attrs in page.tags if tag == "a"] == ["a/2_overlay.png"]
    assert sum(tag == "svg" for tag, _ in page.tags) == 3 * 3  # all images, and two folders
    marked = [attrs for tag, attrs in page.tags if tag == "rect" and attrs.get("class") == "doubtful"]
    assert len(marked) == 2  # the doubtful image's bars, of all images and of its folder


def test_text_from_files_is_text(tmp_path):
    bad = "<img src=x onerror=alert(1)>"
    page = made(tmp_path, [record('"><script>alert(1)<', notes=[bad])], [(bad, "<script>")])
    assert not [tag for tag, _ in page.tags if tag == "script"]
    assert all("onerror" not in attrs for _, attrs in page.tags)
    assert page.text.count(bad) == 2 and "nuclei segment <b>" in page.text


def test_it_is_one_file(tmp_path):
    page = made(tmp_path, [record("x")])
    for _, attrs in page.tags:
        for name in ("src", "href", "srcset", "data"):
            assert attrs.get(name, "data:").startswith("data:")


def test_of_many_images_some_are_shown(tmp_path):
    page = made(tmp_path, [record(f"{n:04}", at_edge=100 * (n == 300)) for n in range(SHOWN + 150)])
    assert "150 more images are not shown" in page.text
    assert sum(tag == "img" for tag, _ in page.tags) == SHOWN
    assert page.text.index("0300", page.text.index("Images")) < page.text.index("0000", page.text.index("Images"))


def test_of_nothing(tmp_path):
    assert "0 nuclei in 0 images" in made(tmp_path, []).text


def test_histograms_add_up_over_images():
    values = np.array([1.0, 1.1, 2.0, 900.0, np.nan, 0.0])
    assert histogram(values) == {"0": 2, "4": 1, "39": 1}


def test_saturation_is_that_of_the_worst_colour():
    image = np.zeros((10, 10, 4), np.uint8)
    image[..., 3] = 255
    image[:2, :, 1] = 255
    assert saturated(image) == 0.2 and saturated(image.astype(np.float32)) == 0
