"""A target that breaks every promise, for the campaign's own test."""

import os
import time
from pathlib import Path

from .worker import Finding


def behave(case, folder: Path) -> str:
    if case == "hang":
        time.sleep(600)
    if case == "crash":
        os.abort()
    if case == "memory":
        return str(len(bytearray(2**30)))
    if case == "finding":
        raise Finding("broken")
    if isinstance(case, dict) and case["fill"] == "nan":
        raise TypeError("nan")
    return "fine"
