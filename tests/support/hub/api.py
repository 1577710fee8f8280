"""The answers of the test Hub: one function a route, a call in, an answer out."""

import hashlib
from typing import Any
from urllib.parse import parse_qs

from .call import Answer, Call, route
from .storage import File, Refused, Repo, is_lfs

REPO = r"/api/(?P<kind>models|datasets|spaces)/(?P<id>[^/]+/[^/]+)"
PAGE = r"/(?:(?P<kind>datasets|spaces)/)?(?P<id>[^/]+/[^/]+)"
REVISION = r"/(?P<revision>[^/]+)"
NOW = "2026-01-01T00:00:00.000Z"


# Accounts and repositories


@route("GET", "/api/whoami-v2")
def whoami(call: Call) -> Answer:
    user = call.known_user()
    access = {"accessToken": {"displayName": "test", "role": "write" if user.can_write else "read"}}
    return Answer({"type": "user", "name": user.name, "orgs": [{"name": org} for org in user.orgs], "auth": access})


@route("POST", "/api/validate-yaml")
def validate_yaml(call: Call) -> Answer:
    return Answer({"errors": [], "warnings": []})


def _named(call: Call) -> tuple[str, str]:
    owner = call.json.get("organization") or call.known_user().name
    return call.json.get("type", "model") + "s", f"{owner}/{call.json['name']}"


@route("POST", "/api/repos/create")
def create_repo(call: Call) -> Answer:
    user, (kind, repo_id) = call.known_user(), _named(call)
    if not (user.can_write and user.is_member(repo_id)):
        raise Refused(403, f"You don't have the rights to create {repo_id}")
    url = f"{call.hub.endpoint}/{'' if kind == 'models' else kind + '/'}{repo_id}"
    if (kind, repo_id) in call.hub.repos:
        message = "You already created this repo"
        return Answer({"error": message, "url": url}, 409, {"X-Error-Message": message})
    private = bool(call.json.get("private")) or call.json.get("visibility") == "private"
    call.hub.repos[kind, repo_id] = Repo(kind, repo_id, private)
    return Answer({"url": url, "name": repo_id, "id": repo_id})


@route("DELETE", "/api/repos/delete")
def delete_repo(call: Call) -> Answer:
    repo = call.repo_of(*_named(call), write=True)
    del call.hub.repos[repo.kind, repo.id]
    return Answer({})


@route("PUT", REPO + "/settings")
def change_settings(call: Call) -> Answer:
    repo, wanted = call.repo(write=True), call.json
    repo.gated = wanted.get("gated", repo.gated)
    repo.private = wanted.get("private", wanted.get("visibility", repo.private)) in (True, "private")
    return Answer({})


@route("GET", REPO + "/auth-check")
def check_access(call: Call) -> Answer:
    call.repo(gate=True)
    return Answer({})


@route("GET", REPO)
@route("GET", REPO + "/revision" + REVISION)
def repo_info(call: Call) -> Answer:
    repo = call.repo()
    commit = call.commit(repo)
    card, config = call.hub.card(commit), call.hub.json_file(commit, "config.json")
    siblings = [
        {"rfilename": path} | ({"size": file.size, "blobId": file.oid} if call.query.get("blobs") else {})
        for path, file in sorted(commit.files.items())
    ]
    info: dict[str, Any] = {
        "_id": "0",
        "id": repo.id,
        "author": repo.id.split("/")[0],
        "sha": commit.id,
        "siblings": siblings,
    }
    info |= {"private": repo.private, "gated": repo.gated, "disabled": False, "downloads": 0, "likes": 0}
    info |= {"createdAt": NOW, "lastModified": NOW, "tags": [], "cardData": card}
    info |= {"pipeline_tag": card.get("pipeline_tag"), "library_name": card.get("library_name")}
    info["config"] = {key: config[key] for key in ("architectures", "model_type", "auto_map") if key in config}
    return Answer(info)


# Branches, tags, history


@route("GET", REPO + "/refs")
def list_refs(call: Call) -> Answer:
    def refs(named: dict[str, str], kind: str) -> list[dict[str, str]]:
        return [{"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": oid} for name, oid in named.items()]

    repo = call.repo()
    return Answer({"branches": refs(repo.branches, "heads"), "tags": refs(repo.tags, "tags"), "converts": []})


@route("POST", REPO + "/tag" + REVISION)
def create_tag(call: Call) -> Answer:
    repo, tag = call.repo(write=True), call.json["tag"]
    commit = call.commit(repo)
    if tag in repo.tags:
        raise Refused(409, "Tag reference exists already")
    repo.tags[tag] = commit.id
    return Answer({}, 201)


@route("DELETE", REPO + "/tag" + REVISION)
def delete_tag(call: Call) -> Answer:
    if call.repo(write=True).tags.pop(call.parts["revision"], None) is None:
        raise Refused(404, "Tag not found", "RevisionNotFound")
    return Answer({})


@route("POST", REPO + "/branch" + REVISION)
def create_branch(call: Call) -> Answer:
    repo, branch = call.repo(write=True), call.parts["revision"]
    if branch in repo.branches:
        raise Refused(409, "Reference already exists")
    repo.branches[branch] = repo.at(call.json.get("startingPoint") or "main").id
    return Answer({}, 201)


