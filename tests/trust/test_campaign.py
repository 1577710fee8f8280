"""The campaign in its short form, and that it would notice."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase

from nuclei_models.batch import records
from nuclei_models.page import handlers
from nuclei_models.page.state import Analysis
from tests.campaign import visit_machine, worker
from tests.campaign.__main__ import SHORT, load_rows, soak_rows
from tests.campaign.arrays import recipes
from tests.campaign.badly import behave
from tests.campaign.batches import batches, cli
from tests.campaign.differential import differential, differs, foreground, numbers, renumbered
from tests.campaign.expected import Library, write_files
from tests.campaign.fuzz import Part, fuzz, made_up, repeat
from tests.campaign.mutations import mutated
from tests.campaign.table import Row, in_portions, other_rows, table, written
from tests.campaign.visit_machine import try_visits
from tests.campaign.visits import World
from tests.campaign.worker import Worker


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> dict[str, Part]:
    return fuzz(500, tmp_path_factory.mktemp("findings"))


def test_a_broken_file_ends_in_an_image_or_in_a_sentence(parts):
    for name, at_least in (("spoiled files", 300), ("lying files", 120)):
        part = parts[name]
        assert part.findings == []
        assert part.tried >= at_least
        assert part.outcomes["image"] > 10 and part.outcomes["refused"] > 50


def test_arrays_of_any_kind_end_in_labels_or_in_a_sentence(parts):
    part = parts["arrays and settings"]
    assert part.findings == []
    assert part.outcomes["labels"] > 10 and part.outcomes["refused"] > 10


@pytest.mark.parametrize("rows_of", [load_rows, soak_rows])
def test_the_open_page_bears_a_crowd_and_a_long_run(rows_of, sources):
    rows = rows_of(SHORT, sources)
    assert len(rows) == 2 and all(row.tried for row in rows)
    assert [row for row in rows if row.lost] == []


@pytest.fixture(scope="module")
def visited(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("visits")
    write_files(folder)
    return folder


def test_what_is_seen_and_saved_is_what_the_library_gives_for_exactly_that_image_and_those_settings(nets, visited):
    tried = try_visits(nets, visited, SHORT.visits)
    assert tried.wrong == []
    assert tried.sequences >= SHORT.visits and tried.events > 200
    assert tried.results > 20 and tried.downloads > 3


def test_a_slider_that_is_moved_while_a_result_comes_is_followed(nets, visited):
    world = World(Library(nets, visited))
    visitor = world.visitors[0]
    try:
        world.choose(visitor, "old.tif")
        world.settle()
        world.run(visitor)
        while not any(event.name == "show" and event.began for event in visitor.events):
            world.step(visitor, 0)
        visitor.values["threshold"] = 0.9
        world.slide(visitor)  # about the result before, of which there is none
        world.settle()
        world.check_quiet(visitor)
        assert world.compared == 1
    finally:
        world.close()


def of_the_page_now(typed, stored):
    return (typed, typed) if typed else None


# faults that the page had or could have, each with a seed by which it is found soon
FAULTS = {
    "the stored pixel size is forgotten": (handlers, "pixel_size_of", of_the_page_now, 3),
    "settings of one network for both": (Analysis, "cut_values", lambda self, network, cut: (0.5, 0.5, 0.0), 3),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_page_that_mixes_things_up_is_noticed(nets, visited, monkeypatch, fault):
    *changed, seed = FAULTS[fault]
    monkeypatch.setattr(*changed)
    monkeypatch.setattr(visit_machine, "PHASES", (Phase.generate,))  # found, not made short
    assert try_visits(nets, visited, 100, steps=30, seed=seed).wrong != []


def test_a_folder_of_results_is_never_wrong_whatever_is_done_to_it():
    tried, runs, wrong = batches(SHORT.sequences)
    assert wrong == [] and tried >= SHORT.sequences and runs > tried


def test_every_way_gives_the_same_nuclei_and_numbers():
    said = []
    found = differential(SHORT.ways, said.append, first=17)  # of both networks, and one can go through the pipeline
    assert said == []
    assert set(found) == {"endpoint", "page", "command", "cluster", "pipeline", "part by part"}
    assert all(part.tried == SHORT.ways for way, part in found.items() if way != "pipeline")


FOLDER_FAULTS = {
    "results of other settings, networks or images are taken for done": (
        cli,
        "is_done",
        lambda job, record: record is not None and all((job.out / name).exists() for name in record.files),
    ),
    "results of other settings are replaced unasked": (records, "differences", lambda *_: ()),
    "what a person changed is written over": (records, "refuse_changed", lambda *_: None),
}


@pytest.mark.parametrize("fault", FOLDER_FAULTS)
def test_a_wrong_folder_of_results_is_noticed(monkeypatch, fault):
    monkeypatch.setattr(*FOLDER_FAULTS[fault])
    tried, _, wrong = batches(60, shorten=False)
    assert wrong and wrong[0].startswith("Wrong: ") and tried <= 60


def test_labels_and_numbers_that_differ_are_noticed():
    labels, near = np.zeros((4, 4), int), np.zeros((4, 4), bool)
    labels[:2] = 1
    assert renumbered(labels, labels * 7) == "" and "1 nuclei, expected 1" in renumbered(labels, 1 - labels)
    assert "expected 1" in renumbered(labels, labels * np.arange(1, 5)) and renumbered(labels * 0, labels * 0) == ""
    assert "8 of 16 pixels" in foreground(labels, labels * 0, near) and foreground(labels, labels * 2, near) == ""
    near[0, 0] = True
    assert foreground(labels, labels * 0, near) == ""
    assert differs(labels, labels) == "" and "8 of 16 pixels" in differs(labels, labels * 2)
    assert "mean is" in numbers(
        {"area_px": labels[0], "mean": labels[0]}, {"area_px": labels[0], "mean": labels[1] * 2}
    )


def test_a_case_of_a_number_is_always_the_same():
    assert mutated(17) == mutated(17) != mutated(18)


def test_whatever_a_case_does_to_its_process_is_noticed(monkeypatch, tmp_path):
    with Worker(behave, "") as one:
        with monkeypatch.context() as hurried:
            hurried.setattr(worker, "WALL_SECONDS", 1)
            assert one.try_case("hang").detail == "no answer in 1 s"
        assert "exit code -6" in one.try_case("crash").detail
        assert "MemoryError" in one.try_case("memory").detail
        assert one.try_case("finding").detail == "broken"
        assert one.try_case("nothing").outcome == "fine"

        part, told = Part(), []
        made_up(recipes, 100, one, part, tmp_path, told.append, 0)
    assert len(part.findings) == len(told) == 1 and "TypeError: nan: repeat it with" in told[0]
    (saved,) = tmp_path.iterdir()
    assert '"fill": "nan"' in saved.read_text()
    assert repeat(saved).outcome in ("labels", "refused")  # by the real target


def test_the_table_goes_between_its_marks():
    rows = [Row("fuzz", "files", 1200, 2, "note"), Row("kill", "runs", 9, 0, "")]
    text = written("a\n<!-- campaign -->\nold\n<!-- end -->\nb", table(rows))
    assert text.startswith("a\n<!-- campaign -->\n| stage") and text.endswith("<!-- end -->\nb") and "old" not in text
    assert "| fuzz | files | 1,200 | 1,198 | 2 | note |" in text
    again = written(text, table([Row("fuzz", "files", 1300, 0, "")], other_rows(text, ["fuzz"])))
    assert "| 1,300 | 1,300 | 0 |" in again and "| kill | runs | 9 | 9 | 0 |" in again and "1,200" not in again
    with pytest.raises(ValueError, match="has no <!-- campaign -->"):
        written("nothing", "table")


def test_a_campaign_that_was_stopped_goes_on(tmp_path, monkeypatch):
    asked = []

    def rows_of(cases: int, first: int) -> list[Row]:
        if first == 300:
            raise KeyboardInterrupt
        asked.append(first)
        return [Row("batch", "runs", cases, first == 200, "", {"steps": 7})]

    with pytest.raises(KeyboardInterrupt):
        in_portions("batch", 350, 100, rows_of, tmp_path / "log")
    assert asked == [100, 200]
    (row,) = in_portions("batch", 200, 100, rows_of, tmp_path / "log")
    assert asked == [100, 200] and (row.tried, row.lost, row.counts) == (200, 1, {"steps": 14})
    assert str(row) == "| batch | runs | 200 | 199 | 1 | 14 steps |"
    monkeypatch.setattr("tests.campaign.table.code_tried", lambda: "another")
    in_portions("batch", 100, 100, rows_of, tmp_path / "log")
    assert asked == [100, 200, 100]  # what other code did is no proof


def test_portions_are_added_up():
    """As if they had been one: what occurs in one of them alone counts, and the slowest case is that of all."""
    ends = {0: {"image": 3, "refused": 5}, 8: {"refused": 1_007, "labels": 1}}
    slowest = {0: 0.62, 8: 0.2}
    (row,) = in_portions("fuzz", 16, 0, lambda n, at: [Row("fuzz", "files", n, 0, "", ends[at], slowest[at])], None, 8)
    assert str(row) == "| fuzz | files | 16 | 16 | 0 | 3 image, 1,012 refused, 1 labels; slowest 0.6 s |"
