"""What no visitor may send: a request too large, an upload onto a full disk, or an address for the server to fetch."""

import json
import shutil
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder
from starlette.middleware import Middleware

from . import limits

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


class Guard:
    """ASGI middleware before Gradio's own routes."""

    def __init__(self, app: App):
        self.app = app

    async def __call__(self, scope: Message, receive: Callable, send: Callable) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return await self.app(scope, receive, send)
        if scope["path"].rstrip("/").endswith("/upload"):  # whose bytes Gradio counts
            if shutil.disk_usage(existing(Path(get_upload_folder()))).free < limits.MIN_FREE_BYTES:
                return await refuse(send, 507, "This server's disk is full: come back in an hour.")
            return await self.app(scope, receive, send)
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
