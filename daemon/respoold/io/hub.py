"""The hub over HTTP/1.1. The only place that knows httpx; its errors become the three of `core.errors`.

Two clients, control and bulk, so that files never stand in a heartbeat's way. Each has a limiter no larger than
its pool: a request that is cancelled while it queues inside httpx's pool takes its slot along for good
(encode/httpcore#1093), so none ever queues there.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from copy import copy
from email.utils import parsedate_to_datetime
from itertools import zip_longest
from time import time
from typing import Any, NamedTuple, Self
from urllib.parse import quote

import httpx
import trio
import zstandard

from respool.wire.errors import WireError
from respool.wire.shapes import build
from respoold.core import hubapi
from respoold.core.errors import HubAway, HubDenied, HubRefused, plain
from respoold.core.hubapi import Problem
from respoold.io.bulk import Bulk, Heard, Pace, Take

CONTROL_SLOTS = 8
BULK_SLOTS = 4
CHUNK_SLOTS = 4
CONTROL_TIMEOUT = httpx.Timeout(10.0)
BULK_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
PIECE = 256 << 10
RETRY_STATUSES = frozenset({408, 425, 429})
COMPRESS_ABOVE = 512
MAX_ANSWER = 64 << 20
"""Bytes of an answer that is held in memory: a config and a summary at their limits, and as much again."""
DEADLINES = {True: 30.0, False: 3600.0}
"""Seconds for a whole exchange, control or bulk: httpx's own timeouts only bound each read and write of it."""
_OF_THE_BODY = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})


class Credential(NamedTuple):
    """A key or an attempt's token. `login`: of whom a request is for, where many users share the key."""

    secret: str
    login: str = ""

    @property
    def headers(self) -> dict[str, str]:
        shared = {hubapi.ON_BEHALF_OF: quote(self.login, safe="")} if self.login else {}
        return {"Authorization": f"Bearer {self.secret}"} | shared


def client_of(url: str, timeout: httpx.Timeout, slots: int) -> httpx.AsyncClient:
    """A client for a hub URL; `unix:/path` is HTTP over that socket."""
    headers = {"Accept-Encoding": "identity"}
    limits = httpx.Limits(max_connections=slots, max_keepalive_connections=slots)
    if url.startswith("unix:"):
        transport = httpx.AsyncHTTPTransport(uds=url.removeprefix("unix:"), limits=limits)
        return httpx.AsyncClient(transport=transport, base_url="http://hub", headers=headers, timeout=timeout)
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=timeout, limits=limits, trust_env=False)


