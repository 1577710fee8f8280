"""The U-Net as a transformers model. Its layers are in `unet.py`."""

import torch

from .configuration_unet import UNetConfig
from .modeling_nuclei import NucleiPreTrainedModel, NucleiSegmenterOutput
from .unet import UNetLayers


class UNet(UNetLayers, NucleiPreTrainedModel):
    """The U-Net.

    Example:
        >>> model = UNet(UNetConfig())
        >>> model(torch.zeros(1, 3, 572, 572)).logits.shape
        torch.Size([1, 1, 388, 388])
    """

    config_class = UNetConfig

    def __init__(self, config: UNetConfig):
        super().__init__(config)
        self.build(config)
        self.post_init()

    def forward(
        self,
        pixel_values: torch.Tensor,
        labels: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> NucleiSegmenterOutput | tuple:
        """Segment a batch of images.

        Args:
            pixel_values: (B, num_channels, H, W), float, as NucleiImageProcessor makes them.
            labels: See `losses.check_labels`; of the input's size or of the logits'.
            output_hidden_states: Whether to return the maps of every block, in the order in which they are computed.
            return_dict: `False` gives a tuple. Both are as the config says where they aren't given.

        Returns:
            `loss` (with labels) and `logits`, (B, num_labels, H, W); with `padding="valid"`, smaller by `2 * context`.

        Raises:
            ValueError: The input has other channels, the labels don't fit it, or with
                `padding="valid"` it is too small to leave an output pixel.
        """
        self.check_input(pixel_values)
        height, width = self.output_size(*pixel_values.shape[-2:])
        labels = self.fitting_labels(labels, pixel_values, (height, width))
        computed = self.compute(pixel_values, keep_maps=self.wants_hidden_states(output_hidden_states))
        return self.output(computed, labels, return_dict)


UNet.register_for_auto_class("AutoModelForSemanticSegmentation")

__all__ = ["UNet"]
