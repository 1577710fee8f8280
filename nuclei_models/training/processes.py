"""Several processes that train one network, as `torchrun` and `accelerate launch` start them: each draws crops of its
own, and the mean of their gradients is taken. All else is the first one's, and the others wait for it."""

import os
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list


def join(device: torch.device) -> None:
    """Find the other processes; on CUDA each gets a GPU of its own. To be called before any network is loaded."""
    PartialState(cpu=device.type == "cpu")


def is_first() -> bool:
    """Whether this is the process that writes files and tells how it goes; known before `join`."""
    return int(os.environ.get("RANK", 0)) == 0


def count() -> int:
    return PartialState().num_processes


def wait() -> None:
    """Until all processes have come here."""
    PartialState().wait_for_everyone()


def agreed(value: Any) -> Any:
    """The first process's value, in all of them."""
    return broadcast_object_list([value])[0] if count() > 1 else value
