"""U-Net and U-Net++ as layers to be run by bands, see `bands.py`: those of the model, with batch normalisation folded
into the convolutions, ReLU joined to them, and weights laid out as oneDNN reads them.
"""

import copy
import threading
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..model.layers import ConvBlock, NucleiNetwork, center_crop
from ..model.unet import UNetLayers
from ..model.unetpp import UNetPlusPlusLayers
from . import bands
from .bands import Layer, set_own_threads

BAND = 2**16  # pixels of the image to a band, at most
WHOLE = 2**24  # rows: more than any image has, and layers lag behind it
THREADS = 4  # layers at work at once, at most; further threads share their work
_here = threading.local()


def _at_once() -> int:
    return min(torch.get_num_threads(), THREADS)


def work_alone() -> None:
    """From now on this thread works on a network's layers alone, one after the other, while others work on other
    images. Each layer has as many of torch's threads as it has otherwise, so that the result is the same to the bit."""
    set_own_threads(max(torch.get_num_threads() // _at_once(), 1))
    _here.alone = True


class Conv(Layer):
    """A 3x3 convolution of the inputs' channels together, with ReLU."""

    def __init__(self, inputs: list[int], conv: nn.Conv2d, dtype: torch.dtype):
        super().__init__(inputs, conv.out_channels, dtype, pad=int(conv.padding[0]))
        self.convolve = convolution(conv, dtype)

    def size(self, length: int) -> int:
        return length + 2 * self.pad - 2

    def lag(self, rows: int) -> int:
        return rows + 2 - self.pad

    def span(self, start: int, stop: int) -> tuple[int, int]:
        return start - self.pad, stop - self.pad + 2

    def __call__(self, parts: list[torch.Tensor]) -> torch.Tensor:
        if len(parts) > 1:
            width = min(x.shape[-1] for x in parts)
            parts = [torch.cat([center_crop(x, x.shape[-2], width) for x in parts], dim=1)]
        return self.convolve(parts[0])


class Pool(Layer):
    """The largest of 2x2."""

    def size(self, length: int) -> int:
        return length // 2

    def band(self, rows: int) -> int:
        return rows // 2

    def lag(self, rows: int) -> int:
        return (rows + 1) // 2

    def span(self, start: int, stop: int) -> tuple[int, int]:
        return 2 * start, 2 * stop

    def __call__(self, parts: list[torch.Tensor]) -> torch.Tensor:
        return F.max_pool2d(parts[0], 2)


class Up(Layer):
    """A transposed 2x2 convolution of stride 2."""

    def __init__(self, inputs: list[int], up: nn.ConvTranspose2d, dtype: torch.dtype, pad: int):
        super().__init__(inputs, up.out_channels, dtype, pad)
        self.weight, self.bias = (p.detach().to(dtype) for p in (up.weight, up.bias))

    def size(self, length: int) -> int:
        return 2 * length

    def band(self, rows: int) -> int:
        return 2 * rows

    def lag(self, rows: int) -> int:
        return 2 * rows

    def span(self, start: int, stop: int) -> tuple[int, int]:
        return start // 2, stop // 2

    def __call__(self, parts: list[torch.Tensor]) -> torch.Tensor:
        return F.conv_transpose2d(parts[0], self.weight, self.bias, stride=2)


class Heads(Layer):
    """The mean of 1x1 convolutions, one an input, in float32."""

    def __init__(self, inputs: list[int], heads: list[nn.Conv2d]):
        super().__init__(inputs, heads[0].out_channels, torch.float32)
        self.weight = torch.cat([head.weight.detach().float() for head in heads], dim=1) / len(heads)
        self.bias = torch.stack([head.bias.detach().float() for head in heads]).mean(0)

    def __call__(self, parts: list[torch.Tensor]) -> torch.Tensor:
        return F.conv2d(torch.cat(parts, dim=1).float(), self.weight, self.bias)


class StreamedNetwork:
    """A U-Net or U-Net++ in evaluation mode, on the CPU. It copies the model's weights, and knows the layers that the
    networks are made of and no others; see `runtime.is_streamed`.

    Args:
        model: UNet or UNetPlusPlus.
        dtype: Of the maps and weights, float32 or bfloat16. The heads are float32.
    """

    def __init__(self, model: NucleiNetwork, dtype: torch.dtype):
        model = copy.deepcopy(model).to("cpu", torch.float32).eval()
        self.dtype, self.stride = dtype, model.stride
        self.pad = next(int(layer.padding[0]) for layer in model.modules() if isinstance(layer, nn.Conv2d))
        channels = int(model.config.num_channels)
        self.layers: list[Layer] = [Layer([0], channels, dtype, self.pad)]
        with torch.no_grad():
            if isinstance(model, UNetLayers):
                self._unet(model)
            elif isinstance(model, UNetPlusPlusLayers):
                self._unetpp(model)
            else:
                raise TypeError(f"{type(model).__name__}: expected UNet or UNetPlusPlus.")

    def __call__(self, x: torch.Tensor, report: Callable[[int, int], None] | None = None) -> torch.Tensor:
        """Logits of an image.

        Args:
            x: (1, num_channels, H, W), of a size that the network takes as it is.
            report: Called now and then with (rows done, rows in all). What it raises ends the work.

        Returns:
            (1, num_labels, H', W'), float32.
        """
        height, width = x.shape[2:]
        is_small = height * width <= BAND  # then one band, and all threads at one layer: others would wait for it
        rows = WHOLE if is_small else min(BAND // width, height // 4)
        work = bands.Work(self.layers, x, band=max(rows // self.stride, 1) * self.stride)
        return work.run(1 if is_small or getattr(_here, "alone", False) else _at_once(), report)

    # the networks, to be read beside their forward; a number stands for the layer that makes the map, 1 for the image

    def _unet(self, model: UNetLayers) -> None:
        x, skips = 1, []
        for block in model.contracting:
            x = self._block([x], block)
            skips.append(x)
            x = self._pool(x)
        x = self._block([x], model.bottleneck)
        for up, block, skip in zip(model.up, model.expansive, reversed(skips), strict=True):
            x = self._block([skip, self._up(x, up)], block)
        self._add(Heads([x], [model.head]))

    def _unetpp(self, model: UNetPlusPlusLayers) -> None:
        X: list[list[int]] = []
        for i in range(model.config.depth + 1):
            X.append([self._block([self._pool(X[i - 1][0]) if i else 1], model.nodes[i][0])])
            for j in range(1, i + 1):
                k = i - j
                X[k].append(self._block([*X[k], self._up(X[k + 1][j - 1], model.up[k][j - 1])], model.nodes[k][j]))
        heads = list(model.heads) if model.config.inference_mode == "accurate" else [model.heads[-1]]
        self._add(Heads(X[0][-len(heads) :], heads))

    def _block(self, inputs: list[int], block: ConvBlock) -> int:
        for conv, after in zip(block, list(block)[1:], strict=False):
            if isinstance(conv, nn.Conv2d):
                folded = fuse_conv_bn_eval(conv, after) if isinstance(after, nn.BatchNorm2d) else conv
                inputs = [self._add(Conv(inputs, folded, self.dtype))]
        return inputs[0]

    def _pool(self, x: int) -> int:
        return self._add(Pool([x], self.layers[x - 1].channels, self.dtype, self.pad))

    def _up(self, x: int, up: nn.ConvTranspose2d) -> int:
        return self._add(Up([x], up, self.dtype, self.pad))

    def _add(self, layer: Layer) -> int:
        self.layers.append(layer)
        return len(self.layers)


def convolution(conv: nn.Conv2d, dtype: torch.dtype) -> Callable[[torch.Tensor], torch.Tensor]:
    """x -> relu(conv(x)) with the columns padded and the rows not; by oneDNN where torch has it."""
    weight, bias = (p.detach().to(dtype) for p in (conv.weight, conv.bias))
    padding, one = (0, int(conv.padding[1])), (1, 1)
    try:  # what torch.compile calls; it is no public part of torch, and another version may have it otherwise
        packed = torch._C._nn.mkldnn_reorder_conv2d_weight(weight.to_mkldnn(), padding, one, one, 1, None)
        fused = torch.ops.mkldnn._convolution_pointwise
        fused(torch.zeros(1, weight.shape[1], 3, 3, dtype=dtype), packed, bias, padding, one, one, 1, "relu", [], "")
    except (AttributeError, RuntimeError, TypeError):
        return lambda x: F.conv2d(x, weight, bias, padding=padding).relu_()
    return lambda x: fused(x, packed, bias, padding, one, one, 1, "relu", [], "")
