"""The lists that networks are measured on, and their images."""

from pathlib import Path

from nuclei_models.training.packed import load_packed
from nuclei_models.training.samples import Sample, laboratory
from train.data import read_strata

LISTS = ["stage1_test", "stardist_test", "bsst265_test", "tnbc_test", "nuinsseg_test"]
BOWL = "dsb2018"  # the packed folder of ids without a laboratory


def samples_of(data: str | Path, name: str) -> tuple[list[Sample], dict[str, str]]:
    """The images of a list, and id -> stratum.

    Args:
        data: Folder of the packed folders, one a laboratory; see `train.data`.
        name: A list in train/splits/.
    """
    strata = read_strata(name)
    return samples_by_id(data, list(strata)), strata


def samples_by_id(data: str | Path, ids: list[str]) -> list[Sample]:
    """Images of the packed folders in `data`, in the order of their ids; ids without a laboratory are the Bowl's."""
    return [load_packed(data if laboratory(i) else Path(data) / BOWL, [i])[0] for i in ids]
