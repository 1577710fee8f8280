"""What was aimed at beside the networks: training, growth, small images and the page."""

from collections.abc import Callable, Mapping
from typing import Any

from . import growth, training

LOADER, MEMORY, EPOCH = 0.05, 6.0, 0.75  # of a step; gigabytes; of the time before
EXPONENT, FLAT = 1.05, 1.10  # of time by pixels; memory of the largest image by that of the first beyond a block
RATE = 1.5  # images a second, times those of the version before
SMALL_SECONDS = {
    "help": ("`nuclei --help`", 0.3),
    "one": ("one image of 256 x 256, from the command to its files", 2.5),
}
PAGE = {  # milliseconds
    "first_page": ("the first page", 1500),
    "slider_clusters": ("the page's slider at 1024 x 1024, clusters on half of the image,", 150),
}

NOT_MEASURED = "not measured"

Results = dict[str, Any]
Row = tuple[str, str, bool]  # what was aimed at, what was measured, whether it is reached


def rows(
    trained: Results | None = None,
    grown: Results | None = None,
    small: Results | None = None,
    page: Results | None = None,
) -> list[Row]:
    """Every aim with its figure; "not measured" where there is none.

    Args:
        trained: Of `python -m benchmarks training`.
        grown: Of `python -m benchmarks growth`.
        small: Of `python -m benchmarks.small`.
        page: Of `python -m benchmarks.page_benchmark`.
    """
    nothing: Results = {"contenders": {}}
    return [*_training(trained or nothing), *_growth(grown or nothing), *_small(small or {}), *_page(page or {})]


def _training(trained: Results) -> list[Row]:
    """Of a training as it runs: the wait for crops, memory, and the time beside an earlier version's."""
    rows = {key: row for key, row in trained["contenders"].items() if "sizes" in row}
    ours = {key: rows[f"{key}-training"] for key in training.OURS if f"{key}-training" in rows}
    waits = {title: [training.loader(f) for f in row["sizes"].values()] for title, row in _titled(ours)}
    taken = {title: training.gigabytes(row) for title, row in _titled(ours)}
    less = {}
    for key, row in ours.items():
        for size, found in rows.get(f"{key}-before", {}).get("sizes", {}).items():
            if size in row["sizes"]:
                less[f"{row['title']} {size}²"] = row["sizes"][size]["seconds"] / found["seconds"]
    said = [f"{title} {' and '.join(f'{wait:.1%}' for wait in both)}" for title, both in waits.items()]
    return [
        _met(f"training waits for its crops in under {LOADER:.0%} of the time", said,
             [wait for both in waits.values() for wait in both], lambda wait: wait < LOADER),
        _met(f"training on 8 x 256 x 256 in under {MEMORY:g} GB", [f"{t} {gb:.1f} GB" for t, gb in taken.items()],
             list(taken.values()), lambda gb: gb < MEMORY),
        _met(f"the same crops trained on in {EPOCH} of the time before", [f"{t} {f:.2f}" for t, f in less.items()],
             list(less.values()), lambda factor: factor <= EPOCH),
    ]  # fmt: skip


def _titled(rows: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(row["title"], row) for row in rows.values()]


def _met(aim: str, said: list[str], figures: list[float], enough: Callable[[float], bool]) -> Row:
    return aim, ", ".join(said) or NOT_MEASURED, bool(figures) and all(enough(figure) for figure in figures)


def _growth(grown: Results) -> list[Row]:
    """Of cost against size: no faster than the pixels; and memory that a larger image doesn't raise."""
    powers = {growth.TITLES[key]: growth.exponent(grown, key) for key in ("images", "large", "folder")}
    known = {title: power for title, power in powers.items() if power is not None}
    flat = growth.flatness(grown)
    held, is_flat = NOT_MEASURED, False
    if flat:
        is_flat = flat[2] <= FLAT * flat[1]
        held = f"{flat[1]:.1f} GB, and {flat[2]:.1f} GB for {flat[0]:.1f} times as many pixels"
    aim = f"time grows as the pixels or slower (exponent at most {EXPONENT})"
    return [
        _met(aim, [f"{t} {p:.2f}" for t, p in known.items()], list(known.values()), lambda power: power <= EXPONENT),
        (f"memory is flat beyond the largest block (within {FLAT - 1:.0%})", held, is_flat),
    ]  # fmt: skip


def _small(small: Results) -> list[Row]:
    """Of commands in fresh processes, and of a folder beside an earlier version's."""
    found = _under(SMALL_SECONDS, small.get("seconds", {}), "{:g} s", "{:.2f} s")
    aim = f"a folder of 256 x 256 images {RATE:g} times as fast as the version before"
    before = small.get("before")
    if not before:
        return [*found, (aim, NOT_MEASURED, False)]
    now, then = before["images"] / before["seconds_now"], before["images"] / before["seconds"]
    said = f"{now / then:.2f} times ({now:.1f} against {then:.1f} images a second, of {before['images']} images)"
    return [*found, (aim, said, now / then >= RATE)]


def _page(page: Results) -> list[Row]:
    """Of the page in a browser, with images of 1024 x 1024."""
    return _under(PAGE, page.get("1024", {}), "{:,} ms", "{:.0f} ms")


def _under(aims: Mapping[str, tuple[str, float]], measured: Results, most: str, form: str) -> list[Row]:
    """A row for each time that is to be short. `most` and `form` write the aim and what was measured."""
    found: list[Row] = []
    for key, (what, aim) in aims.items():
        value = measured.get(key)
        said = NOT_MEASURED if value is None else form.format(value)
        found.append((f"{what} in under {most.format(aim)}", said, value is not None and value < aim))
    return found
