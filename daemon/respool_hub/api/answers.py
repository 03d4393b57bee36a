"""How an answer is written: msgpack on the machine side, JSON for people, a Problem for every error."""

from __future__ import annotations

import json
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from respool.wire import codec
from respool_hub.service.refusal import RefusalError
from respool_hub.store.ports import StoreError, StoreFullError
from respoold.core.hubapi import MSGPACK, Problem, Shape

MACHINE = ("/v1/health", "/v1/attach", "/v1/attempts", "/v1/heartbeat", "/v1/blobs")
RETRY_SECONDS = "5"


def speaks_msgpack(request: Request) -> bool:
    """The machine side does unless JSON is asked for; the human side does when msgpack is."""
    accept = request.headers.get("accept", "")
    if request.url.path.startswith(MACHINE):
        return "application/json" not in accept
    return MSGPACK in accept


def packed(request: Request, value: dict[str, Any], status: int = 200) -> Response:
    """A map, in the way the client speaks."""
    if speaks_msgpack(request):
        return Response(codec.pack(value), status, media_type=MSGPACK)
    return as_json(value, status)


def shaped(request: Request, shape: Shape, status: int = 200) -> Response:
    return packed(request, shape._asdict(), status)


def as_json(value: dict[str, Any], status: int = 200) -> Response:
    """A JSON object. `value` holds what strict JSON can say."""
    body = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(body.encode("utf-8", "replace"), status, media_type="application/json")


async def refused(request: Request, error: Exception) -> Response:
    """A request that is not done, for its own reasons."""
    assert isinstance(error, RefusalError)
    return shaped(request, error.problem, error.status)


async def store_failed(request: Request, error: Exception) -> Response:
    """The store could not; the client tries again later."""
    code, status, advice = "store", 503, "Try again later."
    if isinstance(error, StoreFullError):
        code, status, advice = "full", 507, "Make room on the hub's disk; what is sent again then arrives."
    assert isinstance(error, StoreError)
    response = shaped(request, Problem(code, f"Nothing was kept: {error}.", advice), status)
    response.headers["Retry-After"] = RETRY_SECONDS
    return response


async def no_route(request: Request, error: Exception) -> Response:
    """404 and 405 of the router."""
    assert isinstance(error, HTTPException)
    what = f"{request.method} {request.url.path[:200]}"
    if error.status_code == 405:
        problem = Problem("method", f"{what} is no request of this hub.", "See GET /v1/openapi.json.")
    else:
        problem = Problem("missing", f"There is nothing at {what}.", "See GET /v1/openapi.json.")
    return shaped(request, problem, error.status_code)


async def broken(request: Request, error: Exception) -> Response:
    """A fault of this hub; the error itself goes to its log."""
    name = type(error).__name__
    return shaped(
        request, Problem("internal", f"The hub failed: {name}.", "Look at its log, then retry."), 500
    )
