"""Model and processor in one call, from a folder or the Hub, without remote code.

>>> model, processor = load("unetpp-nuclei")  # comes with the package
>>> model, processor = load("owner/unet-nuclei@v1.0.0")  # from the Hub
>>> model, processor = load("my-folder")

What is checked on the way is in `integrity.py`, and holds for `UNet.from_pretrained` as well.
"""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from ..model.channels import check_pair
from ..model.repository import CONFIG, OPTIONS, PROCESSOR, HubError, Repository, flat
from .bundled import bundled, bundled_names
from .device import choose_device

if TYPE_CHECKING:  # they import transformers, which takes seconds
    from ..model.image_processing_nuclei import NucleiImageProcessor
    from ..model.modeling_nuclei import NucleiPreTrainedModel


def model_classes() -> "dict[str, type[NucleiPreTrainedModel]]":
    """The networks by their configurations' `model_type`."""
    from ..model import UNet, UNetPlusPlus

    return {c.config_class.model_type: c for c in (UNet, UNetPlusPlus)}


def parse_model_id(model_id: str | os.PathLike) -> tuple[str, str | None]:
    """Split "owner/name@revision".

    Returns:
        The id and the revision (a branch, tag or commit), or `None` without one. A folder's path is returned as it is,
        and for the name of a bundled network its folder, unless there is a folder of that name here.

    Raises:
        ValueError: Nothing follows the "@".
    """
    text = str(Path(model_id).expanduser()) if os.fspath(model_id).startswith("~") else os.fspath(model_id)
    if not Path(text).exists() and (folder := bundled(text)) is not None:
        return str(folder), None
    name, at, revision = text.partition("@")
    if not at or Path(text).exists() or not re.fullmatch(r"(?:\w[\w.-]*/)?\w[\w.-]*", name):
        return text, None
    if not revision:
        raise ValueError(f"{text!r}: expected a branch, tag or commit after the @.")
    return name, revision


def load(
    id_or_folder: str | os.PathLike,
    revision: str | None = None,
    token: str | bool | None = None,
    model_class: "type[NucleiPreTrainedModel] | None" = None,
    device: str | torch.device | None = None,
    **kwargs: Any,
) -> "tuple[NucleiPreTrainedModel, NucleiImageProcessor]":
    """Load a model, ready for inference, and its processor, both of one commit, onto the GPU if there is one.

    Args:
        id_or_folder: The name of a network that comes with this package ("unet-nuclei", "unetpp-nuclei"), the folder of
            a saved model, or "owner/name" or "owner/name@revision" on the Hub.
        revision: Branch, tag or commit on the Hub. The default is "main".
        token: For a private repository; the default is the one of `hf auth login`.
        model_class: `UNet` or `UNetPlusPlus`; by default what `config.json` says.
        device: "cpu", "cuda", "cuda:1" or "mps"; by default CUDA, MPS or the CPU, the first that there is here. See
            `describe(model.device)` of `device.py`.
        kwargs: For `from_pretrained`, as `dtype`, `cache_dir`, `local_files_only` or `force_download`.

    Raises:
        HubError: The model is missing, out of reach, damaged or of another kind, or its processor is another's.
        ValueError: Two different revisions are given, or one for a folder; or there is no such device.
    """
    source, given = parse_model_id(id_or_folder)
    if given and revision and given != revision:
        raise ValueError(f"{os.fspath(id_or_folder)!r} and revision={revision!r} disagree: give one.")
    revision = revision or given
    if revision and Path(source).is_dir():
        raise ValueError(f"{source!r} is a folder, which has no revision {revision!r}: leave it out.")

    place = None if "device_map" in kwargs else choose_device(device)
    options = {key: kwargs[key] for key in OPTIONS if key in kwargs} | {"revision": revision, "token": token}
    repository = repository_at(source, **options)
    model_type = repository.config().get("model_type")
    model_class = model_class or _class_for(repository.name, model_type)
    options["revision"] = repository.commit or revision  # model and processor of one commit
    model = model_class.from_pretrained(source, **kwargs | options)
    processor = _load_processor(repository)
    try:
        check_pair(model, processor)
    except ValueError as error:
        raise HubError(f"{CONFIG} and {PROCESSOR} of {repository.name!r} don't fit. {error}") from error
    return (model if place is None else cast(Any, model).to(place)), processor


def repository_at(source: str, **options: Any) -> Repository:
    """The files of a model, from here on at one commit, whatever its branch does meanwhile.

    Args:
        source: From `parse_model_id`.
        options: See `Repository`.

    Raises:
        HubError: There is no such model, or it is out of reach.
    """
    if "/" not in source and not Path(source).exists():
        known = ", ".join(bundled_names()) or "none here: install the package again"
        raise HubError(
            f"There is no model {source!r}: expected a folder, owner/name@revision on the Hub, or one that comes with "
            f"this package ({known})."
        )
    repository = Repository(source, **options)
    repository.config()
    return repository


def _class_for(name: str, model_type: Any) -> "type[NucleiPreTrainedModel]":
    known = model_classes()
    if model_type in list(known):
        return known[model_type]
    raise HubError(
        f"{name!r} has model_type {model_type!r} where one of {', '.join(known)} is expected: choose another."
    )


def _load_processor(repository: Repository) -> "NucleiImageProcessor":
    from ..model import NucleiImageProcessor

    path = repository.find(PROCESSOR)
    if path is None:
        raise HubError(f"{repository.name!r} has no {PROCESSOR}: save the processor beside the model.")
    try:
        return NucleiImageProcessor.from_pretrained(path.parent)
    except Exception as error:  # of any type: what a malformed field comes to depends on the field
        raise HubError(
            f"{PROCESSOR} of {repository.name!r} is malformed ({flat(error)}): {repository.remedy}."
        ) from error


__all__ = ["HubError", "load", "parse_model_id"]
