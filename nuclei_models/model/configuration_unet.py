"""Configuration of the U-Net (Ronneberger et al. 2015)."""

from huggingface_hub.dataclasses import strict

from .configuration_nuclei import NucleiConfig


@strict
class UNetConfig(NucleiConfig):
    """What a [`UNet`] is built from. The defaults are the network of the paper, figure 1, with one class.

    Args:
        num_channels (`int`, defaults to 3): Channels of the input image.
        channels (`list[int]`, defaults to `[64, 128, 256, 512, 1024]`): Feature maps of each level, the
            bottleneck last. The depth (the number of poolings) is `len(channels) - 1`.
        padding (`"valid" | "mirror" | "same"`, defaults to `"valid"`): What the 3x3 convolutions do at the edge.
            `"valid"`: unpadded, as in the paper: the logits are smaller than the input (572 -> 388).
            `"mirror"`: unpadded, on an input that is first extended by mirroring (the paper's overlap-tile
            strategy, figure 2): the logits have the input's size. Same weights as `"valid"`.
            `"same"`: zero-padded, the logits have the input's size.
        batch_norm (`bool`, defaults to `False`): Batch normalisation between each 3x3 convolution and its ReLU.
        dropout (`float`, defaults to 0.0): Drop-out rate at the end of the contracting path (section 3.1).
        num_labels, id2label: The output channels, see `NucleiConfig`.
    """

    model_type = "nuclei_unet"

    channels: list[int] | tuple[int, ...] = (64, 128, 256, 512, 1024)
    padding: str = "valid"
    batch_norm: bool = False
    dropout: float | int = 0.0

    @property
    def depth(self) -> int:
        """Number of poolings."""
        return len(self.channels) - 1

    def validate_channels(self):
        if len(self.channels) < 2 or any(c < 1 for c in self.channels):
            raise ValueError(f"channels={list(self.channels)}: give at least two positive widths, the bottleneck last.")
        odd = [c for c in self.channels[1:] if c % 2]
        if odd:
            raise ValueError(
                f"channels={list(self.channels)}: {odd} can't be halved by the up-convolution; give even widths."
            )

    def validate_padding(self):
        if self.padding not in ("valid", "mirror", "same"):
            raise ValueError(f'padding={self.padding!r}: expected "valid", "mirror" or "same".')

    def validate_dropout(self):
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout={self.dropout}: expected a rate of at least 0 and below 1.")


UNetConfig.register_for_auto_class()

__all__ = ["UNetConfig"]
