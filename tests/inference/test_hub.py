"""Publishing and loading over HTTP, with a Hub on this machine: what is pushed is pulled, and every failure is said in
one sentence."""

import json
import shutil
import textwrap
from pathlib import Path

import pytest
import torch

from nuclei_models import UNet
from nuclei_models.model.repository import sha256
from tests.support.folders import cut_in_half, edit_config, keep_only_a_pickle, make_unet, save

PUSH = textwrap.dedent("""
    from pathlib import Path
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError
    api = HfApi()
    assert api.whoami()["name"] == "writer"

    api.create_repo("org/pushed", private=False)
    api.create_repo("org/pushed", exist_ok=True)
    for refused, status in ((api, 409), (HfApi(token="hf_reader"), 403), (HfApi(token="hf_nobody"), 401)):
        try:
            refused.create_repo("org/pushed")
        except HfHubHTTPError as error:
            assert error.response.status_code == status, error
        else:
            raise AssertionError(status)

    first = api.upload_folder(repo_id="org/pushed", folder_path=older, commit_message="first")
    api.create_tag("org/pushed", tag="v1.0.0", revision=first.oid)
    api.create_branch("org/pushed", branch="old")
    assert set(api.list_repo_files("org/pushed")) == {p.name for p in Path(older).iterdir()}
    second = api.upload_folder(repo_id="org/pushed", folder_path=newer, commit_message="second")
    card = b"---\\nlicense: mit\\npipeline_tag: image-segmentation\\n---\\n# A model"
    api.upload_file(repo_id="org/pushed", path_in_repo="README.md", path_or_fileobj=card)

    info = api.model_info("org/pushed", files_metadata=True)
    sizes = {file.rfilename: file.size for file in info.siblings}
    assert sizes["model.safetensors"] == Path(newer, "model.safetensors").stat().st_size
    assert info.pipeline_tag == "image-segmentation" and info.config["model_type"] == "nuclei_unet"
    assert api.model_info("org/pushed", revision="v1.0.0").sha == first.oid != second.oid
    refs = api.list_repo_refs("org/pushed")
    assert {b.name for b in refs.branches} == {"main", "old"} and refs.tags[0].target_commit == first.oid
    titles = [c.title for c in api.list_repo_commits("org/pushed")]
    assert titles[1:] == ["second", "first", "initial commit"]
    [entry] = api.get_paths_info("org/pushed", "model.safetensors")
    assert entry.lfs.size == entry.size

    api.create_repo("org/demo", repo_type="space", space_sdk="gradio")
    api.upload_file(repo_id="org/demo", repo_type="space", path_in_repo="app.py", path_or_fileobj=b"import gradio")
    assert api.space_info("org/demo").siblings[0].rfilename == "app.py"
    api.create_repo("org/secret", private=True)
    assert api.repo_exists("org/secret") and not HfApi(token=False).repo_exists("org/secret")
    api.delete_repo("org/demo", repo_type="space")
""")


def test_push(hub, run_python, tmp_path):
    older = save(make_unet(), tmp_path / "older")
    newer = save(make_unet(1), tmp_path / "newer")
    pushed = run_python(f"older, newer = {str(older)!r}, {str(newer)!r}\n" + PUSH, token="hf_writer")
    assert pushed.returncode == 0, pushed.stderr
    repo = hub.repos["models", "org/pushed"]
    weights = repo.at("v1.0.0").files["model.safetensors"]
    assert weights.lfs and weights.sha256 == sha256(older / "model.safetensors")
    assert repo.at("main").files["model.safetensors"].sha256 == sha256(newer / "model.safetensors")
    assert hub.repos["models", "org/secret"].private and ("spaces", "org/demo") not in hub.repos


# Pulling: importing torch and transformers takes long, so one process tries everything and a test looks at each outcome

TRY = textwrap.dedent("""
    import json, time
    time.sleep = lambda seconds: None  # the client's pauses between its retries

    def outcome(function, *args, **kwargs):
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        model, processor = result if isinstance(result, tuple) else (result, None)
        return [type(model).__name__, float(model.head.bias.sum()), processor and processor.diameter]
""")

