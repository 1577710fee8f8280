"""Where networks run: CUDA, Apple's MPS or the CPU, chosen and said in words."""

import os
import platform

import torch

AUTO = "auto"


def choose_device(wanted: str | torch.device | None = None) -> torch.device:
    """The device to run networks on.

    Args:
        wanted: "cpu", "cuda", "cuda:1", "mps"; `None` or "auto" takes CUDA where there is a GPU for it, then MPS, then
            the CPU.

    Raises:
        ValueError: There is no such device here. The message says why.
    """
    if wanted is None or str(wanted) == AUTO:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device {str(wanted)!r}: expected auto, cpu, cuda, cuda:1 or mps.") from error
    if device.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"device {str(wanted)!r}: expected auto, cpu, cuda, cuda:1 or mps.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {str(wanted)!r}: {why_no_cuda()}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {str(wanted)!r}: there are {torch.cuda.device_count()} GPUs here, counted from 0.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError(f"device {str(wanted)!r}: this machine has no Apple GPU that PyTorch can use.")
    return device


def describe(device: torch.device) -> str:
    """A device in words, as in "the GPU NVIDIA L4 (cuda:0)" or "the CPU (x86_64, 2 threads)"."""
    if device.type == "cuda":
        try:
            return f"the GPU {torch.cuda.get_device_name(device)} ({device})"
        except RuntimeError:  # one that is lent for each run, as on a Space
            return f"a GPU ({device})"
    if device.type == "mps":
        return "the Apple GPU (mps)"
    threads = torch.get_num_threads()
    return f"the CPU ({platform.machine() or 'of an unknown kind'}, {threads} thread{'s' if threads > 1 else ''})"


def why_no_cuda() -> str:
    """Why CUDA isn't used here, and what to do, in a sentence."""
    if torch.version.cuda is None and torch.version.hip is None:
        return (
            f"PyTorch {torch.__version__} is built without CUDA. For a GPU, install the build that "
            f"https://pytorch.org/get-started/locally names for it."
        )
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return "CUDA_VISIBLE_DEVICES hides every GPU. Unset it."
    return (
        f"PyTorch {torch.__version__} finds no GPU. If there is one, `nvidia-smi` must list it, with a driver for CUDA "
        f"{torch.version.cuda} or newer."
    )


def about_gpu() -> str:
    """Whether networks run on a GPU where no device is asked for, and if not, why."""
    device = choose_device()
    if device.type == "cpu":
        return f"No, networks run on {describe(device)}. {why_no_cuda()}"
    return f"Yes, networks run on {describe(device)}."
