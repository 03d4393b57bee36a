"""Changing what a run is called: PATCH of its name, notes and tags."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from respool_hub.api.answers import as_json
from respool_hub.api.door import Door, json_of
from respool_hub.api.runs import RUN, run_of
from respool_hub.hub import Hub
from respool_hub.service import edit
from respool_hub.service.access import Caller, Scope
from respool_hub.service.show import full
from respool_hub.store.ports import Transaction


def routes(hub: Hub) -> list[Route]:
    return [Route(RUN, Door(hub, Scope.WRITE, edit_run), methods=["PATCH"])]


async def edit_run(hub: Hub, caller: Caller, request: Request) -> Response:
    """200 with the run as it then is; the change is durable."""
    changes = edit.checked(await json_of(request, edit.LONGEST))

    def work(tx: Transaction) -> dict[str, Any]:
        run = edit.edit(tx, caller, run_of(tx, caller, request), changes)
        return full(tx, run, hub.ears.quiet, hub.url_of(run))

    return as_json(await hub.write(work))
