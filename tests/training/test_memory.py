"""Memory kept between the steps of training: less work for the system, and given back at the end."""

import os
import platform
from pathlib import Path

import pytest
import torch

from nuclei_models.training.memory import kept_between_steps

CPU = torch.device("cpu")
SIZE = 64 * 2**20  # bytes
needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")


def faults() -> int:
    """Pages that the system has had to find for this process while a tensor was made and freed eight times."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        torch.ones(SIZE, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@needs_glibc
def test_the_same_memory_is_used_again_and_given_back_at_the_end():
    usual = faults()
    with kept_between_steps(CPU) as kept:
        if not kept:
            pytest.skip("malloc has settings of its own here")
        torch.ones(SIZE, dtype=torch.uint8)
        assert faults() < usual / 4
        held = resident()
    assert resident() < held - SIZE / 2
    assert faults() > usual / 4


@pytest.mark.parametrize("own", [{"MALLOC_MMAP_THRESHOLD_": "1000000"}, {"GLIBC_TUNABLES": "glibc.malloc.arena_max=1"}])
def test_settings_of_the_environment_are_left_alone(own, monkeypatch):
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    with kept_between_steps(CPU) as kept:
        assert not kept


def test_a_gpu_needs_none_of_it():
    with kept_between_steps(torch.device("cuda")) as kept:
        assert not kept