PULL = textwrap.dedent("""
    # without this package: transformers runs the repository's own code, on trust
    import sys
    from transformers import AutoModelForSemanticSegmentation
    outcomes = {
        "own code": outcome(AutoModelForSemanticSegmentation.from_pretrained, "org/travels", trust_remote_code=True),
        "own code, rots": outcome(AutoModelForSemanticSegmentation.from_pretrained, "org/rots", trust_remote_code=True),
    }
    assert "nuclei_models" not in sys.modules

    from nuclei_models import UNet, UNetPlusPlus
    from nuclei_models.inference.loading import load
    outcomes |= {
        "main": outcome(load, "org/unet"),
        "main, class": outcome(UNet.from_pretrained, "org/unet"),
        "tag": outcome(load, "org/unet@v1"),
        "tag, class": outcome(UNet.from_pretrained, "org/unet", revision="v1"),
        "breaks off once": outcome(UNet.from_pretrained, "org/breaks-once"),
        "rots once": outcome(UNet.from_pretrained, "org/rots-once"),
        "rots twice": outcome(UNet.from_pretrained, "org/rots-twice"),
        "rots twice, again": outcome(UNet.from_pretrained, "org/rots-twice"),
        "with token": outcome(UNet.from_pretrained, "org/private", token="hf_writer"),
        "without token": outcome(load, "org/private"),
        "other's token": outcome(load, "org/private", token="hf_reader"),
        "invalid token": outcome(load, "org/private", token="hf_nobody"),
        "gated": outcome(UNet.from_pretrained, "org/gated"),
        "missing": outcome(UNet.from_pretrained, "org/no-such"),
        "bad revision": outcome(UNet.from_pretrained, "org/unet", revision="v9"),
        "breaks off": outcome(UNet.from_pretrained, "org/breaks"),
        "rots": outcome(UNet.from_pretrained, "org/rots"),
        "rots, no hash": outcome(UNet.from_pretrained, "org/rots-no-hash"),
        "down": outcome(UNet.from_pretrained, "org/down"),
        "down at the weights": outcome(UNet.from_pretrained, "org/down-late"),
        "pickle": outcome(UNet.from_pretrained, "org/pickle"),
        "no config": outcome(UNet.from_pretrained, "org/no-config"),
        "other class": outcome(UNetPlusPlus.from_pretrained, "org/unet"),
        "other shapes": outcome(UNet.from_pretrained, "org/shapes"),
        "malformed": outcome(UNet.from_pretrained, "org/malformed"),
    }
    model = UNet.from_pretrained("org/unet")
    model.save_pretrained("pushed", push_to_hub=True, repo_id="org/pushed-by-save", token="hf_writer")
    outcomes["pushed by save_pretrained"] = outcome(UNet.from_pretrained, "org/pushed-by-save")

    import socket
    from huggingface_hub import close_session
    def no_way(*args):
        raise OSError(101, "Network is unreachable")
    socket.socket.connect = no_way
    close_session()
    outcomes |= {
        "no network, cached": outcome(load, "org/unet"),
        "no network, cached tag": outcome(UNet.from_pretrained, "org/unet", revision="v1"),
        "no network, uncached": outcome(load, "org/elsewhere"),
        "no network, uncached revision": outcome(UNet.from_pretrained, "org/unet", revision="v8"),
    }
    print(json.dumps(outcomes))
""")


def run_tries(run_python, code: str, **kwargs) -> dict:
    done = run_python(TRY + code, **kwargs)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("home")


def constant_bias(value: float) -> UNet:
    """A model that the outcome tells from others."""
    model = make_unet()
    model.load_state_dict({"head.bias": torch.tensor([value])}, strict=False)
    return model


@pytest.fixture(scope="module")
def pulled(hub, run_python, home, tmp_path_factory) -> dict:
    """What each way of loading came to."""
    base = tmp_path_factory.mktemp("repos")
    old, new = save(constant_bias(1), base / "old"), save(constant_bias(2), base / "new")
    hub.add("org/unet", old, tag="v1")
    hub.add("org/unet", new)
    for name in ("breaks-once", "breaks", "rots-once", "rots-twice", "down", "down-late"):
        hub.add(f"org/{name}", save(constant_bias(3), base / name))
    hub.add("org/private", old, private=True)
    hub.add("org/gated", old, gated="manual")
    auto_map = {"AutoConfig": "configuration_unet.UNetConfig"}
    auto_map["AutoModelForSemanticSegmentation"] = "modeling_unet.UNet"
    for name in ("travels", "rots"):
        edit_config(shutil.copytree(old, base / name, dirs_exist_ok=True), auto_map=auto_map)
        hub.add(f"org/{name}", base / name)
    spoil = {
        "rots-no-hash": lambda folder: edit_config(folder, weights_sha256=None),
        "pickle": keep_only_a_pickle,
        "no-config": lambda folder: (folder / "config.json").unlink(),
        "shapes": lambda folder: edit_config(folder, channels=[4, 16]),
        "malformed": lambda folder: cut_in_half(folder / "config.json"),
    }
    for name, function in spoil.items():
        function(shutil.copytree(old, base / name))
        hub.add(f"org/{name}", base / name)
    with (
        hub.fault("cdn/.*org/breaks-once/", break_after=1000, times=1),
        hub.fault("cdn/.*org/breaks/", break_after=0),
        hub.fault("cdn/.*org/rots-once/", corrupt=True, times=1),
        hub.fault("cdn/.*org/rots-twice/", corrupt=True, times=2),
        hub.fault("cdn/.*org/rots(-no-hash)?/", corrupt=True),
        hub.fault("org/down/", status=503),
        hub.fault("org/down-late/.*safetensors", status=500),
    ):
        return run_tries(run_python, PULL, home=home)


