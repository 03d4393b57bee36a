"""The heartbeat: one request for all attempts of a user to a hub, positions and backlog up, commands down.

It has its own client and its own pace; nothing that is uploaded stands before it. It is also the breaker's
best probe: the first beat that is answered after an outage starts everything again.
"""

from __future__ import annotations

import os
from time import time
from typing import Any, NoReturn

import trio

from respoold import __version__
from respoold.core.attempt import Attempt
from respoold.core.errors import HubAway, HubDenied, HubError, HubRefused
from respoold.core.hubapi import Beat, BeatAnswer
from respoold.tasks.foresight import jobs_of
from respoold.tasks.keeper import Keeper
from respoold.tasks.restored import met, unknown
from respoold.tasks.status import why_of
from respoold.tasks.uplink import DENIED_SECONDS, Uplink

TIMEOUT = 5.0
CAUGHT_UP_SECONDS = 1.0
"""How soon the hub hears that an attempt it knew to be behind is behind no more."""
LAST_WORD_SECONDS = 2.0


async def heartbeat_forever(keeper: Keeper, uplink: Uplink) -> NoReturn:
    """Beat until cancelled; at once after an outage, else every `heartbeat` seconds."""
    due = trio.current_time()
    while True:
        now = trio.current_time()
        if now >= due and uplink.breaker.may_send(now):
            due = now + keeper.config.heartbeat
            uplink.look_for_key()
            await _beat(keeper, uplink)
        if not uplink.breaker.closed:
            due = uplink.breaker.wake_at
        elif uplink.caught_up or uplink.news:
            due = min(due, now + CAUGHT_UP_SECONDS)
        with trio.move_on_at(due):
            await uplink.pulse.wait()


async def speak_last(keeper: Keeper) -> None:
    """Before this process ends: what the hub believes of a backlog is made true where it answers at once."""
    with trio.move_on_after(LAST_WORD_SECONDS):
        for uplink in keeper.uplinks:
            if uplink.owes_a_word:
                await _beat(keeper, uplink)


async def _beat(keeper: Keeper, uplink: Uplink) -> None:
    beat, known = _compose(keeper, uplink), dict(uplink.caught_up)
    if uplink.shut is not None and not any(report.get("token") for report in beat.attempts.values()):
        uplink.failed(uplink.shut, DENIED_SECONDS)
        return
    try:
        with trio.fail_after(TIMEOUT):
            answer = await _speak(keeper, uplink, beat)
    except HubDenied as error:
        again = uplink.refused(error)
        uplink.denied = not again
        uplink.failed(f"the hub refuses the key: {error}", 0.0 if again else DENIED_SECONDS)
    except HubAway as error:
        uplink.failed(error.why, error.retry_after)
    except (trio.TooSlowError, HubRefused, HubError) as error:
        uplink.failed(str(error) or f"no answer to a heartbeat within {TIMEOUT:.0f} s")
    else:
        uplink.told_of(beat.attempts, known)
        met(keeper, uplink, answer.incarnation)
        _obey(keeper, answer)
        _learn(keeper, beat, answer)
        uplink.answered()


async def _speak(keeper: Keeper, uplink: Uplink, beat: Beat) -> BeatAnswer:
    """Send a beat. Each attempt that has a token is vouched for by that; the request itself shows the daemon's key,
    or one of the tokens where there is no key, or a refused one. Raises what the door raises.
    """
    speaker = next((one for one in keeper.node if one.id in beat.attempts and one.pass_.token), None)
    door = None if speaker is None else uplink.door_of(speaker)
    if uplink.hub.credential is None and door is not None:
        return await door.heartbeat(beat)
    try:
        return await uplink.hub.heartbeat(beat)
    except HubDenied:
        if door is None:
            raise
        return await door.heartbeat(beat)


def _compose(keeper: Keeper, uplink: Uplink) -> Beat:
    mine = [one for one in keeper.node if one.registered and keeper.uplink_of(one) is uplink]
    attempts = {one.id: _report(keeper, one) for one in mine if not (_silent(one) or one.deleted)}
    done = {one: _NOTHING | {"whole": whole} for one, whole in uplink.caught_up.items()}
    return Beat(os.uname().nodename, __version__, done | attempts, _watched(keeper, mine))


def _watched(keeper: Keeper, mine: list[Attempt]) -> dict[str, dict[str, Any]]:
    """The SLURM jobs here, where the administrator wants their ends to be foreseen."""
    if not keeper.config.slurm or keeper.foresight is None:
        return {}
    return keeper.foresight.bulletin.watched(sorted(jobs_of(mine)), trio.current_time())


def _learn(keeper: Keeper, beat: Beat, answer: BeatAnswer) -> None:
    if keeper.config.slurm and keeper.foresight is not None:
        keeper.foresight.bulletin.answered(beat.watched, answer.leads, trio.current_time())
        keeper.foresight.told(answer.foreseen)


_NOTHING: dict[str, Any] = {
    "alive": False,
    "pending_records": 0,
    "pending_bytes": 0,
    "pending_files": 0,
    "pending_file_bytes": 0,
    "why": None,
}


def _silent(attempt: Attempt) -> bool:
    """Nothing to say: it is over, and the hub has all of it; or nobody here can tell whether it lives."""
    return attempt.complete or (attempt.adopted and not attempt.alive and not attempt.over)


def _report(keeper: Keeper, attempt: Attempt) -> dict[str, Any]:
    """What this node has of an attempt."""
    extents = [extent for writer in attempt.tails for extent in attempt.pending(writer)]
    vouched = {"token": attempt.pass_.token} if attempt.pass_.token else {}
    files = attempt.pending_files()
    now, wall = trio.current_time(), time()
    ages = [now - extent.at for extent in extents] + [
        now - one.at if one.at else wall - one.time for one in files
    ]
    return {
        **vouched,
        "alive": attempt.alive,
        "writers": {
            str(slot): writer.alive for slot, writer in attempt.writers.items() if not writer.daemons
        },
        "pending_records": sum(extent.records for extent in extents),
        "pending_bytes": sum(extent.size for extent in extents),
        "pending_files": len(files),
        "pending_file_bytes": sum(one.size for one in files),
        "oldest": max(0.0, *ages) if ages else None,
        "why": why_of(keeper, attempt)[0],
    }


def _obey(keeper: Keeper, answer: BeatAnswer) -> None:
    for attempt_id in answer.unknown:
        attempt = keeper.node.get(attempt_id)
        if attempt is not None and attempt.registered:
            unknown(keeper, attempt)
    for attempt_id, commands in answer.commands.items():
        attempt = keeper.node.get(attempt_id)
        if attempt is not None:
            for command in commands:
                _carry_out(keeper, attempt, command)


def _carry_out(keeper: Keeper, attempt: Attempt, command: dict[str, Any]) -> None:
    match command.get("command"):
        case "superseded":
            keeper.supersede(attempt)
        case "deleted":
            keeper.drop_deleted(attempt, str(command.get("why") or "Its run was deleted at the hub."))
