"""A virtual environment that has some of this environment's packages, and nothing else."""

import venv
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement


def linked_environment(folder: Path, packages: Iterable[str]) -> Path:
    """Make an environment with these packages and all that they depend on, as links: pip would take half a minute.

    Args:
        folder: Where it is made; it must not exist.
        packages: Requirements, as given to `pip install`. They must be installed here.

    Returns:
        Its interpreter.
    """
    venv.create(folder, with_pip=False)
    [site_packages] = folder.glob("lib/python*/site-packages")
    for name in with_dependencies(packages):
        found = distribution(name)
        tops = {path.parts[0] for path in found.files or () if path.parts[0] not in ("..", "__pycache__")}
        for top in tops:
            if not (site_packages / top).exists():
                (site_packages / top).symlink_to(Path(str(found.locate_file(top))).resolve())
    return folder / "bin" / "python"


def with_dependencies(packages: Iterable[str]) -> set[str]:
    """The names of these packages and of all that they need, without their extras."""
    names: set[str] = set()
    waiting = [Requirement(package) for package in packages]
    while waiting:
        requirement = waiting.pop()
        if requirement.name in names or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        names.add(requirement.name)
        waiting += map(Requirement, distribution(requirement.name).requires or ())
    return names
