"""Teams over HTTP, as JSON."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from respool_hub.api.answers import as_json
from respool_hub.api.door import MAX_JSON, Door, body_of
from respool_hub.hub import Hub
from respool_hub.service import teams
from respool_hub.service.access import Caller, Scope
from respool_hub.service.refusal import refuse


def routes(hub: Hub) -> list[Route]:
    path = "/v1/teams/{team}"
    return [
        Route("/v1/teams", Door(hub, Scope.READ, list_teams), methods=["GET"]),
        Route(path, Door(hub, Scope.READ, put_team), methods=["PUT"]),
        Route(path, Door(hub, Scope.READ, drop_team), methods=["DELETE"]),
    ]


async def list_teams(hub: Hub, caller: Caller, _: Request) -> Response:
    return as_json({"teams": await hub.read(lambda reader: teams.listed(reader, caller))})


async def put_team(hub: Hub, caller: Caller, request: Request) -> Response:
    """The team, with its members from now on."""
    name, members, at = request.path_params["team"], await _members(request), hub.clock.wall()
    team = await hub.write(lambda tx: teams.put(tx, caller, name, members, at))
    return as_json({"team": team.name, "members": list(team.members), "created_at": team.created_at})


async def drop_team(hub: Hub, caller: Caller, request: Request) -> Response:
    name = request.path_params["team"]
    await hub.write(lambda tx: teams.drop(tx, caller, name))
    return as_json({})


async def _members(request: Request) -> list[str]:
    body = await body_of(request, MAX_JSON)
    try:
        said: Any = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    members = said.get("members") if isinstance(said, dict) else None
    if not isinstance(members, list) or not all(isinstance(member, str) for member in members):
        cause = "The body cannot be read as a team."
        raise refuse("bad-request", cause, 'Send a JSON object with "members", a list of user names.')
    return members
