"""What was aimed at, and what was measured: Markdown from a run's results."""

import json
from pathlib import Path

from . import reaches_beside
from .missed import bullets
from .reaches_beside import NOT_MEASURED, Results, Row

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
AFTER, AFTER_NARROW = 0.15, 0.10  # shares of the time from file to labels; of the narrow networks, tables included
NARROW = ("l1-bf16", "small-bf16")


def rows(results: Results, quality: Results | None = None, **beside: Results | None) -> list[Row]:
    """Every aim with its figure.

    Args:
        results: Of `python -m benchmarks`.
        quality: Figures of the small U-Net on StarDist's test images, where it is bundled
            (`train.evaluation.evaluate`).
        beside: What else was measured, see `reaches_beside.rows`.
    """
    smp = "U-Net++ level with segmentation_models_pytorch's Unet++ (resnet34)"
    return [
        _share(results, "unet64", "U-Net 64..1024", 0.7),
        _share(results, "unetpp", "U-Net++", 0.5),
        _times(results, "unetpp", "smp-bf16", smp, 1.0),
        _times(results, "l3", "unetpp-bands-bf16", "L3 1.7 times as fast as U-Net++", 1.7),
        _times(results, "l2", "unetpp-bands-bf16", "L2 3 times as fast as U-Net++", 3.0),
        _after(results),
        _after_and_tables(results),
        _faster_than_stardist(results, quality),
        _ahead(results),
        *reaches_beside.rows(**beside),
    ]


def table(rows: list[Row]) -> str:
    """Every aim with its figure, Markdown."""
    lines = ["| aim; of images 1024 x 1024, bfloat16 | measured | reached |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {aim} | {said} | {_told(said, met)} |" for aim, said, met in rows)])


def missed(rows: list[Row]) -> str:
    """What there is to tell of the aims that were missed, Markdown."""
    return bullets(aim for aim, said, met in rows if not met and said != NOT_MEASURED)


def _told(said: str, met: bool) -> str:
    return "–" if said == NOT_MEASURED else "yes" if met else "no"


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
    title = f"{title} at {aim:.0%} of the matrix peak"
    found = results["contenders"].get(f"{key}-bands-bf16", {})
    if "macs_per_pixel" not in found:
        return title, NOT_MEASURED, False
    share = 2e6 * found["macs_per_pixel"] / seconds(results, f"{key}-bands-bf16") / 1e12
    share /= results["peak_tflops"]["bfloat16"]
    return title, f"{share:.0%}", share >= aim


def _times(results: Results, key: str, other: str, title: str, aim: float) -> Row:
    ours, theirs = seconds(results, f"{key}-bands-bf16"), seconds(results, other)
    if max(ours, theirs) == float("inf"):
        return title, NOT_MEASURED, False
    return title, f"{theirs / ours:.2f} times ({ours:.2f} against {theirs:.2f} s a megapixel)", theirs / ours >= aim


def _after(results: Results) -> Row:
    shares = {}
    for found in results["contenders"].values():
        at = found.get("sizes", {}).get(str(SIZE), {})
        if at.get("parts") and found["precision"] == "bfloat16":
            shares[found["title"]] = at["parts"]["after"] / at["seconds"]
    said = ", ".join(f"{title} {share:.0%}" for title, share in shares.items())
    aim = f"what follows the network under {AFTER:.0%} of the time from file to labels"
    return aim, said, max(shares.values(), default=1) < AFTER


def _after_and_tables(results: Results) -> Row:
    """Of the networks that are over the soonest, with the table of the nuclei, which the other times don't hold."""
    said, shares = [], []
    for key in NARROW:
        found = results["contenders"].get(key, {})
        at = found.get("sizes", {}).get(str(SIZE), {})
        if "apart" in at.get("parts", {}):
            after, tables = at["parts"]["after"], at["parts"]["apart"]
            shares.append((after + tables) / (at["seconds"] + tables))
            said.append(f"{found['title']} {shares[-1]:.0%} (maps and watershed {1e3 * after:.0f} ms, "
                        f"table {1e3 * tables:.0f} ms)")  # fmt: skip
    aim = f"watershed and tables of L1 and the small U-Net under {AFTER_NARROW:.0%} of the time from file to table"
    return aim, ", ".join(said) or NOT_MEASURED, bool(said) and max(shares) < AFTER_NARROW


def _faster_than_stardist(results: Results, quality: Results | None = None) -> Row:
    """StarDist's own AP is of its test images, as is the small U-Net's; that of the levels is of the validation list: a
    level far below it there is no rival."""
    theirs = seconds(results, "stardist2-f32")
    rows = {row["level"]: row for row in json.loads(LEVELS.read_text())["levels"]}
    ours_by_title = {f"L{n}": (seconds(results, f"l{n}-bands-bf16"), rows[n]["ap_50"], "") for n in (1, 2, 3)}
    if quality is not None and seconds(results, "small-bands-bf16") < float("inf"):
        mean = f" (mean of .5 to .9: {quality['ap_5_to_9']:.3f})"
        ours_by_title["U-Net 16..256"] = seconds(results, "small-bands-bf16"), quality["ap"]["0.5"], mean
    said, met = [], False
    for title, (ours, ap, more) in ours_by_title.items():
        said.append(f"{title} {ours:.2f} s and AP at .5 of {ap:.3f}{more}")
        met = met or (ours < theirs and ap > STARDIST)
    aim = "a published variant faster than StarDist's grid 2 at a better quality (AP at .5)"
    published = f"{theirs:.2f} s and {STARDIST:.3f} (mean of .5 to .9: {STARDIST_MEAN:.3f}) as published"
    return aim, f"{', '.join(said)}, against {published}", met


def _ahead(results: Results) -> Row:
    times = leads(results)
    said = ", ".join(f"{peer} {lead:.1f} times" for peer, lead in times.items()) or NOT_MEASURED
    return (
        "U-Net ahead of every peer's network, each in its fastest precision",
        said,
        min(times.values(), default=0) > 1,
    )
