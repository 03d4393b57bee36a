"""The hub over HTTP/1.1, with the standard library: JSON answers, lines as they come, files to disk."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

from respool.apis.address import Address
from respool.errors import AwayError, CommError, NotFoundError, UsageError
from respool.version import __version__

SECONDS = 30.0
_CHUNK = 1 << 20
_LATER = frozenset({http.client.REQUEST_TIMEOUT, http.client.TOO_EARLY, http.client.TOO_MANY_REQUESTS})
"""What a proxy in front of the hub may say, and mean: not now."""


class Hub:
    """A hub that is asked with a key. An idle connection is kept; streams have their own."""

    def __init__(self, address: Address, timeout: float | None = None) -> None:
        self._idle: list[http.client.HTTPConnection] = []
        self.address = address
        self._timeout = SECONDS if timeout is None else float(timeout)

    def __del__(self) -> None:
        for connection in self._idle:
            connection.close()

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """The JSON object of an answer. Raises CommError, FileNotFoundError for what the hub does not know."""
        return self.ask("GET", path, **query)

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> dict[str, Any]:
        """As `get`, with another method and a JSON body."""
        # A change goes over a connection of its own: a kept one may be closed by now, and asking twice changes twice.
        kept = self._idle.pop() if method == "GET" and self._idle else None
        target = _target(path, query)
        if kept is not None:
            try:
                return self._object(*self._exchange(kept, method, target, body))
            except (OSError, http.client.HTTPException):
                pass
        try:
            response, data = self._exchange(self._open(), method, target, body)
        except (OSError, http.client.HTTPException) as error:
            raise self._away(error) from error
        return self._object(response, data)

    def lines(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """The objects of a streamed answer, one by one."""
        connection = self._open()
        try:
            response = self._request(connection, "GET", _target(path, query), None)
            for line in response:
                if line.strip():
                    yield _parsed(line, self.address)
        except (OSError, http.client.HTTPException) as error:
            raise self._away(error) from error
        finally:
            connection.close()

    def fetch(self, path: str, into: BinaryIO) -> int:
        """Copy the body of an answer to a file; its size in bytes. Raises CommError when it ends early."""
        connection = self._open()
        try:
            response = self._request(connection, "GET", path, None)
            announced, size = response.length, 0
            while data := response.read(_CHUNK):
                size += into.write(data)
        except (OSError, http.client.HTTPException) as error:
            raise self._away(error) from error
        finally:
            connection.close()
        if announced is not None and size != announced:
            raise CommError(f"{path} ended after {size} of {announced} bytes. Ask again.")
        return size

    def _exchange(
        self, connection: http.client.HTTPConnection, method: str, target: str, body: Any
    ) -> tuple[http.client.HTTPResponse, bytes]:
        try:
            response = self._send(connection, method, target, body)
            data = response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            self._idle.append(connection)
        return response, data

    def _request(
        self, connection: http.client.HTTPConnection, method: str, target: str, body: Any
    ) -> http.client.HTTPResponse:
        response = self._send(connection, method, target, body)
        if response.status != http.client.OK:
            self._object(response, response.read())
        return response

    def _send(
        self, connection: http.client.HTTPConnection, method: str, target: str, body: Any
    ) -> http.client.HTTPResponse:
        headers = {"Authorization": f"Bearer {self.address.key}", "User-Agent": f"respool-api {__version__}"}
        data = None if body is None else json.dumps(body).encode()
        connection.request(method, target, data, {**headers, "Accept": "application/json"})
        return connection.getresponse()

    def _object(self, response: http.client.HTTPResponse, data: bytes) -> dict[str, Any]:
        if http.client.OK <= response.status < http.client.MULTIPLE_CHOICES:
            return _parsed(data, self.address) if data else {}
        try:
            problem = json.loads(data)
            text = f"{problem['cause']} {problem.get('advice', '')}".strip()
        except (ValueError, KeyError, TypeError, AttributeError):
            text = f"The hub at {self.address.url} answered {response.status}. Look at the hub's log."
        if response.status == http.client.NOT_FOUND:
            raise NotFoundError(text)
        if response.status == http.client.BAD_REQUEST:
            raise UsageError(text)
        if response.status >= http.client.INTERNAL_SERVER_ERROR or response.status in _LATER:
            raise AwayError(text)
        raise CommError(text)

    def _open(self) -> http.client.HTTPConnection:
        url = self.address.url
        if url.startswith("unix:"):
            return _UnixConnection(url.removeprefix("unix:"), self._timeout)
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, parts.port, timeout=self._timeout)
        proxy = None if proxy_bypass(host) else getproxies().get("https")
        if not proxy:
            return http.client.HTTPSConnection(host, parts.port, timeout=self._timeout)
        via = urlsplit(proxy if "//" in proxy else f"//{proxy}")
        made = http.client.HTTPSConnection(via.hostname or "", via.port, timeout=self._timeout)
        made.set_tunnel(host, parts.port)
        return made

    def _away(self, error: Exception) -> CommError:
        why = str(error) or type(error).__name__
        return AwayError(
            f"The hub at {self.address.url} does not answer: {why}. Its address came from {self.address.source}."
        )


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("hub", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.settimeout(self.timeout)
        try:
            made.connect(self._path)
        except OSError:
            made.close()
            raise
        self.sock = made


def run_url(entity: str, project: str, run_id: str, *rest: str) -> str:
    """The path of a run, or of something below it."""
    return "/".join(["/v1/runs", *(quote(part, safe="") for part in (entity, project, run_id)), *rest])


def file_url(name: str) -> str:
    """A file's name as the last part of such a path."""
    return quote(os.fspath(name))


def _target(path: str, query: dict[str, Any]) -> str:
    given = {key: value for key, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def _parsed(data: bytes, address: Address) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        # A proxy says such things too, while the hub behind it is away.
        raise AwayError(
            f"What answers at {address.url} is no respool hub: it sent {data[:40]!r}. Check the address."
        )
    return found
