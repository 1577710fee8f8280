"""Other people's networks, each in a virtual environment of its own under .benchmarks/.

    python -m benchmarks.peers --install

takes about 3 GB of disk. Those that run on torch use the torch that is installed here. One that can't be installed is
left out of the tables, which then say why.
"""

import argparse
import json
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / ".benchmarks"
INSTALLED, REFUSED = "installed.json", "refused.txt"


@dataclass(frozen=True)
class Peer:
    """What to install, and whether beside this environment's torch (then without what they ask for besides)."""

    packages: tuple[str, ...]
    beside_torch: bool = True


SHARED = ("fastremap", "natsort", "roifile", "opencv-python-headless", "fill-voids")
PEERS = {
    "smp": Peer(("segmentation_models_pytorch==0.6.0", "timm==1.0.31")),
    "cellpose": Peer(("cellpose==3.1.1.3", *SHARED)),
    "cellpose4": Peer(("cellpose==4.2.1.1", "segment_anything==1.0", *SHARED)),
    "stardist": Peer(("stardist==0.9.2", "tensorflow-cpu==2.21.0", "tf_keras==2.21.0"), beside_torch=False),
    "instanseg": Peer(("instanseg-torch==0.1.2", "einops", "fastremap")),
    "microsam": Peer(("segment-anything-py==1.0.1",)),  # what micro-sam takes its encoder from
    "openvino": Peer(("openvino",)),
}


def python(peer: str) -> Path | None:
    """The interpreter of an installed peer."""
    path = FOLDER / peer / "bin" / "python"
    return path if (FOLDER / peer / INSTALLED).is_file() else None


def missing(peer: str) -> str:
    """Why a peer isn't there, in a few words."""
    refused = FOLDER / peer / REFUSED
    if refused.is_file():
        return f"can't be installed: {refused.read_text()}"
    return f"not installed: python -m benchmarks.peers --install {peer}"


def install(name: str) -> None:
    """Make a peer's environment, unless it is there; where that fails, write down why."""
    if python(name):
        return
    peer, folder = PEERS[name], FOLDER / name
    venv.create(folder, with_pip=False, clear=True)
    interpreter = folder / "bin" / "python"
    if peer.beside_torch:
        packages = next((folder / "lib").glob("python*")) / "site-packages"
        (packages / "torch.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(interpreter), "install", "--quiet", "--no-warn-conflicts"]
    command = [*pip, *(["--no-deps"] if peer.beside_torch else []), *peer.packages]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
        (folder / REFUSED).write_text(lines[-1].removeprefix("ERROR: ")[:160])
        return
    (folder / INSTALLED).write_text(json.dumps(peer.packages))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", nargs="*", choices=[*PEERS, []], metavar="NAME", help="all, or those named")
    args = parser.parse_args()
    if args.install is not None:
        for name in args.install or PEERS:
            install(name)
    for name in PEERS:
        print(f"{name}: {'installed' if python(name) else missing(name)}")


if __name__ == "__main__":
    main()
