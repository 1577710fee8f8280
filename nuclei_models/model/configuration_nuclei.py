"""What the configurations of both networks share: the channels of the image, and the named channels of the output."""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .channels import check_names, names_of, standard_names


@strict
class NucleiConfig(PreTrainedConfig):
    """Base of [`UNetConfig`] and [`UNetPlusPlusConfig`].

    Args:
        num_channels (`int`, defaults to 3): Channels of the input image.
        num_labels (`int`, defaults to 1): Output channels, 1 to 4, where `id2label` isn't given. They are named
            nucleus; background, nucleus; background, nucleus, border; background, nucleus, border, distance.
        id2label (`dict[int, str]`, *optional*): The output channels' names, see `channels.py`. `label2id` follows.
    """

    keys_to_ignore_at_inference = ["hidden_states", "head_logits"]  # so that `compute_metrics` gets one array

    num_channels: int = 3
    channels: list[int] | tuple[int, ...] = ()

    def __post_init__(self, **kwargs):
        count, is_saved = kwargs.pop("num_labels", None), self.transformers_version is not None
        if self.id2label is None and self.label2id is not None:
            self.id2label = {int(i): name for name, i in self.label2id.items()}
        if self.id2label is None:  # version 0.1.0 left two channels that nobody had named out of the file
            self.id2label = dict(enumerate(standard_names(count or (2 if is_saved else 1))))
        if count not in (None, len(self.id2label)):
            if not is_saved:
                names = ", ".join(map(str, self.id2label.values()))
                raise ValueError(f"num_labels={count} disagrees with id2label, which names {names}: give one of them.")
            self.id2label = dict(enumerate(standard_names(count)))  # another head for a saved network
        self.id2label = dict(enumerate(names_of(self.id2label)))
        self.label2id = {name: i for i, name in self.id2label.items()}
        if isinstance(self.channels, tuple):
            self.channels = list(self.channels)  # as it is read from a file
        super().__post_init__(**kwargs)

    def to_diff_dict(self) -> dict[str, Any]:
        """What is saved: always with the channels' names, which transformers leaves out where they are its own."""
        names = names_of(self.id2label or {})
        return super().to_diff_dict() | {
            "id2label": dict(enumerate(names)),
            "label2id": {name: i for i, name in enumerate(names)},
        }

    def validate_num_channels(self):
        if self.num_channels < 1:
            raise ValueError(f"num_channels={self.num_channels}: expected at least 1.")

    def validate_id2label(self):
        check_names(names_of(self.id2label or {}))


__all__ = ["NucleiConfig"]
