"""Asking what an attach continues: the hub within a bound, else this node's journal.

The hub's answer may lag behind what lies in this node's spool; where the lineage ends here, that goes over it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import trio

from respool.wire import limits
from respool.wire.attempt import Request
from respool.wire.messages import Refused
from respoold.core.attempt import Attempt
from respoold.core.errors import HubAway, HubDenied, HubRefused
from respoold.core.hubapi import AttachAnswer, AttachRequest
from respoold.core.memory import Answer, answer_offline
from respoold.io import disk
from respoold.tasks.keeper import Keeper
from respoold.tasks.uplink import Uplink

LIVE_RETRY_SECONDS = 5.0

Waiter = Callable[[str, float], Awaitable[None]]
"""Tells the client what is waited for, and for how many seconds at most."""


class Decided(NamedTuple):
    """What the attempt continues: the hub's word (`hub`) or the journal's, after the overlay."""

    answer: Answer
    hub: AttachAnswer | None
    lines: list[str]


async def decide(
    keeper: Keeper,
    uplink: Uplink | None,
    request: Request,
    attempt_id: str,
    before: list[Attempt],
    local: Answer | None,
    wait: Waiter,
    key: str = "",
) -> Decided | Refused:
    asked = _hub_request(request, attempt_id, before, local)
    if uplink is None:
        return _decide_offline(request, local, "no hub is configured")
    try:
        await _register(keeper, uplink, before)
        hub = await _ask_hub(keeper, uplink, asked, wait, key)
    except HubRefused as error:
        problem = error.problem
        return Refused(problem.code, problem.cause, problem.advice)
    except HubDenied as error:
        if error.problem.detail.get("run"):
            # Somebody else's run, which no waiting makes ours.
            return Refused("forbidden", error.problem.cause, error.problem.advice)
        return _decide_offline(request, local, str(error))
    except HubAway as error:
        return _decide_offline(request, local, str(error))
    return Decided(_overlay(hub, local), hub, _hub_lines(hub))


def _hub_request(
    request: Request, attempt_id: str, before: list[Attempt], local: Answer | None
) -> AttachRequest:
    shared = {name: getattr(request, name) for name in AttachRequest._fields if name in Request._fields}
    here = disk.node_name()
    dead = [one.id for one in before if not one.alive and not one.elsewhere(here)]
    return AttachRequest(attempt_id=attempt_id, dead=dead, parent=local.parent if local else None, **shared)


async def _register(keeper: Keeper, uplink: Uplink, attempts: list[Attempt]) -> None:
    """Parents first: the hub must know those that were answered offline before their child asks."""
    if not uplink.open:
        return
    for attempt in attempts:
        if not (attempt.registered or attempt.pass_.stuck):
            try:
                with _handshake(keeper, uplink):
                    await keeper.register(uplink, attempt)
            except HubRefused as error:
                if error.problem.code != "deleted":
                    raise
                keeper.drop_deleted(attempt, error.problem.cause)


@contextmanager
def _handshake(keeper: Keeper, uplink: Uplink) -> Iterator[None]:
    """The bound within which the hub must answer; an absence is the breaker's to know."""
    try:
        with trio.fail_after(keeper.config.handshake):
            yield
    except (HubAway, trio.TooSlowError) as error:
        why = str(error) or f"no answer within {keeper.config.handshake:.0f} s"
        uplink.failed(why)
        raise HubAway(why) from error


async def _ask_hub(
    keeper: Keeper, uplink: Uplink, asked: AttachRequest, wait: Waiter, key: str
) -> AttachAnswer:
    """The hub's answer. Waits for a live head to fall silent, 3 heartbeats at most, saying so."""
    if not uplink.open:
        raise HubAway(uplink.why or "the hub does not answer")
    give_up = trio.current_time() + limits.SILENT_AFTER
    while True:
        try:
            with _handshake(keeper, uplink):
                answer = await uplink.door(key).attach(asked)
        except HubDenied as error:
            if key or not uplink.refused(error):
                raise
        except HubRefused as error:
            left = give_up - trio.current_time()
            if error.problem.code != "live" or left <= 0:
                raise
            await wait(error.problem.cause, left)
            await trio.sleep(min(LIVE_RETRY_SECONDS, left))
        else:
            uplink.answered()
            return answer


def _decide_offline(request: Request, local: Answer | None, why: str) -> Decided | Refused:
    answer = answer_offline(request, local)
    if isinstance(answer, Refused):
        return answer
    lines = [f"the hub is away ({why}): answered from this node's journal; nothing is lost, it will catch up"]
    if not answer.parent_known and (request.resume in {"allow", "must", "auto"} or request.restart_count):
        lines.append("this node knows no earlier attempt of this run: it starts at its initial step")
    return Decided(answer, None, lines)


def _overlay(hub: AttachAnswer, local: Answer | None) -> Answer:
    """The hub's answer, with this node's tail over it where the lineage ends on this node."""
    if not hub.resumed:
        return Answer(False, None, True, 0, {}, {}, hub.meta)
    if local is None or local.parent != hub.parent:
        return Answer(True, hub.parent, True, hub.step, hub.config, hub.summary, hub.meta)
    config = {**hub.config, **local.config}
    return Answer(True, hub.parent, True, local.step, config, {**hub.summary, **local.summary}, hub.meta)


def _hub_lines(hub: AttachAnswer) -> list[str]:
    behind = hub.left_behind
    if not behind:
        return []
    was = f"run {hub.run_id} existed ({behind.get('state')}, last step {behind.get('last_step')})"
    now = f"this is a new history, attempt {behind.get('number')} stays as a branch"
    return [f"{was}: {now}; pass resume='allow' to continue it"]
