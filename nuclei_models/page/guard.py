"""What no visitor may send: a request too large, more files than they may have on the disk at once, an upload onto a
full disk, or an address for the server to fetch. And what the page never loads: a picture from another server."""

import json
import shutil
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder
from starlette.middleware import Middleware

from . import limits

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


# whatever gets into the page's text, the browser loads no picture, film or font from elsewhere and frames no other page
POLICY = (
    b"img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; object-src 'none'; "
    b"frame-src 'self'"
)


class Quota:
    """How much each visitor has on the disk: what came in the time for which files are kept."""

    def __init__(self) -> None:
        self._taken: list[tuple[float, str, int]] = []  # when, by whom, bytes
        self._lock = threading.Lock()

    def take(self, visitor: str, size: int) -> str:
        """Count so many bytes for a visitor. -> "" or, where that is too much and nothing counts, what to tell them."""
        now = time.monotonic()
        with self._lock:
            self._taken = [t for t in self._taken if t[0] + sum(limits.CACHE_SECONDS) > now]
            if sum(n for _, who, n in self._taken if who == visitor) + size > limits.MAX_VISITOR_BYTES:
                most = f"{limits.MAX_VISITOR_BYTES / 2**20:,.0f} MB"
                return f"You have too many files on this server: at most {most} at once. Come back in an hour."
            if sum(n for _, _, n in self._taken) + size > limits.MAX_DISK_BYTES:
                return "This server's disk is full: come back in an hour."
            self._taken.append((now, visitor, size))
            return ""

    def give_back(self, visitor: str, size: int) -> None:
        """These bytes didn't get onto the disk."""
        with self._lock:
            same = (t for t in reversed(self._taken) if t[1:] == (visitor, size))
            if (taken := next(same, None)) is not None:
                self._taken.remove(taken)


QUOTA = Quota()


class Guard:
    """ASGI middleware before Gradio's own routes."""

    def __init__(self, app: App):
        self.app = app

    async def __call__(self, scope: Message, receive: Callable, send: Callable) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return await self.app(scope, receive, with_policy(send))
        if scope["path"].rstrip("/").endswith("/upload"):
            return await self.upload(scope, receive, send)
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > limits.MAX_REQUEST_BYTES:
                return await refuse(send, 413, f"A request of more than {limits.MAX_REQUEST_BYTES:,} bytes is refused.")
        if names_an_address(body):
            return await refuse(send, 400, "Addresses aren't fetched: download the image and upload the file.")
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        return await self.app(scope, lambda: _next(whole, receive), send)

    async def upload(self, scope: Message, receive: Callable, send: Callable) -> None:
        """Gradio counts the bytes of each file; here all files of a request and of a visitor are counted."""
        free = shutil.disk_usage(existing(Path(get_upload_folder()))).free
        if free < limits.MIN_FREE_BYTES:
            left = f"{free / 2**20:,.0f} MB are free and {limits.MIN_FREE_BYTES / 2**20:,.0f} must be"
            todo = "come back in an hour" if limits.ON_SPACE else "make room, then choose the file again"
            return await refuse(send, 507, f"The disk that uploads go to is full, {left}: {todo}.")
        length = dict(scope["headers"]).get(b"content-length", b"")
        if not length.isdigit():  # the server holds whoever sends more than they said
            return await refuse(send, 411, "An upload must say its length.")
        visitor, size = (scope.get("client") or ("",))[0], int(length)
        if why := QUOTA.take(visitor, size):
            return await refuse(send, 413, why)

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                QUOTA.give_back(visitor, size)
            await send(message)

        return await self.app(scope, receive, watched)


def with_policy(send: Callable[[Message], Awaitable[None]]) -> Callable[[Message], Awaitable[None]]:
    """`send` that says with every answer what the browser may load."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", []), (b"content-security-policy", POLICY)]
            message = {**message, "headers": headers}
        await send(message)

    return sent


MIDDLEWARE = [Middleware(Guard)]


async def _next(whole: list[Message], receive: Callable[[], Awaitable[Message]]) -> Message:
    return whole.pop() if whole else await receive()


async def refuse(send: Callable[[Message], Awaitable[None]], status: int, why: str) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"error": why, "detail": why}).encode()})


def existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return folder if folder.is_dir() else existing(folder.parent)


def names_an_address(body: bytes) -> bool:
    """Whether a request gives an address where a file is expected. Gradio would download it, of any size."""
    try:
        parts = [json.loads(body)]
    except ValueError:
        return False  # nor will Gradio read it
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            if "://" in str(part.get("path", "")):
                return True
            parts += part.values()
        elif isinstance(part, list):
            parts += part
    return False
