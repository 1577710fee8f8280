"""Run the studies on the validation list and write their tables.

    python -m train.studies targets augmentation networks laboratories    small networks, some hours on two CPU cores
    python -m train.studies earlier diameters scale tta      the bundled weights and earlier ones, an hour
    python -m train.studies                                  only write docs/studies.md from what is there

Each run's figures go to `docs/studies/<study>/`; a run whose file is there is not run again.
"""

import argparse
from pathlib import Path

from train.studies import diameters, earlier, inference, laboratories
from train.studies.report import write
from train.studies.schemes import SCHEMES
from train.studies.small import run, save

OUT = Path("docs/studies")
WEIGHTS = ("weights/unet-nuclei", "weights/unetpp-nuclei")
PUBLISHED = "border and distance"
SEEDS = (0, 1, 2)
WITHOUT = {  # what is left out -> overrides of the study's configuration
    "copy-paste": ["augment.paste=0"],
    "inversion": ["augment.invert=0"],
    "synthetic stain, tint": ["augment.stain=0", "augment.tint=0"],
    "colour jitter": ["augment.hed_jitter=0", "augment.to_grey=0", "augment.channel_shuffle=0"],
    "contrast": ["augment.gain=0", "augment.offset=0", "augment.gamma=0", "augment.shade=0"],
    "blur and noise": ["augment.blur=0", "augment.noise=0"],
    "bending": ["augment.elastic=0"],
    "most of the range of scales": ["augment.min_diameter=20", "augment.max_diameter=28"],
}
UNETPP = [
    "network=unetpp",
    "model={channels: [16, 32, 64, 128, 256], batch_norm: true, deep_supervision: true, inference_mode: fast}",
]


def targets() -> None:
    """The same network taught in every way, under the same budget; the best of them with a second seed."""
    for name, scheme in SCHEMES.items():
        run(name, scheme, [], 0, OUT / "targets")
    for name in (PUBLISHED, "centre votes", "border and centre votes"):
        run(name, SCHEMES[name], [], 1, OUT / "targets")


def augmentation() -> None:
    """All augmentations, with three seeds that tell the noise, and all but one."""
    published("all", OUT / "augmentation")
    for name, overrides in WITHOUT.items():
        run(f"without {name}", SCHEMES[PUBLISHED], overrides, 0, OUT / "augmentation")


def networks() -> None:
    """U-Net and U-Net++ of the same widths, three seeds each."""
    published("U-Net", OUT / "networks")
    for seed in SEEDS:
        run("U-Net++", SCHEMES[PUBLISHED], UNETPP, seed, OUT / "networks")


def published(name: str, folder: Path) -> None:
    """The published way with every seed, as `targets` has it, under another name in another study."""
    for seed in SEEDS:
        save(run(PUBLISHED, SCHEMES[PUBLISHED], [], seed, OUT / "targets") | {"name": name}, folder)


def five() -> None:
    """Small U-Nets on the Bowl alone and on all five laboratories."""
    laboratories.run(SEEDS, OUT / "laboratories")


def before() -> None:
    """The networks that saw the Bowl alone, on other laboratories' images."""
    earlier.run(OUT / "earlier")


def found() -> None:
    """How well the nuclear diameter is found."""
    diameters.run(OUT / "diameters")


def scale() -> None:
    """The bundled weights at other magnifications."""
    for weights in WEIGHTS:
        inference.scale(weights, OUT / "scale")


def tta() -> None:
    """The bundled weights with test-time augmentation."""
    for weights in WEIGHTS:
        inference.tta(weights, OUT / "tta")


STUDIES = {"targets": targets, "augmentation": augmentation, "networks": networks, "laboratories": five}
STUDIES |= {"earlier": before, "diameters": found, "scale": scale, "tta": tta}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", nargs="*", choices=[*STUDIES, []], help="all those named are run, in this order")
    args = parser.parse_args()
    for name in args.study:
        STUDIES[name]()
    write(OUT)


if __name__ == "__main__":
    main()
