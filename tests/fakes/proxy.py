"""A proxy between a daemon and its hub, over which accidents can be ordered: HTTP/1.1, one thread a connection.

    with Proxy("unix:/path/hub.sock") as proxy:
        proxy.plan = at(3, Fault.DROP_ANSWER, "/records/")
        daemon = ... --hub proxy.url

Every request is counted. `plan` says what happens to which; what it answers None for passes unharmed.
"""

from __future__ import annotations

import http.client
import os
import socket
import threading
from collections.abc import Callable
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"})
TIMEOUT = 60.0


class Fault(StrEnum):
    """What goes wrong. Before the hub sees anything: REFUSE, HANG, and the statuses. After it has done what it
    was asked: the others.
    """

    REFUSE = "refuse"
    HANG = "hang"
    DROP_ANSWER = "drop-answer"
    HALF_ANSWER = "half-answer"
    GARBAGE = "garbage"
    NO_HTTP = "no-http"
    SLOW = "slow"
    ERROR_500 = "500"
    BUSY_429 = "429"
    LARGE_413 = "413"
    BAD_400 = "400"


class Seen(NamedTuple):
    """One request. `count` is its number among all, from 1."""

    count: int
    method: str
    path: str
    size: int
    fault: Fault | None


Plan = Callable[[int, str, str], Fault | None]
"""(count, method, path) -> what goes wrong."""


def unharmed(_count: int, _method: str, _path: str) -> Fault | None:
    """The plan of a good day."""
    return None


def every(nth: int, fault: Fault, part: str = "") -> Plan:
    """Every nth request with `part` in its path."""
    counter = iter(range(1, 1 << 62))
    lock = threading.Lock()

    def plan(_count: int, _method: str, path: str) -> Fault | None:
        if part not in path:
            return None
        with lock:
            return fault if next(counter) % nth == 0 else None

    return plan


def first(times: int, fault: Fault, part: str = "") -> Plan:
    """The first requests with `part` in their path."""
    counter = iter(range(1, 1 << 62))
    lock = threading.Lock()

    def plan(_count: int, _method: str, path: str) -> Fault | None:
        if part not in path:
            return None
        with lock:
            return fault if next(counter) <= times else None

    return plan


class Proxy:
    """Listens on loopback from the beginning to the end of the `with`. `seen` is everything that came."""

    def __init__(self, hub: str) -> None:
        self.hub = hub
        self.plan: Plan = unharmed
        self.retry_after = "0"
        self.seconds = 0.2
        self.seen: list[Seen] = []
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.released = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        for one in list(self._open):
            _hang_up(one)

    def faults(self) -> int:
        """How many requests met with an accident."""
        return sum(1 for one in self.seen if one.fault)

    def note(self, method: str, path: str, size: int) -> Fault | None:
        """Count a request and say what happens to it."""
        with self._lock:
            count = len(self.seen) + 1
            fault = self.plan(count, method, path)
            self.seen.append(Seen(count, method, path, size, fault))
        return fault

    def connect(self) -> http.client.HTTPConnection:
        """A new connection to the hub."""
        if self.hub.startswith("unix:"):
            return _UnixConnection(self.hub.removeprefix("unix:"))
        host, _, port = self.hub.removeprefix("http://").partition(":")
        return http.client.HTTPConnection(host, int(port), timeout=TIMEOUT)

    def opened(self, connection: socket.socket) -> None:
        self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        self._open.discard(connection)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    proxy: Proxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A daemon that was killed leaves a broken connection; that is no news here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    timeout = None

    def setup(self) -> None:
        super().setup()
        self.server.proxy.opened(self.connection)

    def finish(self) -> None:
        self.server.proxy.closed(self.connection)
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Silent."""

    def _relay(self) -> None:
        body = self._body()
        proxy = self.server.proxy
        fault = proxy.note(self.command, self.path, len(body))
        match fault:
            case Fault.REFUSE:
                return self._hang_up()
            case Fault.HANG:
                proxy.released.wait()
                return self._hang_up()
            case Fault.ERROR_500 | Fault.BUSY_429 | Fault.LARGE_413 | Fault.BAD_400:
                return self._say(int(fault), {"Retry-After": proxy.retry_after}, b"no\n")
            case Fault.SLOW:
                proxy.released.wait(proxy.seconds)
        try:
            status, headers, answer = self._ask(body)
        except (OSError, http.client.HTTPException):
            return self._hang_up()
        return self._answer(fault, status, headers, answer)

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _relay  # noqa: N815 - the base class's spelling

    def _body(self) -> bytes:
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        if len(body) < size:
            raise ConnectionError("the daemon hung up in the middle of a request")
        return body

    def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        hub = self.server.proxy.connect()
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
            hub.request(self.command, self.path, body or None, headers)
            answer = hub.getresponse()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP}
            return answer.status, kept, answer.read()
        finally:
            hub.close()

    def _answer(self, fault: Fault | None, status: int, headers: dict[str, str], answer: bytes) -> None:
        match fault:
            case Fault.DROP_ANSWER:
                self._hang_up()
            case Fault.HALF_ANSWER:
                self._say(status, headers, answer, cut=True)
                self._hang_up()
            case Fault.GARBAGE:
                self._say(status, headers, os.urandom(len(answer) or 16))
            case Fault.NO_HTTP:
                self.wfile.write(os.urandom(64))
                self._hang_up()
            case _:
                self._say(status, headers, answer)

    def _say(self, status: int, headers: dict[str, str], body: bytes, *, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)

    def _hang_up(self) -> None:
        self.close_connection = True
        _hang_up(self.connection)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("hub", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
