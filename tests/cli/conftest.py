"""A model, a folder of images, and what was segmented of it."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from nuclei_models.batch import job as batch
from tests.support.page import as_type, blobs


@pytest.fixture(scope="module")
def model(sources) -> str:
    return sources["unetpp"]


@pytest.fixture
def images(tmp_path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for seed in range(3):
        tifffile.imwrite(folder / f"x{seed}.tif", as_type(blobs(96, 96, seed=seed), np.uint16))
    return folder


@pytest.fixture
def segmented(monkeypatch) -> list[str]:
    """Names of the images whose results were written, as they are."""
    names, staged = [], batch.staged
    monkeypatch.setattr(batch, "staged", lambda job, *more: (names.append(job.name), staged(job, *more))[1])
    return names
