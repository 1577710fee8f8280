"""The benchmark of reading, on few and small files."""

import sys

from benchmarks import reading
from tests.support import ROOT


def test_two_versions_in_turns(capsys, monkeypatch):
    options = ["--against", str(ROOT), "--files", "2", "--side", "300", "--rounds", "1"]
    monkeypatch.setattr(sys, "argv", ["reading", *options])
    reading.main()
    lines = capsys.readouterr().out.splitlines()
    tasks = [line.split(" | ")[0] for line in lines[2:]]
    assert tasks == [
        "| 2 small png files",
        "| 2 small tif files",
        "| deflate tiles by window",
        "| plain tiles by window",
    ]


def test_the_table():
    found = reading.table({"files": {"before": [2.0, 4.0, 3.0], "now": [1.5, 1.0, 9.0]}})
    assert found.splitlines()[-1] == "| files | 3.000 (2.000) | 1.500 (1.000) | 0.50 (0.50) |"
