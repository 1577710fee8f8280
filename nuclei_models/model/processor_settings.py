"""The settings of the processor: what they mean, which can be given for one call, and what is said of the others."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict


class NucleiSettings(TypedDict, total=False):
    """Settings of [`NucleiImageProcessor`], beyond transformers' own.

    low_percentile, high_percentile (`float`): Brought to 0 and 1 by the normalisation, a channel at a time.
    diameter (`float`, *optional*): Typical nuclear diameter in the given images, pixels. `None`: estimated.
    diameter_estimator (`dict`, *optional*): Weights of the estimate, see `diameter.py`. Without them an image whose
        diameter isn't given is not rescaled.
    look_estimator (`dict`, *optional*): Weights by which what the network finds tells the diameter, see `scale.py`.
        Without them the estimate is not checked.
    min_diameter, max_diameter (`float`): The range that the network knows. An image whose `diameter` lies outside is
        rescaled to the nearer end.
    num_channels (`int`): Channels of the images that the network takes. Three are made of any image; for another number
        an image must have as many.
    channel_names (`list[str]`): What the network's channels mean, in order; see `channels.py`.
    distance_sigma (`float`): Of the Gaussian that smooths the distance map, pixels at the network's scale; what it
        smooths away are maxima too small to be a nucleus. Fitted on validation.
    threshold, separation (`float`): Defaults of `find_instances`, fitted on validation.
    min_area (`float`): Likewise, but pixels at the network's scale, and so in proportion to the nuclei.
    confidence_model (`dict`, *optional*): Weights of the confidence in each nucleus, see `confidence.py`, fitted on
        validation; "alone" for one network, and "agreement" where a second one was run.
    least_confidence (`float`): Nuclei of a lower confidence are dropped; 0 keeps all. Fitted on validation.
    """

    low_percentile: float | int
    high_percentile: float | int
    diameter: float | int | None
    diameter_estimator: dict | None
    look_estimator: dict | None
    min_diameter: float | int
    max_diameter: float | int
    num_channels: int
    channel_names: list[str]
    distance_sigma: float | int
    threshold: float | int
    separation: float | int
    min_area: float | int
    confidence_model: dict | None
    least_confidence: float | int


# settings of what an image becomes
OF_THE_IMAGE = (
    "low_percentile",
    "high_percentile",
    "diameter",
    "diameter_estimator",
    "min_diameter",
    "max_diameter",
    "num_channels",
    "channel_names",
    "image_mean",
    "image_std",
)
# settings of what follows the network
OF_THE_ANSWER = (
    "distance_sigma",
    "threshold",
    "separation",
    "min_area",
    "confidence_model",
    "least_confidence",
    "look_estimator",
)
# transformers' settings of steps that this processor does in its own way -> the one value that they have here
FIXED: dict[str, tuple] = {
    "do_normalize": (True, None),
    "do_resize": (False, None),
    "do_rescale": (False, None),
    "do_center_crop": (False, None),
    "do_pad": (False, None),
    "do_convert_rgb": (False, None),
    "size": (None,),
    "crop_size": (None,),
    "pad_size": (None,),
    "data_format": ("channels_first", None),
    "input_data_format": ("channels_last", None),
}


def refuse_late(given: Mapping[str, Any]) -> None:
    """Raise a ValueError if what is given for an image has no effect on it."""
    late = [name for name in OF_THE_ANSWER if name in given]
    if late:
        raise ValueError(
            f"{', '.join(late)}: this is of what follows the network. Set it on the processor (processor.{late[0]} = "
            f"..), or pass it to the method that cuts the network's answer into nuclei."
        )


def refuse_steps(given: Mapping[str, Any]) -> None:
    """Raise a ValueError if a step of transformers' is asked for that this processor doesn't have, or has always."""
    for name, values in FIXED.items():
        value = given.get(name)
        if value is not None and getattr(value, "value", value) not in values:
            raise ValueError(
                f"{name}={value}: expected {values[0]}. This processor normalises by percentiles and rescales by the "
                f"nuclear diameter; see low_percentile, high_percentile and diameter."
            )


def refuse_sizes(sizes: Sequence[tuple[int, ...]]) -> None:
    """Raise a ValueError unless images have one size and fit into one tensor."""
    different = sorted(set(sizes))
    if len(different) > 1:
        raise ValueError(
            f"The images come out at different sizes ({', '.join(f'{h} x {w}' for h, w in different[:4])}), which one "
            f"tensor can't hold. Leave return_tensors out and give the images to processor.collate, or give images of "
            f"one size and their diameter."
        )
