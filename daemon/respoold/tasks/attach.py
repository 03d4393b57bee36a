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
from typing import Any, NamedTuple

import trio

from respool.wire import limits
from respool.wire.attempt import AttemptFile, Request
from respool.wire.identity import attempt_id_of
from respool.wire.messages import Attached, Refused
from respoold.core.attempt import Attempt, Pass
from respoold.core.memory import Answer, Memory, merge_meta, newest, next_step, of_memory
from respoold.core.quota import refuse_segment
from respoold.io import disk, fold, processes, segments, tokens
from respoold.tasks.consult import Decided, Waiter, decide
from respoold.tasks.keeper import Keeper

SETTLE_SECONDS = 30.0


class Granted(NamedTuple):
    """An attach that was granted: the answer, its attempt, and the descriptors to send and close."""

    attached: Attached
    attempt: Attempt
    fds: list[int]


async def attach(
    keeper: Keeper, uid: int, request: Request, wait: Waiter, key: str = ""
) -> Granted | Refused:
    """Decide and carry out an attach. The caller sends the descriptors and closes them. `key`: the user's own."""
    request = _by_id(request)
    refusal = keeper.uplinks.refusal(uid, request.hub)
    if refusal is not None:
        return Refused("forbidden", f"{refusal}.", "Set RESPOOL_HUB_URL to one of these, or unset it.")
    uplink = keeper.uplinks.of(uid, request.hub)
    # The run stays with this hub, whatever the configuration says at the daemon's next start.
    request = request._replace(hub=uplink.url if uplink else None)
    attempt_id = attempt_id_of(request.project, request.run_id, request.launch, request.incarnation)
    known = keeper.node.get(attempt_id)
    if known is not None:
        return await _again(keeper, known)
    before = keeper.siblings(uid, request)
    rival = next((attempt for attempt in before if _lives(attempt)), None)
    if rival is not None and not request.takeover:
        return _alive(rival)
    await _settle(keeper, before)
    local = await _local_answer(keeper, uid, request, before)
    directory = disk.attempt_directory(keeper.root, uid, attempt_id)
    fds = await _make_room(keeper, uid, request.writer, directory, attempt_id)
    if isinstance(fds, Refused):
        return fds
    decided = await decide(keeper, uplink, request, attempt_id, before, local, wait, key)
    if isinstance(decided, Refused):
        _give_back(directory, fds)
        return decided
    try:
        return await _create(keeper, uid, request, attempt_id, decided, fds, key)
    except OSError as error:
        _give_back(directory, fds)
        return _no_room(str(error))


def _by_id(request: Request) -> Request:
    """An auto-resume as a request for one run, the one that the state file names or a new one."""
    if request.resume != "auto":
        return request
    found = request.remembered
    run_id = found or request.run_id
    return request._replace(run_id=run_id, original_id=run_id, resume="allow" if found else "none")


def _lives(attempt: Attempt) -> bool:
    """Asked of the kernel: a death that the reaper has not seen yet counts."""
    return attempt.alive and not attempt.facts.ended and processes.is_alive(attempt.request.process)


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
    memory = keeper.journal.recall(uid, (request.project, request.run_id))
    head = newest(before)
    if head is None:
        return None if memory is None else of_memory(memory)
    view = await trio.to_thread.run_sync(fold.fold, head.directory)
    inherited = memory or Memory(*head.run, request.original_id)
    config, summary, meta = view.config, view.summary, view.meta
    if not (config or summary) and memory is not None and memory.head == head.id:
        config, summary, meta = memory.config, memory.summary, memory.meta
    return Answer(True, head.id, True, next_step(before, head), config, summary, meta or inherited.meta)


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
    keeper: Keeper,
    uid: int,
    request: Request,
    attempt_id: str,
    decided: Decided,
    fds: list[int],
    key: str,
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
    token = (hub.token if hub else None) or ""
    if key:
        # Before the papers: an attempt that came with a key of its own must never be taken for one without.
        tokens.write(keeper.root, uid, attempt_id, token)
    await trio.to_thread.run_sync(disk.create_attempt, directory, file)
    attempt = Attempt(file, directory)
    attempt.pass_ = Pass(own=bool(key), token=token if key else "", key="" if token else key)
    attempt.alive = True
    keeper.node.add(attempt)
    reader = keeper.open_reader(attempt, request.writer)
    for index, fd in enumerate(fds):
        reader.keep(index, fd)
    meta = merge_meta(answer.meta, request.meta)
    if answer.resumed or keeper.journal.recall(uid, attempt.run) is None:
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
        hub=request.hub,
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
    memory = keeper.journal.recall(attempt.file.uid, attempt.run)
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
