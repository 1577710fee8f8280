"""What the page's tests share: networks whose answer is known without training, images with nuclei, and a server."""

import base64
import io
import zlib
from pathlib import Path

import numpy as np
import tifffile
import torch
from PIL import Image
from scipy import ndimage

from nuclei_models import NucleiImageProcessor, UNet, UNetConfig, UNetPlusPlus, UNetPlusPlusConfig
from nuclei_models.page.networks import Networks

CHANNELS = ["nucleus", "distance"]


@torch.no_grad()
def bright_is_nucleus(model, bias: float) -> None:
    """Set the weights so that the logits grow with the pixel's own brightness: any bright blob is a nucleus."""
    for parameter in model.parameters():
        parameter.zero_()
    for name, parameter in model.named_parameters():
        if parameter.ndim == 4 and parameter.shape[-1] == 3:
            parameter[0, 0, 1, 1] = 1  # the first feature map is handed on; it comes first in every concatenation
        elif "head" in name and parameter.ndim == 4:
            parameter[:, 0, 0, 0] = torch.tensor([8.0, 4.0])
        elif "head" in name:
            parameter.copy_(torch.tensor([bias, -6.0]))


def save_networks(folder: Path) -> dict[str, str]:
    """A U-Net and a U-Net++ that differ a little in what they call a nucleus. -> folders, for `Networks`."""
    names = {"id2label": dict(enumerate(CHANNELS)), "label2id": {name: i for i, name in enumerate(CHANNELS)}}
    unet = UNet(UNetConfig(channels=[2, 4], padding="same", **names))
    unetpp = UNetPlusPlus(UNetPlusPlusConfig(channels=[2, 4, 8], deep_supervision=True, **names))
    sources = {}
    for key, model, bias in (("unet", unet, -4.0), ("unetpp", unetpp, -6.0)):
        bright_is_nucleus(model, bias)
        model.save_pretrained(folder / key)
        NucleiImageProcessor(channel_names=CHANNELS, threshold=0.5, separation=0.5).save_pretrained(folder / key)
        sources[key] = str(folder / key)
    return sources


def make_networks(folder: Path) -> Networks:
    return Networks(save_networks(folder))


def blobs(height: int = 256, width: int = 256, spacing: int = 32, seed: int = 0) -> np.ndarray:
    """An image with a round nucleus in every square of `spacing` pixels: (height, width) float32, 0 .. 1."""
    random = np.random.default_rng(seed)
    points = np.zeros((height, width), np.float32)
    for y in range(spacing // 2, height - 4, spacing):
        for x in range(spacing // 2, width - 4, spacing):
            dy, dx = random.integers(-spacing // 8, spacing // 8 + 1, 2)
            points[y + dy, x + dx] = random.uniform(0.8, 1)  # the dimmer, the smaller it is found
    image = ndimage.gaussian_filter(points, spacing / 5)
    return image / image.max()


def as_type(image: np.ndarray, dtype) -> np.ndarray:
    """0 .. 1 -> a quarter of an integer type's range, as cameras give; floats stay."""
    return image.astype(dtype) if np.dtype(dtype).kind == "f" else (image * (np.iinfo(dtype).max // 4)).astype(dtype)


def write_inputs(folder: Path) -> dict[str, Path]:
    """A real file of every kind that the page reads. -> paths by what they are."""
    grey = blobs()
    eight = (grey * 255).astype(np.uint8)
    rgb = np.stack([eight, eight // 2, eight // 3], -1)
    stack = np.stack([as_type(blobs(seed=s), np.uint16) for s in range(3)])
    paths = {}

    def at(kind: str, name: str) -> Path:
        paths[kind] = folder / name
        return paths[kind]

    for dtype in ("uint8", "uint16", "uint32", "float32"):
        tifffile.imwrite(at(f"TIFF {dtype}", f"{dtype}.tif"), as_type(grey, dtype))
    tifffile.imwrite(at("multi-page TIFF", "pages.tif"), stack, photometric="minisblack")
    hyper = np.stack([stack, stack[:, ::-1]], 1)
    tifffile.imwrite(at("ImageJ hyperstack", "hyper.tif"), hyper, imagej=True, metadata={"axes": "ZCYX"})
    ome = {"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5}
    ome |= {"PhysicalSizeYUnit": "µm", "Channel": {"Name": ["actin", "DAPI", "tubulin"]}}
    tifffile.imwrite(at("OME-TIFF", "cells.ome.tif"), stack, metadata=ome, photometric="minisblack")
    Image.fromarray(eight).save(at("PNG 8 bit", "grey.png"))
    Image.fromarray(as_type(grey, np.uint16)).save(at("PNG 16 bit", "grey16.png"))
    Image.fromarray(rgb).quantize(64).save(at("PNG palette", "palette.png"))
    Image.fromarray(np.dstack([rgb, eight])).save(at("PNG alpha", "alpha.png"))
    Image.fromarray(rgb).convert("CMYK").save(at("JPEG CMYK", "cmyk.jpg"))
    turned = Image.fromarray(rgb[:160])
    exif = turned.getexif()
    exif[274] = 6
    turned.save(at("JPEG rotated", "turned.jpg"), exif=exif)
    Image.fromarray(rgb).save(at("BMP", "picture.bmp"))
    Image.fromarray(rgb).save(at("WebP", "picture.webp"))
    return paths


def tiff(pixels: np.ndarray) -> bytes:
    """As a file."""
    file = io.BytesIO()
    tifffile.imwrite(file, pixels)
    return file.getvalue()


def unpacked(geometry: str, size: tuple[int, int]) -> np.ndarray:
    """What the viewer gets of a label image -> the label image."""
    values = np.frombuffer(zlib.decompress(base64.b64decode(geometry)), "<i4").reshape(3, -1)
    labels, at = np.zeros(size, np.int32), 0
    for gap, length, number in zip(values[0], values[1], np.cumsum(values[2]), strict=True):
        labels.flat[at + gap : at + gap + length] = number
        at += gap + length
    return labels


CELLS = tiff(as_type(blobs(96, 96), np.uint16))
