"""Attaching a process to a run: the handshake, with the hub and without it.

    1. read to their end the segments of this run's dead writers on this node
    2. make the attempt's first two segments: what cannot be kept must not begin
    3. ask the hub, or, when it does not answer within the handshake bound, the journal
    4. lay what this node knows and the hub may not over the hub's answer
    5. write the attempt's papers, which is what makes it one; only then answer

A refusal leaves nothing behind. Asking twice for the same attempt gives the same answer.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import trio

from respool.wire import limits
from respool.wire.attempt import AttemptFile, Request
from respool.wire.identity import attempt_id_of
from respool.wire.messages import Attached, Refused
from respoold.core.attempt import Attempt
from respoold.core.errors import HubAway, HubDenied, HubRefused
from respoold.core.hubapi import AttachAnswer, AttachRequest
from respoold.core.memory import Answer, Memory, answer_offline, merge_meta, newest, next_step, of_memory
from respoold.core.quota import refuse_segment
from respoold.io import disk, fold, processes, segments
from respoold.io.registration import register
from respoold.tasks.keeper import Keeper

LIVE_RETRY_SECONDS = 5.0
SETTLE_SECONDS = 30.0

Waiter = Callable[[str, float], Awaitable[None]]
"""Tells the client what is waited for, and for how many seconds at most."""


class Granted(NamedTuple):
    """An attach that was granted: the answer, its attempt, and the descriptors to send and close."""

    attached: Attached
    attempt: Attempt
    fds: list[int]


async def attach(keeper: Keeper, uid: int, request: Request, wait: Waiter) -> Granted | Refused:
    """Decide and carry out an attach. The caller sends the descriptors and closes them."""
    attempt_id = attempt_id_of(request.project, request.run_id, request.launch, request.incarnation)
    known = keeper.node.get(attempt_id)
    if known is not None:
        return await _again(keeper, known)
    before = keeper.node.of_run(uid, (request.project, request.run_id))
    rival = next((attempt for attempt in before if _lives(attempt)), None)
    if rival is not None and not request.takeover:
        return _alive(rival)
    await _settle(keeper, before)
    local = await _local_answer(keeper, uid, request, before)
    directory = disk.attempt_directory(keeper.root, uid, attempt_id)
    fds = await _make_room(keeper, uid, request.writer, directory, attempt_id)
    if isinstance(fds, Refused):
        return fds
    decided = await _decide(keeper, request, attempt_id, before, local, wait)
    if isinstance(decided, Refused):
        _give_back(directory, fds)
        return decided
    try:
        return await _create(keeper, uid, request, attempt_id, decided, fds)
    except OSError as error:
        _give_back(directory, fds)
        return _no_room(str(error))


def _lives(attempt: Attempt) -> bool:
    """Asked of the kernel: a death that the reaper has not seen yet counts."""
    return attempt.alive and not attempt.facts.ended and processes.is_alive(attempt.request.process)


class Decided(NamedTuple):
    """What the attempt continues: the hub's word (`hub`) or the journal's, after the overlay."""

    answer: Answer
    hub: AttachAnswer | None
    lines: list[str]


async def _settle(keeper: Keeper, attempts: list[Attempt]) -> None:
    """Read the segments of dead writers to their end, so that the answer is not behind the truth."""
    with trio.move_on_after(SETTLE_SECONDS):
        for attempt in attempts:
            for reader in keeper.readers_of(attempt):
                foreign = attempt.elsewhere(disk.node_name())
                if not foreign and not processes.is_alive(attempt.request.process):
                    attempt.alive, reader.closing = False, True
                while keeper.look(reader):
                    await trio.lowlevel.checkpoint()


async def _local_answer(keeper: Keeper, uid: int, request: Request, before: list[Attempt]) -> Answer | None:
    """What this node knows of the run: its newest attempt that counts, else its journal."""
    memory = keeper.recall(uid, (request.project, request.run_id))
    head = newest(before)
    if head is None:
        return None if memory is None else of_memory(memory)
    view = await trio.to_thread.run_sync(fold.fold, head.directory)
    inherited = memory or Memory(*head.run, request.original_id)
    config, summary, meta = view.config, view.summary, view.meta
    if not (config or summary) and memory is not None and memory.head == head.id:
        config, summary, meta = memory.config, memory.summary, memory.meta
    return Answer(True, head.id, True, next_step(before, head), config, summary, meta or inherited.meta)


async def _decide(
    keeper: Keeper,
    request: Request,
    attempt_id: str,
    before: list[Attempt],
    local: Answer | None,
    wait: Waiter,
) -> Decided | Refused:
    asked = _hub_request(request, attempt_id, before, local)
    try:
        await _register(keeper, before)
        hub = await _ask_hub(keeper, asked, wait)
    except HubRefused as error:
        problem = error.problem
        return Refused(problem.code, problem.cause, problem.advice)
    except (HubAway, HubDenied) as error:
        return _decide_offline(request, local, str(error))
    return Decided(_overlay(hub, local), hub, _hub_lines(hub))


def _hub_request(
    request: Request, attempt_id: str, before: list[Attempt], local: Answer | None
) -> AttachRequest:
    shared = {name: getattr(request, name) for name in AttachRequest._fields if name in Request._fields}
    here = disk.node_name()
    dead = [one.id for one in before if not one.alive and not one.elsewhere(here)]
    return AttachRequest(attempt_id=attempt_id, dead=dead, parent=local.parent if local else None, **shared)


async def _register(keeper: Keeper, attempts: list[Attempt]) -> None:
    """Parents first: the hub must know those that were answered offline before their child asks."""
    if keeper.hub is None or not keeper.breaker.closed:
        return
    for attempt in attempts:
        if not attempt.registered:
            with _handshake(keeper):
                await register(keeper.hub, attempt)


@contextmanager
def _handshake(keeper: Keeper) -> Iterator[None]:
    """The bound within which the hub must answer; an absence is the breaker's to know."""
    try:
        with trio.fail_after(keeper.config.handshake):
            yield
    except (HubAway, trio.TooSlowError) as error:
        why = str(error) or f"no answer within {keeper.config.handshake:.0f} s"
        keeper.hub_failed(why)
        raise HubAway(why) from error


