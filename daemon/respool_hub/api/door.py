"""The door: every request shows a key here, and is read no further than its limit."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from respool.wire.errors import WireError
from respool_hub.api import identify
from respool_hub.hub import Hub
from respool_hub.service import token
from respool_hub.service.access import Caller, Scope, allow
from respool_hub.service.refusal import RefusalError, refuse
from respoold.core import hubapi

MAX_BODY = 32 << 20
"""Bytes of a body of msgpack: a config and a summary, each at most a record."""

MAX_JSON = 64 << 10
MAX_SECRET = 256
"""Characters of a key or a token."""


Handler = Callable[[Hub, Caller, Request], Awaitable[Response]]
"""Answers a request of a caller whose scope was checked."""


class Door:
    """An ASGI endpoint: `handle`, for callers who have at least the scope `need`. `tokens`: an attempt's token
    opens it too, and `handle` looks at `Caller.attempt`.
    """

    def __init__(self, hub: Hub, need: Scope, handle: Handler, *, tokens: bool = False) -> None:
        self._hub = hub
        self._need = need
        self._handle = handle
        self._tokens = tokens

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        caller = await enter(self._hub, request, self._need, tokens=self._tokens)
        response = await self._handle(self._hub, caller, request)
        await response(scope, receive, send)


async def enter(hub: Hub, request: Request, need: Scope, *, tokens: bool = False) -> Caller:
    """Who sends this request. Raises RefusalError "unauthorized" (no good key) or "forbidden" (not enough)."""
    method, _, secret = request.headers.get("authorization", "").partition(" ")
    secret = secret.strip()
    if method.lower() != "bearer" or not secret or len(secret) > MAX_SECRET:
        raise refuse("unauthorized", "This request has no API key.", "Send Authorization: Bearer KEY.")
    if secret.startswith(token.PREFIX):
        caller = await identify.holder(hub, secret)
        if not tokens:
            cause = f"The token of attempt {caller.attempt} is good for that attempt only."
            raise refuse("forbidden", cause, "Use an API key: respool login.")
    else:
        caller = await identify.owner(hub, secret, unquote(request.headers.get(hubapi.ON_BEHALF_OF, "")))
    allow(caller, need)
    return caller


async def body_of(request: Request, limit: int) -> bytes:
    """The whole body. Raises RefusalError "too-large" as soon as it is clear."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise refuse("bad-request", "The body ended early.", "Send it again.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        more = message.get("more_body", False)
    return b"".join(parts)


async def shape_of(cls: type[Any], request: Request) -> Any:
    """The named tuple in a body of msgpack. Raises RefusalError "bad-request" naming what is wrong."""
    body = await body_of(request, MAX_BODY)
    try:
        return hubapi.load(cls, body)
    except WireError as error:
        advice = f"Send a msgpack map of {cls.__name__}."
        raise refuse("bad-request", f"The body cannot be read: {error}.", advice) from error


async def json_of(request: Request, limit: int = MAX_JSON) -> dict[str, Any]:
    """The JSON object in a body. Raises RefusalError "bad-request"."""
    body = await body_of(request, limit)
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise refuse("bad-request", f"The body cannot be read: {error}.", "Send a JSON object.") from error
    if not isinstance(found, dict):
        raise refuse("bad-request", "The body is no JSON object.", "Send a JSON object.")
    return found


def number_of(request: Request, name: str, fallback: int | None = None) -> int | None:
    """An integer of the query. Raises RefusalError "bad-request" for anything else."""
    text = request.query_params.get(name)
    if text is None or text == "":
        return fallback
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 18:
        raise refuse("bad-request", f"{name}={text[:40]!r} is no number.", f"Use {name}=N.")
    return int(text)


def flag_of(request: Request, name: str) -> bool:
    return request.query_params.get(name, "") not in {"", "0", "false"}


def _too_large(limit: int) -> RefusalError:
    return refuse("too-large", f"The body has more than {limit} bytes.", "Send less at once.", limit=limit)
