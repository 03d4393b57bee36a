"""Blobs and files: raw ASGI, 1 MiB at a time, hashed and written beside the event loop."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from respool_hub.api.answers import packed
from respool_hub.api.door import Door
from respool_hub.hub import Hub
from respool_hub.service import names
from respool_hub.service.access import Caller, Scope
from respool_hub.service.refusal import RefusalError, refuse
from respool_hub.store.ports import BlobFile, Upload

PIECE = 1 << 20
MAX_BLOB = 1 << 40


def routes(hub: Hub) -> list[Route]:
    path = "/v1/blobs/{digest}"
    return [
        Route(path, Door(hub, Scope.WRITE, put, tokens=True), methods=["PUT"]),
        Route(path, Door(hub, Scope.WRITE, head, tokens=True), methods=["HEAD"]),
    ]


async def head(hub: Hub, _: Caller, request: Request) -> Response:
    digest = names.digest(request.path_params["digest"])
    size = await hub.in_thread(lambda: hub.blobs.size(digest))
    if size is None:
        raise refuse("missing", f"Blob {digest} is not here.", "PUT it.")
    return Response(headers={"Content-Length": str(size)})


async def put(hub: Hub, _: Caller, request: Request) -> Response:
    """200 once the bytes are stored durably and are what `digest` says."""
    digest = names.digest(request.path_params["digest"])
    announced = request.headers.get("content-length", "")
    expected = int(announced) if announced.isdigit() and len(announced) < 18 else None
    if expected is not None and expected > MAX_BLOB:
        raise _too_large(digest)
    upload = await hub.in_thread(lambda: hub.blobs.upload(expected, digest))
    try:
        size = await _receive(hub, request, upload, digest)
        good = await hub.in_thread(lambda: upload.commit(digest))
    finally:
        await hub.in_thread(upload.abort)
    if not good:
        cause = f"The {size} bytes that came are not blob {digest}."
        raise refuse("digest-mismatch", cause, "Read the file again and send it with its own digest.")
    return packed(request, {})


async def _receive(hub: Hub, request: Request, upload: Upload, digest: str) -> int:
    size, more = 0, True
    held = bytearray()
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise refuse("bad-request", f"The body of blob {digest} ended early.", "Send it again.")
        held += message.get("body", b"")
        more = message.get("more_body", False)
        if held and (len(held) >= PIECE or not more):
            size += len(held)
            if size > MAX_BLOB:
                raise _too_large(digest)
            piece, held = held, bytearray()
            await hub.in_thread(lambda data=piece: upload.write(data))  # type: ignore[misc]
    return size


class FileResponse:
    """An answer that streams an open blob and closes it. An ASGI application, as responses are."""

    def __init__(self, hub: Hub, blob: BlobFile, headers: dict[str, str]) -> None:
        self._hub = hub
        self._blob = blob
        names_and_values = {
            **headers,
            "content-length": str(blob.size),
            "content-type": "application/octet-stream",
        }
        self._headers = [
            (k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in names_and_values.items()
        ]

    async def __call__(self, scope: AsgiScope, _: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self._headers})
            left = 0 if scope["method"] == "HEAD" else self._blob.size
            while left:
                piece = await self._hub.in_thread(lambda: self._blob.read(PIECE))
                if not piece:
                    # The file is shorter than it was: the client must see that the body is not whole.
                    raise OSError(f"blob ends {left} bytes early")
                left -= len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": left > 0})
            if scope["method"] == "HEAD" or not self._blob.size:
                await send({"type": "http.response.body", "body": b""})
        finally:
            self._blob.close()


def _too_large(digest: str) -> RefusalError:
    return refuse("too-large", f"Blob {digest} has more than {MAX_BLOB} bytes.", "Split the file.")