class HubDoor:
    """One hub, for who shows `credential`, which may change between requests. Every method raises HubAway,
    HubDenied or HubRefused and nothing else. `pace`: what bounds how fast files go out, shared with others.
    """

    def __init__(self, url: str, credential: Credential | None = None, pace: Pace | None = None) -> None:
        self.url = url
        self.credential = credential
        self._control = client_of(url, CONTROL_TIMEOUT, CONTROL_SLOTS)
        self._bulk = client_of(url, BULK_TIMEOUT, BULK_SLOTS)
        self._slots = {
            self._control: trio.CapacityLimiter(CONTROL_SLOTS),
            self._bulk: trio.CapacityLimiter(BULK_SLOTS),
        }
        self._pace = pace or Pace(0)
        self._chunks = Bulk(url, self._pace)
        self._threads = trio.CapacityLimiter(CHUNK_SLOTS)
        self._zstd = zstandard.ZstdCompressor(level=1)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        with trio.move_on_after(1, shield=True):
            self._chunks.close()
            await self._control.aclose()
            await self._bulk.aclose()

    def shown(self, credential: Credential | None) -> HubDoor:
        """The same connections, for who shows another credential. Not to be closed."""
        other = copy(self)
        other.credential = credential
        return other

    async def health(self) -> hubapi.Health:
        return await self._call(hubapi.Health, "GET", "/health")  # type: ignore[no-any-return]

    async def attach(self, request: hubapi.AttachRequest) -> hubapi.AttachAnswer:
        return await self._post(hubapi.AttachAnswer, "/attach", request)  # type: ignore[no-any-return]

    async def append(self, attempt_id: str, writer: int, first_seq: int, frames: bytes) -> hubapi.Appended:
        """Bring records. A gap is an answer, not an error: look at `next_seq`."""
        packed = self._zstd.compress(frames) if len(frames) > COMPRESS_ABOVE else frames
        small = len(packed) < len(frames)
        headers = {"Content-Type": hubapi.FRAMES} | ({"Content-Encoding": "zstd"} if small else {})
        path = f"/attempts/{attempt_id}/records/{writer}"
        response = await self._send(
            self._bulk,
            "POST",
            path,
            content=packed if small else frames,
            headers=headers,
            params={"first_seq": str(first_seq)},
            answers={409},
        )
        return self._shape(hubapi.Appended, response)  # type: ignore[no-any-return]

    async def report(self, attempt_id: str, report: hubapi.StateReport) -> None:
        await self._post(None, f"/attempts/{attempt_id}/state", report)

    async def heartbeat(self, beat: hubapi.Beat) -> hubapi.BeatAnswer:
        return await self._post(hubapi.BeatAnswer, "/heartbeat", beat)  # type: ignore[no-any-return]

    async def has_blob(self, digest: str) -> bool:
        response = await self._send(self._control, "HEAD", f"/blobs/{digest}", answers={404})
        return response.status_code != httpx.codes.NOT_FOUND

    async def put_blob(self, digest: str, size: int, read: Callable[[int, int], bytes]) -> None:
        """Bring a file. `read(offset, size)` is called in a thread. Raises HubRefused where the hub has no room."""

        def paced(offset: int, size: int) -> bytes:
            self._pace.spend(size)
            return read(offset, size)

        body = _Pieces(size, paced)
        headers = {"Content-Length": str(size)}
        path, full = f"/blobs/{digest}", {hubapi.FULL}
        response = await self._send(self._bulk, "PUT", path, content=body, headers=headers, answers=full)
        if response.status_code == hubapi.FULL:
            raise HubRefused(response.status_code, _problem(response))

    async def commit_file(self, attempt_id: str, commit: hubapi.FileCommit) -> None:
        await self._post(None, f"/attempts/{attempt_id}/files", commit)

    async def missing(self, digests: bytes) -> list[tuple[int, int]]:
        """Of the blobs, 32 bytes of digest each, that must be uploaded: the position, and how many bytes are there."""
        answer = await self._post(hubapi.BlobsMissing, "/blobs/missing", hubapi.BlobsAsked(digests))
        return list(zip_longest(answer.missing, answer.begun[: len(answer.missing)], fillvalue=0))

    async def put_chunk(
        self, digest: str, fd: int, offset: int, size: int, heard: Heard | None = None, begun: int = 0
    ) -> None:
        """Bring `size` bytes of an open file, of which the hub may have the first ones; they are stored durably there
        on return. `heard` hears, in a thread, how many went.
        """
        own = os.dup(fd)  # the caller's may be closed, and its number used again, while a thread still reads
        headers = self._headers

        def put() -> None:
            try:
                self._chunks.put(headers, digest, own, offset, size, heard, begun)
            finally:
                os.close(own)

        await self._in_thread(put)

    async def get_span(self, path: str, start: int, end: int, take: Take) -> None:
        """The bytes `start` to `end` of what lies at `path`; `take` is called in a thread."""
        headers = self._headers
        await self._in_thread(lambda: self._chunks.get(headers, path, start, end, take))

    async def holds(self, digest: str) -> bool:
        """Whether the hub, which reads it anew, has this blob as it was; else it takes it again from now on. True
        where it knows no such question.
        """
        try:
            answer = await self._call(hubapi.Verified, "POST", f"/blobs/{digest}/verify")
        except HubRefused as error:
            if error.problem.code not in {"missing", "method", "http"}:
                raise
            return True
        return bool(answer.whole)

    async def ask_room(self, attempt_id: str, asked: hubapi.RoomAsked) -> None:
        """Raises HubRefused "quota" when there is none. A hub that knows no such question has room."""
        try:
            await self._post(None, f"/attempts/{attempt_id}/room", asked)
        except HubRefused as error:
            if error.problem.code not in {"missing", "method", "http"}:
                raise

    async def commit_checkpoint(
        self, attempt_id: str, commit: hubapi.CheckpointCommit
    ) -> hubapi.CheckpointTaken:
        path = f"/attempts/{attempt_id}/checkpoints"
        return await self._post(hubapi.CheckpointTaken, path, commit)  # type: ignore[no-any-return]

    async def checkpoints(self, run: tuple[str, str, str]) -> list[dict[str, Any]]:
        """The checkpoints that a run's lineage shows, newest first."""
        answer = await self._call(hubapi.CheckpointList, "GET", run_path(run) + "/checkpoints")
        return list(answer.checkpoints)

    async def manifest(self, run: tuple[str, str, str], digest: str) -> hubapi.Manifest:
        """What a part or file of a run consists of."""
        path = f"{run_path(run)}/parts/{digest}/chunks"
        return await self._call(hubapi.Manifest, "GET", path)  # type: ignore[no-any-return]

    async def _in_thread(self, act: Callable[[], None]) -> None:
        # Abandoned when cancelled: an exchange that nobody waits for ends with its own timeout.
        await trio.to_thread.run_sync(act, limiter=self._threads, abandon_on_cancel=True)

    @asynccontextmanager
    async def open_file(self, run: tuple[str, str, str], name: str) -> AsyncIterator[httpx.Response]:
        """A run's file as a stream; the response is open inside the block."""
        path = f"{run_path(run)}/files/{quote(name)}"
        async with self._slots[self._bulk]:
            request = self._bulk.build_request("GET", hubapi.API + path, headers=self._headers)
            response = await self._exchange(self._bulk, request)
            try:
                if response.status_code != httpx.codes.OK:
                    response = await _whole(response)
                self._judge(response, frozenset())
                yield response
            except httpx.TransportError as error:
                raise HubAway(f"it broke off ({plain(error)})") from error
            finally:
                with trio.move_on_after(1, shield=True):
                    await response.aclose()

    async def _post(self, answer: type[Any] | None, path: str, shape: Any) -> Any:
        return await self._call(answer, "POST", path, content=hubapi.dump(shape))

    async def _call(
        self, answer: type[Any] | None, method: str, path: str, content: bytes | None = None
    ) -> Any:
        headers = {"Content-Type": hubapi.MSGPACK, "Accept": hubapi.MSGPACK}
        response = await self._send(self._control, method, path, content=content, headers=headers)
        return None if answer is None else self._shape(answer, response)

    async def _send(
        self,
        client: httpx.AsyncClient,
        method: str,
        path: str,
        *,
        answers: frozenset[int] | set[int] = frozenset(),
        headers: dict[str, str] | None = None,
        **parts: Any,
    ) -> httpx.Response:
        async with self._slots[client]:
            every = {**self._headers, **(headers or {})}
            request = client.build_request(method, hubapi.API + path, headers=every, **parts)
            try:
                with trio.fail_after(DEADLINES[client is self._control]):
                    response = await _whole(await self._exchange(client, request))
            except trio.TooSlowError as error:
                raise HubAway("no answer in time") from error
            except httpx.TransportError as error:
                raise HubAway(f"it broke off ({plain(error)})") from error
        self._judge(response, answers)
        return response

    @property
    def _headers(self) -> dict[str, str]:
        return self.credential.headers if self.credential else {}

    async def _exchange(self, client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
        try:
            return await client.send(request, stream=True)
        except httpx.TransportError as error:
            raise HubAway(f"no answer ({plain(error)})") from error

    def _judge(self, response: httpx.Response, answers: frozenset[int] | set[int]) -> None:
        status = response.status_code
        if response.is_success or status in answers:
            return
        problem = _problem(response)
        if status in {401, 403}:
            raise HubDenied(problem)
        if status >= 500 or status in RETRY_STATUSES or response.has_redirect_location:
            raise HubAway(f"{self.url} answered {status}: {problem.cause}", _retry_after(response))
        raise HubRefused(status, problem)

    def _shape(self, cls: type[Any], response: httpx.Response) -> Any:
        try:
            return hubapi.load(cls, response.content)
        except WireError as error:
            raise HubAway(f"garbage from {self.url}: {error}") from error


def run_path(run: tuple[str, str, str]) -> str:
    """The path of a run (entity, project, run id) in the hub's API."""
    return "/runs/" + "/".join(quote(part, safe="") for part in run)


class _Pieces(httpx.AsyncByteStream):
    """A file's bytes in pieces: one large `bytes` costs httpx twice the CPU."""

    def __init__(self, size: int, read: Callable[[int, int], bytes]) -> None:
        self._size = size
        self._read = read

    async def __aiter__(self) -> AsyncIterator[bytes]:
        at = 0
        while at < self._size:
            piece = await trio.to_thread.run_sync(self._read, at, min(PIECE, self._size - at))
            at += len(piece)
            yield piece


async def _whole(response: httpx.Response) -> httpx.Response:
    """The same response with its body read, if that is of a size that our answers have."""
    parts, size = [], 0
    try:
        async for part in response.aiter_raw():
            parts.append(part)
            size += len(part)
            if size > MAX_ANSWER:
                raise HubAway(f"an answer of more than {MAX_ANSWER >> 20} MiB: that is no hub")
    finally:
        with trio.move_on_after(1, shield=True):
            await response.aclose()
    kept = [(name, value) for name, value in response.headers.raw if name.lower() not in _OF_THE_BODY]
    return httpx.Response(response.status_code, headers=kept, content=b"".join(parts))


def _problem(response: httpx.Response) -> Problem:
    """The hub's own words, or what can be said without them."""
    try:
        if response.headers.get("Content-Type", "").startswith(hubapi.MSGPACK):
            return hubapi.load(Problem, response.content)  # type: ignore[no-any-return]
        found: Problem = build(Problem, response.json())
    except (ValueError, RecursionError, WireError):
        return Problem("http", f"the hub answered {response.status_code} {response.reason_phrase}")
    return found


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    except (ValueError, OverflowError):
        return None
