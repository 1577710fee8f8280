"""The pixels of convex hulls, of all nuclei at once: as skimage counts them, one after the other."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import label, regionprops_table

from nuclei_models.analysis.hulls import hull_areas
from nuclei_models.model.members import Members


def blobs(seed: int, apart: bool) -> np.ndarray:
    """Of many sizes and shapes, with holes and at the edges; each in one piece, or in several that lie apart."""
    rng = np.random.default_rng(seed)
    height = ndimage.gaussian_filter(rng.normal(size=(70, 90)), 0.4 + seed)
    numbers = label(height > np.quantile(height, 0.6))
    return np.where(numbers > 0, numbers % 4 * 7 + 1, 0) if apart else numbers


LINES = np.ones((3, 40), int), np.eye(9, dtype=int), np.array([[1]]), np.array([[1, 0, 2], [0, 1, 2]])
SHAPES = [*LINES, *(blobs(seed, apart) for seed in range(4) for apart in (False, True))]


@pytest.mark.parametrize("labels", SHAPES)
def test_hulls_are_those_of_skimage(labels):
    found = regionprops_table(labels, properties=("label", "area_convex"))
    members = Members(labels)
    assert hull_areas(members.stretches()).tolist() == found["area_convex"].tolist()
    assert members.label.tolist() == found["label"].tolist()


def test_no_nuclei_have_no_hulls():
    assert len(hull_areas(Members(np.zeros((4, 5), int)).stretches())) == 0
