"""The fastest way that this machine has to run a network.

On a CPU, U-Net and U-Net++ go by bands of rows (`streaming.py`), in bfloat16 where the processor has instructions for
it; on a CUDA device under autocast; any other network or device as it is.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch

from ..model.layers import NucleiNetwork
from .plain import PlainConfig, PlainNetwork, PlainUNet, PlainUNetPlusPlus
from .streaming import StreamedNetwork

PRECISIONS = ("auto", "float32", "bfloat16")
MODEL = NucleiNetwork.__module__.rpartition(".")[0]
# a network's class -> the same layers in plain torch; by names, for transformers takes seconds to be imported
PLAIN: dict[str, type[PlainNetwork]] = {
    f"{MODEL}.modeling_unet.UNet": PlainUNet,
    f"{MODEL}.modeling_unetpp.UNetPlusPlus": PlainUNetPlusPlus,
}
Report = Callable[[int, int], None]  # called with (rows done, rows in all)


class _Made(NamedTuple):
    """What was made of a model, and the weights that it was made of."""

    mode: str | None
    weights: list[torch.Tensor]
    networks: dict[torch.dtype, StreamedNetwork]


_streamed: WeakKeyDictionary[NucleiNetwork, _Made] = WeakKeyDictionary()
_making = threading.Lock()  # what several threads ask for at once is made once


class Runtime:
    """A network made ready. The model itself is not changed, and what is made of it is kept until the model changes or
    is gone.

    Args:
        model: It runs in evaluation mode, whatever its own. See `evaluating`.
        precision: Of what lies between the image and the logits, both of which are float32. "auto" is bfloat16 where
            the device computes it natively, and float32 elsewhere.

    Raises:
        ValueError: The precision isn't one of `PRECISIONS`, or isn't available here.
    """

    def __init__(self, model: NucleiNetwork, precision: str = "auto"):
        self.model, self.device = model, model.device
        self.dtype = choose(precision, model.device)
        self.streamed = is_streamed(model)

    @torch.inference_mode()
    def __call__(self, x: torch.Tensor, report: Report | None = None) -> torch.Tensor:
        """(1, num_channels, H, W) -> logits (1, num_labels, H, W), both float32, on the CPU.

        Args:
            report: Called now and then with (rows done, rows in all). To cancel, raise from it.
        """
        if self.streamed:
            logits = stream(self.model, self.dtype)(self.model._pad(x), report)
            return logits[..., : x.shape[-2], : x.shape[-1]]
        x = x.to(self.device, self.model.dtype, memory_format=torch.channels_last)
        autocast = torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)
        with evaluating(self.model), autocast:
            return self.model(x, return_dict=True).logits.float().cpu()


def choose(precision: str, device: torch.device) -> torch.dtype:
    """The type that `precision` comes to on a device; see `Runtime`."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision={precision!r}: expected one of {', '.join(PRECISIONS)}.")
    native = has_bfloat16(device)
    if precision == "bfloat16" and not native:
        raise ValueError(f'precision="bfloat16": this {device.type} has no instructions for it: choose "auto".')
    return torch.bfloat16 if native and precision != "float32" else torch.float32


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 natively, so that it pays."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # of x86; torch 2.6 has both
    return device.type == "cpu" and any(getattr(torch.cpu, name, bool)() for name in checks)


def stream(model: NucleiNetwork, dtype: torch.dtype) -> StreamedNetwork:
    """The network by bands; made anew only if the model has changed, by whatever means: its weights are compared. A
    plain network's are not: it is made to be used as it is."""
    mode = getattr(model.config, "inference_mode", None)
    weights = [] if isinstance(model, PlainNetwork) else [*model.parameters(), *model.buffers()]
    with _making:
        made = _streamed.get(model)
        if made is None or made.mode != mode or not _all_equal(made.weights, weights):
            made = _streamed[model] = _Made(mode, [tensor.detach().clone() for tensor in weights], {})
        if dtype not in made.networks:
            made.networks[dtype] = StreamedNetwork(model, dtype)
        return made.networks[dtype]


def _all_equal(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return len(a) == len(b) and all(x.dtype == y.dtype and torch.equal(x, y) for x, y in zip(a, b, strict=True))


def is_streamed(model: NucleiNetwork) -> bool:
    """Whether a network goes by bands: a U-Net or U-Net++ on the CPU whose layers are those that its configuration
    makes. Where one was exchanged, hooked or wrapped, the network is run as it is. A plain network is made for
    this alone."""
    if isinstance(model, PlainNetwork):
        return model.device.type == "cpu"
    plain = PLAIN.get(f"{type(model).__module__}.{type(model).__qualname__}")
    if plain is None or model.device.type != "cpu":
        return False
    hooked = any(m._forward_hooks or m._forward_pre_hooks or "forward" in vars(m) for m in model.modules())
    return not hooked and _layers(model) == _layers_by_config(plain, json.dumps(asdict(PlainConfig.of(model.config))))


def _layers(model: torch.nn.Module) -> list[tuple[str, type, str]]:
    return [(name, type(m), m.extra_repr()) for name, m in model.named_modules() if m is not model]


@lru_cache(maxsize=16)
def _layers_by_config(plain: type[PlainNetwork], config: str) -> list[tuple[str, type, str]]:
    with torch.device("meta"):
        return _layers(plain(PlainConfig(**json.loads(config))))


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """A model in evaluation mode; afterwards each of its layers is in the mode in which it was."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training
