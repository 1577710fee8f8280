"""What was aimed at, and what was measured: Markdown from a run's results."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import growth, training

SIZE = 1024  # pixels a side
LEVELS = Path(__file__).resolve().parent.parent / "weights" / "unetpp-nuclei" / "levels.json"
STARDIST = 0.864  # AP at .5 on its 50 test images, Schmidt et al. 2018, table 1
STARDIST_MEAN = 0.584  # mean of AP at .5, .6, .7, .8 and .9, ibidem
PEERS = {  # what README calls a peer -> its contenders, of which the fastest counts
    "segmentation_models_pytorch's Unet++ (resnet34)": ("smp-bf16", "smp-f32"),
    "InstanSeg's U-Net": ("instanseg-bf16", "instanseg-f32"),
    "Cellpose 3's CPnet": ("cellpose-bf16", "cellpose-f32"),
    "Cellpose 4's ViT-L": ("cellpose4-bf16",),
    "micro-sam's ViT-B encoder": ("microsam-bf16", "microsam-f32"),
    "StarDist (grid 1)": ("stardist1-f32",),
    "StarDist (grid 2)": ("stardist2-f32",),
}
WHY = {"StarDist (grid 2)": ": its layers work at half the resolution"}  # where ours doesn't lead
LOADER, MEMORY, EPOCH = 0.05, 6.0, 0.75  # of a step; gigabytes; of the time before

Results = dict[str, Any]
Row = tuple[str, str, bool]


def table(
    results: Results, trained: Results | None = None, grown: Results | None = None, small: Results | None = None
) -> str:
    """Every aim with its figure.

    Args:
        results: Of `python -m benchmarks`.
        trained: Of `python -m benchmarks training`.
        grown: Of `python -m benchmarks growth`.
        small: Figures of the small U-Net on StarDist's test images, where it is bundled (`train.evaluation.evaluate`).
    """
    smp = "U-Net++ level with segmentation_models_pytorch's Unet++ (resnet34)"
    rows: list[Row] = [
        _share(results, "unet64", "U-Net 64..1024", 0.7),
        _share(results, "unetpp", "U-Net++", 0.5),
        _times(results, "unetpp", "smp-bf16", smp, 1.0),
        _times(results, "l3", "unetpp-bands-bf16", "L3 1.7 times as fast as U-Net++", 1.7),
        _times(results, "l2", "unetpp-bands-bf16", "L2 3 times as fast as U-Net++", 3.0),
        _after(results),
        _faster_than_stardist(results, small),
        _ahead(results),
    ]
    rows += [] if trained is None else _training(trained)
    rows += [] if grown is None else _growth(grown)
    lines = ["| aim; of images 1024 x 1024, bfloat16 | measured | reached |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {aim} | {said} | {'yes' if met else 'no'} |" for aim, said, met in rows)])


def seconds(results: Results, key: str) -> float:
    """A megapixel, as measured at `SIZE`; infinite where it wasn't."""
    sizes = results["contenders"].get(key, {}).get("sizes", {})
    return sizes[str(SIZE)]["seconds"] / SIZE**2 * 1e6 if str(SIZE) in sizes else float("inf")


def leads(results: Results) -> dict[str, float]:
    """Peer -> how many times as fast as its network, in its fastest precision, the U-Net is; of those measured."""
    ours = seconds(results, "unet-bands-bf16")
    theirs = {peer: min(seconds(results, key) for key in keys) for peer, keys in PEERS.items()}
    return {peer: one / ours for peer, one in theirs.items() if max(one, ours) < float("inf")}


def _share(results: Results, key: str, title: str, aim: float) -> Row:
    found = results["contenders"][f"{key}-bands-bf16"]
    share = 2e6 * found["macs_per_pixel"] / seconds(results, f"{key}-bands-bf16") / 1e12
    share /= results["peak_tflops"]["bfloat16"]
    return f"{title} at {aim:.0%} of the matrix peak", f"{share:.0%}", share >= aim


def _times(results: Results, key: str, other: str, title: str, aim: float) -> Row:
    ours, theirs = seconds(results, f"{key}-bands-bf16"), seconds(results, other)
    if max(ours, theirs) == float("inf"):
        return title, "not measured", False
    return title, f"{theirs / ours:.2f} times ({ours:.2f} against {theirs:.2f} s a megapixel)", theirs / ours >= aim


def _after(results: Results) -> Row:
    shares = {}
    for found in results["contenders"].values():
        at = found.get("sizes", {}).get(str(SIZE), {})
        if at.get("parts") and found["precision"] == "bfloat16":
            shares[found["title"]] = at["parts"]["after"] / at["seconds"]
    said = ", ".join(f"{title} {share:.0%}" for title, share in shares.items())
    return "what follows the network under 15% of the time from file to labels", said, max(shares.values()) < 0.15


def _faster_than_stardist(results: Results, small: Results | None = None) -> Row:
    """StarDist's own AP is of its test images, as is the small U-Net's; that of the levels is of the validation list: a
    level far below it there is no rival."""
    theirs = seconds(results, "stardist2-f32")
    rows = {row["level"]: row for row in json.loads(LEVELS.read_text())["levels"]}
    ours_by_title = {f"L{n}": (seconds(results, f"l{n}-bands-bf16"), rows[n]["ap_50"], "") for n in (1, 2, 3)}
    if small is not None and seconds(results, "small-bands-bf16") < float("inf"):
        mean = f" (mean of .5 to .9: {small['ap_5_to_9']:.3f})"
        ours_by_title["U-Net 16..256"] = seconds(results, "small-bands-bf16"), small["ap"]["0.5"], mean
    said, met = [], False
    for title, (ours, ap, more) in ours_by_title.items():
        said.append(f"{title} {ours:.2f} s and AP at .5 of {ap:.3f}{more}")
        met = met or (ours < theirs and ap > STARDIST)
    aim = "a published variant faster than StarDist's grid 2 at a better quality (AP at .5)"
    published = f"{theirs:.2f} s and {STARDIST:.3f} (mean of .5 to .9: {STARDIST_MEAN:.3f}) as published"
    return aim, f"{', '.join(said)}, against {published}", met


def _ahead(results: Results) -> Row:
    times = leads(results)
    said = ", ".join(f"{peer} {lead:.1f} times" for peer, lead in times.items()) or "not measured"
    return (
        "U-Net ahead of every peer's network, each in its fastest precision",
        said,
        min(times.values(), default=0) > 1,
    )


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
    return aim, ", ".join(said) or "not measured", bool(figures) and all(enough(figure) for figure in figures)


def _growth(grown: Results) -> list[Row]:
    """Of cost against size: no faster than the pixels; and memory that a larger image doesn't raise."""
    powers = {growth.TITLES[key]: growth.exponent(grown, key) for key in ("images", "folder")}
    known = {title: power for title, power in powers.items() if power is not None}
    flat = growth.flatness(grown)
    held, is_flat = "not measured", False
    if flat:
        is_flat = flat[2] <= 1.1 * flat[1]
        held = f"{flat[1]:.1f} GB, and {flat[2]:.1f} GB for {flat[0]:.1f} times as many pixels"
    return [
        _met("time grows as the pixels or slower (exponent at most 1.05)", [f"{t} {p:.2f}" for t, p in known.items()],
             list(known.values()), lambda power: power <= 1.05),
        ("memory is flat beyond the largest block (within 10%)", held, is_flat),
    ]  # fmt: skip
