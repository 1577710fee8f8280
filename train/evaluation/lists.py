"""The lists that networks are measured on, and their images."""

from nuclei_models.training.packed import load_packed
from nuclei_models.training.samples import Sample, laboratory
from train.data import read_strata

LISTS = ["stage1_test", "stardist_test", "bsst265_test", "tnbc_test", "nuinsseg_test"]
BOWL = "dsb2018"  # the packed folder of ids without a laboratory


def samples_of(data: str, name: str) -> tuple[list[Sample], dict[str, str]]:
    """The images of a list, and id -> stratum.

    Args:
        data: Folder of the packed folders, one a laboratory; see `train.data`.
        name: A list in train/splits/.
    """
    strata = read_strata(name)
    bowl = [i for i in strata if not laboratory(i)]
    others = [i for i in strata if laboratory(i)]
    samples = (load_packed(f"{data}/{BOWL}", bowl) if bowl else []) + (load_packed(data, others) if others else [])
    return samples, strata
