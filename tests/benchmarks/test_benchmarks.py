"""The benchmark: a quick run end to end, what becomes of contenders that fail, and the table."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from types import SimpleNamespace

import pytest

pytest.importorskip("onnxruntime")

from benchmarks import contenders, missed, own, peers, profiles, reaches, report, running, timing
from benchmarks.__main__ import networks
from benchmarks.contenders import CONTENDERS, NETWORK, WHOLE, Contender
from benchmarks.timing import grow
from nuclei_models import UNet, UNetConfig


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict:
    """Of a quick run of one contender."""
    out, printed = tmp_path_factory.mktemp("results") / "results.json", io.StringIO()
    with redirect_stdout(printed):
        networks(["--quick", "--minutes", "0.05", "--out", str(out), "--only", "l2-f32"])
    assert "| file to label image |" in printed.getvalue()
    return json.loads(out.read_text())


def test_a_quick_run(results):
    assert results["machine"]["cores"] >= 1 and results["peak_tflops"]["float32"] > 0
    for found in results["contenders"].values():
        assert "failure" not in found and found["macs_per_pixel"] > 1000
        small = found["sizes"]["256"]
        assert 0 < small["best"] <= small["seconds"] and small["peak_mb"] > 50 and small["runs"] >= 1
        if found["does"] == WHOLE:
            parts = small["parts"]
            assert set(parts) == {"network", "after", "apart"} and min(parts.values()) > 0
            assert parts["network"] + parts["after"] < small["seconds"]


def test_an_interrupted_run_measures_nothing_again_and_a_finished_one_is_begun_anew(results, tmp_path, monkeypatch):
    out = tmp_path / "results.json"
    before = {**results["contenders"], "other": {"title": "measured before"}}
    out.write_text(json.dumps(results | {"finished": False, "contenders": before}))
    monkeypatch.setattr(running, "measure", lambda *args: pytest.fail("measured again"))
    faster = {k: 2 * v for k, v in results["peak_tflops"].items()}
    monkeypatch.setattr(running, "machine", lambda seconds: {"machine": results["machine"], "peak_tflops": faster})
    chosen = [CONTENDERS[key] for key in results["contenders"]]
    again = running.run(chosen, 60, out, lambda _: [256])
    assert again["contenders"] == before and again["peak_tflops"] == faster
    assert json.loads(out.read_text())["finished"]
    monkeypatch.setattr(running, "measure", lambda *args: {"sizes": {}})
    kept = running.run(chosen[:1], 60, out, lambda _: [256], keep=True)
    assert kept["contenders"] == {**before, chosen[0].key: {"sizes": {}, "rounds": 1}}
    anew = running.run(chosen[:1], 60, out, lambda _: [256])
    assert anew["contenders"] == {chosen[0].key: {"sizes": {}, "rounds": 1}}


def test_of_several_rounds_the_fastest_counts(results, tmp_path, monkeypatch):
    """The second round is interrupted, fails once, and is slower at one size."""
    took = {("a", 1): {"256": 3.0, "1024": 9.0, "4096": 90.0}, ("b", 1): {"256": 5.0, "1024": 8.0, "4096": 80.0},
            ("a", 2): {"256": 4.0, "1024": 7.0}}  # fmt: skip
    asked, number, peaks = [], 1, iter([0.5, 0.9, 0.7])

    def measure(contender, sizes, budget):
        asked.append((contender.key, sizes))
        if number == 2 and contender.key == "b":
            return {"title": "b", "failure": "no memory"}
        return {"title": contender.key, "sizes": {k: {"seconds": s} for k, s in took[contender.key, number].items()}}

    def machine(seconds):
        return {"machine": {}, "peak_tflops": {"bfloat16": next(peaks)}}

    monkeypatch.setattr(running, "measure", measure)
    monkeypatch.setattr(running, "machine", machine)
    chosen, out = [Contender(key, key, NETWORK, "float32", ()) for key in "ab"], tmp_path / "results.json"
    running.run(chosen, 60, out, lambda _: [256, 1024, 4096])
    out.write_text(out.read_text().replace('"finished": true', '"finished": false'))
    number = 2
    found = running.run(chosen, 60, out, lambda _: [256, 1024, 4096], rounds=2)
    assert asked == [(key, sizes) for sizes in ([256, 1024, 4096], [256, 1024]) for key in "ab"]
    assert found["peak_tflops"] == {"bfloat16": 0.9}
    seconds = {key: {k: s["seconds"] for k, s in row["sizes"].items()} for key, row in found["contenders"].items()}
    assert seconds == {"a": {"256": 3.0, "1024": 7.0, "4096": 90.0}, "b": took["b", 1]}
    assert all("failure" not in row and row["rounds"] == 2 for row in found["contenders"].values())


def test_a_whole_of_several_runs_goes_on_with_the_first_that_is_not_done(tmp_path):
    files = [tmp_path / name for name in "abc"]
    assert running.unfinished(files) == files
    for file, done in zip(files, [True, False, True], strict=True):
        file.write_text(json.dumps({"finished": done}))
    assert running.unfinished(files) == files[1:2]
    files[1].write_text(json.dumps({"finished": True}))
    assert running.unfinished(files) == files
    files[0].write_text(json.dumps({"finished": True}))
    assert running.unfinished(files) == files[1:]  # the others are still to be begun anew


def test_a_contender_that_fails_is_told_and_one_that_hangs_is_ended(monkeypatch):
    contender = Contender("x", "X", NETWORK, "float32", ())
    broken = [sys.executable, "-c", "raise SystemExit('no such weights')"]
    monkeypatch.setattr(Contender, "command", lambda *args: broken)
    assert running.measure(contender, [256], 5)["failure"] == "no such weights"

    hangs = [sys.executable, "-c", "print('{\"facts\": {}}', flush=True); import time; time.sleep(60)"]
    monkeypatch.setattr(Contender, "command", lambda *args: hangs)
    monkeypatch.setattr(running, "LATE", 1.0)
    assert "ended after" in running.measure(contender, [256], 1)["failure"]


def test_peers_that_are_not_installed_are_left_out(monkeypatch, tmp_path):
    monkeypatch.setattr(peers, "FOLDER", tmp_path)
    found = running.measure(CONTENDERS["smp-f32"], [256], 5)
    assert "benchmarks.peers --install smp" in found["missing"] and "sizes" not in found


def test_a_peer_that_cannot_be_installed_says_why(monkeypatch, tmp_path):
    said = "WARNING: slow\nERROR: No matching distribution found for nothing==1\n"
    monkeypatch.setattr(peers, "FOLDER", tmp_path)
    monkeypatch.setattr(peers.subprocess, "run", lambda *args, **_: subprocess.CompletedProcess(args, 1, stderr=said))
    peers.install("smp")
    found = running.measure(CONTENDERS["smp-f32"], [256], 5)
    assert found["missing"] == "can't be installed: No matching distribution found for nothing==1"


@pytest.fixture
def work(monkeypatch) -> Callable[[float], None]:
    """Have the benchmark think that so many seconds have passed."""
    now = 0.0

    def passed(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: now))
    return passed


def test_sizes_beyond_the_budget_are_left_out(capsys, work):
    made = []
    grow([64, 128, 4096], 0.5, lambda size: lambda: made.append(size) or work(0.02 * (size / 64)))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["left_out"] == 4096 and 4096 not in made and lines[1]["size"] == 64


def test_what_is_apart_does_not_count_and_a_part_stands_for_the_whole(capsys, work):
    def prepare(size: int):
        return lambda: work(0.02) or {"apart": 0.015}

    grow([64], 0.5, prepare, parts_of=25)
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["best"] == pytest.approx(25 * 0.005)


def test_what_follows_the_last_run_of_the_network_counts_and_tables_are_told_apart():
    def found(after: float, apart: float) -> dict:
        return {"title": "T", "sizes": {"1024": {"seconds": 0.9, "parts": {"after": after, "apart": apart}}}}

    rows = {"l1-bf16": found(0.05, 0.02), "small-bf16": found(0.05, 0.1)}
    _, said, met = reaches._after_and_tables({"contenders": rows})
    assert said.startswith("T 8% (maps and watershed 50 ms, table 20 ms), T 15%") and not met
    assert reaches._after_and_tables({"contenders": {"l1-bf16": rows["l1-bf16"]}})[2]


def test_multiply_adds_of_the_papers_network():
    model = UNet(UNetConfig(channels=[4, 8], padding="same", num_labels=2)).eval()
    first, second = 9 * 3 * 4 + 9 * 4 * 4, (9 * 4 * 8 + 9 * 8 * 8) / 4
    up, last = 8 * 4, 9 * 8 * 4 + 9 * 4 * 4 + 4 * 2
    assert own.macs(model) == pytest.approx(first + second + up + last, rel=0.02)


def test_the_picture_is_of_any_size():
    for size in (100, 700, 2000):
        assert own.picture(size).shape == (size, size) and own.picture(size).std() > 1


def test_table_and_plot(results, tmp_path):
    failed = {"title": "Broken", "does": NETWORK, "precision": "float32", "failure": "no memory"}
    text = report.table({**results, "contenders": {**results["contenders"], "broken-f32": failed}})
    assert "| Broken | f32 | – | no memory |" in text and "Measured in one round." in text
    assert "The fastest of 3 rounds." in report.setting(results | {"contenders": {"a": {"rounds": 3}}})
    report.plot(results, tmp_path / "plot.svg")
    assert "<svg" in (tmp_path / "plot.svg").read_text()
    assert contenders.QUICK and set(contenders.QUICK) <= set(CONTENDERS)


def test_an_aim_is_reached_or_not_as_it_was_measured():
    def found(seconds: float, macs: float = 4e5, precision: str = "bfloat16", **parts: float) -> dict:
        size = {"seconds": seconds * 1.048576, "parts": parts}
        return {"title": "T", "precision": precision, "macs_per_pixel": macs, "sizes": {"1024": size}}

    keys = {"unet-bands-bf16": 0.6, "unetpp-bands-bf16": 2.0, "unet64-bands-bf16": 1.0, "l3-bands-bf16": 1.0,
            "l2-bands-bf16": 1.0, "smp-bf16": 3.0, "stardist2-f32": 0.3, "l1-bands-bf16": 0.2}  # fmt: skip
    rows = {key: found(seconds) for key, seconds in keys.items()} | {"unet-bf16": found(1.0, after=0.2)}
    aims = reaches.rows({"contenders": rows, "peak_tflops": {"bfloat16": 1.0}})
    text, told = reaches.table(aims), reaches.missed(aims)
    assert told.count("\n- **") == 3 and "**After the fastest" not in told and "(resnet34)" not in told
    rival = {"small-bands-bf16": found(0.25)} | rows
    good, bad = ({"ap": {"0.5": ap}, "ap_5_to_9": 0.7} for ap in (0.9, 0.8))
    assert reaches._faster_than_stardist({"contenders": rival}, good)[2]
    assert not reaches._faster_than_stardist({"contenders": rival}, bad)[2]
    assert not reaches._faster_than_stardist({"contenders": rows}, good)[2]  # not measured
    said = [line.split(" | ")[1:] for line in text.splitlines()[2:]]
    assert [s[-1].strip(" |") for s in said[:9]] == ["yes", "no", "yes", "yes", "no", "no", "–", "no", "no"]
    assert all(s[-2:] == ["not measured", "– |"] for s in said[9:]) and len(said) == 19
    assert said[0][0] == "80%" and said[1][0] == "40%" and said[3][0].startswith("2.00 times")
    short = report.short({"contenders": rows, "machine": {"threads": 2, "processor": "P"}}).replace("\n", " ")
    assert "It is 5.0 times as fast as segmentation_models_pytorch's" in short
    assert "StarDist (grid 2) needs 0.50 of its time: its layers work at half the resolution. More: [docs" in short
    single, page = {"seconds": {"one": 2.16}, "images_per_second": 6.28}, {"1024": {"slider_dense": 134.0}}
    whole = report.short({"contenders": rows, "machine": {"threads": 2, "processor": "P"}}, single, page)
    assert "takes 2.2 s from the command to its files, and in a folder 0.16 s." in whole.replace("\n", " ")
    assert "outlines follow a slider in 0.13 s" in whole.replace("\n", " ")


def test_what_is_told_of_missed_aims_is_of_aims_that_there_are():
    aims = [aim for aim, *_ in reaches.rows({"contenders": {}})]
    assert all(any(aim.startswith(begin) for aim in aims) for begin in missed.MISSED)
    assert missed.bullets(aims).count("\n- **") == len(missed.MISSED)
    assert missed.bullets([]) == "Every aim that was measured was reached."


def test_a_profile_tells_what_the_time_goes_to():
    spent = profiles.by_torch("l1", side=64)
    assert spent["convolution"] > 0 and spent["concatenation"] > 0 and spent.total() > 0
    assert profiles.kind("conv_transpose2d") == "upsampling" and profiles.kind("mkldnn_convolution") == "convolution"
    text = profiles.table({"A": profiles.Counter({"convolution": 3, "other": 1})})
    assert text.splitlines()[-1] == "| A | 75% | 25% |"
