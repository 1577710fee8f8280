"""Loading and saving that is sure of what it loads: the checks around transformers' `from_pretrained` and
`save_pretrained`. Every failure is a `HubError`: one sentence that says what happened and what to do.

`save_pretrained` writes the SHA-256 of `model.safetensors` into `config.json` as `weights_sha256`. `from_pretrained`
takes all files from one commit, reads `config.json` first, loads safetensors only (never a pickle), compares the
SHA-256, and refuses weights that don't fill the network exactly.
"""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from safetensors import SafetensorError
from transformers import PreTrainedConfig

from .repository import CONFIG, HASH, OPTIONS, WEIGHTS, HubError, Repository, flat, sha256


def load_checked(
    load: Callable, config_class: type[PreTrainedConfig] | None, source: Any, *args: Any, **kwargs: Any
) -> Any:
    """transformers' `from_pretrained`, checked.

    Args:
        load: The `from_pretrained` to call.
        config_class: What `config.json` must be.
        source, args, kwargs: As given by the user. With `source=None` nothing is checked.

    Returns:
        What `load` returns.

    Raises:
        HubError: The model is missing, out of reach, damaged or another one.
        ValueError: An argument asks for another format than safetensors.
    """
    if source is None or config_class is None:
        return load(source, *args, **kwargs)
    if kwargs.get("variant") or kwargs.get("gguf_file") or kwargs.get("use_safetensors") is False:
        raise ValueError(f"variant, gguf_file and use_safetensors=False aren't supported: only {WEIGHTS} is loaded.")
    repository = Repository(source, **{key: kwargs.pop(key) for key in OPTIONS if key in kwargs})
    repository.checked_weights(repository.checked_config(config_class))

    wants_info = kwargs.pop("output_loading_info", False)
    allows_other_shapes = kwargs.pop("ignore_mismatched_sizes", False)
    kwargs |= {key: value for key, value in repository.options.items() if key != "force_download"}
    kwargs |= {"revision": repository.commit or "main", "subfolder": repository.subfolder, "use_safetensors": True}
    try:
        model, info = load(source, *args, output_loading_info=True, ignore_mismatched_sizes=True, **kwargs)
    except SafetensorError as error:
        raise HubError(
            f"{WEIGHTS} of {repository.name!r} is cut short or no safetensors file ({flat(error)}): "
            f"{repository.remedy}."
        ) from error
    _refuse_misfits(repository.name, info, allows_other_shapes)
    if hasattr(model.config, HASH):
        delattr(model.config, HASH)  # it describes the file, not the network, which may now change
    return (model, info) if wants_info else model


def save_checked(save: Callable, folder: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
    """transformers' `save_pretrained`, with the SHA-256 of the weights in the config, and without half-written files:
    each is written under another name and then put in place.

    Raises:
        ValueError: An argument asks for weights that aren't one `model.safetensors`. Nothing has been changed.
    """
    if kwargs.get("variant"):
        raise ValueError(f"variant={kwargs['variant']!r} isn't supported: the weights are kept in {WEIGHTS}.")
    if kwargs.get("distributed_checkpoint"):  # for resuming only: every process writes its part
        return save(folder, *args, **kwargs)
    push = kwargs.pop("push_to_hub", False)
    target = {key: kwargs.pop(key) for key in ("repo_id", "private", "commit_message", "create_pr") if key in kwargs}
    final = Path(folder)
    final.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=final) as temporary:
        save(temporary, *args, **kwargs)
        files = sorted(Path(temporary).iterdir(), key=lambda file: file.name == CONFIG)  # the config last
        if any(file.name.endswith(".index.json") for file in files):
            raise ValueError(f"max_shard_size={kwargs.get('max_shard_size')} splits the weights: give a larger one.")
        if Path(temporary, WEIGHTS).exists():
            _write_hash(Path(temporary))
        for file in files:
            file.replace(final / file.name)
    if push and files:
        _push(final, [file.name for file in files], kwargs.get("token"), **target)


def _write_hash(folder: Path) -> None:
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    config[HASH] = sha256(folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _push(
    folder: Path,
    names: list[str],
    token: str | bool | None,
    repo_id: str | None = None,
    private: bool | None = None,
    **options: Any,
) -> None:
    api = HfApi(token=token)
    repo_id = api.create_repo(repo_id or folder.resolve().name, private=private, exist_ok=True).repo_id
    api.upload_folder(repo_id=repo_id, folder_path=folder, allow_patterns=names, **options)


def _refuse_misfits(name: str, info: dict[str, Any], allows_other_shapes: bool) -> None:
    """Raise unless the weights filled the network exactly."""
    lists = {"missing": info["missing_keys"], "unexpected": info["unexpected_keys"]}
    remedy = "Save both together."
    problems = [f"{len(keys)} {what} ({min(keys)} first)" for what, keys in lists.items() if keys]
    if info["mismatched_keys"] and not allows_other_shapes:
        key, stored, expected = min(info["mismatched_keys"], key=lambda mismatch: mismatch[0])
        problems.append(f"{key} has shape {tuple(stored)} where {tuple(expected)} is expected")
        remedy = (
            "If you asked for other channels or widths than were saved (num_labels, id2label, channels ..), pass "
            "ignore_mismatched_sizes=True: the layers of another shape then begin anew. Otherwise save both together."
        )
    if problems:
        raise HubError(f"The weights of {name!r} don't fit its configuration: {'; '.join(problems)}. {remedy}")
