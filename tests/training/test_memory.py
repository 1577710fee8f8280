"""Memory kept between the steps of training: where it is left alone."""

import pytest
import torch

from nuclei_models.training.memory import kept_between_steps

CPU = torch.device("cpu")


@pytest.mark.parametrize("own", [{"MALLOC_MMAP_THRESHOLD_": "1000000"}, {"GLIBC_TUNABLES": "glibc.malloc.arena_max=1"}])
def test_settings_of_the_environment_are_left_alone(own, monkeypatch):
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    with kept_between_steps(CPU) as kept:
        assert not kept


def test_a_gpu_needs_none_of_it():
    with kept_between_steps(torch.device("cuda")) as kept:
        assert not kept
