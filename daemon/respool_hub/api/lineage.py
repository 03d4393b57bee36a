"""A run's lineage, seen and mended; and the nodes that hold something of runs."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from respool_hub.api.answers import as_json
from respool_hub.api.door import Door, json_of
from respool_hub.api.runs import RUN, run_of
from respool_hub.hub import Hub
from respool_hub.service import mend, nodes
from respool_hub.service.access import Caller, Scope, own_run
from respool_hub.store.ports import Reader, Transaction


def routes(hub: Hub) -> list[Route]:
    return [
        Route(RUN + "/lineage", Door(hub, Scope.READ, show), methods=["GET"]),
        Route(RUN + "/lineage", Door(hub, Scope.WRITE, order), methods=["POST"]),
        Route("/v1/nodes", Door(hub, Scope.READ, list_nodes), methods=["GET"]),
    ]


async def show(hub: Hub, caller: Caller, request: Request) -> Response:
    def look(reader: Reader) -> dict[str, Any]:
        return mend.tree(reader, run_of(reader, caller, request), hub.ears.quiet)

    return as_json(await hub.study(look))


async def order(hub: Hub, caller: Caller, request: Request) -> Response:
    """200 with the lineage as it then is."""
    wish = mend.checked(await json_of(request))

    def work(tx: Transaction) -> dict[str, Any]:
        run = run_of(tx, caller, request)
        own_run(caller, run)
        mend.mend(tx, run, wish, caller.user, hub.clock.wall())
        return mend.tree(tx, tx.run_of(run.id), hub.ears.quiet)

    return as_json(await hub.write(work))


async def list_nodes(hub: Hub, caller: Caller, _: Request) -> Response:
    found = await hub.study(lambda reader: nodes.nodes(reader, caller, hub.ears.quiet))
    return as_json({"nodes": found})
