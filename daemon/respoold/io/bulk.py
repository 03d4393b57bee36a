"""Chunks on their way, in threads, over http.client: a third to a fifth of the CPU that httpx takes for them.

Every function here blocks; a connection serves one exchange at a time and is kept for the next. What goes wrong
becomes one of the three errors of `respoold.core.errors`.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
from collections.abc import Callable
from time import monotonic, sleep
from typing import NoReturn
from urllib.parse import urlsplit

from respool.wire.errors import WireError
from respoold.core import hubapi
from respoold.core.errors import HubAway, HubDenied, HubRefused, plain
from respoold.core.hubapi import Problem

PIECE = 1 << 20
TIMEOUT = 60.0
MAX_ANSWER = 1 << 20
_AGAIN = frozenset({408, 425, 429})

_READABLE = {"Accept": hubapi.MSGPACK}
"""What refuses must say why in words that can be read here."""

Headers = dict[str, str]
Heard = Callable[[int], None]
Take = Callable[[memoryview], None]
"""Hears the bytes of a download in order; the memory is used again when it returns."""


class Bulk:
    """A pool of connections to one hub; each exchange shows the headers that it is given. `pace`: what bounds how
    fast bytes go out, shared with others.
    """

    def __init__(self, url: str, pace: Pace | None = None) -> None:
        self._url = url
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        self._closed = False
        self._pace = pace or Pace(0)

    def put(
        self,
        headers: Headers,
        digest: str,
        fd: int,
        offset: int,
        size: int,
        heard: Heard | None = None,
        begun: int = 0,
    ) -> None:
        """Bring `size` bytes of an open file as the blob `digest`; they are stored durably on return. Of an upload that
        broke off `begun` bytes are there, and are not sent again if they are right. `heard`, in the same thread, hears
        how many went. Raises HubAway, HubDenied, HubRefused, or EOFError for a file that is shorter.
        """
        if 0 < begun < size:
            try:
                self._put(headers, digest, fd, offset, size, heard, begun)
            except HubRefused as error:
                if error.problem.code not in {"bad-range", "digest-mismatch"}:
                    raise
            else:
                return
        self._put(headers, digest, fd, offset, size, heard, 0)

    def _put(
        self, headers: Headers, digest: str, fd: int, offset: int, size: int, heard: Heard | None, begun: int
    ) -> None:
        headers = {**headers, **_READABLE, "Content-Length": str(size - begun)}
        if begun:
            headers["X-Respool-Offset"] = str(begun)
        self._exchange(
            "PUT",
            f"/blobs/{digest}",
            headers,
            lambda link: self._send(link, fd, offset + begun, size - begun, heard),
        )

    def get(self, headers: Headers, path: str, start: int, end: int, take: Take) -> None:
        """The bytes `start` to `end` (not included) of what lies at `path`. Raises HubAway, HubDenied, HubRefused."""
        span = {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity"}
        headers = {**headers, **_READABLE, **span}
        left = end - start

        def bounded(data: memoryview) -> None:
            nonlocal left
            left -= len(data)
            if left < 0:
                raise HubAway(f"more bytes came than {end - start}")
            take(data)

        self._exchange("GET", path, headers, None, bounded)
        if left:
            raise HubAway(f"{end - start - left} bytes came of {end - start}")

    def close(self) -> None:
        """Close what is idle; what is not is closed when its exchange, which nobody waits for, is over."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for link in idle:
            link.close()

    def _send(
        self, link: http.client.HTTPConnection, fd: int, offset: int, size: int, heard: Heard | None
    ) -> None:
        buffer = memoryview(bytearray(min(PIECE, size)))
        while size:
            got = os.preadv(fd, [buffer[: min(PIECE, size)]], offset)
            if not got:
                raise EOFError(f"the file ends at {offset}")
            self._pace.spend(got)
            link.send(buffer[:got])
            if heard is not None:
                heard(got)
            offset, size = offset + got, size - got

    def _exchange(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        send: Callable[[http.client.HTTPConnection], None] | None,
        take: Take | None = None,
    ) -> None:
        link, fresh = self._connection()
        try:
            link.putrequest(method, hubapi.API + path, skip_accept_encoding=True)
            for name, value in headers.items():
                link.putheader(name, value)
            link.endheaders()
            if send is not None:
                send(link)
            response = link.getresponse()
        except (OSError, http.client.HTTPException) as error:
            link.close()
            if fresh or isinstance(error, TimeoutError):
                raise HubAway(f"it broke off ({plain(error)})") from error
            # A kept connection that the hub had closed meanwhile says nothing about the hub.
            self._exchange(method, path, headers, send, take)
            return
        except BaseException:
            link.close()
            raise
        self._answered(link, response, take)

    def _answered(
        self, link: http.client.HTTPConnection, response: http.client.HTTPResponse, take: Take | None
    ) -> None:
        """Take the answer. Never asked for again: what was taken of it would be taken twice."""
        try:
            _answer(self._url, response, take)
        except (OSError, http.client.HTTPException) as error:
            link.close()
            raise HubAway(f"it broke off ({plain(error)})") from error
        except BaseException:
            link.close()
            raise
        with self._lock:
            kept = not self._closed
            if kept:
                self._idle.append(link)
        if not kept:
            link.close()

    def _connection(self) -> tuple[http.client.HTTPConnection, bool]:
        with self._lock:
            if self._idle:
                return self._idle.pop(), False
        return _connection_of(self._url), True


class Pace:
    """A bandwidth limit shared by threads: who spends more than there is waits. `lifted`: not now."""

    def __init__(
        self, limit: int, clock: Callable[[], float] = monotonic, wait: Callable[[float], None] = sleep
    ) -> None:
        self._limit = limit
        self._clock, self._wait = clock, wait
        self._free_at = 0.0
        self._lock = threading.Lock()
        self.lifted = False

    def spend(self, size: int) -> None:
        """Account for bytes that are about to go; waits until the ones before have had their time."""
        if not self._limit or self.lifted:
            return
        with self._lock:
            now = self._clock()
            begin = max(now, self._free_at)
            self._free_at = begin + size / self._limit
        if begin > now:
            self._wait(begin - now)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("hub", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self._path)


def _connection_of(url: str) -> http.client.HTTPConnection:
    if url.startswith("unix:"):
        return _UnixConnection(url.removeprefix("unix:"))
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, parts.port, timeout=TIMEOUT, context=context)
    return http.client.HTTPConnection(host, parts.port, timeout=TIMEOUT)


def _answer(url: str, response: http.client.HTTPResponse, take: Take | None) -> None:
    """Take the body. Raises what the status means."""
    if not 200 <= response.status < 300:
        _refused(url, response, response.read(MAX_ANSWER))
    if take is None:
        response.read(MAX_ANSWER)
        return
    buffer = memoryview(bytearray(PIECE))
    while got := response.readinto(buffer):
        take(buffer[:got])


def _refused(url: str, response: http.client.HTTPResponse, body: bytes) -> NoReturn:
    try:
        problem: Problem = hubapi.load(Problem, body)
    except WireError:
        problem = Problem("http", f"the hub answered {response.status} {response.reason}")
    if response.status in {401, 403}:
        raise HubDenied(problem)
    if response.status == hubapi.FULL:
        raise HubRefused(response.status, problem)
    if response.status >= 500 or response.status in _AGAIN or response.status < 400:
        after = response.headers.get("Retry-After", "")
        raise HubAway(
            f"{url} answered {response.status}: {problem.cause}", float(after) if after.isdigit() else None
        )
    raise HubRefused(response.status, problem)
