"""A request to the test Hub and its answer, as the functions of `api.py` take and give them."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .storage import Commit, Refused, Repo, User

if TYPE_CHECKING:
    from .server import HubServer


@dataclass
class Call:
    """A request: the parts of its path, its query and body, and who sent it."""

    hub: "HubServer"
    parts: dict[str, str]
    query: dict[str, list[str]]
    body: bytes
    user: User | None

    @property
    def json(self) -> dict[str, Any]:
        """The body."""
        return json.loads(self.body or b"{}")

    def known_user(self) -> User:
        """The sender, who must be logged in."""
        if self.user is None:
            raise Refused(401, "Invalid username or password.")
        return self.user

    def repo(self, write: bool = False, gate: bool = False) -> Repo:
        """The repository of the path, if the sender may see it (`write`: change it; `gate`: see its files)."""
        return self.repo_of(self.parts.get("kind", "models"), self.parts["id"], write, gate)

    def repo_of(self, kind: str, repo_id: str, write: bool = False, gate: bool = False) -> Repo:
        """The same, of a repository by name."""
        repo = self.hub.repos.get((kind, repo_id))
        stranger = 401 if self.user is None else 404
        is_member = self.user is not None and self.user.is_member(repo_id)
        if repo is None or (repo.private and not is_member):
            raise Refused(stranger, "Repository not found", "RepoNotFound")
        if write and not (is_member and self.user and self.user.can_write):
            raise Refused(403 if self.user else 401, "You don't have the rights to write to this repo")
        if gate and repo.gated and not is_member:
            raise Refused(403 if self.user else 401, f"Access to model {repo_id} is restricted.", "GatedRepo")
        return repo

    def commit(self, repo: Repo) -> Commit:
        """The commit that the path names."""
        return repo.at(self.parts.get("revision", "main"))


@dataclass
class Answer:
    """Bytes are sent as a file (whole or the range asked for), anything else as JSON."""

    content: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


ROUTES: list[tuple[str, str, Callable[[Call], Answer]]] = []  # method, pattern of the quoted path, function


def route(method: str, pattern: str):
    """Register the function below as the answer to requests of this kind."""

    def register(answer: Callable[[Call], Answer]) -> Callable[[Call], Answer]:
        ROUTES.append((method, pattern, answer))
        return answer

    return register
