"""What the test Hub holds: users, repositories, commits, files. Kept in memory, no HTTP here."""

import base64
import hashlib
import itertools
import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WRITER, READER = "hf_writer", "hf_reader"  # the two tokens that exist

LFS_SUFFIXES = (".safetensors", ".bin", ".png")
LFS_SIZE = 10 * 1024 * 1024


class Refused(Exception):
    """A request that the Hub answers with an error."""

    def __init__(self, status: int, message: str, code: str | None = None, commit: str | None = None):
        super().__init__(message)
        self.status, self.message, self.code, self.commit = status, message, code, commit


@dataclass(frozen=True)
class User:
    """An account: it reads and, with `can_write`, writes the repositories of its own name and of its organisations."""

    name: str
    orgs: tuple[str, ...] = ()
    can_write: bool = False

    def is_member(self, repo_id: str) -> bool:
        """Whether the repository's owner is this user or one of its organisations."""
        return repo_id.split("/")[0] in (self.name, *self.orgs)


USERS = {WRITER: User("writer", ("org",), can_write=True), READER: User("reader")}


@dataclass(frozen=True)
class File:
    """A file of a commit. `oid` is git's id of the blob, for an LFS file that of its pointer."""

    sha256: str
    size: int
    lfs: bool
    oid: str


@dataclass(frozen=True)
class Commit:
    """A state of a repository: its files by path."""

    id: str
    parent: str | None
    title: str
    files: dict[str, File]


@dataclass
class Repo:
    """A repository of one kind ("models", "datasets" or "spaces")."""

    kind: str
    id: str
    private: bool = False
    gated: str | bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.commit("main", {}, "initial commit")

    def commit(self, branch: str, files: dict[str, File], title: str) -> Commit:
        """Put a new state on a branch."""
        parent = self.branches.get(branch)
        oid = hashlib.sha1(f"{self.kind} {self.id} {branch} {parent} {len(self.commits)}".encode()).hexdigest()
        self.commits[oid] = Commit(oid, parent, title, files)
        self.branches[branch] = oid
        return self.commits[oid]

    def at(self, revision: str) -> Commit:
        """The commit that a branch, tag or commit id names."""
        oid = self.branches.get(revision) or self.tags.get(revision) or revision
        if oid not in self.commits:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[oid]

    def history(self, revision: str) -> list[Commit]:
        """The commit and those before it, newest first."""
        commits = [self.at(revision)]
        while commits[-1].parent:
            commits.append(self.commits[commits[-1].parent])
        return commits


class Storage:
    """All repositories, and the contents of all files by SHA-256."""

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.lock = threading.Lock()

    def add(
        self,
        repo_id: str,
        files: str | Path | dict[str, bytes],
        tag: str | None = None,
        private: bool = False,
        gated: str | bool = False,
        kind: str = "models",
    ) -> str:
        """Put files (a folder, or contents by path) into a repository as its whole new state, past HTTP and rights.

        Returns:
            The commit's id.
        """
        if not isinstance(files, dict):
            folder = Path(files)
            files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        repo = self.repos.setdefault((kind, repo_id), Repo(kind, repo_id))
        repo.private, repo.gated = private, gated
        stored = {path: self.store(content, is_lfs(path, len(content))) for path, content in files.items()}
        commit = repo.commit("main", stored, "add")
        if tag:
            repo.tags[tag] = commit.id
        return commit.id

    def store(self, content: bytes, lfs: bool) -> File:
        """Keep the content of a file."""
        sha256 = hashlib.sha256(content).hexdigest()
        self.blobs[sha256] = content
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(content)}\n".encode()
        return File(sha256, len(content), lfs, git_oid(pointer if lfs else content))

    def apply(self, repo: Repo, branch: str, payload: bytes) -> Commit:
        """Make the commit that the client sent: one JSON object a line, first the header, then the operations."""
        if branch not in repo.branches:
            raise Refused(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        operations = [json.loads(line) for line in payload.splitlines()]
        header = operations[0]["value"]
        with self.lock:
            if header.get("parentCommit", repo.branches[branch]) != repo.branches[branch]:
                raise Refused(412, "A commit has happened since. Please refresh and try again.")
            files = dict(repo.at(branch).files)
            for operation in operations[1:]:
                self._apply(files, operation["key"], operation["value"])
            return repo.commit(branch, files, header["summary"])

    def _apply(self, files: dict[str, File], key: str, value: dict[str, Any]) -> None:
        path = value["path"]
        if key == "file":
            files[path] = self.store(base64.b64decode(value["content"]), lfs=False)
        elif key == "lfsFile":
            if value["oid"] not in self.blobs:
                raise Refused(400, f"LFS pointer pointed to a file that does not exist: {path}")
            files[path] = self.store(self.blobs[value["oid"]], lfs=True)
        elif key == "deletedFile":
            del files[path]
        elif key == "deletedFolder":
            for inside in [p for p in files if p.startswith(path.rstrip("/") + "/")]:
                del files[inside]
        else:
            raise Refused(400, f"Unknown operation {key}")

    def json_file(self, commit: Commit, path: str) -> dict[str, Any]:
        """A JSON file of a commit; `{}` where it is missing or malformed."""
        try:
            return dict(json.loads(self.blobs[commit.files[path].sha256]))
        except (KeyError, ValueError, TypeError):
            return {}

    def card(self, commit: Commit) -> dict[str, str]:
        """The `key: value` lines of the model card's header (lists are left out)."""
        readme = self.blobs[commit.files["README.md"].sha256].decode() if "README.md" in commit.files else ""
        lines = readme.splitlines()
        header = itertools.takewhile(lambda line: line != "---", lines[1:]) if lines[:1] == ["---"] else ()
        pairs = (line.split(": ", 1) for line in header if ": " in line and not line.startswith((" ", "-")))
        return {key: value.strip() for key, value in pairs}


def is_lfs(path: str, size: int) -> bool:
    """Whether the Hub takes this file through LFS."""
    return size > LFS_SIZE or path.endswith(LFS_SUFFIXES)


def git_oid(content: bytes) -> str:
    """git's id of a blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
