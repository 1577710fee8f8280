"""A network that sees discs, and an image of them."""

from pathlib import Path

import pytest
import tifffile

from tests.support.large import blobs, seeing


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    seeing(folder, least_confidence=0.775)  # which leaves out some nuclei
    return folder


@pytest.fixture
def cells(tmp_path) -> Path:
    tifffile.imwrite(tmp_path / "cells.tif", blobs((300, 420)), tile=(64, 64), compression="zlib")
    return tmp_path / "cells.tif"
