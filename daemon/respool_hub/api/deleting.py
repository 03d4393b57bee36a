"""Deleting a run over HTTP."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from respool_hub.api.answers import as_json
from respool_hub.api.door import Door
from respool_hub.hub import Hub
from respool_hub.service.access import Caller, Scope
from respool_hub.service.delete import delete, doomed

RUN = "/v1/runs/{entity}/{project}/{run_id}"


def routes(hub: Hub) -> list[Route]:
    return [
        Route(RUN, Door(hub, Scope.WRITE, delete_run), methods=["DELETE"]),
        Route(RUN + "/deletion", Door(hub, Scope.WRITE, show_deletion), methods=["GET"]),
    ]


async def show_deletion(hub: Hub, caller: Caller, request: Request) -> Response:
    """What a DELETE of the run would say, or how it would be refused; nothing goes."""
    path = request.path_params
    which = (path["entity"], path["project"], path["run_id"])
    return as_json(await hub.read(lambda reader: doomed(reader, caller, which)))


async def delete_run(hub: Hub, caller: Caller, request: Request) -> Response:
    """200 with what went, as soon as the run is out of sight for good; its bytes are erased after that."""
    path = request.path_params
    which, at = (path["entity"], path["project"], path["run_id"]), hub.clock.wall()
    gone = await hub.write(lambda tx: delete(tx, caller, which, at))
    hub.streams.submit(hub.cleaner.run)
    return as_json(gone)
