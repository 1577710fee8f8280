"""What travels to the Hub with the weights: networks, processor, losses. One flat folder with sibling imports only.

Once this is imported, transformers' Auto classes load our repositories without `trust_remote_code`.
"""

from transformers import AutoConfig, AutoImageProcessor, AutoModelForSemanticSegmentation

from .configuration_unet import UNetConfig
from .configuration_unetpp import UNetPlusPlusConfig
from .image_processing_nuclei import NucleiImageProcessor
from .modeling_unet import UNet
from .modeling_unetpp import UNetPlusPlus

for _config, _model in ((UNetConfig, UNet), (UNetPlusPlusConfig, UNetPlusPlus)):
    AutoConfig.register(_config.model_type, _config, exist_ok=True)
    AutoModelForSemanticSegmentation.register(_config, _model, exist_ok=True)
    AutoImageProcessor.register(_config, image_processor_classes={"pil": NucleiImageProcessor}, exist_ok=True)

__all__ = ["NucleiImageProcessor", "UNet", "UNetConfig", "UNetPlusPlus", "UNetPlusPlusConfig"]
