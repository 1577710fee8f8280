"""What the chooser of pruning levels says of each: what it costs and gives, as it was measured."""

from ..inference.levels import Level

WHOLE = "Whole network"


def choices(levels: list[int], measured: dict[int, Level]) -> list[tuple[str, str]]:
    """Labels and values to choose from: the whole network, then the others from the largest to L1."""
    if set(levels) != set(measured):
        return [(WHOLE, WHOLE), *((f"L{n}", f"L{n}") for n in levels[-2::-1])]
    whole = measured[levels[-1]]
    smaller = [(f"L{n}: {measured[n].faster:.1f} × as fast, F1 {measured[n].f1:.2f}", f"L{n}") for n in levels[-2::-1]]
    return [(f"{WHOLE}: F1 {whole.f1:.2f}", WHOLE), *smaller]


def explained(measured: dict[int, Level]) -> str:
    """What is written under the chooser."""
    text = "A smaller part of the network (L1 the smallest) is faster and less exact."
    return text + " F1 says how well nuclei of other images were found; 1 is perfect." if measured else text
