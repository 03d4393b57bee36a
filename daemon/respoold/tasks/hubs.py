"""Every uplink's two tasks, for as long as the daemon works: its heartbeat and its uploads."""

from __future__ import annotations

from typing import NoReturn

import trio

from respoold.tasks.heartbeat import heartbeat_forever
from respoold.tasks.keeper import Keeper
from respoold.tasks.uplink import Uplink
from respoold.tasks.upload import upload_forever


async def serve_uplinks(keeper: Keeper) -> NoReturn:
    """Serve the uplinks there are, and those that are made, until cancelled."""
    served: set[Uplink] = set()
    async with trio.open_nursery() as nursery:
        while True:
            for uplink in keeper.uplinks:
                if uplink not in served:
                    served.add(uplink)
                    nursery.start_soon(_serve, keeper, uplink)
            await keeper.uplinks.born.wait()


async def _serve(keeper: Keeper, uplink: Uplink) -> None:
    async with uplink.hub, trio.open_nursery() as nursery:
        nursery.start_soon(heartbeat_forever, keeper, uplink)
        nursery.start_soon(upload_forever, keeper, uplink)
