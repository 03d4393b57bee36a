"""Asking what an attach comes to: the hub within a bound, else this node.

The hub's answer may lag behind what lies in this node's spool; where the lineage ends here, that goes over it.
"""

from __future__ import annotations

import math
import string
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import trio

from respool.wire.attempt import Request
from respool.wire.identity import WRITERS, attempt_id_of
from respool.wire.messages import Refused
from respoold.core.answers import hub_lines, joined_answer, joined_lines, left_lines, overlay, unknown_lines
from respoold.core.attempt import Attempt
from respoold.core.decision import Plan, plan, rivals_of
from respoold.core.errors import HubAway, HubDenied, HubRefused
from respoold.core.hubapi import AttachAnswer, AttachRequest
from respoold.core.memory import Answer, answer_offline
from respoold.io.registration import report
from respoold.tasks.ground import Ground
from respoold.tasks.keeper import Keeper
from respoold.tasks.keys import register
from respoold.tasks.restored import met, unknown
from respoold.tasks.uplink import Uplink

_ID_DIGITS = 32


class Decided(NamedTuple):
    """What an attach comes to. `request` names the run, the resume mode that counts, and the slot; `hub` is the
    hub's word, None when this node answered by itself; `joined`: the attempt exists already.
    """

    request: Request
    attempt_id: str
    generation: int
    joined: bool
    answer: Answer
    hub: AttachAnswer | None
    lines: list[str]


async def decide(
    keeper: Keeper, uplink: Uplink | None, uid: int, request: Request, ground: Ground, key: str = ""
) -> Decided | Refused:
    """Ask the hub if it can be asked, showing `key` if the user has one of his own. A refusal with the code `live`
    may be another answer a little later.
    """
    try:
        if uplink is not None:
            return await _asked(keeper, uplink, uid, request, ground, key)
        why = "no hub is configured"
    except HubRefused as error:
        problem = error.problem
        return Refused(problem.code, problem.cause, problem.advice)
    except (HubAway, HubDenied) as error:
        if isinstance(error, HubDenied) and error.problem.detail.get("run"):
            # Somebody else's run, which no waiting makes ours.
            return Refused("forbidden", error.problem.cause, error.problem.advice)
        why = str(error)
    return await _alone(keeper, _at_home(request, ground), ground, why)


async def _asked(
    keeper: Keeper, uplink: Uplink, uid: int, request: Request, ground: Ground, key: str
) -> Decided | Refused:
    """The answer with the hub. A run that somebody has on this node need not be asked about."""
    await _tell(keeper, uplink, ground.named)
    request = _at_home(request, ground)
    here = plan(request, ground.look)
    refusal = None if request.resume in {"auto", "never"} else _lives(here, ground)
    if refusal is not None:
        return refusal
    local = await ground.answer(here.request)
    hub = await _ask(keeper, uplink, _question(request, here, ground, local), key)
    return await _agreed(keeper, uid, request, hub, ground)


def _at_home(request: Request, ground: Ground) -> Request:
    """A run that the hub keeps under another id, since its own was taken, is asked for under that."""
    attempts = ground.look(request.run_id).attempts
    return request._replace(run_id=attempts[-1].home) if attempts else request


def _lives(here: Plan, ground: Ground) -> Refused | None:
    """The refusal of a run that a process of this node has, which may end soon."""
    rivals = [] if here.joined else rivals_of(here.request, ground.look(here.request.run_id).attempts)
    if not rivals:
        return None
    paper = rivals[0].writing[0].paper
    since = math.floor(time.time() - paper.started_at) if paper.started_at else 0
    return Refused(
        "live",
        f"Run {'/'.join(rivals[0].run)} is alive on this node ({paper.node or rivals[0].request.node}), pid "
        f"{paper.pid}, attached {since} s ago and beating now.",
        "End that process, use join=True or takeover=True, or use another id.",
    )


def _question(request: Request, here: Plan, ground: Ground, local: Answer | None) -> AttachRequest:
    shared = {name: getattr(request, name) for name in AttachRequest._fields if name in Request._fields}
    return AttachRequest(
        attempt_id="",
        dead=ground.dead(),
        parent=local.parent if local else None,
        generation=here.generation,
        **shared,
    )


async def _tell(keeper: Keeper, uplink: Uplink, attempts: list[Attempt]) -> None:
    """First the hub must know what this node knows: parents that were answered offline, and who has ended."""
    if not uplink.open:
        return
    for attempt in attempts:
        if attempt.pass_.stuck or (attempt.registered and not attempt.unreported()):
            continue
        try:
            with _handshake(keeper, uplink):
                if not attempt.registered:
                    await register(keeper, uplink, attempt)
                await report(uplink.door_of(attempt), attempt)
        except HubRefused as error:
            if error.problem.code == "unknown-attempt":
                unknown(keeper, attempt)
            elif error.problem.code == "deleted":
                keeper.drop_deleted(attempt, error.problem.cause)
            else:
                raise


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


