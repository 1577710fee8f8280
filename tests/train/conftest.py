"""Networks as they are published: two tiny ones, and one that `nuclei train` made."""

import shutil
from pathlib import Path

import pytest
import tifffile

from nuclei_models.training import train
from nuclei_models.training.example import draw
from tests.support.blobs import save_evaluated


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory) -> dict[str, Path]:
    """Folders of two tiny networks, as the bundled ones are."""
    folder = tmp_path_factory.mktemp("weights")
    return {key: save_evaluated(key, folder / f"{key}-nuclei") for key in ("unet", "unetpp")}


@pytest.fixture
def weights(evaluated, tmp_path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(evaluated["unet"], tmp_path / "unet-nuclei")


@pytest.fixture(scope="module")
def alike(tmp_path_factory) -> Path:
    """A folder for `nuclei train`, whose images are all alike, so that nothing is trained."""
    folder = tmp_path_factory.mktemp("own") / "mine"
    image, labels = draw(0)
    for kind, pixels in (("images", image), ("labels", labels.astype("uint16"))):
        (folder / kind).mkdir(parents=True)
        for i in range(2):
            tifffile.imwrite(folder / kind / f"{i}.tif", pixels)
    return folder


@pytest.fixture(scope="module")
def own(evaluated, alike) -> Path:
    """A folder that `nuclei train` made."""
    train(alike, alike.with_name("model"), model=str(evaluated["unetpp"]))
    return alike.with_name("model")
