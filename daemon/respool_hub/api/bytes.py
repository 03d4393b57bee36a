"""Blobs and files: raw ASGI, 1 MiB at a time, hashed and written beside the event loop."""

from __future__ import annotations

from contextlib import closing
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from respool_hub.api.answers import packed
from respool_hub.api.door import Door
from respool_hub.api.socket_body import SocketBody, body_of
from respool_hub.hub import Hub
from respool_hub.service import names
from respool_hub.service.access import Caller, Scope
from respool_hub.service.refusal import RefusalError, refuse
from respool_hub.store.ports import BlobFile, StoreError, StoreFullError, Upload
from respool_hub.sweeping import Broom

PIECE = 1 << 20
QUANTUM = 256 << 10
"""Bytes read, hashed and written at once: what stays in a core's cache meanwhile."""

VISIT = 64 << 20
"""Bytes after which a thread gives way to others that wait for one."""

MAX_BLOB = 1 << 40


def routes(hub: Hub) -> list[Route]:
    path = "/v1/blobs/{digest}"
    return [
        Route(path, Door(hub, Scope.WRITE, partial(put, Broom()), tokens=True), methods=["PUT"]),
        Route(path, Door(hub, Scope.WRITE, head, tokens=True), methods=["HEAD"]),
        Route(path + "/verify", Door(hub, Scope.READ, verify, tokens=True), methods=["POST"]),
    ]


async def head(hub: Hub, _: Caller, request: Request) -> Response:
    digest = names.digest(request.path_params["digest"])
    size = await hub.in_thread(lambda: hub.blobs.size(digest))
    if size is None:
        raise refuse("missing", f"Blob {digest} is not here.", "PUT it.")
    return Response(headers={"Content-Length": str(size)})


async def verify(hub: Hub, _: Caller, request: Request) -> Response:
    """Whether a blob is what its name says, read anew for whoever got other bytes. One that is not counts as missing
    from now on, so that the next upload of it is taken.
    """
    digest = names.digest(request.path_params["digest"])
    return packed(request, {"whole": await hub.in_thread(lambda: hub.blobs.verify(digest))})


async def put(broom: Broom, hub: Hub, _: Caller, request: Request) -> Response:
    """200 once the bytes are stored durably and are what `digest` says. With X-Respool-Offset the body is what comes
    behind so many bytes of an upload that broke off; 416 where they are not there. 507 where there is no room, for
    which `broom` makes some until the next try.
    """
    digest = names.digest(request.path_params["digest"])
    announced = request.headers.get("content-length", "")
    expected = int(announced) if announced.isdigit() and len(announced) < 18 else None
    if expected is not None and expected > MAX_BLOB:
        raise _too_large(digest)
    said = request.headers.get("x-respool-offset", "")
    intake = Intake(hub, digest, expected, int(said) if said.isdecimal() and len(said) < 18 else 0)
    try:
        good = await intake.take(request)
    except StoreError as error:
        await hub.in_thread(intake.abort)
        if isinstance(error, StoreFullError):
            await broom.make_room(hub)
        raise
    finally:
        if intake.open:
            await hub.in_thread(intake.suspend)
    if not good:
        cause = f"The {intake.size} bytes that came are not blob {digest}."
        raise refuse("digest-mismatch", cause, "Read the file again and send it with its own digest.")
    return packed(request, {})


class Intake:
    """A body on its way to the store. A thread hashes and writes what came, and reads on from the socket where it may
    for as long as there is more; else PIECE bytes and more are handed over at a time, the last of it together with the
    commit: joining it, and each hop to a thread, cost more than the hash. `open`: there is something to abort, or to
    suspend. `offset`: the bytes that came before.
    """

    def __init__(self, hub: Hub, digest: str, expected: int | None, offset: int = 0) -> None:
        self._hub, self._digest, self._expected, self._offset = hub, digest, expected, offset
        self._upload: Upload | None = None
        self.size = 0

    @property
    def open(self) -> bool:
        return self._upload is not None

    async def take(self, request: Request) -> bool:
        """Whether it was what its digest says, and is stored durably. Raises RefusalError, StoreError."""
        rest = body_of(request)
        held, count, flows = list[bytes](), 0, rest is not None
        while True:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                await self._hub.in_thread(partial(self._store, held, last=False))
                raise refuse("bad-request", f"The body of blob {self._digest} ended early.", "Send it again.")
            body = message.get("body", b"")
            held.append(body)
            count += len(body)
            if self.size + count > MAX_BLOB:
                raise _too_large(self._digest)
            last = not message.get("more_body", False)
            if last or flows or count >= PIECE:
                self.size += count
                before = self.size
                good = await self._stored(held, rest, last=last)
                if good is not None:
                    return good
                held, count, flows = [], 0, self.size - before >= PIECE

    def suspend(self) -> None:
        """Keep what came for the next try; in a thread."""
        if self._upload is not None:
            self._upload.suspend()

    def abort(self) -> None:
        """Leave nothing of it; in a thread."""
        if self._upload is not None:
            self._upload.abort()
            self._upload = None

    async def _stored(self, held: list[bytes], rest: SocketBody | None, *, last: bool) -> bool | None:
        """Whether it was good, None while there is more to come."""
        if last or rest is None or not rest.pause():
            return await self._hub.in_thread(partial(self._store, held, last=last))
        try:
            return await self._hub.in_thread(partial(self._read_on, held, rest))
        finally:
            rest.resume()

    def _read_on(self, held: list[bytes], rest: SocketBody) -> bool | None:
        with closing(rest):
            upload, buffer, until = self._begin(held), memoryview(bytearray(QUANTUM)), self.size + VISIT
            while self.size < until and (got := rest.read(buffer)):
                upload.write(buffer[:got])
                self.size += got
        return None if rest.left else self._commit(upload)

    def _store(self, held: list[bytes], *, last: bool) -> bool | None:
        upload = self._begin(held)
        return self._commit(upload) if last else None

    def _begin(self, held: list[bytes]) -> Upload:
        upload = self._upload = self._upload or self._opened()
        for body in held:
            upload.write(body)
        return upload

    def _commit(self, upload: Upload) -> bool:
        good = upload.commit(self._digest)
        self._upload = None
        return good

    def _opened(self) -> Upload:
        if not self._offset:
            return self._hub.blobs.upload(self._expected, self._digest)
        upload = self._hub.blobs.resume(self._digest, self._offset)
        if upload is None:
            said = f"There are no {self._offset} bytes of blob {self._digest} to go on from."
            raise refuse("bad-range", said, "Send it from its beginning.")
        return upload


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