async def _ask(keeper: Keeper, uplink: Uplink, asked: AttachRequest, key: str) -> AttachAnswer:
    """The hub's answer, with another key if there is one and the first is refused."""
    while True:
        if not uplink.open:
            raise HubAway(uplink.why or "the hub does not answer")
        try:
            with _handshake(keeper, uplink):
                answer = await uplink.door(key).attach(asked)
        except HubDenied as error:
            if key or not uplink.refused(error):
                raise
        else:
            uplink.answered()
            _check(answer)
            met(keeper, uplink, answer.incarnation)
            return answer


def _check(answer: AttachAnswer) -> None:
    """The attempt's id becomes the name of a folder. Raises HubAway for what no hub answers."""
    good = len(answer.attempt_id) == _ID_DIGITS and set(answer.attempt_id) <= set(string.hexdigits.lower())
    if not good or not 0 <= answer.writer < WRITERS:
        said = f"attempt {answer.attempt_id[:40]!r}, writer {answer.writer}"
        raise HubAway(f"the hub answers an attach with {said}")


async def _agreed(
    keeper: Keeper, uid: int, request: Request, hub: AttachAnswer, ground: Ground
) -> Decided | Refused:
    settled = request._replace(writer=hub.writer)
    if hub.run_id != request.run_id:
        known = ground.look(hub.run_id)
        original = known.attempts[-1].request.original_id if known.attempts else hub.run_id
        settled = settled._replace(run_id=hub.run_id, original_id=original)
    if settled.resume == "auto":
        settled = settled._replace(resume="allow" if hub.resumed else "none")
    attempt = keeper.node.get(hub.attempt_id)
    if attempt is not None and attempt.file.uid != uid:
        return of_another_user(hub.attempt_id)
    if hub.joined and attempt is not None:
        answer = joined_answer(request, await ground.of_attempt(attempt), attempt, hub)
    elif hub.joined:
        answer = Answer(hub.resumed, hub.parent, True, hub.step, hub.config, hub.summary, hub.meta)
    else:
        answer = overlay(hub, await ground.answer(settled) if ground.trains(hub.parent) else None)
    joined = hub.joined or attempt is not None
    lines = joined_lines(settled, hub.writer) if joined else hub_lines(hub)
    return Decided(settled, hub.attempt_id, hub.generation, joined, answer, hub, lines)


def of_another_user(attempt_id: str) -> Refused:
    """The refusal of an attempt that is kept here, but not for who asks."""
    advice = "Start the script with a RESPOOL_LAUNCH_ID of its own."
    return Refused("conflict", f"Attempt {attempt_id} is kept here for another user.", advice)


async def _alone(keeper: Keeper, request: Request, ground: Ground, why: str) -> Decided | Refused:
    """The answer without the hub."""
    here = plan(request, ground.look)
    local = await ground.answer(here.request)
    request = here.request._replace(writer=here.writer)
    said = f"the hub is away, {why}: answered from this node's journal; nothing is lost, it will catch up."
    if here.joined is not None:
        answer = joined_answer(request, await ground.of_attempt(here.joined), here.joined)
        lines = [said, *joined_lines(request, here.writer)]
        return Decided(request, here.joined.id, here.generation, True, answer, None, lines)
    if request.join:
        run = f"{request.project}/{request.run_id}"
        return Refused(
            "missing",
            f"join=True, but nobody on this node logs into run {run}, and the hub does not answer.",
            "Start its trainer first, or leave join=True out.",
        )
    answered = _spelling(request, ground) or answer_offline(request, local)
    if isinstance(answered, Refused):
        return answered
    refusal = _lives(here, ground)
    if refusal is not None:
        return refusal
    generation, attempt_id = here.generation, ""
    while not attempt_id or attempt_id in keeper.node:
        generation += bool(attempt_id)
        attempt_id = attempt_id_of(request.project, request.run_id, request.launch, generation)
    lines = [said, *unknown_lines(request, answered), *left_lines(request, answered, local)]
    return Decided(request, attempt_id, generation, False, answered, None, lines)


def _spelling(request: Request, ground: Ground) -> Refused | None:
    """Two spellings of one id are no silent merge."""
    known = ground.look(request.run_id)
    first = known.attempts[-1].request if known.attempts else known.memory
    if first is None or not request.fixed_id or first.original_id == request.original_id:
        return None
    return Refused(
        "conflict",
        f"Run ids {request.original_id!r} and {first.original_id!r} both become {request.run_id!r}, and the run is "
        f"{first.original_id!r}.",
        "Use an id that differs in letters, digits, - or _.",
    )
