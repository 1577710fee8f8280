"""State -> the files that are downloaded, by name."""

from ..inference.network import Network
from ..inference.settings import Cut
from ..output import export, provenance
from ..output import files as results
from .networks import Networks
from .state import Analysis

# what a button says, by the ending of the file that it gives
KINDS = {kind.ending: kind.title for kind in results.KINDS.values()}
README = results.README
BOTH = "both"  # in place of a network: the nuclei that both found
_KEYS = {kind.ending: key for key, kind in results.KINDS.items()}


def make_file(analysis: Analysis, network: str, cut: Cut, kind: str) -> tuple[str, bytes]:
    """One file of one network.

    Args:
        network: The key of a network that was run, or `BOTH`.
        kind: A key of `KINDS`.

    Returns:
        Its name and contents.
    """
    both, picture = network == BOTH, analysis.picture
    labels = analysis.agreed(cut) if both else analysis.labels(network, cut)
    files = results.make_files(
        labels,
        picture.pixels,
        analysis.pixel_size,
        network,
        lambda: analysis.agreed_table(cut) if both else analysis.table(network, cut, solidity=True),
        [_KEYS[kind]],
        mended=frozenset() if both else analysis.mended(network, cut),
    )
    return f"{picture.name}_{network}_{kind}", files[kind]


def make_readme(analysis: Analysis, networks: Networks, cut: Cut) -> bytes:
    """README.txt: what is to be known to repeat the result."""
    picture = analysis.picture
    size = analysis.pixel_size
    facts: dict[str, dict[str, object]] = {
        "Image": {
            "name": picture.name,
            "what was read": " ".join(picture.about),
            "pixel size (y, x), micrometres": None if size is None else f"{size[0]:g}, {size[1]:g}",
        }
    }
    for key in analysis.maps:
        facts[networks[key].title] = _network_facts(analysis, networks[key], cut)
    facts["What both agree on"] = {
        "what it is": "nuclei that both networks found (IoU above 0.5), with the outline of the network that is surer",
        "nuclei": int(analysis.agreed(cut).max(initial=0)),
    }
    facts["Versions"] = provenance.versions()
    facts["Files"] = dict(results.FILES)
    return export.readme(facts)


def _network_facts(analysis: Analysis, network: Network, cut: Cut) -> dict[str, object]:
    settings = analysis.settings
    applied = analysis.cut_values(network.key, cut)
    least = network.processor.least_applied(cut.least_confidence)
    facts = provenance.network_facts(network, applied, least, settings.diameter, settings.tta, settings.level)
    facts["nuclear diameter assumed, pixels"] = analysis.diameters.get(network.key)
    given = analysis.run_pixel_size
    facts["pixel size given as evidence for it (y, x), micrometres"] = given and f"{given[0]:g}, {given[1]:g}"
    facts["left out for low confidence"] = analysis.left_out(network.key, cut)
    facts["nuclei"] = len(analysis.table(network.key, cut)["label"])
    history = analysis.history(network.key, cut)
    if history is not None:
        deleted, added, changed = history.tally
        facts["mended by hand"] = f"{deleted} deleted, {added} added, {changed} changed"
        facts["numbers of mended nuclei"] = ", ".join(map(str, sorted(history.mended))) or None
    return facts


def make_all(analysis: Analysis, networks: Networks, cut: Cut) -> tuple[str, bytes]:
    """Everything in one zip: its name and contents."""
    files = dict(make_file(analysis, key, cut, kind) for key in (*analysis.maps, BOTH) for kind in KINDS)
    files[README] = make_readme(analysis, networks, cut)
    return f"{analysis.picture.name}_nuclei.zip", export.zipped(files)
