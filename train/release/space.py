"""Push the page as a Space of the Hugging Face Hub, running published networks at pinned versions.

    python -m train.release.space org/nuclei-demo --unet org/unet-nuclei@v1.0.0 --unetpp org/unetpp-nuclei@v1.0.0
        [--unet-small org/unet-small-nuclei@v1.0.0] [--dry-run]

The Space gets app.py, nuclei_models/, requirements.txt, examples/, LICENSE, a README.md whose front matter configures
it, and `space.py`, which it starts: app.py with UNET_MODEL and its like set to those versions. They stand in a
file, not in the Space's settings, so that one commit says all of what runs; variables in the settings win over it.
"""

import argparse
import json
import re
import shutil
import tempfile
from pathlib import Path

import yaml
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

from nuclei_models.inference.loading import PROCESSOR, parse_model_id
from nuclei_models.model.repository import CONFIG, WEIGHTS
from nuclei_models.page.networks import STANDARD, VARIABLES
from train.release.publish import ROOT, PublishError, explained, listing

CODE = ("app.py", "requirements.txt", "LICENSE")
START = '''"""Where the Space starts: app.py, with the networks at these versions."""

import os
import runpy
from pathlib import Path

for name, model in {models}.items():
    os.environ.setdefault(name, model)
runpy.run_path(str(Path(__file__).with_name("app.py")), run_name="__main__")
'''
README = """---
{front_matter}
---

# {title}

Drop a microscopy image, see every nucleus that U-Net and U-Net++ find, side by side. The networks: {links}.
"""


def models_of(owner: str, tag: str) -> dict[str, str]:
    """Both networks of an owner at a version: "unet" and "unetpp" -> "owner/name@tag"."""
    return {key: f"{owner}/{key}-nuclei@{tag}" for key in STANDARD}


def pin(api: HfApi, key: str, model: str) -> tuple[str, str]:
    """Id and commit of a published network.

    Args:
        key: Of `VARIABLES`: which network it must be.
        model: "owner/name@version".

    Raises:
        PublishError: There is no such network or version, or it is of the other kind.
    """
    name, revision = parse_model_id(model)
    if revision is None:
        raise PublishError(f"{model}: say which version, as in {model}@v1.0.0.")
    with explained(name):
        try:
            commit = api.model_info(name, revision=revision).sha or revision
            config = json.loads(Path(api.hf_hub_download(name, CONFIG, revision=commit)).read_text())
        except (RepositoryNotFoundError, RevisionNotFoundError, EntryNotFoundError) as error:
            raise PublishError(f"There is no {model} yet: publish it first, see train.release.publish.") from error
    if config.get("model_type") != (kind := f"nuclei_{key.removesuffix('-small')}"):
        raise PublishError(f"{model} has model_type {config.get('model_type')!r} where {kind} is expected.")
    return name, commit


def front_matter(models: dict[str, str]) -> str:
    """The Space's configuration as YAML. `models`: id -> commit."""
    pinned = re.search(r"^gradio==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    if pinned is None:
        raise PublishError("requirements.txt doesn't pin gradio: add gradio==VERSION.")
    files = ",".join((CONFIG, PROCESSOR, WEIGHTS))
    fields = {
        "title": "Nuclei",
        "emoji": "🔬",
        "colorFrom": "indigo",
        "colorTo": "pink",
        "sdk": "gradio",
        "sdk_version": pinned[1],
        "python_version": "3.12",
        "app_file": "space.py",
        "license": "mit",
        "short_description": "Find every nucleus in a microscopy image",
        "tags": ["microscopy", "nuclei", "image-segmentation"],
        "models": list(models),
        "preload_from_hub": [f"{name} {files} {commit}" for name, commit in models.items()],
    }
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=1000).strip()


def assemble_space(out: Path, models: dict[str, str], variables: dict[str, str]) -> None:
    """Lay out the Space in a folder.

    Args:
        out: Folder to fill.
        models: id -> commit.
        variables: Of app.py -> "owner/name@version".
    """
    out.mkdir(parents=True, exist_ok=True)
    for name in CODE:
        shutil.copy(ROOT / name, out / name)
    for name in ("nuclei_models", "examples"):  # not weights: the Space loads published networks
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, out / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    (out / "space.py").write_text(START.format(models=json.dumps(variables, indent=4)))
    links = ", ".join(f"[{name}](https://huggingface.co/{name})" for name in models)
    readme = README.format(front_matter=front_matter(models), title="Nuclei", links=links)
    (out / "README.md").write_text(readme, encoding="utf-8")


def publish_space(
    space_id: str, models: dict[str, str], private: bool | None = None, dry_run: bool = False
) -> str | None:
    """Assemble the Space and push it as one commit.

    Args:
        space_id: "owner/name"; it is made if there is no such Space.
        models: "unet", "unetpp" and, if it is to be offered, "unet-small" -> "owner/name@version", all published.
        private: Whether a Space that is made is private.
        dry_run: Show what would go; push nothing and ask the Hub nothing, so that commits stand as "COMMIT".

    Returns:
        The commit; `None` after a dry run.

    Raises:
        PublishError: A network isn't there, no rights, no network.
    """
    api = HfApi()
    variables = {VARIABLES[key]: model for key, model in models.items()}
    if dry_run:
        commits = {parse_model_id(model)[0]: "COMMIT" for model in models.values()}
    else:
        commits = dict(pin(api, key, model) for key, model in models.items())
    with tempfile.TemporaryDirectory(prefix="space-") as folder:
        assemble_space(Path(folder), commits, variables)
        if dry_run:
            print(f"{space_id} would get:\n{listing(Path(folder))}\n\n{(Path(folder) / 'README.md').read_text()}")
            return None
        with explained(space_id):
            api.create_repo(space_id, repo_type="space", space_sdk="gradio", private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=space_id,
                repo_type="space",
                folder_path=folder,
                commit_message=f"Run {' and '.join(models.values())}",
                delete_patterns="*",
            )
    print(f"Pushed {constants.ENDPOINT}/spaces/{space_id}")
    return commit.oid


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("space_id", help="owner/name on the Hub")
    for key in VARIABLES:
        needed = key in STANDARD
        text = "published network" + (": to be offered beside the two" if not needed else "")
        parser.add_argument(f"--{key}", required=needed, metavar="OWNER/NAME@VERSION", help=text)
    parser.add_argument("--private", action="store_true", default=None, help="make the Space private")
    parser.add_argument("--dry-run", action="store_true", help="show what would go; push nothing")
    args = parser.parse_args()
    try:
        given = {key: getattr(args, key.replace("-", "_")) for key in VARIABLES}
        models = {key: model for key, model in given.items() if model}
        publish_space(args.space_id, models, args.private, args.dry_run)
    except PublishError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
