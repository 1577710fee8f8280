"""The networks that come with this package, and what they are called. It imports nothing, so that help is quick."""

TITLES = {"unet": "U-Net", "unetpp": "U-Net++"}


def key_of(model_type: str) -> str:
    """The key of a configuration's `model_type`: "unetpp" of "nuclei_unetpp"."""
    return model_type.removeprefix("nuclei_")
