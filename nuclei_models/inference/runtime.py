"""The fastest way that this machine has to run a network.

On a CPU, U-Net and U-Net++ go by bands of rows (`streaming.py`), in bfloat16 where the processor has instructions for
it; on a CUDA device under autocast; any other network or device as it is.
"""

from collections.abc import Callable
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch

from ..model.modeling_nuclei import NucleiPreTrainedModel
from ..model.modeling_unet import UNet
from ..model.modeling_unetpp import UNetPlusPlus
from .streaming import StreamedNetwork

PRECISIONS = ("auto", "float32", "bfloat16")
Report = Callable[[int, int], None]  # called with (rows done, rows in all)


class _Made(NamedTuple):
    """A network by bands, what the model was when it was made, and its tensors, so that no other can take their place
    in memory."""

    network: StreamedNetwork
    state: list
    tensors: list[torch.Tensor]


_streamed: WeakKeyDictionary[NucleiPreTrainedModel, dict[torch.dtype, _Made]] = WeakKeyDictionary()


class Runtime:
    """A network made ready. The model itself is not changed, and what is made of it is kept until it is, or is gone.

    Args:
        model: In evaluation mode.
        precision: Of what lies between the image and the logits, both of which are float32. "auto" is bfloat16 where
            the device computes it natively, and float32 elsewhere.

    Raises:
        ValueError: The precision isn't one of `PRECISIONS`, or is not to be had here.
    """

    def __init__(self, model: NucleiPreTrainedModel, precision: str = "auto"):
        self.model, self.device = model, model.device
        self.dtype = choose(precision, model.device)
        self.streamed = type(model) in (UNet, UNetPlusPlus) and model.device.type == "cpu"

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
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.model(x).logits.float().cpu()


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


def stream(model: NucleiPreTrainedModel, dtype: torch.dtype) -> StreamedNetwork:
    """The network by bands; made anew only if the model has changed."""
    tensors = [*model.parameters(), *model.buffers()]
    mode = getattr(model.config, "inference_mode", None)
    state = [mode, *((id(t), t.data_ptr(), 0 if t.is_inference() else t._version) for t in tensors)]
    made = _streamed.setdefault(model, {})
    if dtype not in made or made[dtype].state != state:
        made[dtype] = _Made(StreamedNetwork(model, dtype), state, tensors)
    return made[dtype].network
