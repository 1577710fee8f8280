"""A mended image -> the two files that `nuclei train` takes: the image, and its nuclei as labels."""

import io

import numpy as np
import tifffile

from ..inference.settings import Cut
from ..output.export import label_tiff
from .state import Analysis, without_gaps


def pair(analysis: Analysis, network: str, cut: Cut) -> tuple[bytes, bytes, int]:
    """An image and the nuclei of one network, as they are after mending.

    Returns:
        The image as TIFF with the pixel values of its file, the labels as TIFF numbered 1 .. n, and n.
    """
    pixels, size = analysis.picture.pixels, analysis.pixel_size
    labels, number = without_gaps(analysis.labels(network, cut))
    file = io.BytesIO()
    per_cm = None if size is None else (10_000 / size[1], 10_000 / size[0])
    tifffile.imwrite(
        file,
        np.ascontiguousarray(pixels),
        compression="zlib",
        photometric="rgb" if pixels.ndim == 3 and pixels.shape[2] in (3, 4) else "minisblack",
        resolution=per_cm,
        resolutionunit="NONE" if per_cm is None else "CENTIMETER",
        metadata=None,
    )
    return file.getvalue(), label_tiff(labels, size), len(number)
