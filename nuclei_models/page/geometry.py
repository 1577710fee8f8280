"""Label image -> what the viewer draws from: runs of pixels, packed (`static/viewer/geometry.js` reads them)."""

import base64
import zlib

import numpy as np

from ..analysis.strokes import Box


def packed(labels: np.ndarray, box: Box | None = None, width: int | None = None) -> str:
    """The nuclei of a label image, or of a box of one, for the browser.

    Args:
        labels: (h, w), integers; 0 is left out.
        box: Where it lies in the image; by default it is the whole.
        width: Of the image.

    Returns:
        The runs of pixels of one number in raster order, three int32 arrays after each other: pixels between the end of
        the run before and the start of this one, its length, and by how much its number is above the one before.
        Little-endian, deflated by zlib, in base64.
    """
    rows, columns = box or (slice(0, labels.shape[0]), slice(0, labels.shape[1]))
    width = width or labels.shape[1]
    framed = np.zeros((labels.shape[0], labels.shape[1] + 2), labels.dtype)  # 0 between the rows
    framed[:, 1:-1] = labels
    wide = framed.ravel()
    change = np.flatnonzero(wide[1:] != wide[:-1]) + 1
    number = wide[change]
    row, column = np.divmod(change, labels.shape[1] + 2)
    first = np.flatnonzero(number)
    start = (row[first] + rows.start) * width + column[first] - 1 + columns.start
    length = column[first + 1] - column[first]  # a row's last change is back to 0
    gap = start - np.concatenate([[0], (start + length)[:-1]])
    values = np.concatenate([gap, length, np.diff(number[first], prepend=0)]).astype("<i4")
    return base64.b64encode(zlib.compress(values.tobytes(), 1)).decode()
