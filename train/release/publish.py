"""Publish a network on the Hugging Face Hub: one commit, then a tag.

    python -m train.release.publish org/unetpp-nuclei --weights weights/unetpp-nuclei --tag v1.0.0 --dry-run
    python -m train.release.publish org/unetpp-nuclei --weights weights/unetpp-nuclei --tag v1.0.0

The first shows what would go. The repository gets the weights (safetensors only), both configs, the code files that
`trust_remote_code=True` runs, the ONNX file, the evaluation, the training record, example pictures, LICENSE and the
model card. A folder that `nuclei train` made has the figures in its training.json, and its report goes along. `--space
org/nuclei-demo` then pushes the page as well, see `train.release.space`. Log in first: `hf auth login`.

The bundled folders hold no code: it would be two more copies of `nuclei_models/`, to go stale unseen. Whoever has the
folder has the package, which loads it without remote code; whoever has only transformers gets both from the Hub.
"""

import argparse
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, ModelCard, constants
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from transformers import PreTrainedModel
from transformers.dynamic_module_utils import get_relative_import_files

from nuclei_models import NucleiImageProcessor
from nuclei_models import model as model_room
from nuclei_models.inference.loading import PROCESSOR, load
from nuclei_models.model.repository import CONFIG, HASH, WEIGHTS, HubError, sha256
from nuclei_models.training.card import RECORD, REPORT, read_record
from nuclei_models.training.card import build_card as build_own_card
from train.release.card import EVALUATION, RECIPE, TRAINING_RECORD, build_card, read_examples, read_recipe

ROOT = Path(__file__).parents[2]
PACKAGE = Path(model_room.__file__).parent


class PublishError(RuntimeError):
    """Nothing was pushed, unless the message says so. It says why and what to do."""