async def _ask_hub(keeper: Keeper, asked: AttachRequest, wait: Waiter) -> AttachAnswer:
    """The hub's answer. Waits for a live head to fall silent, 3 heartbeats at most, saying so."""
    if keeper.hub is None:
        raise HubAway("no hub is configured")
    if not keeper.breaker.closed:
        raise HubAway(keeper.breaker.why or "the hub does not answer")
    give_up = trio.current_time() + limits.SILENT_AFTER
    while True:
        try:
            with _handshake(keeper):
                answer = await keeper.hub.attach(asked)
        except HubRefused as error:
            left = give_up - trio.current_time()
            if error.problem.code != "live" or left <= 0:
                raise
            await wait(error.problem.cause, left)
            await trio.sleep(min(LIVE_RETRY_SECONDS, left))
        else:
            keeper.hub_answered()
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


async def _make_room(
    keeper: Keeper, uid: int, writer: int, directory: str, attempt_id: str
) -> list[int] | Refused:
    """The attempt's first two segments, made before the hub is asked: what cannot be kept must not begin."""
    refusal = refuse_segment(keeper.room(uid), 2 * limits.SEGMENT_SIZE)
    if refusal:
        return _no_room(refusal)
    try:
        return await trio.to_thread.run_sync(_make_segments, directory, attempt_id, writer)
    except OSError as error:
        return _no_room(str(error))


def _no_room(why: str) -> Refused:
    return Refused(
        "quota",
        f"The spool cannot take another attempt: {why}.",
        "See `respool status`; connect the hub, free space, or raise rows_quota.",
    )


