"""Other people's networks, each in a virtual environment of its own under .benchmarks/.

    python -m benchmarks.peers --install

takes about 2 GB of disk. Those that run on torch use the torch that is installed here.
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


@dataclass(frozen=True)
class Peer:
    """What to install, and whether beside this environment's torch (then without what they ask for besides)."""

    packages: tuple[str, ...]
    beside_torch: bool


PEERS = {
    "smp": Peer(("segmentation_models_pytorch==0.6.0", "timm==1.0.31", "torchvision==0.28.*"), beside_torch=True),
    "cellpose": Peer(("cellpose==3.1.1.3", "fastremap", "natsort", "roifile", "opencv-python-headless"), True),
    "stardist": Peer(("stardist==0.9.2", "tensorflow-cpu==2.21.0", "tf_keras==2.21.0"), beside_torch=False),
    "openvino": Peer(("openvino",), beside_torch=True),
}


def python(peer: str) -> Path | None:
    """The interpreter of an installed peer."""
    path = FOLDER / peer / "bin" / "python"
    return path if (FOLDER / peer / "installed.json").is_file() else None


def install(name: str) -> None:
    """Make a peer's environment, unless it is there."""
    if python(name):
        return
    peer, folder = PEERS[name], FOLDER / name
    venv.create(folder, with_pip=False, clear=True)
    interpreter = folder / "bin" / "python"
    if peer.beside_torch:
        packages = next((folder / "lib").glob("python*")) / "site-packages"
        (packages / "torch.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(interpreter), "install", "--quiet", "--no-warn-conflicts"]
    subprocess.run([*pip, *(["--no-deps"] if peer.beside_torch else []), *peer.packages], check=True)
    (folder / "installed.json").write_text(json.dumps(peer.packages))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", nargs="*", choices=[*PEERS, []], metavar="NAME", help="all, or those named")
    args = parser.parse_args()
    if args.install is not None:
        for name in args.install or PEERS:
            install(name)
    for name in PEERS:
        print(f"{name}: {'installed' if python(name) else 'not installed'}")


if __name__ == "__main__":
    main()
