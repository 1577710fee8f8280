"""The networks and examples that come with this package, and what they are called.

In a clone they lie beside the package, in `weights/` and `examples/`; in an installed wheel they lie inside it. This
module imports nothing that is slow, so that help is quick.
"""

from pathlib import Path

TITLES = {"unet": "U-Net", "unetpp": "U-Net++"}
FURTHER = {"unet-small": "U-Net small"}  # to choose beside these two, where it is there
DEFAULT_KEY = "unet"  # the network that is taken where none is named
DEFAULT = f"{DEFAULT_KEY}-nuclei"  # and the name that `load` knows it by
PACKAGE = Path(__file__).resolve().parents[1]


def key_of(model_type: str) -> str:
    """The key of a configuration's `model_type`: "unetpp" of "nuclei_unetpp"."""
    return model_type.removeprefix("nuclei_")


def title_of(name: str, model_type: str) -> str:
    """What a network is called: by the name of its folder or repository where that says more than its kind does."""
    return FURTHER.get(name.split("/")[-1].removesuffix("-nuclei")) or TITLES[key_of(model_type)]


def data_folder(name: str) -> Path:
    """The folder `weights` or `examples`, which need not exist."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


def bundled_names() -> list[str]:
    """The names that `load` knows: "unet-nuclei", "unet-small-nuclei", "unetpp-nuclei"."""
    return sorted(path.parent.name for path in data_folder("weights").glob("*/config.json"))


def bundled(name: str) -> Path | None:
    """The folder of a network that comes with the package; `None` for any other name."""
    return data_folder("weights") / name if name in bundled_names() else None
