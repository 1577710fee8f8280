"""The benchmark of the page: its images, and the figures that come of it."""

import json

import numpy as np

from benchmarks import page_benchmark
from benchmarks.page_benchmark import EXAMPLES, SPARSE, Measured, main, spread, tiled


def test_its_images_have_the_sizes_that_it_names():
    for example in (SPARSE, *EXAMPLES.values()):
        assert tiled(example, 1024).shape[:2] == (1024, 1024)
    sparse, crowded = np.zeros((2, 3)), np.ones((2, 3))
    assert spread(sparse, crowded).shape == (8, 12) and spread(sparse, crowded).mean() == 0.25


def test_its_figures_are_written_by_size_when_all_were_measured(tmp_path, monkeypatch):
    class Blocks:
        def close(self):
            pass

    found = [Measured("1024", "split", 59.04), Measured("1024", "undo", 45.0), Measured("17mp", "split", 81.0)]
    monkeypatch.setattr(page_benchmark, "RESULTS", tmp_path / "page.json")
    monkeypatch.setattr(page_benchmark, "Networks", lambda: None)
    monkeypatch.setattr(page_benchmark, "build", lambda networks: Blocks())
    monkeypatch.setattr(page_benchmark, "launch", lambda *a, **k: (None, "http://127.0.0.1:1", None))
    monkeypatch.setattr(page_benchmark, "measure", lambda *a: iter(found))
    monkeypatch.setattr("sys.argv", ["page_benchmark", "--quick"])
    main()
    assert not (tmp_path / "page.json").exists()
    monkeypatch.setattr("sys.argv", ["page_benchmark"])
    main()
    written = json.loads((tmp_path / "page.json").read_text())
    assert written["1024"] == {"split": 59.0, "undo": 45.0} and written["17mp"] == {"split": 81.0}
    assert written["machine"]["cores"] and written["date"] and written["versions"]["gradio"]
