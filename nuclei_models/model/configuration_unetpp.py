"""Configuration of the U-Net++ (Zhou et al. 2018, 2020)."""

from huggingface_hub.dataclasses import strict

from .configuration_nuclei import NucleiConfig


@strict
class UNetPlusPlusConfig(NucleiConfig):
    """What a [`UNetPlusPlus`] is built from. The defaults are the network of the paper with one class and one head.

    Args:
        num_channels (`int`, defaults to 3): Channels of the input image.
        channels (`list[int]`, defaults to `[32, 64, 128, 256, 512]`): Feature maps of each row of the grid, the
            deepest last. The depth (the number of poolings, the L of "L4") is `len(channels) - 1`.
        deep_supervision (`bool`, defaults to `False`): One head on each of the top row's decoder nodes
            X[0][1] .. X[0][depth] instead of one on the last. Needed for `fast` inference and for `prune`.
        inference_mode (`"accurate" | "fast"`, defaults to `"accurate"`): With deep supervision, the logits are the
            mean of all heads (`"accurate"`) or those of the last head alone (`"fast"`).
        batch_norm (`bool`, defaults to `False`): Batch normalisation between each 3x3 convolution and its ReLU.
        dropout (`float`, defaults to 0.0): Drop-out rate on the deepest encoder node.
        size_divisor (`int`, *optional*): Height and width are padded inside to a multiple of this. Defaults to
            `2 ** depth`; a pruned network keeps its parent's, so that both give the same logits.
        num_labels, id2label: The output channels, see `NucleiConfig`.
    """

    model_type = "nuclei_unetpp"

    channels: list[int] | tuple[int, ...] = (32, 64, 128, 256, 512)
    deep_supervision: bool = False
    inference_mode: str = "accurate"
    batch_norm: bool = False
    dropout: float | int = 0.0
    size_divisor: int | None = None

    def __post_init__(self, **kwargs):
        if self.size_divisor is None:
            self.size_divisor = 2 ** max(self.depth, 0)
        super().__post_init__(**kwargs)

    @property
    def depth(self) -> int:
        """Number of poolings."""
        return len(self.channels) - 1

    def validate_channels(self):
        if len(self.channels) < 2 or any(c < 1 for c in self.channels):
            raise ValueError(f"channels={list(self.channels)}: give at least two positive widths, the deepest last.")

    def validate_inference_mode(self):
        if self.inference_mode not in ("accurate", "fast"):
            raise ValueError(f'inference_mode={self.inference_mode!r}: expected "accurate" or "fast".')

    def validate_dropout(self):
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout={self.dropout}: expected a rate of at least 0 and below 1.")

    def validate_size_divisor(self):
        if self.size_divisor is not None and self.size_divisor % 2**self.depth:
            raise ValueError(f"size_divisor={self.size_divisor}: expected a multiple of 2**depth = {2**self.depth}.")


UNetPlusPlusConfig.register_for_auto_class()

__all__ = ["UNetPlusPlusConfig"]
