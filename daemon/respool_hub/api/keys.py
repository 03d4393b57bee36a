"""API keys over HTTP, as JSON."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from respool.wire.errors import FormatError
from respool.wire.shapes import build
from respool_hub.api.answers import as_json
from respool_hub.api.door import MAX_JSON, Door, body_of
from respool_hub.hub import Hub
from respool_hub.service import keys
from respool_hub.service.access import Caller, Scope
from respool_hub.service.refusal import refuse
from respool_hub.store.ports import Transaction


def routes(hub: Hub) -> list[Route]:
    return [
        Route("/v1/keys", Door(hub, Scope.READ, list_keys), methods=["GET"]),
        Route("/v1/keys", Door(hub, Scope.READ, make_key), methods=["POST"]),
        Route("/v1/keys/{key_id}", Door(hub, Scope.READ, revoke_key), methods=["DELETE"]),
    ]


async def list_keys(hub: Hub, caller: Caller, _: Request) -> Response:
    return as_json({"keys": await hub.read(lambda reader: keys.listed(reader, caller))})


async def make_key(hub: Hub, caller: Caller, request: Request) -> Response:
    """201 with the key, which is shown this once."""
    wish, at = await _wish(request), hub.clock.wall()

    def work(tx: Transaction) -> keys.NewKey:
        made = keys.grant(tx, caller, wish, at)
        tx.add_key(made.row)
        return made

    made = await hub.write(work)
    row: dict[str, Any] = made.row._asdict()
    del row["digest"]
    return as_json({**row, "key": made.key}, 201)


async def revoke_key(hub: Hub, caller: Caller, request: Request) -> Response:
    key_id, at = request.path_params["key_id"], hub.clock.wall()
    await hub.write(lambda tx: keys.revoke(tx, caller, key_id, at))
    hub.keyring.clear()
    return as_json({})


async def _wish(request: Request) -> keys.Wish:
    body = await body_of(request, MAX_JSON)
    try:
        wish: keys.Wish = build(keys.Wish, json.loads(body))
    except (ValueError, RecursionError, FormatError) as error:
        advice = 'Send a JSON object with "scope", and maybe "user", "project", "name", "expires_in".'
        raise refuse("bad-request", f"The body cannot be read: {error}.", advice) from error
    return wish