@route("DELETE", REPO + "/branch" + REVISION)
def delete_branch(call: Call) -> Answer:
    if call.repo(write=True).branches.pop(call.parts["revision"], None) is None:
        raise Refused(404, "Branch not found", "RevisionNotFound")
    return Answer({})


@route("GET", REPO + "/commits" + REVISION)
def list_commits(call: Call) -> Answer:
    history = call.repo().history(call.parts["revision"])
    return Answer([{"id": c.id, "title": c.title, "message": "", "date": NOW, "authors": []} for c in history])


# Files


def _entry(path: str, file: File) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": file.size, "oid": file.oid}
    return entry | ({"lfs": {"oid": file.sha256, "size": file.size, "pointerSize": 134}} if file.lfs else {})


@route("GET", REPO + "/tree" + REVISION + r"(?:/(?P<path>.+))?")
def list_tree(call: Call) -> Answer:
    folder = call.parts["path"].rstrip("/") + "/" if "path" in call.parts else ""
    recursive = call.query.get("recursive", ["false"])[0].lower() in ("true", "1")
    entries: dict[str, dict[str, Any]] = {}
    for path, file in sorted(call.commit(call.repo(gate=True)).files.items()):
        if path.startswith(folder):
            name, *deeper = path[len(folder) :].split("/")
            if deeper:
                oid = hashlib.sha1(name.encode()).hexdigest()
                entries[folder + name] = {"type": "directory", "path": folder + name, "oid": oid, "size": 0}
            if recursive or not deeper:
                entries[path] = _entry(path, file)
    if folder and not entries:
        raise Refused(404, f"{folder} does not exist", "EntryNotFound")
    return Answer(list(entries.values()))


@route("POST", REPO + "/paths-info" + REVISION)
def paths_info(call: Call) -> Answer:
    files = call.commit(call.repo()).files
    paths = parse_qs(call.body.decode())["paths"]  # a form, the only one
    return Answer([_entry(path, files[path]) for path in paths if path in files])


@route("GET", PAGE + "/resolve" + REVISION + "/(?P<path>.+)")
def resolve(call: Call) -> Answer:
    commit, path = call.commit(call.repo(gate=True)), call.parts["path"]
    file = commit.files.get(path)
    if file is None:
        raise Refused(404, f"Entry not found: {path}", "EntryNotFound", commit.id)
    headers = {"X-Repo-Commit": commit.id, "ETag": f'"{file.oid}"'}
    if not file.lfs:
        return Answer(call.hub.blobs[file.sha256], headers=headers)
    location = f"{call.hub.cdn}/cdn/{file.sha256}/{call.parts['id']}/{path}"
    linked = {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size), "Location": location}
    return Answer(None, 302, headers | linked)


@route("GET", r"/cdn/(?P<sha256>[0-9a-f]{64})/.*")
def cdn(call: Call) -> Answer:
    if call.user is not None:
        raise Refused(400, "The client's token was sent to another host")
    return Answer(call.hub.blobs[call.parts["sha256"]], headers={"ETag": f'"{call.parts["sha256"]}"'})


# Upload: preupload says which files go through LFS, those are sent one by one, then a commit names everything


@route("POST", REPO + "/preupload" + REVISION)
def preupload(call: Call) -> Answer:
    files = call.commit(call.repo(write=True)).files
    modes = []
    for asked in call.json["files"]:
        path = asked["path"]
        mode = "lfs" if is_lfs(path, asked["size"]) else "regular"
        oid = files[path].oid if path in files else None
        modes.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
    return Answer({"files": modes})


@route("POST", PAGE + r"\.git/info/lfs/objects/batch")
def lfs_batch(call: Call) -> Answer:
    call.repo(write=True)
    objects = []
    for asked in call.json["objects"]:
        upload, verify = {"href": f"{call.hub.cdn}/lfs/{asked['oid']}"}, {"href": f"{call.hub.endpoint}/lfs/verify"}
        missing = {} if asked["oid"] in call.hub.blobs else {"actions": {"upload": upload, "verify": verify}}
        objects.append({"oid": asked["oid"], "size": asked["size"]} | missing)
    return Answer({"transfer": "basic", "objects": objects}, headers={"Content-Type": "application/vnd.git-lfs+json"})


@route("PUT", r"/lfs/(?P<sha256>[0-9a-f]{64})")
def lfs_upload(call: Call) -> Answer:
    if call.hub.store(call.body, lfs=True).sha256 != call.parts["sha256"]:
        raise Refused(400, "The content doesn't have this SHA-256")
    return Answer({})


@route("POST", "/lfs/verify")
def lfs_verify(call: Call) -> Answer:
    if len(call.hub.blobs.get(call.json["oid"], b"")) != call.json["size"]:
        raise Refused(400, "Not uploaded")
    return Answer({})


@route("POST", REPO + "/commit" + REVISION)
def commit(call: Call) -> Answer:
    if call.query.get("create_pr"):
        raise Refused(501, "This Hub has no pull requests")
    repo = call.repo(write=True)
    made = call.hub.apply(repo, call.parts["revision"], call.body)
    url = f"{call.hub.endpoint}/{repo.id}/commit/{made.id}"
    return Answer({"success": True, "commitOid": made.id, "commitUrl": url, "hookOutput": ""})
