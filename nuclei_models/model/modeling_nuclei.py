"""What both networks share as transformers models: saving and loading, initialisation, loss, output, layer table."""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import SemanticSegmenterOutput

from .integrity import load_checked, save_checked
from .layers import Computed, NucleiNetwork, center_crop
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


class NucleiPreTrainedModel(NucleiNetwork, PreTrainedModel):
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
        computed: Computed,
        labels: torch.Tensor | None,
        return_dict: bool | None,
    ) -> NucleiSegmenterOutput | tuple:
        """What `forward` returns.

        Args:
            computed: The loss is the mean over its heads; its maps are the hidden states.
            labels: From `fitting_labels`.
            return_dict: `False` gives a tuple of loss, logits and hidden states, as far as there are any; `None` takes
                the config's.
        """
        heads, logits, maps = computed
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
