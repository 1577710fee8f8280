"""The layer table of a network, by torchinfo."""

import torch

try:  # torchinfo is no need of the Hub's bare route: only this table wants it
    import torchinfo
except ImportError:
    torchinfo = None  # type: ignore[assignment]


def summarize(model: torch.nn.Module, input_size: tuple[int, int, int], verbose: bool):
    """Run the model once on zeros of (height, width, channels) and count. Returns torchinfo's `ModelStatistics`."""
    if torchinfo is None:
        raise ImportError("The layer table needs torchinfo: pip install torchinfo")
    height, width, channels = input_size
    return torchinfo.summary(
        model,
        input_size=(1, channels, height, width),
        dtypes=[next(model.parameters()).dtype],
        col_names=("output_size", "num_params", "mult_adds"),
        depth=3,
        verbose=int(verbose),
    )
