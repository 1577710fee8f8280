"""Store what the bundled networks say of an example image, to be run whenever weights have changed.

    python -m train.release.golden                          both bundled networks
    python -m train.release.golden weights/unet-nuclei

`golden.safetensors` beside the weights holds the tensors; tests and the package for bioimage.io read them.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from nuclei_models.inference import golden
from nuclei_models.inference.loading import load

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "fluorescence-dense.png"
BUNDLED = [ROOT / "weights" / name for name in ("unet-nuclei", "unetpp-nuclei", "unet-small-nuclei")]


def store(folder: Path) -> Path:
    """Compute and store the golden tensors of the network in a folder. -> the file."""
    image = np.asarray(Image.open(EXAMPLE).convert("RGB"))
    return golden.write(golden.compute(*load(folder, device="cpu"), image, folder), folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="*", type=Path, default=BUNDLED, help="folders of networks")
    for folder in parser.parse_args().weights:
        print(f"Wrote {store(folder)}")


if __name__ == "__main__":
    main()
