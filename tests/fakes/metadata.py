"""A metadata service on loopback: real HTTP, answers by script, and a knob for each way to be of no use."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import NamedTuple

import trio


class Asked(NamedTuple):
    """One request. Names of headers are in lower case."""

    method: str
    target: str
    headers: dict[str, str]

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        pairs = (pair.partition("=") for pair in self.target.partition("?")[2].split("&") if pair)
        return {name: value for name, _, value in pairs}


class Said(NamedTuple):
    """An answer. `raw` instead of all else: these bytes, and the connection closes."""

    status: int = 200
    body: str = ""
    headers: dict[str, str] = {}
    raw: bytes = b""


Handler = Callable[[Asked], Awaitable[Said]]


class Service:
    """`base` is its address. Record: `asked`, the requests in order."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.asked: list[Asked] = []
        self.base = ""

    async def serve(self, stream: trio.SocketStream) -> None:
        """Answer one connection until the peer is gone."""
        rest = b""
        while True:
            while b"\r\n\r\n" not in rest:
                data = await stream.receive_some(4096)
                if not data:
                    return
                rest += data
            head, _, rest = rest.partition(b"\r\n\r\n")
            line, *fields = head.decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (one.partition(":") for one in fields)
            }
            asked = Asked(*line.split(" ")[:2], headers)
            self.asked.append(asked)
            said = await self.handler(asked)
            if said.raw:
                await stream.send_all(said.raw)
                return
            body = said.body.encode()
            extra = "".join(f"{name}: {value}\r\n" for name, value in said.headers.items())
            text = f"HTTP/1.1 {said.status} X\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
            await stream.send_all(text.encode() + body)


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Service]:
    """The service, listening inside the block."""
    service = Service(handler)

    async def answer(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):  # the client has hung up
            await service.serve(stream)

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, answer, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        service.base = f"http://127.0.0.1:{port}"
        yield service
        nursery.cancel_scope.cancel()
