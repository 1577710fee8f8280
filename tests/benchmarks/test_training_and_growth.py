"""The benchmarks of training and of growth: small runs of their parts, tables, and what was aimed at."""

import json
import sys
from pathlib import Path

import pytest

import benchmarks
from benchmarks import growth, own_growth, reaches_beside, running, training

FOLDER = Path(benchmarks.__file__).parent


@pytest.fixture
def own_training(monkeypatch):
    """It runs as a script, among what lies beside it."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import own_training

    monkeypatch.setattr(own_training, "SMALL", (4, 8))
    monkeypatch.setattr(own_training, "MOST", 5)
    return own_training


def test_a_training_is_watched(own_training):
    found = own_training.train("small", 32, 60)
    assert found["runs"] == 5 - own_training.WARM_UP - 1
    assert 0 < found["parts"]["loader"] < found["seconds"] and found["best"] <= found["seconds"]


def test_a_step_and_its_operations(own_training):
    run = own_training.step("small", "float32")(32)
    run()
    model, _ = own_training.network("small")
    flops = own_training.steps.flops_per_pixel(model, 3, lambda output: output.logits, 32)
    first, second = 9 * 3 * 4 + 9 * 4 * 4, (9 * 4 * 8 + 9 * 8 * 8) / 4
    last = 8 * 4 + 9 * 8 * 4 + 9 * 4 * 4 + 4 * 4
    assert flops == pytest.approx(2 * (3 * (first + second + last) - 9 * 3 * 4), rel=0.02)  # no gradient of the image


def row(title: str, does: str, seconds: float, loader: float = 0.0, gigabytes: float = 2.0) -> dict:
    found = {"seconds": seconds, "parts": {"loader": loader}, "peak_mb": gigabytes * 1024}
    return {"title": title, "does": does, "precision": "bfloat16", "flops_per_pixel": 1e6, "sizes": {"256": found}}


def test_tables_and_aims_of_training():
    rows = {"unet-step": row("U", training.STEP, 1.0), "unet-training": row("U", training.TRAINING, 1.2, 0.03),
            "unet-before": row("U before", training.TRAINING, 1.5, 0.3),
            "smp-step": {"title": "S", "does": training.STEP, "precision": "bfloat16", "missing": "not installed"},
            "small-training": row("V", training.TRAINING, 0.5, 0.1, 7.0)}  # fmt: skip
    results = {"contenders": rows, "peak_tflops": {"bfloat16": 1.0}}
    lines = training.table(results).splitlines()
    assert "| U | 1.00 | 1.00 | 52% | 2.0 GB |" in lines and "| S | – | – | – | not installed |" in lines
    assert "| U | 1.20 | 2.5% | 2.0 GB |" in lines and "| V | 0.50 | 20.0% | 7.0 GB |" in lines
    said = [(said, met) for _, said, met in reaches_beside._training(results)]
    assert said == [("U 2.5%, V 20.0%", False), ("U 2.0 GB, V 7.0 GB", False), ("U 256² 0.80", False)]
    rows["unet-before"] = row("U before", training.TRAINING, 1.6)
    del rows["small-training"]
    assert [met for *_, met in reaches_beside._training(results)] == [True, True, True]


def test_what_did_not_fit_is_kept_with_the_time_it_would_take(monkeypatch):
    lines = [{"size": 1, "seconds": 2}, {"left_out": 9, "expected_seconds": 18}]
    code = "; ".join(f"print({json.dumps(line)!r})" for line in lines)
    monkeypatch.setattr(growth.Growing, "command", lambda *args: [sys.executable, "-c", code])
    found = running.measure(growth.kinds()[0], [1, 9], 10)
    assert found["sizes"] == {"1": {"seconds": 2}} and found["left_out"] == {"9": 18}


def test_the_compiled_step_is_of_one_network_at_one_size():
    (learner,) = (c for c in training.contenders(None) if "compiled" in c.arguments)
    assert learner.sizes == (160,) and learner.command([160], 9)[2:4] == ["compiled", "small"]


def grown(power: float) -> dict:
    """Of images up to 12,288 pixels a side, whose time goes with this power of their pixels."""
    sizes = {}
    for side in (256, 1024, 4096, 8192, 12288):
        pixels = side**2 / 1e6
        seconds = pixels**power + (2 if side < 1000 else 0)
        sizes[str(side)] = {"seconds": seconds, "megapixels": pixels, "peak_mb": 1000.0 + min(side, 4096) / 4}
    workers = {"sizes": {"0": {"seconds": 9.0, "megapixels": 12.6, "peak_mb": 1.0}}}
    images = {"images": {"sizes": sizes}, "large": {"sizes": sizes, "left_out": {"20000": 1234.5}}}
    return {"contenders": {**images, "workers": workers, "folder": {"failure": "no files"}}}


def test_growth(tmp_path):
    results = grown(1.0)
    assert growth.exponent(results, "images") == pytest.approx(1.0) and growth.exponent(results, "folder") is None
    assert [met for *_, met in reaches_beside._growth(results)] == [True, True]
    assert [met for *_, met in reaches_beside._growth(grown(1.2))] == [False, True]
    results["contenders"]["large"]["sizes"]["12288"]["peak_mb"] *= 1.2
    assert not reaches_beside._growth(results)[1][2]
    text = growth.table(results)
    assert "| one image, pixels a side | 256 | 1,024 | 4,096 | 8,192 | 12,288 |" in text and "no files" in text
    assert "| 8,192 | 12,288 | 20,000 |\n" in text and "| 1,234 expected |\n" in text
    growth.plot(results, tmp_path / "plot.svg")
    assert "<svg" in (tmp_path / "plot.svg").read_text()


def test_growing_amounts_are_segmented_as_long_as_there_is_time(monkeypatch, capsys):
    seen = []

    def segment(given: list[str], out: Path) -> float:
        seen.append(sorted(Path(given[0]).iterdir()))
        return 3.0 * len(seen[-1])

    monkeypatch.setattr(own_growth, "segment", segment)
    monkeypatch.setattr(sys, "argv", ["own_growth", "folder", "--sizes", "2", "3", "400", "--budget", "100"])
    own_growth.main()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [len(files) for files in seen] == [1, 2, 3]
    assert [line["seconds"] for line in lines if "size" in line] == [6.0, 9.0]
    assert lines[-1] == {"left_out": 400, "expected_seconds": 1200.0}


def test_a_large_image_is_the_example_mirrored():
    tiles = list(own_growth.tiles(1000))
    assert [tile.shape for tile in tiles] == [(512, 512)] * 4
    pixels = own_growth.read(own_growth.PICTURE).pixels
    height, width = pixels.shape
    first = tiles[0][:height, :width] if height <= 512 and width <= 512 else pixels[:512, :512]
    assert (first == pixels[:512, :512]).all() and tiles[3].std() > 1
