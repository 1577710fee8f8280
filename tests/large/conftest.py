"""A network that sees discs, an image of them, and what becomes of it."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import tifffile

from nuclei_models.large import segment_large
from nuclei_models.large.segmentation import Large
from tests.support.large import blobs, seeing, wanted


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    seeing(folder, least_confidence=0.775)  # which leaves out some nuclei
    return folder


def write_cells(folder: Path) -> Path:
    tifffile.imwrite(folder / "cells.tif", blobs((300, 420)), tile=(64, 64), compression="zlib")
    return folder / "cells.tif"


@pytest.fixture
def cells(tmp_path) -> Path:
    return write_cells(tmp_path)


@pytest.fixture(scope="module")
def undisturbed(model, tmp_path_factory) -> Callable[[int], Large]:
    """By the side of a block: the run on such an image, with the usual settings, to which nothing happened."""
    folder = tmp_path_factory.mktemp("undisturbed")
    path = write_cells(folder)
    return cache(lambda block: segment_large(path, folder / str(block), wanted(model), block=block))
