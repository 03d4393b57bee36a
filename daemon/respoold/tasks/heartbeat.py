"""The heartbeat: one request for all attempts of this node, positions and backlog up, commands down.

It has its own client and its own pace; nothing that is uploaded stands before it. It is also the breaker's
best probe: the first beat that is answered after an outage starts everything again.
"""

from __future__ import annotations

import os
from typing import Any, NoReturn

import trio

from respoold import __version__
from respoold.core.attempt import Attempt
from respoold.core.errors import HubAway, HubDenied, HubError, HubRefused
from respoold.core.hubapi import Beat, BeatAnswer
from respoold.tasks.keeper import Keeper

TIMEOUT = 5.0
CAUGHT_UP_SECONDS = 1.0
"""How soon the hub hears that an attempt it knew to be behind is behind no more."""


async def heartbeat_forever(keeper: Keeper) -> NoReturn:
    """Beat until cancelled; at once after an outage, else every `heartbeat` seconds."""
    due = trio.current_time()
    while True:
        now = trio.current_time()
        if now >= due and keeper.breaker.may_send(now):
            due = now + keeper.config.heartbeat
            await _beat(keeper)
        if not keeper.breaker.closed:
            due = keeper.breaker.wake_at
        elif keeper.caught_up:
            due = min(due, now + CAUGHT_UP_SECONDS)
        with trio.move_on_at(due):
            await keeper.pulse.wait()


async def _beat(keeper: Keeper) -> None:
    assert keeper.hub is not None
    beat = _compose(keeper)
    try:
        with trio.fail_after(TIMEOUT):
            answer = await keeper.hub.heartbeat(beat)
    except HubDenied as error:
        keeper.denied = True
        keeper.hub_failed(f"the hub refuses this daemon's key: {error}", 60.0)
    except HubAway as error:
        keeper.hub_failed(error.why, error.retry_after)
    except (trio.TooSlowError, HubRefused, HubError) as error:
        keeper.hub_failed(str(error) or f"no answer to a heartbeat within {TIMEOUT:.0f} s")
    else:
        keeper.told_of(beat.attempts)
        _obey(keeper, answer)
        keeper.hub_answered()


def _compose(keeper: Keeper) -> Beat:
    attempts = {one.id: _report(one) for one in keeper.node if one.registered and not _silent(one)}
    done = dict.fromkeys(keeper.caught_up, _NOTHING)
    return Beat(os.uname().nodename, __version__, done | attempts)


_NOTHING = {"alive": False, "pending_records": 0, "pending_bytes": 0, "pending_files": 0}


def _silent(attempt: Attempt) -> bool:
    """Nothing to say: it is over, and the hub has all of it; or nobody here can tell whether it lives."""
    return attempt.complete or (attempt.adopted and not attempt.alive and not attempt.over)


def _report(attempt: Attempt) -> dict[str, Any]:
    extents = [extent for writer in attempt.tails for extent in attempt.pending(writer)]
    return {
        "alive": attempt.alive,
        "pending_records": sum(extent.records for extent in extents),
        "pending_bytes": sum(extent.size for extent in extents),
        "pending_files": len(attempt.pending_files()),
    }


def _obey(keeper: Keeper, answer: BeatAnswer) -> None:
    for attempt_id in answer.unknown:
        attempt = keeper.node.get(attempt_id)
        if attempt is not None:
            attempt.registered = False
            keeper.offer(attempt)
    for attempt_id, commands in answer.commands.items():
        attempt = keeper.node.get(attempt_id)
        if attempt is not None and any(one.get("command") == "superseded" for one in commands):
            keeper.supersede(attempt)
