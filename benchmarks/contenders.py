"""Who takes part: what each is, and the command that measures it."""

import sys
from dataclasses import dataclass
from pathlib import Path

from . import peers

HERE = Path(__file__).resolve().parent
ONNX = peers.FOLDER / "onnx"
BUNDLED = {
    "unet": "unet-nuclei",
    "small": "unet-small-nuclei",
}  # folders under weights/; the others are of unetpp-nuclei


def folder(key: str) -> str:
    """The folder of a bundled network's weights, under weights/."""
    return BUNDLED.get(key, "unetpp-nuclei")


def onnx(key: str) -> str:
    """Where a bundled network lies as ONNX, once made."""
    return str(ONNX / f"{folder(key)}.onnx")


@dataclass(frozen=True)
class Contender:
    """One row of the table.

    Attributes:
        key: Its name in results.json and on the command line.
        title: Its name in the table.
        does: "file to labels", or "network" from tensor to tensor.
        precision: Of its weights and maps.
        arguments: Of `benchmarks.own`, or after the peer's name of `peer_networks.py`.
        peer: Whose environment it runs in; "" is this one.
        weight: Share of the time that it may take.
        sizes: Pixels a side that it is measured at, where they are its own.
    """

    key: str
    title: str
    does: str
    precision: str
    arguments: tuple[str, ...]
    peer: str = ""
    weight: float = 1.0
    sizes: tuple[int, ...] = ()

    def command(self, sizes: list[int], budget: float) -> list[str] | None:
        """The command line; `None` where the peer isn't installed."""
        how = ["--precision", self.precision, "--sizes", *map(str, sizes), "--budget", f"{budget:.0f}"]
        if not self.peer:
            return [sys.executable, "-m", "benchmarks.own", *self.arguments, *how]
        python = peers.python(self.peer)
        return [str(python), str(HERE / "peer_networks.py"), *self.arguments, *how] if python else None


OURS = {
    "unet": "U-Net 32..512",
    "unetpp": "U-Net++ (L4)",
    "l3": "U-Net++ L3",
    "l2": "U-Net++ L2",
    "l1": "U-Net++ L1",
}
if (HERE.parent / "weights" / BUNDLED["small"] / "config.json").is_file():
    OURS["small"] = "U-Net 16..256"
NETWORKS = {**OURS, "unet64": "U-Net 64..1024"}
WEIGHTS = {"unet": 9.0, "unetpp": 7.0}  # of those that go up to the largest image
WHOLE = "file to labels"
NETWORK = "network"


def _ours() -> list[Contender]:
    found = []
    for precision, short in (("bfloat16", "bf16"), ("float32", "f32")):
        lower = precision == "bfloat16"
        for key, title in OURS.items():
            if lower or key in ("unet", "unetpp", "l2"):
                weight = WEIGHTS.get(key, 2.0) if lower else 2.0
                found.append(Contender(f"{key}-{short}", title, WHOLE, precision, ("segment", key), weight=weight))
        for key, title in NETWORKS.items():
            large = key in ("unet", "unetpp", "unet64")
            if lower or large:
                found.append(Contender(f"{key}-bands-{short}", title, NETWORK, precision, ("bands", key)))
            if large:
                title = f"{title}, forward"
                found.append(Contender(f"{key}-eager-{short}", title, NETWORK, precision, ("eager", key)))
    for key in ("unet", "unetpp"):
        title = OURS[key]
        found.append(Contender(f"{key}-onnx-f32", f"{title}, ONNX Runtime", NETWORK, "float32", ("onnx", key)))
        how = f"{title}, OpenVINO"
        given = ("openvino", onnx(key))
        found.append(Contender(f"{key}-openvino-bf16", how, NETWORK, "bfloat16", given, peer="openvino"))
        how = f"{title}, torch.compile"
        found.append(Contender(f"{key}-compile-bf16", how, NETWORK, "bfloat16", ("compile", key), weight=3.0))
    return found


def _peers() -> list[Contender]:
    found = []
    for precision, short in (("bfloat16", "bf16"), ("float32", "f32")):
        smp = "segmentation_models_pytorch Unet++ (resnet34)"
        found.append(Contender(f"smp-{short}", smp, NETWORK, precision, ("smp",), "smp"))
        found.append(Contender(f"cellpose-{short}", "Cellpose 3 CPnet", NETWORK, precision, ("cellpose",), "cellpose"))
        given = ("instanseg",)
        found.append(Contender(f"instanseg-{short}", "InstanSeg's U-Net", NETWORK, precision, given, "instanseg"))
        title = "micro-sam's encoder (ViT-B)"
        given = ("microsam",)  # which brings all to this size
        found.append(Contender(f"microsam-{short}", title, NETWORK, precision, given, "microsam", 2.0, (1024,)))
    title = "Cellpose 4 (ViT-L), 1 of 25 tiles timed"  # in bfloat16, as it runs unless told
    found.append(Contender("cellpose4-bf16", title, NETWORK, "bfloat16", ("cellpose4",), "cellpose4", 4.0, (1024,)))
    for grid in (2, 1):
        title = f"StarDist 2D, grid {grid}"
        found.append(
            Contender(f"stardist{grid}-f32", title, NETWORK, "float32", ("stardist", "--grid", str(grid)), "stardist")
        )
    return found


CONTENDERS = {c.key: c for c in [*_ours(), *_peers()]}
QUICK = ("l1-bf16", "l2-f32", "unet-bands-f32")
