"""What is to be known to repeat a result: the network, its settings and the versions of the packages."""

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from ..inference.network import Network
from ..version import __version__

PACKAGES = ("torch", "transformers", "numpy", "scipy", "scikit-image", "tifffile")


def network_facts(
    network: Network,
    cut: tuple[float, float, float | None],
    least_confidence: float,
    diameter: float | None,
    tta: bool,
    level: int | None,
) -> dict[str, object]:
    """What is to be known of a network and its settings to repeat a result, for `export.readme`.

    Args:
        cut: Threshold, separation and minimum area as they are applied; `None` is the fitted minimum area.
        least_confidence: As it is applied.
        diameter, tta, level: As given.
    """
    own = f"{network.processor.min_area:g} as the network sees the image, rescaled to nuclei of its size"
    facts: dict[str, object] = {
        "model": network.source,
        "revision": network.revision or None,
        "SHA-256 of model.safetensors": network.sha256,
        "probability threshold": cut[0],
        "separation": cut[1],
        "minimum area, pixels": own if cut[2] is None else f"{cut[2]:.4g}",
        "least confidence": least_confidence if network.processor.confidence_model else "none was fitted",
        "nuclear diameter given, pixels": diameter or "automatic",
        "test-time augmentation": "yes" if tta else "no",
    }
    if network.levels:
        facts["pruning level"] = f"L{level or network.levels[-1]}" + ("" if level else " (whole)")
    return facts


def versions(*more: str) -> dict[str, object]:
    """Of this package, Python and the packages that the result depends on; `None` where one isn't installed.

    Args:
        more: Packages that this result alone depends on.
    """
    packages: dict[str, object] = {package: _version(package) for package in (*PACKAGES, *more)}
    return {"nuclei-models": __version__, "Python": platform.python_version(), **packages}


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
