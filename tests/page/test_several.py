"""Several images without a browser: zips that are unpacked or refused, the set's run, and its zip."""

import csv
import io
import stat
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from nuclei_models.analysis.edits import Edit
from nuclei_models.images.reader import SUPPORTED_EXTENSIONS
from nuclei_models.inference.segmentation import segment
from nuclei_models.page import limits
from nuclei_models.page.choosing import SKIP, Opened
from nuclei_models.page.examples import Example
from nuclei_models.page.handlers import Page
from nuclei_models.page.inputs import defaults
from nuclei_models.page.networks import Networks
from nuclei_models.page.unpacking import Unpacked, unpack
from tests.support.page import as_type, blobs, tiff

REQUEST = SimpleNamespace(session_hash="visitor", client=None)
IMAGES = {name: as_type(blobs(64, 64 + 16 * seed, seed=seed), np.uint16) for seed, name in enumerate("abc")}
DAMAGED = "It is damaged: zip it again."


def zip_of(path: Path, files: dict[str, bytes], modes: dict[str, int] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            member = zipfile.ZipInfo(name)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = (modes or {}).get(name, 0o644) << 16
            archive.writestr(member, data)
    return path


def unpacked(folder: Path, *given: Path, files: int = 10, nbytes: int = 10**7) -> Unpacked:
    folder.mkdir()
    return unpack(given, folder, SUPPORTED_EXTENSIONS, files, nbytes)


# unpacking


def test_a_path_in_a_zip_leads_nowhere_but_into_its_folder(tmp_path):
    """And what a zip holds beside images is told by name."""
    good = {"day 1/a.tif": tiff(IMAGES["a"]), "day 2/a.tif": tiff(IMAGES["b"]), "z.png": b"that is for the reader"}
    bad = {
        "../out.tif": "leads out",
        "/abs.tif": "leads out",
        "C:/disk.tif": "leads out",
        "..\\windows.tif": "leads out",
        "notes.txt": "no image",
        "inner.zip": "zip in a zip",
        "link.tif": "link",
        "what?.tif": "character",
    }
    hidden = {"__MACOSX/._a.tif": b"x", ".hidden.tif": b"x"}
    files = good | dict.fromkeys(bad, b"x") | hidden
    found = unpacked(tmp_path / "in", zip_of(tmp_path / "set.zip", files, {"link.tif": stat.S_IFLNK | 0o777}))
    assert [file.relative_to(found.folder).as_posix() for file in found.files] == sorted(good)
    reasons = dict(found.refused)
    assert len(reasons) == len(bad)
    for name, why in bad.items():
        assert why in reasons[name.replace("\\", "/").split("/")[-1]], name
    assert [path.name for path in tmp_path.iterdir()] in (["in", "set.zip"], ["set.zip", "in"])
    assert found.nbytes == sum(map(len, good.values()))


def test_a_zip_bomb_is_stopped_while_it_is_unpacked(tmp_path, monkeypatch):
    """Whether it says how large it becomes, or lies."""
    monkeypatch.setattr(limits, "MAX_FILE_BYTES", 5 * 10**6)
    large = 2 * 10**7
    bomb = zip_of(tmp_path / "bomb.zip", {"bomb.tif": bytes(large), "a.tif": tiff(IMAGES["a"])})
    found = unpacked(tmp_path / "in", bomb)
    assert [file.name for file in found.files] == ["a.tif"]
    assert found.refused == [("bomb.tif", "It is larger than 5 MB.")]
    bomb.write_bytes(bomb.read_bytes().replace(large.to_bytes(4, "little"), (1000).to_bytes(4, "little")))
    found = unpacked(tmp_path / "again", bomb)
    assert [file.name for file in found.files] == ["a.tif"]
    assert [name for name, _ in found.refused] == ["bomb.tif"]
    assert sum(p.stat().st_size for p in found.folder.rglob("*") if p.is_file()) < 10**5


def test_limits_are_told_by_name_and_broken_zips_too(tmp_path):
    path = zip_of(tmp_path / "set.zip", {f"{n}.tif": bytes(1000) for n in range(5)})
    found = unpacked(tmp_path / "few", path, files=3)
    assert len(found.files) == 3 and [name for name, _ in found.refused] == ["3.tif", "4.tif"]
    assert "At most 3 images" in found.refused[0][1]
    found = unpacked(tmp_path / "small", path, nbytes=2500)
    assert len(found.files) == 2 and "All files together" in found.refused[0][1]
    for n, data in enumerate((b"no zip", path.read_bytes()[:-30], b"")):
        (tmp_path / f"bad{n}.zip").write_bytes(data)
        found = unpacked(tmp_path / f"bad{n}", tmp_path / f"bad{n}.zip")
        assert found.files == [] and found.refused == [(f"bad{n}.zip", DAMAGED)]


def test_a_damaged_member_is_told_and_the_rest_goes_on(tmp_path):
    path = zip_of(tmp_path / "set.zip", {"a.tif": tiff(IMAGES["a"]), "b.tif": tiff(IMAGES["b"])})
    data = bytearray(path.read_bytes())
    data[60:80] = bytes(20)
    path.write_bytes(data)
    found = unpacked(tmp_path / "in", path)
    assert [file.name for file in found.files] == ["b.tif"] and found.refused == [("a.tif", DAMAGED)]


# a set on the page


def test_what_comes_late_of_an_example_changes_nothing(nets, tmp_path):
    """Whatever stands in the box is what is shown."""
    paths = [tmp_path / f"{name}.tif" for name in IMAGES]
    for path, image in zip(paths, IMAGES.values(), strict=True):
        path.write_bytes(tiff(image))
    page, click = Page(nets, [Example(paths[0], "An example")]), SimpleNamespace(_data={"index": 0})
    files, *opened = page.several.example_chosen(click, REQUEST, 1)
    assert files == [str(paths[0])] and opened[:-5] != list(Opened())
    assert page.several.uploaded(REQUEST, 3, [])[0] is None  # the box was cleared, and stays so
    nothing = (SKIP,) * (1 + len(Opened._fields) + 5)
    assert page.several.example_chosen(click, REQUEST, 2)[:-5] == nothing[:-5]

    def open_slowly(*given):  # several files come while it is being opened
        answer = page.several.uploaded(REQUEST, 5, [str(path) for path in paths[:2]])
        assert answer[0] is SKIP and page.several.set_at(answer[-5])
        return open_one(*given)

    open_one, page.chooser.example_chosen = page.chooser.example_chosen, open_slowly
    assert page.several.example_chosen(click, REQUEST, 4) == nothing


class Visit:
    """A visitor of the page with a set of images."""

    def __init__(self, nets: Networks, given: list[Path]):
        self.page, self.number = Page(nets, []), 0
        self.sliders = list(defaults(nets).values())
        self.give(given)

    def give(self, given: list[Path]) -> None:
        answer = self.page.several.uploaded(REQUEST, self.next(), [str(path) for path in given])
        self.opened, (self.key, self.strip, *_) = Opened(*answer[1:-5]), answer[-5:]

    def next(self) -> int:
        self.number += 1
        return self.number

    @property
    def items(self) -> tuple:
        images = self.page.several.set_at(self.key)
        return images.items if images else ()

    def begin(self, pixel_size: float | None = None):
        about = self.page.visitors.picture("visitor")
        key, _ = self.page.several.ask(REQUEST, self.next(), None, None, False, pixel_size, about, None, None, self.key)
        return self.page.several.analyse(REQUEST, key, *self.sliders)

    def open(self, index: int) -> tuple[Opened, str]:
        event = SimpleNamespace(_data={"index": index})
        *opened, made = self.page.several.item_chosen(event, REQUEST, self.next(), self.key)
        return Opened(*opened), made

    def save(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(self.page.several.save(REQUEST, *self.sliders, progress=lambda *_, **__: None))


@pytest.fixture
def given(tmp_path) -> list[Path]:
    """Two images, and a zip with another and what can't be used."""
    paths = []
    for name in "ab":
        paths.append(tmp_path / f"{name}.tif")
        paths[-1].write_bytes(tiff(IMAGES[name]))
    rest = {"day/c.tif": tiff(IMAGES["c"]), "broken.tif": b"II*\0\x08\0\0\0", "notes.txt": b"hello"}
    return [*paths, zip_of(tmp_path / "more.zip", rest)]


def wanted(nets: Networks, name: str, key: str = "unet") -> np.ndarray:
    network = nets[key]
    return segment(IMAGES[name], network.model, network.processor).labels


def test_a_set_is_gathered_run_opened_mended_and_saved(nets, given, tmp_path):
    visit = Visit(nets, given)
    assert [item.name for item in visit.items] == ["a.tif", "b.tif", "day/c.tif"]
    refused = dict(visit.strip.constructor_args["value"]["refused"])
    assert list(refused) == ["notes.txt", "broken.tif"] and "damaged" in refused["broken.tif"]
    assert len(visit.strip.constructor_args["thumbs"]) == 3
    updates = list(visit.begin())
    counts = [[int(wanted(nets, name, key).max()) for key in ("unet", "unetpp")] for name in IMAGES]
    assert [item["counts"] for item in updates[-1][0].constructor_args["value"]["items"]] == counts
    assert updates[-1][2] == "Done: 3 of 3 images."
    arrived = [one[1] for one in updates if isinstance(one[1], str)]
    assert arrived == [f"{visit.key}/{visit.items[0].token}"]  # the first is the one that is opened

    _, made = visit.open(2)
    assert made == f"{visit.key}/{visit.items[2].token}"
    labels = wanted(nets, "c")
    y, x = np.argwhere(labels == 1)[0].tolist()
    edit = Edit("delete", ((x + 0.5, y + 0.5),)).to_json()
    request = {"what": "act", "token": made, "cut": visit.sliders, "network": "unet", "edit": edit}
    assert "error" not in visit.page.desk.answer(request)
    strip = visit.page.several.strip_now(REQUEST, *visit.sliders).constructor_args["value"]
    assert strip["items"][2]["counts"] == [counts[2][0] - 1, counts[2][1]]

    with visit.save() as archive:
        names = archive.namelist()
        texts = {name: archive.read(name).decode() for name in names if name.endswith((".html", ".csv", ".txt"))}
        saved = [tifffile.imread(io.BytesIO(archive.read(f"unet/{at}_labels.tif"))) for at in ("a", "b", "day/c")]
    assert {f"{key}/{name}" for key in ("unet", "unetpp") for name in ("report.html", "summary.csv")} <= set(names)
    assert not any(".nuclei" in name for name in names)
    assert np.array_equal(saved[0], wanted(nets, "a")) and np.array_equal(saved[1], wanted(nets, "b"))
    assert np.array_equal(saved[2], np.where(labels == 1, 0, labels))
    rows = list(csv.DictReader(io.StringIO(texts["unet/summary.csv"])))
    found = [counts[0][0], counts[1][0], counts[2][0] - 1]
    assert [row["image"] for row in rows] == ["a", "b", "day/c"]
    assert [int(row["nuclei"]) for row in rows] == found
    assert "1 deleted, 0 added, 0 changed" in rows[2]["notes"] and "day/c" in texts["unet/report.html"]
    assert nets["unet"].sha256 in texts["unet/README.txt"]
    assert "broken.tif" in texts["unet/failures.csv"] and "notes.txt" in texts["README.txt"]
    assert not any("/tmp" in text or str(tmp_path) in text for text in texts.values())  # nothing of the server


def test_a_run_of_the_opened_image_alone_takes_its_place_in_the_set(nets, given):
    visit = Visit(nets, given[:2])
    list(visit.begin())
    before = visit.items[1].analysis
    opened, _ = visit.open(1)
    question, _ = visit.page.ask(REQUEST, visit.next(), 20.0, None, False, None, opened.picture)
    made, _ = visit.page.analyse(REQUEST, question, None)
    after = visit.items[1]
    assert made == f"{visit.key}/{after.token}" and after.analysis is not before
    assert [item.analysis.settings.diameter for item in visit.items] == [None, 20]


def test_cancel_keeps_what_is_done_and_opening_an_image_stops_nothing(nets, given):
    visit = Visit(nets, given)
    going = visit.begin()
    for step in range(4):  # two for an image
        next(going)
        if step == 1:
            visit.open(2)
    assert visit.page.cancel(REQUEST, visit.next()) == "Cancelled. The images that are done stay."
    assert len(list(going)) <= 1
    assert [item.analysis is not None for item in visit.items] == [True, True, False]
    assert list(visit.begin())[-1][2] == "Done: 3 of 3 images."


def test_more_images_keep_results_and_another_upload_takes_the_place_of_a_set(nets, given):
    visit = Visit(nets, given[:2])
    list(visit.begin())
    first, before = visit.key, [item.analysis for item in visit.items]
    visit.give(given)
    assert [item.analysis is not None for item in visit.items] == [True, True, False]
    assert visit.items[0].analysis.maps is before[0].maps and visit.items[0].analysis.mends is before[0].mends
    assert visit.page.several.set_at(first) is None
    visit.give(given[:1])
    assert visit.key == "" and visit.page.visitors.set_of("visitor") == ""


def test_a_typed_pixel_size_counts_for_all_whose_files_say_none(nets, given):
    visit = Visit(nets, given[:2])
    list(visit.begin(pixel_size=0.5))
    assert [item.analysis.run_pixel_size for item in visit.items] == [(0.5, 0.5)] * 2
    opened, made = visit.open(1)
    assert opened.pixel_size == 0.5
    visit.page.analysis(made, 0.25)  # it is typed over, and stays
    assert visit.items[1].analysis.pixel_size == (0.25, 0.25)
    assert visit.items[1].analysis.run_pixel_size == (0.5, 0.5)


def test_too_many_pixels_are_told_by_name(nets, given, monkeypatch):
    monkeypatch.setattr(limits, "SET_PIXELS", 64 * 64 + 100)
    visit = Visit(nets, given[:2])
    assert [item.name for item in visit.items] == ["a.tif"]
    ((name, why),) = visit.strip.constructor_args["value"]["refused"]
    assert name == "b.tif" and "All images together are above" in why


def test_an_image_that_fails_is_told_and_the_rest_goes_on(nets, given):
    visit = Visit(nets, given)
    Path(visit.items[1].path).unlink()
    Path(visit.items[1].path).write_bytes(b"gone")
    assert list(visit.begin())[-1][2].startswith("Done: 2 of 3 images. 1 failed")
    assert visit.items[1].error and visit.items[2].analysis is not None


def test_nothing_usable_is_told(nets, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("nuclei_models.page.several.gr.Warning", lambda text, **_: said.append(text))
    visit = Visit(nets, [zip_of(tmp_path / "set.zip", {"notes.txt": b"hello"})])
    assert visit.key == "" and said == ["notes.txt: It is no image that is known here."]
    assert visit.opened.note == said[0]
