"""Asking the hub over its Unix socket: a blocking HTTP/1.1 client of a dozen lines that costs next to nothing."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from typing import Any

from bench.stand import Stand


class UnixConnection(http.client.HTTPConnection):
    """HTTP/1.1 over a Unix socket, kept open between requests."""

    def __init__(self, path: str, key: str) -> None:
        super().__init__("hub", timeout=30)
        self._path = path
        self._headers = {"Authorization": f"Bearer {key}"}

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(30)
        self.sock.connect(self._path)

    def ask(self, method: str, path: str, body: bytes | None = None, media: str = "") -> tuple[int, bytes]:
        """Status and body of an answer."""
        headers = self._headers | ({"Content-Type": media, "Accept": media} if media else {})
        self.request(method, path, body, headers)
        return self.answer()

    def post(self, path: str, body: bytes, media: str) -> None:
        """Send a request whose answer is read later."""
        self.request("POST", path, body, self._headers | {"Content-Type": media, "Accept": media})

    def answer(self) -> tuple[int, bytes]:
        """Status and body of the answer to the last request."""
        response = self.getresponse()
        return response.status, response.read()


def connect(stand: Stand) -> UnixConnection:
    """A connection with the admin's key."""
    return UnixConnection(stand.hub_url.removeprefix("unix:"), stand.key)


def run_at(connection: UnixConnection, path: str) -> dict[str, Any]:
    """A run as the hub shows it; empty when it has none of that name."""
    status, body = connection.ask("GET", f"/v1/runs/{path}")
    return json.loads(body) if status == 200 else {}


def rows_of(stand: Stand, path: str) -> int:
    """How many rows of a run the hub has."""
    with contextlib.closing(connect(stand)) as connection:
        return int(run_at(connection, path).get("rows") or 0)
