"""The end of a daemon that was only started for a run: when nothing lives here and nothing waits any more."""

from __future__ import annotations

import trio

from respoold.core.attempt import Attempt
from respoold.tasks.keeper import Keeper

LOOKS = 10


async def cancel_when_idle(keeper: Keeper, scope: trio.CancelScope) -> None:
    """Cancel `scope` after `idle_exit` seconds on end without a client, a living run or anything to send."""
    seconds = keeper.config.idle_exit
    busy_at = trio.current_time()
    while trio.current_time() - busy_at < seconds:
        await trio.sleep(seconds / LOOKS)
        if keeper.clients or any(_needs_us(attempt) for attempt in keeper.node):
            busy_at = trio.current_time()
    scope.cancel(f"idle for {seconds:.0f} s")


def _needs_us(attempt: Attempt) -> bool:
    """A run of another node that lies in a shared folder does not, once all that is there was sent."""
    if attempt.deleted:
        return attempt.alive
    if attempt.deleted:
        return False
    waits = attempt.pending_records() or attempt.pending_files() or attempt.unreported()
    return bool(attempt.alive or waits or not attempt.registered or (attempt.over and not attempt.complete))
