"""What the benchmark of small images says, from what it measured."""

import time

from benchmarks.small import AIMS, COMMANDS, STAGES, Clock, table


def test_a_stage_does_not_count_what_it_calls_of_another():
    clock = Clock()
    network = clock.timed("network", lambda: time.sleep(0.02))
    diameter = clock.timed("diameter", lambda: (network(), time.sleep(0.01), network()))
    diameter()
    assert 0.04 <= clock.spent["network"] < 0.08 and 0.01 <= clock.spent["diameter"] < 0.03


def test_what_is_timed_is_there():
    for parts in STAGES.values():
        assert all(callable(getattr(owner, name)) for owner, name in parts)


def test_the_table_tells_what_was_aimed_at():
    seconds = dict(zip(COMMANDS, (0.2, 1.4, 2.25), strict=True))
    stages = dict.fromkeys((*STAGES, "other"), 10.0)
    found = {"seconds": seconds, "processor_seconds": seconds, "images": 500, "threads": 2, "stages_ms": stages}
    text = table(found | {"folder_seconds": 80.0, "images_per_second": 6.25})
    assert f"| one image, from the command to its files | 2.25 | 2.25 | under {AIMS['one']} |" in text
    assert "500 images" in text and "6.2 images a second" in text and f"| {10 * len(stages)} ms |" in text
