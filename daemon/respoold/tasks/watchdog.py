"""Signs of life for systemd: only while the loop turns and the spool moves."""

from __future__ import annotations

import trio

from respoold.io.notify import notify, watchdog_seconds
from respoold.tasks.keeper import Keeper


async def feed_watchdog(keeper: Keeper) -> None:
    """WATCHDOG=1 at half the period systemd asks for. That this task runs on time is the proof of life; a
    loop that is stuck, or a stopped process, does not run it.
    """
    period = watchdog_seconds()
    while period is not None:
        notify(f"WATCHDOG=1\nSTATUS={_line(keeper)}")
        await trio.sleep(period)


def _line(keeper: Keeper) -> str:
    waiting = sum(one.pending_records() for one in keeper.node)
    away = sorted({f"{one.url} away: {one.why}" for one in keeper.uplinks if not one.open})
    return f"{waiting} records waiting; {'; '.join(away) or 'hubs reachable'}"