def _give_back(directory: str, fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
    disk.delete_attempt(directory)


def _make_segments(directory: str, attempt_id: str, writer: int) -> list[int]:
    disk.make_folders(directory)
    first = segments.create(directory, attempt_id, writer, 0)
    try:
        return [first, segments.create(directory, attempt_id, writer, 1)]
    except OSError:
        _give_back(directory, [first])
        raise


async def _create(
    keeper: Keeper, uid: int, request: Request, attempt_id: str, decided: Decided, fds: list[int]
) -> Granted:
    """Write the attempt's papers, which is what makes it one, and take it up. Raises OSError."""
    answer, hub = decided.answer, decided.hub
    file = AttemptFile(
        attempt_id=attempt_id,
        request=request._asdict(),
        uid=uid,
        offline=hub is None,
        parent=answer.parent,
        resumed=answer.resumed,
        step=answer.step,
        number=hub.number if hub else None,
        entity=hub.entity if hub else request.entity,
        parent_known=answer.parent_known,
    )
    directory = disk.attempt_directory(keeper.root, uid, attempt_id)
    await trio.to_thread.run_sync(disk.create_attempt, directory, file)
    attempt = Attempt(file, directory)
    attempt.alive = True
    keeper.node.add(attempt)
    reader = keeper.open_reader(attempt, request.writer)
    for index, fd in enumerate(fds):
        reader.keep(index, fd)
    meta = merge_meta(answer.meta, request.meta)
    if answer.resumed or keeper.recall(uid, attempt.run) is None:
        _remember(keeper, uid, request, attempt, answer, meta)
    keeper.births.ring()
    keeper.offer(attempt)
    return Granted(_attached(attempt, answer, meta, decided), attempt, [os.dup(fd) for fd in fds])


def _remember(
    keeper: Keeper, uid: int, request: Request, attempt: Attempt, answer: Answer, meta: dict[str, Any]
) -> None:
    memory = Memory(
        project=request.project,
        run_id=request.run_id,
        original_id=request.original_id,
        entity=attempt.entity,
        hub=keeper.config.hub,
        head=answer.parent or attempt.id,
        step=answer.step,
        config=answer.config,
        summary=answer.summary,
        meta=meta,
        updated_at=time.time(),
    )
    keeper.remember(uid, memory)


def _attached(attempt: Attempt, answer: Answer, meta: dict[str, Any], decided: Decided) -> Attached:
    request = attempt.request
    url = decided.hub.url if decided.hub else None
    return Attached(
        attempt_id=attempt.id,
        project=request.project,
        run_id=request.run_id,
        entity=attempt.entity,
        number=attempt.number,
        writer=request.writer,
        segment=0,
        capacity=limits.SEGMENT_SIZE,
        resumed=answer.resumed,
        unknown=not answer.parent_known,
        step=answer.step,
        config=answer.config,
        summary=answer.summary,
        meta=meta,
        url=url,
        directory=attempt.directory,
        lines=decided.lines,
    )


async def _again(keeper: Keeper, attempt: Attempt) -> Granted | Refused:
    """The same attach once more: its answer was lost. Only while nothing was written yet."""
    writer = attempt.request.writer
    if attempt.tail(writer).next_seq or attempt.over:
        return Refused("conflict", f"attempt {attempt.id} exists and has records", "start a new process")
    memory = keeper.recall(attempt.file.uid, attempt.run)
    base = memory or Memory(*attempt.run, attempt.request.original_id)
    answer = Answer(
        attempt.file.resumed,
        attempt.file.parent,
        True,
        attempt.file.step,
        base.config,
        base.summary,
        base.meta,
    )
    reader = keeper.open_reader(attempt, writer)
    fds = [os.dup(reader.descriptor(index)) for index in (0, 1)]
    attached = _attached(attempt, answer, base.meta, Decided(answer, None, []))
    return Granted(attached, attempt, fds)


def _alive(attempt: Attempt) -> Refused:
    request = attempt.request
    since = math.floor(time.time() - request.started_at) if request.started_at else 0
    return Refused(
        "live",
        f"run {request.project}/{request.run_id} is being written by pid {request.pid} on this node "
        f"(attached {since} s ago)",
        "wait for it to end, pass takeover=True, or use another id",
    )
