"""Which model a command runs."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUNDLED = Path("weights", "unetpp-nuclei")


class Usage(Exception):
    """The command was given in a way that can't be followed; nothing was done. The message says what to do."""


def model_or_default(model: str | None) -> str:
    """The model that was named, or the bundled weights of a clone. Raises `Usage` where there are none."""
    if model is not None:
        return model
    for folder in (ROOT / BUNDLED, BUNDLED):
        if folder.is_dir():
            return str(folder)
    raise Usage(
        f"No --model was given, and there is no {BUNDLED} here: give a folder, or owner/name@revision on the Hub."
    )