LOADED = {
    "main": ["UNet", 2.0, 24.0],
    "main, class": ["UNet", 2.0, None],
    "tag": ["UNet", 1.0, 24.0],
    "tag, class": ["UNet", 1.0, None],
    "with token": ["UNet", 1.0, None],
    "breaks off once": ["UNet", 3.0, None],
    "rots once": ["UNet", 3.0, None],
    "rots twice, again": ["UNet", 3.0, None],  # heals without force_download
    "own code": ["UNet", 1.0, None],
    "pushed by save_pretrained": ["UNet", 2.0, None],
    "no network, cached": ["UNet", 2.0, 24.0],
    "no network, cached tag": ["UNet", 1.0, None],
}
REFUSED = {
    "without token": ["no such model that you may see", "private", "token="],
    "other's token": ["no such model that you may see", "private", "token="],
    "invalid token": ["refused the token"],
    "gated": ["Access to 'org/gated' is restricted", "ask for it at http"],
    "missing": ["no folder 'org/no-such'", "no such model", "check the spelling"],
    "bad revision": ["'org/unet' has no revision 'v9'", "branch, tag or commit"],
    "breaks off": ["download of model.safetensors", "failed", "try again"],
    "rots twice": ["model.safetensors of 'org/rots-twice' is damaged"],
    "own code, rots": ["model.safetensors of 'org/rots' is damaged"],
    "rots": ["model.safetensors of 'org/rots' is damaged", "second download"],
    "rots, no hash": ["model.safetensors of 'org/rots-no-hash' is damaged"],
    "down": ["answered 503", "try again later"],
    "down at the weights": ["answered 500", "model.safetensors"],
    "pickle": ["has no model.safetensors", "pickles"],
    "no config": ["'org/no-config' has no config.json"],
    "other class": ["'nuclei_unet' where 'nuclei_unetpp' is expected"],
    "other shapes": ["don't fit its configuration", "has shape"],
    "malformed": ["config.json of 'org/malformed' isn't valid JSON"],
    "no network, uncached": ["can't be reached and config.json of 'org/elsewhere' isn't in the cache"],
    "no network, uncached revision": ["can't be reached and config.json of 'org/unet' isn't in the cache"],
}


@pytest.mark.parametrize("case", LOADED)
def test_pull(pulled, case):
    assert pulled[case] == LOADED[case]


@pytest.mark.parametrize("case", REFUSED)
def test_a_failed_pull_is_said_in_a_sentence(pulled, case):
    assert pulled[case].startswith("HubError: ") and "\n" not in pulled[case]
    for words in REFUSED[case]:
        assert words in pulled[case]


def test_a_broken_download_leaves_no_weights_in_the_cache(home, pulled):
    assert len(list(home.rglob("models--org--breaks-once/snapshots/*/model.safetensors"))) == 1
    assert [path.name for path in home.rglob("models--org--breaks/snapshots/*/*")] == ["config.json"]


OFFLINE = textwrap.dedent("""
    from nuclei_models import UNet
    from nuclei_models.inference.loading import load
    outcomes = {
        "cached": outcome(load, "org/unet"),
        "cached tag": outcome(UNet.from_pretrained, "org/unet", revision="v1"),
        "uncached": outcome(load, "org/elsewhere"),
        "uncached revision": outcome(UNet.from_pretrained, "org/unet", revision="v8"),
        "forced": outcome(UNet.from_pretrained, "org/unet", force_download=True),
    }
    print(json.dumps(outcomes))
""")


def test_offline(hub, run_python, home, pulled):
    requests = len(hub.log)
    outcomes = run_tries(run_python, OFFLINE, home=home, offline=True)
    assert len(hub.log) == requests
    assert outcomes["cached"] == ["UNet", 2.0, 24.0]
    assert outcomes["cached tag"] == ["UNet", 1.0, None]
    for case in ("uncached", "uncached revision", "forced"):
        assert outcomes[case].startswith("HubError: config.json of ") and "the network is off" in outcomes[case]
