"""The files of a saved model, from a folder or the Hub, at one commit and whole; and what went wrong, in a sentence."""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

CONFIG, WEIGHTS, HASH = "config.json", "model.safetensors", "weights_sha256"
PROCESSOR = "preprocessor_config.json"
OPTIONS = ("revision", "token", "cache_dir", "local_files_only", "force_download", "subfolder")


class HubError(OSError):
    """A model can't be loaded. The message says why and what to do."""


class Repository:
    """The files of a model: a folder, or a repository on the Hub at one commit.

    Args:
        source: Folder, or model id.
        options: Of `from_pretrained`: revision, token, cache_dir, local_files_only, force_download, subfolder.
    """

    def __init__(self, source: str | os.PathLike, **options: Any):
        self.name = os.fspath(source)
        self.is_folder = Path(self.name).is_dir()
        if Path(self.name).is_file():
            raise HubError(f"{self.name!r} is a file: give the folder that holds it beside its {CONFIG}.")
        self.subfolder = options.pop("subfolder", None) or ""
        self.wanted_revision = options.pop("revision", None) or "main"
        self.options = {key: value for key, value in options.items() if key in OPTIONS and value is not None}
        self.commit: str | None = None  # known once a file has been found

    def find(self, filename: str, **options: Any) -> Path | None:
        """Where a file is, downloaded if need be; `None` if there is no such file.

        Raises:
            HubError: It can't be told, or the download failed.
        """
        if self.is_folder:
            path = Path(self.name, self.subfolder, filename)
            return path if path.is_file() else None
        # imported where the Hub is asked: a folder is loaded without, which is sooner
        from huggingface_hub import errors, hf_hub_download

        try:
            revision = self.commit or self.wanted_revision
            options = {"subfolder": self.subfolder or None, "revision": revision} | self.options | options
            path = Path(hf_hub_download(self.name, filename, **options))
        except Exception as error:
            is_missing = isinstance(error, errors.EntryNotFoundError)
            if is_missing and not isinstance(error, errors.LocalEntryNotFoundError):
                return None
            raise HubError(self._explain(error, filename)) from error
        if found := re.search(r"snapshots[/\\]([0-9a-f]{40})[/\\]", str(path)):
            self.commit = found[1]
        return path

    def config(self) -> dict[str, Any]:
        """`config.json` as it is.

        Raises:
            HubError: There is none, or it isn't a JSON object.
        """
        path = self.find(CONFIG)
        if path is None:
            raise HubError(f"{self.name!r} has no {CONFIG}: it isn't a model saved with save_pretrained.")
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise HubError(f"{CONFIG} of {self.name!r} isn't valid JSON ({error}): {self.remedy}.") from error
        if not isinstance(config, dict):
            raise HubError(f"{CONFIG} of {self.name!r} isn't a JSON object: {self.remedy}.")
        return config

    def checked_config(self, config_class: "type[PreTrainedConfig]") -> dict[str, Any]:
        """`config.json`, which must be one of this class.

        Raises:
            HubError: As `config`; or it is another model's, or has a field that is wrong.
        """
        config, wanted = self.config(), config_class.model_type
        if config.get("model_type") != wanted:
            raise HubError(
                f"{self.name!r} has model_type {config.get('model_type')!r} where {wanted!r} is expected: load it with "
                f"the class it was saved from ({config.get('architectures')})."
            )
        if config.get("transformers_weights") is not None:
            raise HubError(f"{CONFIG} of {self.name!r} names other weights than {WEIGHTS}: only that file is loaded.")
        try:
            config_class.from_dict(dict(config))
        except Exception as error:  # of any type: what a malformed field comes to depends on the field
            raise HubError(f"{CONFIG} of {self.name!r} is malformed ({flat(error)}): {self.remedy}.") from error
        return config

    def checked_weights(self, config: dict[str, Any]) -> Path:
        """`model.safetensors`, which must have the SHA-256 that the config or the Hub says.

        A damaged file in the cache is downloaded once more.

        Raises:
            HubError: There is no such file, or it is damaged.
        """
        path = self.find(WEIGHTS)
        if path is None:
            raise HubError(
                f"{self.name!r} has no {WEIGHTS}; other formats (pickles such as pytorch_model.bin, several files) are "
                f"not loaded: load it where it was made and save it with save_pretrained."
            )
        damaged = _is_damaged(path, config)
        if damaged and not self.is_folder and not self._is_offline:
            damaged = _is_damaged(self.find(WEIGHTS, force_download=True) or path, config)
        if damaged:
            raise HubError(
                f"{WEIGHTS} of {self.name!r} is damaged (its SHA-256 isn't the one in {CONFIG} or on the Hub): "
                f"{self._remedy_for_weights}."
            )
        return path

    @property
    def remedy(self) -> str:
        """What to do about a damaged file."""
        if self.is_folder:
            return "copy or save the folder again"
        return "try again with force_download=True, and if that doesn't help, tell its publisher"

    @property
    def _remedy_for_weights(self) -> str:
        if self.is_folder:
            return f"{self.remedy}, or if you changed the weights on purpose, remove {HASH} from {CONFIG}"
        if self._is_offline:
            return "load it once with network, which repairs the cache"
        return "a second download didn't help, try again later or tell its publisher"

    @property
    def _is_offline(self) -> bool:
        from huggingface_hub import constants

        return constants.HF_HUB_OFFLINE or bool(self.options.get("local_files_only"))

    def _explain(self, error: Exception, filename: str) -> str:
        """What a failed download means, for the user."""
        from huggingface_hub import constants, errors

        name, hub, causes = repr(self.name), constants.ENDPOINT, list(_causes(error))
        status = next((e.response.status_code for e in causes if isinstance(e, errors.HfHubHTTPError)), None)

        def among(*types: type[BaseException]) -> bool:
            return any(isinstance(e, types) for e in causes)

        if among(errors.HFValidationError):
            return f"{name} is neither a folder nor a model id of the form owner/name: check the spelling."
        if among(errors.GatedRepoError):
            return f"Access to {name} is restricted: ask for it at {hub}/{self.name}, then log in or pass token=."
        if among(errors.RepositoryNotFoundError):
            return (
                f"There is no folder {name}, and at {hub} no such model that you may see: check the spelling; if it is "
                f"private, log in with `hf auth login` or pass token=."
            )
        if among(errors.RevisionNotFoundError):
            return (
                f"{name} has no revision {str(self.wanted_revision)!r}: choose a branch, tag or commit listed at "
                f"{hub}/{self.name}."
            )
        if status in (401, 403):
            return (
                f"{hub} refused the token for {name}: log in with `hf auth login` or pass one that is valid as token=."
            )
        if self._is_offline and among(errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
            return (
                f"{filename} of {name} isn't in the cache, and the network is off (HF_HUB_OFFLINE or "
                f"local_files_only): load it once with network, or give a folder."
            )
        if status is not None:
            return f"{hub} answered {status} to the request for {filename} of {name}: try again later."
        if among(errors.LocalEntryNotFoundError):
            return f"{hub} can't be reached and {filename} of {name} isn't in the cache: check the connection."
        if isinstance(error, OSError) and error.errno is not None:
            return f"{filename} of {name} can't be stored in the cache ({flat(error)}): check the disk."
        return f"The download of {filename} of {name} from {hub} failed ({flat(error)}): try again."


def sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _is_damaged(path: Path, config: dict[str, Any]) -> bool:
    blob = path.resolve().name  # the Hub's cache names an LFS file by its SHA-256
    expected = [config[HASH]] if HASH in config else []
    expected += [blob] if re.fullmatch("[0-9a-f]{64}", blob) else []
    found = sha256(path) if expected else ""
    return any(other != found for other in expected)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def flat(error: BaseException) -> str:
    """The error's message on one line."""
    return " ".join(str(error).split()) or type(error).__name__
