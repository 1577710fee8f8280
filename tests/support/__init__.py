"""What tests share: networks whose answer is known, files, folders, a Hub on this machine."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
