"""A folder -> network and processor without transformers, which takes longer to be imported than a small image to be
segmented. They find exactly what `load` would have them find.

This way takes only what is as `save_pretrained` leaves it: known fields of the expected types, weights of the SHA-256
that the configuration says, which fill the network exactly. Of anything else `load` is to say what is wrong with it.
"""

import hashlib
import json
from dataclasses import dataclass, fields
from pathlib import Path
from types import UnionType
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import torch
from safetensors.torch import load as tensors_of

from ..model.channels import check_names, check_pair, names_of
from ..model.layers import NucleiNetwork
from ..model.processing import NucleiProcessing
from ..model.processor_settings import FIXED, NucleiSettings
from ..model.repository import CONFIG, HASH, PROCESSOR, WEIGHTS
from ..model.unet import UNetLayers
from ..model.unetpp import UNetPlusPlusLayers


@dataclass
class PlainConfig:
    """What the layers are made from; see `UNetConfig` and `UNetPlusPlusConfig`."""

    model_type: str
    num_channels: int
    channels: list[int]
    id2label: dict[int, str]
    batch_norm: bool
    dropout: float | int
    padding: str = "same"
    deep_supervision: bool = False
    inference_mode: str = "accurate"
    size_divisor: int = 1

    @classmethod
    def of(cls, config: Any) -> "PlainConfig":
        """From a network's configuration."""
        return cls(**{field.name: getattr(config, field.name) for field in fields(cls) if hasattr(config, field.name)})

    @property
    def depth(self) -> int:
        """Number of poolings."""
        return len(self.channels) - 1

    @property
    def num_labels(self) -> int:
        """Output channels."""
        return len(self.id2label)


class Logits(NamedTuple):
    """What a plain network says, under the name by which transformers' models say it."""

    logits: torch.Tensor


class PlainNetwork(NucleiNetwork):
    """A network for inference alone. Once it has been used, its weights are not to be changed."""

    def __init__(self, config: PlainConfig):
        super().__init__()
        self.config = config
        self.build(config)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def forward(self, pixel_values: torch.Tensor, return_dict: bool = True) -> Logits:
        """(B, num_channels, H, W) -> logits (B, num_labels, H, W)."""
        self.check_input(pixel_values)
        return Logits(self.compute(pixel_values).logits)


class PlainUNet(UNetLayers, PlainNetwork):
    """The U-Net."""


class PlainUNetPlusPlus(UNetPlusPlusLayers, PlainNetwork):
    """The U-Net++."""


class PlainProcessor(NucleiProcessing):
    """The processor's settings, and what it does around a network."""

    def __init__(self, settings: dict[str, Any]):
        for name, value in settings.items():
            setattr(self, name, value)


class _Unusual(ValueError):
    """Not as `save_pretrained` leaves it."""


COMMON = {"num_channels": int, "channels": list[int], "batch_norm": bool, "dropout": float | int}
CLASSES: dict[str, tuple[type[PlainNetwork], dict[str, Any]]] = {
    "nuclei_unet": (PlainUNet, COMMON | {"padding": str}),
    "nuclei_unetpp": (
        PlainUNetPlusPlus,
        COMMON | {"deep_supervision": bool, "inference_mode": str, "size_divisor": int},
    ),
}
BESIDE = {"architectures", "auto_map", "dtype", "id2label", "label2id", "model_type", "transformers_version", HASH}
WORDS = {"padding": ("valid", "mirror", "same"), "inference_mode": ("accurate", "fast")}
OF_THE_FILE = {"auto_map", "image_processor_type", "processor_class", "rescale_factor"}


def load_plain(folder: Path) -> tuple[PlainNetwork, PlainProcessor] | None:
    """The network and the processor in a folder, on the CPU; `None` where `load` is to be asked."""
    if any((folder / name).is_symlink() for name in (CONFIG, WEIGHTS, PROCESSOR)):  # as in the Hub's cache
        return None
    try:
        said = json.loads((folder / CONFIG).read_bytes())
        network = _network(said, (folder / WEIGHTS).read_bytes())
        processor = _processor(json.loads((folder / PROCESSOR).read_bytes()))
        check_pair(network, processor)
    except Exception:  # of any type: what a malformed file comes to depends on what is wrong with it
        return None
    return network, processor


def _network(said: dict[str, Any], weights: bytes) -> PlainNetwork:
    plain_class, wanted = CLASSES[said["model_type"]]
    _expect(said.keys() <= wanted.keys() | BESIDE and said["dtype"] == "float32")
    _expect(said[HASH] == hashlib.sha256(weights).hexdigest())
    _expect(all(_is_of(said[name], kind) for name, kind in wanted.items()))
    _expect(all(said[name] in known for name, known in WORDS.items() if name in wanted))
    names = names_of(said["id2label"])
    check_names(names)
    made_from = {name: said[name] for name in wanted}
    config = PlainConfig(said["model_type"], id2label=dict(enumerate(names)), **made_from)
    _expect(min(config.channels) > 0 and config.depth > 0 and config.num_channels > 0 and 0 <= config.dropout < 1)
    _expect("size_divisor" not in wanted or (config.size_divisor > 0 and config.size_divisor % 2**config.depth == 0))
    with torch.device("meta"):
        network = plain_class(config)
    tensors = {name: x.float() if x.is_floating_point() else x for name, x in tensors_of(weights).items()}
    kinds = {name: x.dtype for name, x in network.state_dict().items()}
    _expect(all(x.dtype == kinds[name] for name, x in tensors.items()))
    network.load_state_dict(tensors, assign=True)  # which raises unless they fill it exactly
    return network.eval()


def _processor(said: dict[str, Any]) -> PlainProcessor:
    kinds = get_type_hints(NucleiSettings) | {"image_mean": float | int, "image_std": float | int}
    _expect(said.keys() <= kinds.keys() | FIXED.keys() | OF_THE_FILE)
    _expect(all(said[name] in values for name, values in FIXED.items() if name in said))
    given = {name: said[name] for name in kinds if said.get(name) is not None}
    _expect(all(_is_of(value, kinds[name]) for name, value in given.items()))
    return PlainProcessor(given)


def _is_of(value: Any, kind: Any) -> bool:
    """Whether a value from a JSON file is of a type, of which a bool is no int."""
    if isinstance(kind, UnionType):
        return any(_is_of(value, one) for one in get_args(kind))
    if get_origin(kind) is list:
        return isinstance(value, list) and all(_is_of(item, get_args(kind)[0]) for item in value)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _expect(as_usual: bool) -> None:
    if not as_usual:
        raise _Unusual
