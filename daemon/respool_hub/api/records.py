"""Records on their way in: the body is checked beside the loop, appended by the store's own thread."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from respool.wire.frames import HEADER_SIZE
from respool.wire.limits import MAX_BATCH, MAX_PAYLOAD
from respool_hub.api.answers import shaped
from respool_hub.api.door import Door, body_of, number_of
from respool_hub.hub import Hub
from respool_hub.service.access import Caller, Scope
from respool_hub.service.append import Where, append
from respool_hub.service.batch import MAX_SEQ, Body, check
from respool_hub.service.refusal import refuse
from respool_hub.store.packing import PackingError, TooLargeError, pack, unpack

MAX_RECORDS = MAX_BATCH + MAX_PAYLOAD + HEADER_SIZE
"""Raw bytes of a body: a batch that was one byte short of full when a record of the greatest size came."""


SMALL = 8 << 10
"""A body that is checked sooner than a thread is woken."""


def routes(hub: Hub) -> list[Route]:
    path = "/v1/attempts/{attempt_id}/records/{writer}"
    return [Route(path, Door(hub, Scope.WRITE, append_records, tokens=True), methods=["POST"])]


async def append_records(hub: Hub, caller: Caller, request: Request) -> Response:
    """200 when everything before `next_seq` is committed; 409, the same shape, for a gap."""
    first = number_of(request, "first_seq")
    if first is None or not 0 <= first < MAX_SEQ:
        raise refuse("bad-request", "first_seq is missing or out of range.", "Add ?first_seq=N.")
    coding = request.headers.get("content-encoding", "").strip().lower()
    if coding not in {"", "identity", "zstd"}:
        raise refuse("bad-request", f"Content-Encoding {coding[:40]!r} is unknown.", "Use zstd, or none.")
    sent = await body_of(request, MAX_RECORDS)
    body = await _checked(hub, sent, "zstd" if coding == "zstd" else "", first)
    where = Where(request.path_params["attempt_id"], _writer(request.path_params["writer"]), first)
    now = hub.now()
    outcome = await hub.write(lambda tx: append(tx, caller, where, body, now))
    return shaped(request, outcome.appended, 409 if outcome.gap else 200)


async def _checked(hub: Hub, sent: bytes, codec: str, first_seq: int) -> Body:
    if len(sent) < SMALL and not codec:
        return _body(sent, codec, first_seq)
    return await hub.in_thread(lambda: _body(sent, codec, first_seq))


def _writer(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 8):
        raise refuse("bad-request", f"Writer {text[:40]!r} is no number.", "Use the process's rank.")
    return int(text)


def _body(sent: bytes, codec: str, first_seq: int) -> Body:
    try:
        raw = unpack(codec, sent, MAX_RECORDS)
    except TooLargeError as error:
        raise refuse("too-large", f"The body cannot be kept: {error}.", "Send less at once.") from error
    except PackingError as error:
        raise refuse("bad-request", f"The body cannot be read: {error}.", "Send it again.") from error
    frames = check(raw, first_seq)
    return Body(frames, raw, codec, sent) if codec else Body(frames, raw, *pack(raw))
