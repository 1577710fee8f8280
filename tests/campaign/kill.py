"""The killing stage: harm done to runs of `nuclei segment` at every step they take on the disk, and at any moment."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tifffile

from tests.support import ROOT
from tests.support.page import blobs, save_networks


@dataclass
class Kills:
    """What was left after runs came to harm of one kind.

    Attributes:
        tried: Runs.
        problems: Results that were reported and lost, done twice or half-written: a line each.
    """

    tried: int
    problems: list[str] = field(default_factory=list)


def kill(moments: int, every: int = 1) -> dict[str, Kills]:
    """Do harm to runs; see tests/support/crash.py.

    Args:
        moments: How many are killed at random moments.
        every: Of the steps of a run, this one, and so on.

    Returns:
        What was left, by the kind of harm.
    """
    with tempfile.TemporaryDirectory(prefix="campaign-") as name:
        folder = Path(name)
        Path(save_networks(folder)["unetpp"]).rename(folder / "model")
        (folder / "images").mkdir()
        for seed in range(12):
            pixels = (blobs(96, 96, seed=seed) * 4000).astype(np.uint16)
            tifffile.imwrite(folder / "images" / f"x{seed}.tif", pixels)
        command = [sys.executable, "-m", "tests.support.crash", str(folder), str(moments), str(every)]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            return {"runs of `nuclei segment`": Kills(0, [done.stderr.strip()[-500:]])}
        return {what: Kills(**said) for what, said in json.loads(done.stdout).items()}
