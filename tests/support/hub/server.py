"""The HTTP side of the test Hub: the part of the Hub's protocol that `huggingface_hub` uses, without pull requests,
xet, git and pagination. Standard library only.

Use:
    with HubServer() as hub:
        hub.add("org/name", folder, tag="v1.0.0")
        with hub.fault("org/name/.*safetensors", corrupt=True):
            ...  # a process with HF_ENDPOINT=hub.endpoint, HF_HUB_DISABLE_XET=1 and HF_TOKEN=hf_writer
        assert hub.log[-1].status == 200
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, unquote, urlsplit

from . import api  # noqa: F401 (fills ROUTES)
from .call import ROUTES, Answer, Call
from .storage import USERS, Refused, Storage, User


class Request(NamedTuple):
    """A line of the log."""

    method: str
    path: str
    status: int
    range: str | None


@dataclass
class Fault:
    """What goes wrong with paths that match `pattern`, the next `times` times (`None`: always)."""

    pattern: str
    status: int | None
    break_after: int | None
    corrupt: bool
    times: int | None


class HubServer(Storage):
    """A Hub on a free port of this machine.

    Attributes:
        endpoint: For `HF_ENDPOINT`.
        log: Every request seen, in order.
    """

    def __init__(self, port: int = 0):
        super().__init__()
        self.log: list[Request] = []
        self.faults: list[Fault] = []
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        port = self._server.server_address[1]
        self.endpoint = f"http://127.0.0.1:{port}"
        self.cdn = (
            f"http://localhost:{port}"  # another host, as on the real Hub: the client must not send its token there
        )

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve(self) -> None:
        """Answer requests until the server is shut down."""
        self._server.serve_forever()

    @contextmanager
    def fault(
        self,
        pattern: str,
        status: int | None = None,
        break_after: int | None = None,
        corrupt: bool = False,
        times: int | None = None,
    ) -> Iterator[None]:
        """Let requests fail whose path (a file's download carries its repository and name) matches.

        Args:
            pattern: Regular expression, searched in the path.
            status: Answer with this, 503 say.
            break_after: Send this many bytes of the file, then close the connection.
            corrupt: Send the file with one byte changed, at the same size.
            times: How often; `None` is always.
        """
        fault = Fault(pattern, status, break_after, corrupt, times)
        self.faults.append(fault)
        try:
            yield
        finally:
            self.faults.remove(fault)

    def take_fault(self, path: str, on_file: bool) -> Fault | None:
        """The fault to inject into this request, counted down. Files' contents break or rot, any may be refused."""
        with self.lock:
            for fault in self.faults:
                if (fault.status is None) == on_file and fault.times != 0 and re.search(fault.pattern, path):
                    fault.times = fault.times and fault.times - 1
                    return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubServer

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        body = self._body()
        try:
            fault = self.hub.take_fault(unquote(url.path), on_file=False)
            if fault and fault.status:
                raise Refused(fault.status, "injected by the test")
            self._send(self._route(url.path, parse_qs(url.query), body))
        except Refused as error:
            named = {"X-Error-Message": error.message, "X-Error-Code": error.code, "X-Repo-Commit": error.commit}
            headers = {key: value for key, value in named.items() if value}
            self._send(Answer({"error": error.message}, error.status, headers))
        except ConnectionError:
            self.close_connection = True
        except Exception as error:  # a mistake in this server shall be seen as a 500, not as a broken connection
            self._send(Answer({"error": repr(error)}, 500))
            raise

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _route(self, path: str, query: dict[str, list[str]], body: bytes) -> Answer:
        method = "GET" if self.command == "HEAD" else self.command
        for wanted, pattern, answer in ROUTES:
            if wanted == method and (match := re.fullmatch(pattern, path)):
                parts = {key: unquote(value) for key, value in match.groupdict().items() if value is not None}
                return answer(Call(self.hub, parts, query, body, self._user()))
        raise Refused(404, f"Not found: {method} {path}")

    def _user(self) -> User | None:
        header = self.headers.get("Authorization")
        if header is None:
            return None
        if header.removeprefix("Bearer ") not in USERS:
            raise Refused(401, "Invalid credentials in Authorization header")
        return USERS[header.removeprefix("Bearer ")]

    def _send(self, answer: Answer) -> None:
        status, headers, stop = answer.status, {"Content-Type": "application/json", **answer.headers}, None
        if isinstance(answer.content, bytes):  # a file
            content = answer.content
            headers |= {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
            if self.command == "GET" and (fault := self.hub.take_fault(unquote(self.path), on_file=True)):
                stop = fault.break_after
                content = _flip_a_byte(content) if fault.corrupt else content
            if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
                first, last = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
                status, headers["Content-Range"] = 206, f"bytes {first}-{last}/{len(content)}"
                content = content[first : last + 1]
        else:
            content = json.dumps(answer.content).encode()
        self.hub.log.append(Request(self.command, self.path, status, self.headers.get("Range")))
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[:stop])
        if stop is not None:
            self.close_connection = True


def _flip_a_byte(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]
