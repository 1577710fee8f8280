"""The names of a network's output channels, and what follows from them. They are the config's `id2label` and the
processor's `channel_names`, in this order:

- `nucleus` alone: the logit of "nucleus"; or the logits of the exclusive classes `background, nucleus` or
  `background, nucleus, border`. The border lies inside the nucleus, so nucleus + border is the mask;
- `distance`, after these: the logit of the normalised distance to the nucleus's edge, in [0, 1];
- `offset_y`, `offset_x`, after these: of experiments that bring a loss and a decoder of their own.
"""

from collections.abc import Mapping, Sequence
from typing import Any

CLASSES = (["nucleus"], ["background", "nucleus"], ["background", "nucleus", "border"])
REGRESSED = ("distance", "offset_y", "offset_x")
STANDARD = {1: CLASSES[0], 2: CLASSES[1], 3: CLASSES[2], 4: [*CLASSES[2], "distance"]}


def standard_names(count: int) -> list[str]:
    """The names of so many channels where nobody gave any.

    Raises:
        ValueError: There are none for this number.
    """
    if count not in STANDARD:
        raise ValueError(f"num_labels={count}: expected 1 to 4, or channels named by id2label. {expectation()}")
    return list(STANDARD[count])


def names_of(id2label: Mapping[Any, str]) -> list[str]:
    """The names in order. Those that transformers gives to channels that nobody named mean the standard ones.

    Raises:
        ValueError: The ids aren't 0, 1, 2 ..
    """
    names = {int(i): str(name) for i, name in id2label.items()}
    if sorted(names) != list(range(len(names))):
        raise ValueError(f"id2label has the ids {list(id2label)}: expected 0 to {len(names) - 1}, each once.")
    if names and all(name == f"LABEL_{i}" for i, name in names.items()):
        return standard_names(len(names))
    return [names[i] for i in range(len(names))]


def class_count(names: Sequence[str]) -> int:
    """How many leading channels are exclusive classes; the rest are regressed."""
    return len([name for name in names if name not in REGRESSED])


def check_names(names: Sequence[str]) -> None:
    """Raise a ValueError that says what is expected unless a network's channels can have these names."""
    n = class_count(names)
    rest = [name for name in REGRESSED if name in names]
    if list(names[:n]) not in CLASSES or list(names[n:]) != rest:
        raise ValueError(f"The channels {', '.join(map(str, names))} aren't known here. {expectation()}")


def expectation() -> str:
    """What the names must be, in a sentence."""
    classes = "; or ".join(", ".join(names) for names in CLASSES)
    return f"Expected {classes}; and after these distance, if wanted. Several kinds of nuclei aren't told apart."


def check_pair(model: Any, processor: Any) -> None:
    """Raise a ValueError unless a network and a processor belong together.

    Args:
        model: A `UNet` or `UNetPlusPlus`.
        processor: A `NucleiImageProcessor`.
    """
    for given, known, expected in (
        (model, "channel_names", "UNet or UNetPlusPlus"),
        (processor, "channel_names", "NucleiImageProcessor"),
    ):
        if not hasattr(given, known):
            raise ValueError(f"{type(given).__name__} was given where {expected} is expected.")
    if list(model.channel_names) != list(processor.channel_names):
        raise ValueError(
            f"The network's channels are {', '.join(model.channel_names)}, the processor's are "
            f"{', '.join(processor.channel_names)}: take the processor that was saved with the network, or make one by "
            f"NucleiImageProcessor(channel_names=model.channel_names)."
        )
    takes, makes = model.config.num_channels, getattr(processor, "num_channels", 3)
    if takes != makes:
        raise ValueError(
            f"The network takes images of {takes} channels, the processor makes {makes}: take the processor that was "
            f"saved with the network, or make one by NucleiImageProcessor(num_channels={takes})."
        )
