"""The U-Net++ as a transformers model. Its layers, and the part of them that a level needs, are in `unetpp.py`."""

import torch

from .configuration_unetpp import UNetPlusPlusConfig
from .modeling_nuclei import NucleiPreTrainedModel, NucleiSegmenterOutput
from .unetpp import UNetPlusPlusLayers


class UNetPlusPlus(UNetPlusPlusLayers, NucleiPreTrainedModel):
    """The U-Net++.

    Example:
        >>> model = UNetPlusPlus(UNetPlusPlusConfig(deep_supervision=True))
        >>> model(torch.zeros(1, 3, 96, 96)).logits.shape
        torch.Size([1, 1, 96, 96])
        >>> small = model.prune(2)  # L2
    """

    config_class = UNetPlusPlusConfig

    def __init__(self, config: UNetPlusPlusConfig):
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
            pixel_values: (B, num_channels, H, W), float, as NucleiImageProcessor makes them. Any height and width.
            labels: See `losses.check_labels`; of the input's size.
            output_hidden_states: Whether to return the maps of every node, X[0][0], X[0][1] .. row by row.
            return_dict: `False` gives a tuple. Both are as the config says where they aren't given.

        Returns:
            `loss` (with labels; the mean over the heads), `logits` (B, num_labels, H, W) and, while training or with
            labels, every head's `head_logits`.

        Raises:
            ValueError: The input has other channels, or the labels don't fit it.
        """
        self.check_input(pixel_values)
        height, width = pixel_values.shape[-2:]
        labels = self.fitting_labels(labels, pixel_values, (height, width))
        with_maps = self.wants_hidden_states(output_hidden_states)
        computed = self.compute(pixel_values, all_heads=self.training or labels is not None, keep_maps=with_maps)
        return self.output(computed, labels, return_dict)


UNetPlusPlus.register_for_auto_class("AutoModelForSemanticSegmentation")

__all__ = ["UNetPlusPlus"]
