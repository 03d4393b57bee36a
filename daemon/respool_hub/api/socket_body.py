"""Bodies that a thread reads from the socket itself, instead of the event loop: a byte is then copied once on its
way to the hash and the disk, and not five times, and nobody else waits for the loop meanwhile.

Uvicorn's protocol parses the head of a request and takes what comes with it. What is still to come of the body is
offered to the application in the scope; whoever takes it stops the loop's reading for as long. Without the offer
(TLS, a body of unknown length, another server) the body comes through ASGI as any does.
"""

from __future__ import annotations

import os
import select
import socket

import httptools
from starlette.requests import Request
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

EXTENSION = "respool.body"
SMALLEST = 256 << 10
"""Bytes of a body below which the loop is as good."""

DRY = 2
"""Milliseconds that a thread waits for more before it gives the body back to the loop, which waits for free."""


class SocketBody:
    """The rest of a body. `left`: the bytes of it that nobody has read. Between `pause` and `resume`, which are the
    event loop's, a thread may `read` it, and then has to `close` it.
    """

    def __init__(self, protocol: BodyProtocol, size: int) -> None:
        self._protocol = protocol
        self._socket: socket.socket | None = None
        self.left = size
        self.taken = False

    def pause(self) -> bool:
        """From now on the loop reads nothing of it; False when the connection is being closed."""
        transport = self._protocol.transport
        if transport.is_closing():
            return False  # its descriptor may be another connection's by now
        self._protocol.flow.pause_reading()
        # A descriptor of its own: the loop may close the connection while a thread reads.
        self._socket = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
        return True

    def read(self, buffer: memoryview) -> int:
        """How many bytes came, which lie in `buffer`; 0 when there are none for now, or none any more."""
        assert self._socket is not None
        wanted = buffer[: self.left]
        while True:
            try:
                got = self._socket.recv_into(wanted) if wanted else 0
            except BlockingIOError:
                if not _readable(self._socket):
                    return 0
            except OSError:
                return 0  # the loop meets it, too, and knows what to do
            else:
                self.left -= got
                self.taken = self.taken or got > 0
                return got

    def close(self) -> None:
        """The thread reads no more, until the next `pause`."""
        if self._socket is not None:
            self._socket.close()

    def resume(self) -> None:
        """The loop reads on: the rest of the body, or the next request."""
        self._protocol.go_on(self)


class BodyProtocol(HttpToolsProtocol):
    """Uvicorn's protocol that offers each body of some size as a SocketBody."""

    _body: SocketBody | None = None

    def on_headers_complete(self) -> None:
        self._body = self._offered()
        if self._body is not None:
            self.scope["extensions"] = {EXTENSION: {"body": self._body}}
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        body = self._body
        if body is None or not body.taken:
            super().data_received(data)
            return
        mine = data[: body.left]
        self.on_body(mine)
        if not body.left:
            self._ended()
            if len(data) > len(mine):
                super().data_received(data[len(mine) :])

    def on_body(self, body: bytes) -> None:
        if self._body is not None:
            self._body.left -= len(body)
        super().on_body(body)

    def go_on(self, body: SocketBody) -> None:
        """A thread has read some of this body, or all."""
        if body is self._body and body.taken and not body.left and self.parser is not None:
            self._ended()

    def _offered(self) -> SocketBody | None:
        said = dict(self.headers)
        size = int(said.get(b"content-length", 0))
        plain = self.scheme == "http" and self.transport.get_extra_info("socket") is not None
        return (
            SocketBody(self, size)
            if plain and size >= SMALLEST and b"transfer-encoding" not in said
            else None
        )

    def _ended(self) -> None:
        """The parser still waits for the body, which went past it: the next request gets a new one."""
        self._body = None
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.on_message_complete()


def body_of(request: Request) -> SocketBody | None:
    """What a thread may read of this request's body, if anything."""
    offered: SocketBody | None = request.scope.get("extensions", {}).get(EXTENSION, {}).get("body")
    return offered


def _readable(channel: socket.socket) -> bool:
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    return bool(poll.poll(DRY))
