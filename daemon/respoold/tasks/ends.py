"""How processes ended, learned from others than themselves: their parents, and the kernel."""

from __future__ import annotations

from contextlib import suppress
from time import time

import trio

from respoold.core.attempt import Attempt
from respoold.core.errors import HubError
from respoold.core.hubapi import StateReport
from respoold.core.writer import End
from respoold.tasks.keeper import Keeper

REPORT_SECONDS = 4.0


async def learned(keeper: Keeper, attempt: Attempt, before: End) -> None:
    """Something was noted of a writer that stood as `before`: it is kept, and the hub hears of it."""
    after = attempt.end_of(before.slot)
    if attempt.id in keeper.node:
        keeper.save(attempt)
        keeper.offer(attempt)
    elif after != before:
        await report_late(keeper, attempt, StateReport("ended", after.exit_code, time(), writer=before.slot))


async def report_late(keeper: Keeper, attempt: Attempt, said: StateReport) -> None:
    """Of one that is wholly at the hub, and was let go between its last record and its exit."""
    uplink = keeper.uplink_of(attempt)
    with trio.move_on_after(REPORT_SECONDS), suppress(HubError):
        if uplink is not None:
            await uplink.door_of(attempt).report(attempt.id, said)
