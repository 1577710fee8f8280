"""What the package offers by itself, and the import paths of 0.1.0."""

import subprocess
import sys
import warnings
from importlib import import_module

import pytest

import nuclei_models
from nuclei_models import _moved
from tests.support import ROOT


def test_everything_that_is_offered_is_there():
    for name in nuclei_models.__all__:
        assert getattr(nuclei_models, name) is not None
    assert set(nuclei_models.__all__) <= set(dir(nuclei_models))
    with pytest.raises(AttributeError, match="no attribute 'segmnt'"):
        _ = nuclei_models.segmnt


def test_reading_an_image_does_not_wait_for_torch():
    code = "import sys; from nuclei_models import read; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("old", "name"),
    [
        ("hub", "load"),
        ("hub", "HubError"),
        ("measure", "measure"),
        ("segment", "segment"),
        ("settings", "settings_for"),
    ],
)
def test_an_old_path_warns_and_gives_the_same(old: str, name: str):
    with pytest.warns(
        DeprecationWarning, match=f"nuclei_models.{old} has moved to nuclei_models.{_moved.MODULES[old]}"
    ):
        found = getattr(import_module(f"nuclei_models.{old}"), name)
    assert found is getattr(import_module(f"nuclei_models.{_moved.MODULES[old]}"), name)


def test_segment_is_the_function_whatever_was_imported_before():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nuclei_models.segment import segment
    assert nuclei_models.segment is segment and callable(segment)


def test_images_still_offers_read():
    assert import_module("nuclei_models.images").read is nuclei_models.read
