"""What travels to the Hub with the weights: networks, processor, losses. One flat folder with sibling imports only.

Once this is imported, transformers' Auto classes load our repositories without `trust_remote_code`. The command
`nuclei` asks none of them, and transformers takes seconds to be imported: there, it comes with the first of these
classes.
"""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .configuration_unet import UNetConfig
    from .configuration_unetpp import UNetPlusPlusConfig
    from .image_processing_nuclei import NucleiImageProcessor
    from .modeling_unet import UNet
    from .modeling_unetpp import UNetPlusPlus

__all__ = ["NucleiImageProcessor", "UNet", "UNetConfig", "UNetPlusPlus", "UNetPlusPlusConfig"]


def _register() -> None:
    """Import the classes, and tell transformers of them."""
    from transformers import AutoConfig, AutoImageProcessor, AutoModelForSemanticSegmentation

    from .configuration_unet import UNetConfig
    from .configuration_unetpp import UNetPlusPlusConfig
    from .image_processing_nuclei import NucleiImageProcessor
    from .modeling_unet import UNet
    from .modeling_unetpp import UNetPlusPlus

    for config, model in ((UNetConfig, UNet), (UNetPlusPlusConfig, UNetPlusPlus)):
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoModelForSemanticSegmentation.register(config, model, exist_ok=True)
        AutoImageProcessor.register(config, image_processor_classes={"pil": NucleiImageProcessor}, exist_ok=True)
    classes = (NucleiImageProcessor, UNet, UNetConfig, UNetPlusPlus, UNetPlusPlusConfig)
    globals().update({c.__name__: c for c in classes})


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    _register()
    return globals()[name]


if "nuclei_cli" not in sys.modules or "transformers" in sys.modules:
    _register()
