"""Any image file to its native pixels and what is known about them. Nothing here knows of a network."""

from .reader import (
    MAX_PIXELS,
    SUPPORTED_EXTENSIONS,
    ImageError,
    ImageInfo,
    MicroscopyImage,
    inspect,
    planes,
    read,
)

__all__ = [
    "MAX_PIXELS",
    "SUPPORTED_EXTENSIONS",
    "ImageError",
    "ImageInfo",
    "MicroscopyImage",
    "inspect",
    "planes",
    "read",
]
