"""The killing stage: `nuclei segment` killed before every step it takes on the disk, and at random moments."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from .support import ROOT, blobs, save_networks


@dataclass
class Kills:
    """What was left after runs were killed.

    Attributes:
        runs: Killed.
        problems: Results that were reported and lost, done twice or half-written: a line each.
    """

    runs: int
    problems: list[str]


def kill(moments: int) -> Kills:
    """Kill a run at every step and others at as many random moments; see tests/crash.py."""
    with tempfile.TemporaryDirectory(prefix="campaign-") as name:
        folder = Path(name)
        Path(save_networks(folder)["unetpp"]).rename(folder / "model")
        (folder / "images").mkdir()
        for seed in range(12):
            pixels = (blobs(96, 96, seed=seed) * 4000).astype(np.uint16)
            tifffile.imwrite(folder / "images" / f"x{seed}.tif", pixels)
        command = [sys.executable, str(ROOT / "tests" / "crash.py"), str(folder), str(moments)]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            return Kills(0, [done.stderr.strip()[-500:]])
        said = json.loads(done.stdout)
        return Kills(said["steps"] + said["killed"], said["problems"])
