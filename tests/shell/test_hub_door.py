"""What the hub's door makes of a server that is no hub, or a broken one: HubAway, always, and soon."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from respoold.core.errors import HubAway, HubRefused
from respoold.core.hubapi import AttachRequest, Beat
from respoold.io import hub as door
from respoold.io.hub import HubDoor

Answer = Callable[[trio.SocketStream], Awaitable[None]]
ATTACH = AttachRequest("a", "p", "r", "r", "allow")


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[str]:
    """Something that listens, reads a request and then does as it likes; yields its URL."""

    async def serve(stream: trio.SocketStream) -> None:
        try:
            # All of it: to close with something unread resets the connection, answer and all.
            request = b""
            while not _whole(request):
                part = await stream.receive_some(65536)
                if not part:
                    return
                request += part
            await answer(stream)
        except trio.BrokenResourceError:
            pass

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        port = listeners[0].socket.getsockname()[1]
        yield f"http://127.0.0.1:{port}"
        nursery.cancel_scope.cancel()


def _whole(request: bytes) -> bool:
    head, end, body = request.partition(b"\r\n\r\n")
    lengths = [
        line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
    ]
    return bool(end) and len(body) >= int(lengths[0] if lengths else 0)


def fixed(head: str, body: bytes = b"") -> Answer:
    async def answer(stream: trio.SocketStream) -> None:
        text = f"HTTP/1.1 {head}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        await stream.send_all(text + body)

    return answer


async def endless(stream: trio.SocketStream) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await stream.send_all(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")


async def dripping(stream: trio.SocketStream) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        await stream.send_all(b"x")
        await trio.sleep(0.01)


async def broken_off(stream: trio.SocketStream) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")


@pytest.mark.parametrize(
    "answer",
    [
        fixed("200 OK", b"\xc1 no msgpack"),
        fixed("200 OK", b"\x80"),
        fixed("302 Found\r\nLocation: /elsewhere"),
        fixed("503 Busy\r\nRetry-After: \u00b2", b"{}"),
        fixed("429 Slow down\r\nRetry-After: Fri, 99 Foo 10000000 00:00:00 GMT", b"{}"),
        fixed("500 Oops", b"[" * 200_000),
        broken_off,
    ],
    ids=["no-msgpack", "empty-map", "redirect", "odd-retry", "odd-date", "deep-json", "half"],
)
async def test_garbage_is_an_absent_hub(answer: Answer) -> None:
    async with server(answer) as url, HubDoor(url) as hub:
        with trio.fail_after(20), pytest.raises(HubAway):
            await hub.attach(ATTACH)


async def test_a_refusal_with_a_body_as_deep_as_it_likes_is_a_refusal() -> None:
    async with server(fixed("400 Bad", b"[" * 200_000)) as url, HubDoor(url) as hub:
        with trio.fail_after(20), pytest.raises(HubRefused):
            await hub.attach(ATTACH)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # httpx's own generators
async def test_an_endless_answer_is_given_up_before_it_fills_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door, "MAX_ANSWER", 1 << 20)
    async with server(endless) as url, HubDoor(url) as hub:
        with trio.fail_after(20), pytest.raises(HubAway, match="no hub"):
            await hub.heartbeat(Beat("n", "d", {}))


async def test_an_answer_that_drips_is_given_up_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "DEADLINES", {True: 0.3, False: 0.3})
    async with server(dripping) as url, HubDoor(url) as hub:
        with trio.fail_after(20), pytest.raises(HubAway, match="in time"):
            await hub.heartbeat(Beat("n", "d", {}))


async def test_nobody_there_is_an_absent_hub() -> None:
    async with HubDoor("http://127.0.0.1:1") as hub:
        with trio.fail_after(20), pytest.raises(HubAway, match="no answer"):
            await hub.health()
