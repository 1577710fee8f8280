"""What both networks share: the convolution block, edge handling, initialisation, loss, output and layer table."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import SemanticSegmenterOutput

from .channels import names_of
from .integrity import load_checked, save_checked
from .losses import check_labels, loss_of
from .summary import summarize


@dataclass
class NucleiSegmenterOutput(SemanticSegmenterOutput):
    """Output of both networks.

    Attributes:
        loss: Scalar, float32; only with labels.
        logits: (B, num_labels, H', W'); H' x W' is the input's size, or smaller with U-Net's `padding="valid"`.
        hidden_states: With `output_hidden_states`; see the networks.
        head_logits: With deep supervision, while training or with labels: the logits of every head, shallowest first.
    """

    head_logits: tuple[torch.Tensor, ...] | None = None


class ConvBlock(nn.Sequential):
    """Two 3x3 convolutions, each followed by ReLU, optionally with batch normalisation between."""

    def __init__(self, in_channels: int, out_channels: int, padding: int, batch_norm: bool):
        layers: list[nn.Module] = []
        for c_in in (in_channels, out_channels):
            layers.append(nn.Conv2d(c_in, out_channels, kernel_size=3, padding=padding, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm2d(out_channels))
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


class NucleiPreTrainedModel(PreTrainedModel):
    """Base of [`UNet`] and [`UNetPlusPlus`]: HF's save/load, He initialisation, the loss and the layer table."""

    base_model_prefix = "network"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    supports_gradient_checkpointing = False
    _loss_function = staticmethod(loss_of)  # for transformers' `loss_function`, which else is a text model's
    accepts_loss_kwargs = False  # the loss is a mean: the Trainer divides it by the batches that it accumulates

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        """transformers' `from_pretrained`, safetensors only and checked; see `integrity.py`.

        Raises:
            HubError: The model is missing, out of reach, damaged or another one. It is an OSError.
        """
        load = super().from_pretrained
        return load_checked(load, cls.config_class, pretrained_model_name_or_path, *args, **kwargs)

    def save_pretrained(self, save_directory, *args, **kwargs):
        """transformers' `save_pretrained`, which also writes the weights' SHA-256 into the config."""
        save_checked(super().save_pretrained, save_directory, *args, **kwargs)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        """He initialisation (Ronneberger et al. 2015, section 3): the standard deviation is sqrt(2 / N)."""
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            # a transposed 2x2 convolution of stride 2 has each output fed by all of one pixel's inputs: weight dim 0
            mode = "fan_in" if isinstance(module, nn.Conv2d) else "fan_out"
            init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
            if isinstance(module, nn.ConvTranspose2d):
                module.weight.mul_(module.kernel_size[0])  # fan_out counts kernel_size**2 taps, of which one arrives
            if module.bias is not None:
                init.zeros_(module.bias)
        else:
            super()._init_weights(module)

    @property
    def num_labels(self) -> int:
        """Output channels."""
        return int(self.config.num_labels)

    @property
    def stride(self) -> int:
        """Pixels of the input to a pixel of the deepest map. Tiles at multiples of it see the same pooling grid."""
        return 2**self.config.depth

    @property
    def context(self) -> int:
        """Pixels that unpadded convolutions consume on each side of the input: 92 for four poolings. An output pixel
        depends on fewer than `context + stride` pixels around it; U-Net++'s longest path is U-Net's."""
        # a 3x3 convolution takes a pixel a side, at a spacing of 2**level; two to a block, on the way down and up
        down_and_up = 2 * sum(2 * 2**level for level in range(self.config.depth))
        return down_and_up + 2 * 2**self.config.depth

    @property
    def channel_names(self) -> list[str]:
        """What each output channel means, in order."""
        return names_of(self.config.id2label)

    def check_input(self, pixel_values: torch.Tensor) -> None:
        """Raise a ValueError that says what was given and expected unless this is (B, num_channels, H, W)."""
        if pixel_values.ndim != 4 or pixel_values.shape[1] != self.config.num_channels or 0 in pixel_values.shape:
            raise ValueError(
                f"pixel_values has shape {tuple(pixel_values.shape)}: expected (batch, {self.config.num_channels}, "
                f"height, width), none of them 0. NucleiImageProcessor makes it from any image."
            )

    def fitting_labels(
        self, labels: torch.Tensor | None, pixel_values: torch.Tensor, size: tuple[int, int]
    ) -> torch.Tensor | None:
        """Labels for the loss, checked before the network runs.

        Args:
            labels: See `losses.check_labels`; of the input's size or of the logits'.
            size: Height and width of the logits. Labels of a larger input's size are cropped to their centre.

        Raises:
            ValueError: They are of another size, or none that the loss takes.
        """
        if labels is None:
            return None
        given, seen = tuple(labels.shape[-2:]), tuple(pixel_values.shape[-2:])
        if given not in (seen, size):
            raise ValueError(
                f"labels of {' x '.join(map(str, given))} pixels for images of {seen[0]} x {seen[1]}: rescale and crop "
                f"labels and images alike, as processor(images, segmentation_maps=label_images) does."
            )
        labels = center_crop(labels, *size)
        check_labels(labels, len(pixel_values), size, self.channel_names)
        return labels

    def output(
        self,
        heads: list[torch.Tensor],
        logits: torch.Tensor,
        labels: torch.Tensor | None,
        maps: list[torch.Tensor] | None,
        return_dict: bool | None,
    ) -> NucleiSegmenterOutput | tuple:
        """What `forward` returns.

        Args:
            heads: Logits of every head, of which the loss is the mean.
            labels: From `fitting_labels`.
            maps: Hidden states; `None` where nobody asked for them.
            return_dict: `False` gives a tuple of loss, logits and hidden states, as far as there are any; `None` takes
                the config's.
        """
        loss, hidden_states = None, None if maps is None else tuple(maps)
        if labels is not None:
            loss = torch.stack([loss_of(head, labels, self.channel_names) for head in heads]).mean()
        if not (self.config.return_dict if return_dict is None else return_dict):
            return tuple(part for part in (loss, logits, hidden_states) if part is not None)
        show_heads = len(heads) > 1 and (self.training or labels is not None)
        return NucleiSegmenterOutput(
            loss=loss, logits=logits, hidden_states=hidden_states, head_logits=tuple(heads) if show_heads else None
        )

    def wants_hidden_states(self, output_hidden_states: bool | None) -> bool:
        """What was asked for, or else what the config says."""
        return bool(self.config.output_hidden_states if output_hidden_states is None else output_hidden_states)

    def compile_and_summarize_model(
        self,
        input_size: tuple[int, int, int] = (96, 96, 3),
        compile: bool = True,
        verbose: bool = True,
        backend: str = "inductor",
    ):
        """Compile the forward pass and give the table of layers.

        Args:
            input_size: Height, width and channels of the input, as in (96, 96, 3).
            compile: Whether to `torch.compile` the forward pass (it happens at the first call).
            verbose: Whether to print the table.
            backend: Of torch.compile. The default wants a C++ compiler on a CPU.

        Returns:
            torchinfo's `ModelStatistics`: output shapes, parameters and multiply-adds of each layer.

        Raises:
            ValueError: input_size is not (height, width, num_channels).
            ImportError: torchinfo is not installed.
        """
        if len(input_size) != 3 or input_size[2] != self.config.num_channels:
            raise ValueError(
                f"input_size={tuple(input_size)}: expected (height, width, {self.config.num_channels}): this network "
                f"takes {self.config.num_channels} channels."
            )
        table = summarize(self, input_size, verbose)
        if compile:
            self.compile(backend=backend)
        return table


def center_crop(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """(..., H, W) -> (..., height, width), the centre."""
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width]


def mirror_pad(x: torch.Tensor, top: int, bottom: int, left: int, right: int) -> torch.Tensor:
    """Extend (B, C, H, W) by mirroring at the edge pixel, as often as needed: unlike `F.pad(mode="reflect")` the
    margin may be larger than the image."""
    height, width = x.shape[-2:]
    if max(top, bottom) < height and max(left, right) < width:
        return F.pad(x, (left, right, top, bottom), mode="reflect") if top + bottom + left + right else x
    x = x.index_select(-2, _mirror_index(height, top, bottom, x.device))
    return x.index_select(-1, _mirror_index(width, left, right, x.device))


def _mirror_index(size: int, before: int, after: int, device: torch.device) -> torch.Tensor:
    period = max(2 * (size - 1), 1)
    i = torch.arange(-before, size + after, device=device).remainder(period)
    return torch.minimum(i, period - i) if size > 1 else torch.zeros_like(i)
