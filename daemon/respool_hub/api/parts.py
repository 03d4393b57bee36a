"""A file that lies in chunks, or a range of it, as one body."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from respool_hub.hub import Hub
from respool_hub.service.chunks import sizes_of
from respool_hub.service.refusal import RefusalError, refuse
from respool_hub.store.ports import Blobs
from respool_hub.store.rows import ManifestRow
from respoold.core.hubapi import damaged
from respoold.core.manifest import names_of

PIECE = 1 << 20


class Span(NamedTuple):
    """Bytes `start` to `end`, the end not included. `whole`: no range was asked for."""

    start: int
    end: int
    whole: bool = True


class Slice(NamedTuple):
    """Of the chunk `digest`, which has `size` bytes, those from `start` to `end`."""

    digest: str
    start: int
    end: int
    size: int


def range_of(header: str, size: int) -> Span:
    """The span that a Range header asks for: one range of bytes, or the whole. Raises RefusalError."""
    if not header:
        return Span(0, size)
    unit, _, ends = header.partition("=")
    first, dash, last = ends.partition("-")
    good = unit.strip() == "bytes" and dash and first.isascii() and first.isdigit() and len(first) < 18
    if not good or (last and not (last.isascii() and last.isdigit())) or int(first) >= size:
        raise refuse(
            "bad-range", f"Range {header[:60]!r} does not fit {size} bytes.", "Use bytes=FIRST-LAST."
        )
    return Span(int(first), min(int(last) + 1, size) if last else size, whole=False)


def slices(manifest: ManifestRow, span: Span) -> Iterator[Slice]:
    """The parts of chunks that a span consists of, in order."""
    at = 0
    for digest, size in zip(names_of(manifest.digests), sizes_of(manifest), strict=True):
        start, end = max(span.start - at, 0), min(span.end - at, size)
        if start < end:
            yield Slice(digest, start, end, size)
        at += size


async def part_response(
    hub: Hub, manifest: ManifestRow, span: Span, headers: dict[str, str] | None = None
) -> PartResponse:
    """The answer with the bytes of a span. Raises RefusalError "damaged" when some are not there: while the body goes
    out no reason can be given any more.
    """
    broken = await hub.in_thread(lambda: _broken(hub.blobs, manifest, span))
    if broken:
        raise RefusalError(damaged(manifest.digest[:12], broken))
    return PartResponse(hub, manifest, span, headers)


def _broken(blobs: Blobs, manifest: ManifestRow, span: Span) -> int:
    """How many of its chunks are gone, or have another size, which is looked into."""
    return sum(
        blobs.size(one.digest) != one.size and not blobs.verify(one.digest) for one in slices(manifest, span)
    )


class PartResponse:
    """Streams the bytes of a span. An ASGI application, as responses are."""

    def __init__(
        self, hub: Hub, manifest: ManifestRow, span: Span, headers: dict[str, str] | None = None
    ) -> None:
        self._hub, self._manifest, self._span = hub, manifest, span
        self._headers = {
            **(headers or {}),
            "content-length": str(span.end - span.start),
            "content-type": "application/octet-stream",
            "accept-ranges": "bytes",
            "x-respool-chunks": str(len(manifest.digests) // 32),
            "x-respool-digest": manifest.digest,
        }
        if not span.whole:
            self._headers["content-range"] = f"bytes {span.start}-{span.end - 1}/{manifest.size}"

    async def __call__(self, scope: AsgiScope, _: Receive, send: Send) -> None:
        headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self._headers.items()
        ]
        status = 200 if self._span.whole else 206
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if scope["method"] != "HEAD":
            for one in slices(self._manifest, self._span):
                await self._send(one, send)
        await send({"type": "http.response.body", "body": b""})

    async def _send(self, one: Slice, send: Send) -> None:
        blob = await self._hub.in_thread(lambda: self._hub.blobs.open(one.digest))
        if blob is None:
            # The headers are out: the client must see that the body is not whole. It asks why (`bytes.verify`).
            raise OSError(f"chunk {one.digest} is gone")
        try:
            await self._hub.in_thread(lambda: blob.seek(one.start))
            left = one.end - one.start
            while left:
                piece = await self._hub.in_thread(partial(blob.read, min(PIECE, left)))
                if not piece:
                    raise OSError(f"chunk {one.digest} ends {left} bytes early")
                left -= len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        finally:
            blob.close()