def check_weights(weights: Path) -> type[PreTrainedModel]:
    """What must hold before a folder is published: whole weights that fit the config, and figures of theirs.

    Returns:
        The network's class.

    Raises:
        PublishError: The message says what is wrong.
    """
    try:
        model, _ = load(weights)
    except (HubError, ValueError) as error:
        raise PublishError(str(error)) from error
    if (record := read_record(weights)) is not None:  # of `nuclei train`, which measures by itself
        if record.get("weights_sha256") != sha256(weights / WEIGHTS):
            raise PublishError(f"{weights / RECORD} belongs to other weights than {WEIGHTS}: copy the whole folder.")
        return type(model)
    again = f"python -m train.evaluation.evaluate --model {weights}"
    if not (weights / EVALUATION).is_file():
        raise PublishError(f"{weights} has no {EVALUATION}: measure the network first with {again}")
    try:
        measured = json.loads((weights / EVALUATION).read_text())["weights_sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise PublishError(f"{weights / EVALUATION} is malformed: make it again with {again}") from error
    if measured != sha256(weights / WEIGHTS):
        raise PublishError(f"{weights / EVALUATION} belongs to other weights than {WEIGHTS}: measure them with {again}")
    if not (weights / RECIPE).is_file():
        raise PublishError(f"{weights} has no {RECIPE}: copy the experiment's YAML there, as train.fit.bundle does.")
    return type(model)


def code_files(*classes: type) -> list[Path]:
    """The modules of the classes and, recursively, what they import of this package, as transformers follows it."""
    files = set()
    for c in classes:
        module = PACKAGE / f"{c.__module__.rpartition('.')[2]}.py"
        files |= {module, *map(Path, get_relative_import_files(module))}
    return sorted(files)


def pictures(weights: Path) -> list[Path]:
    """The project's example images, without their truth, and the pictures of this network's results."""
    examples = ROOT / "examples"
    listed = [examples / f"{entry['name']}.png" for entry in read_examples()]
    return [path for path in (*listed, *sorted((weights / "examples").glob("*.png"))) if path.is_file()]


def assemble(weights: Path, out: Path, repo_id: str, tag: str, onnx: bool = True) -> None:
    """Lay out the repository in a folder.

    Args:
        weights: Folder of a network with its evaluation.
        out: Folder to fill.
        repo_id: Where it will go, for the card's snippets.
        tag: The version it will get, for the same.
        onnx: Whether to make `onnx/model.onnx`.

    Raises:
        PublishError: As `check_weights`.
    """
    model_class = check_weights(weights)
    config_class = model_class.config_class
    assert config_class is not None
    out.mkdir(parents=True, exist_ok=True)
    for name in (WEIGHTS, EVALUATION, *TRAINING_RECORD):
        if (weights / name).is_file():
            shutil.copy(weights / name, out / name)
    is_own = read_record(weights) is not None
    if is_own:
        if (weights / REPORT).is_file():  # it shows images, and may have been deleted
            shutil.copy(weights / REPORT, out / REPORT)
    else:
        (out / RECIPE).write_text(read_recipe(weights))

    models: dict[str, type] = {"AutoConfig": config_class, "AutoModelForSemanticSegmentation": model_class}
    digest = sha256(out / WEIGHTS)
    _write_json(weights / CONFIG, out / CONFIG, {"auto_map": _auto_map(models), HASH: digest})
    processor = _auto_map({"AutoImageProcessor": NucleiImageProcessor})
    _write_json(weights / PROCESSOR, out / PROCESSOR, {"auto_map": processor})
    for path in code_files(config_class, model_class, NucleiImageProcessor):
        shutil.copy(path, out / path.name)

    if not is_own:
        (out / "examples").mkdir(exist_ok=True)
    for path in [] if is_own else pictures(weights):
        shutil.copy(path, out / "examples" / path.name)
    shutil.copy(ROOT / "LICENSE", out / ("LICENSE-code" if is_own else "LICENSE"))
    if onnx:
        from nuclei_models.interchange.onnx_file import export_onnx  # wants packages that all else here does without

        export_onnx(weights, out / "onnx" / "model.onnx")
    card = build_own_card(out, repo_id, tag, onnx) if is_own else build_card(out, repo_id, tag)
    (out / "README.md").write_text(card, encoding="utf-8")


def publish(
    repo_id: str, weights: Path, tag: str, private: bool | None = None, onnx: bool = True, dry_run: bool = False
) -> str | None:
    """Assemble, push as one commit, and tag it.

    Args:
        repo_id: "owner/name"; it is made if there is no such repository.
        weights, tag, onnx: See `assemble`.
        private: Whether a repository that is made is private; `None` is the owner's default.
        dry_run: Show what would go, and push nothing.

    Returns:
        The commit; `None` after a dry run.

    Raises:
        PublishError: Bad weights, a tag that exists or has another form, no rights, no network.
    """
    if not re.fullmatch(r"v\d+\.\d+\.\d+", tag):
        raise PublishError(f"Tag {tag!r}: expected a version such as v1.0.0.")
    api = HfApi()
    if not dry_run:
        refuse_taken_tag(api, repo_id, tag)
    with tempfile.TemporaryDirectory(prefix="publish-") as folder:
        assemble(weights, Path(folder), repo_id, tag, onnx)
        if dry_run:
            print(f"{repo_id} at {tag} would get:\n{listing(Path(folder))}\n\nIts card begins:\n")
            print("\n".join(ModelCard.load(Path(folder) / "README.md").content.splitlines()[:60]))
            return None
        with explained(repo_id):
            api.create_repo(repo_id, private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repo_id, folder_path=folder, commit_message=f"Publish {tag}", delete_patterns="*"
            )
    try:
        api.create_tag(repo_id, tag=tag, revision=commit.oid)
    except HfHubHTTPError as error:
        raise PublishError(
            f"The files are at {repo_id}, commit {commit.oid}, but the tag wasn't made ({error}): make it with "
            f"hf repo tag create {repo_id} {tag} --revision {commit.oid}"
        ) from error
    return commit.oid


def refuse_taken_tag(api: HfApi, repo_id: str, tag: str) -> None:
    """Raise a PublishError if the repository has this tag."""
    with explained(repo_id):
        try:
            tags = [ref.name for ref in api.list_repo_refs(repo_id).tags]
        except RepositoryNotFoundError:
            return
    if tag in tags:
        raise PublishError(
            f"{repo_id} has a {tag} already, and a version never changes: choose the next (has: {tags})."
        )


@contextmanager
def explained(repo_id: str) -> Iterator[None]:
    """The Hub's errors as a PublishError."""
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise PublishError("HF_HUB_OFFLINE is set: unset it to publish.") from error
    except LocalTokenNotFoundError as error:
        raise PublishError(f"No token: log in with `hf auth login` as one who may write to {repo_id}.") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            who = "the token isn't valid or may not write there"
            raise PublishError(f"{constants.ENDPOINT} refused {repo_id}: {who}; see `hf auth login`.") from error
        raise PublishError(f"{constants.ENDPOINT} answered {status} for {repo_id} ({error}): try again.") from error
    except OSError as error:
        raise PublishError(f"{constants.ENDPOINT} can't be reached ({error}): check the connection.") from error


def listing(folder: Path) -> str:
    """The files of a folder with their sizes, one a line."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{path.stat().st_size:>12,}  {path.relative_to(folder).as_posix()}" for path in files]
    return "\n".join([*lines, f"{sum(path.stat().st_size for path in files):>12,}  bytes in {len(files)} files"])


def _auto_map(classes: dict[str, type]) -> dict[str, str]:
    return {auto: f"{c.__module__.rpartition('.')[2]}.{c.__name__}" for auto, c in classes.items()}


def _write_json(source: Path, target: Path, fields: dict[str, Any]) -> None:
    content = json.loads(source.read_text()) | fields
    target.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repo_id", help="owner/name on the Hub")
    parser.add_argument("--weights", type=Path, required=True, help="folder of the network, evaluated")
    parser.add_argument("--tag", required=True, help="version, as v1.0.0")
    parser.add_argument("--private", action="store_true", default=None, help="make the repository private")
    parser.add_argument("--no-onnx", action="store_true", help="leave out onnx/model.onnx")
    parser.add_argument("--space", metavar="OWNER/NAME", help="then push the page there, with this owner's networks")
    parser.add_argument("--dry-run", action="store_true", help="show what would go; push nothing")
    args = parser.parse_args()
    try:
        commit = publish(args.repo_id, args.weights, args.tag, args.private, not args.no_onnx, args.dry_run)
        if commit:
            print(f"Published {args.repo_id} at {args.tag}: {constants.ENDPOINT}/{args.repo_id}/tree/{args.tag}")
        if args.space:
            from train.release.space import models_of, publish_space

            owner = args.repo_id.partition("/")[0]
            publish_space(args.space, models_of(owner, args.tag), args.private, args.dry_run)
    except PublishError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
