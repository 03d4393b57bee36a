"""Attaching a process to a run: the handshake, with the hub and without it.

    1. read to their end the segments of the dead writers of this run on this node
    2. is there room for two segments? What cannot be kept must not begin
    3. ask the hub, or, when it does not answer within the handshake bound, decide here
    4. make the segments and the papers, which is what makes it a writer of an attempt; only then answer

One at a time per user and project, so that ranks that come together find each other. A refusal leaves nothing
behind; what cannot be made after the hub agreed is reported to it as gone. Asking twice gives the same answer.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import NamedTuple, Protocol

import trio

from respool.wire import limits
from respool.wire.attempt import AttemptFile, Request, WriterFile
from respool.wire.messages import Attached, Refused
from respoold.core.attempt import Attempt, Pass
from respoold.core.errors import HubError
from respoold.core.hubapi import StateReport
from respoold.core.memory import Answer, Memory, merge_meta, unknown
from respoold.core.writer import paper_of
from respoold.io import disk, processes, segments, tokens
from respoold.tasks.consult import Decided, decide, of_another_user
from respoold.tasks.ground import Ground
from respoold.tasks.keeper import Keeper
from respoold.tasks.uplink import Uplink

PAUSE_SECONDS = 0.5
"""Between two looks at a run that lives elsewhere."""

HEARTBEATS = 3
"""How many of them an attach waits for a live head to fall silent."""

GIVE_UP_SECONDS = 5.0


class Caller(Protocol):
    """Who asks."""

    async def wait(self, reason: str, seconds: float) -> None:
        """Tell what is waited for, and for how many seconds at most."""

    def there(self) -> bool:
        """Whether anybody still waits for the answer."""


class Granted(NamedTuple):
    """An attach that was granted: the answer, its attempt, and the descriptors to send and close."""

    attached: Attached
    attempt: Attempt
    fds: list[int]


async def attach(
    keeper: Keeper, uid: int, request: Request, caller: Caller, key: str = ""
) -> Granted | Refused:
    """Decide and carry out an attach. The caller sends the descriptors and closes them. `key`: the user's own."""
    refusal = keeper.uplinks.refusal(uid, request.hub)
    if refusal is not None:
        return Refused("forbidden", f"{refusal}.", "Set RESPOOL_HUB_URL to one of these, or unset it.")
    uplink = keeper.uplinks.of(uid, request.hub)
    # The run stays with this hub, whatever the configuration says at the daemon's next start.
    request = request._replace(
        hub=uplink.url if uplink else None, launch=request.launch or request.incarnation
    )
    give_up = trio.current_time() + HEARTBEATS * keeper.config.heartbeat
    while True:
        async with keeper.attaching.setdefault((uid, request.project), trio.Lock()):
            if not caller.there():
                return Refused("conflict", "Nobody waits for this answer any more.")
            answer = await _attach(keeper, uplink, uid, request, key)
        left = give_up - trio.current_time()
        if not (isinstance(answer, Refused) and answer.code == "live") or left <= 0:
            return answer
        await caller.wait(answer.cause, left)
        await trio.sleep(min(PAUSE_SECONDS, left))


async def _attach(
    keeper: Keeper, uplink: Uplink | None, uid: int, request: Request, key: str
) -> Granted | Refused:
    known = keeper.node.of_call(uid, request.incarnation)
    if known is not None:
        return await _again(keeper, known, request.incarnation)
    ground = Ground(keeper, uid, request)
    await ground.settle()
    refusal = await keeper.rooms.refuse_rows(uid, 2 * limits.SEGMENT_SIZE)
    if refusal is not None:
        return _no_room(refusal)
    decided = await decide(keeper, uplink, uid, request, ground, key)
    if isinstance(decided, Refused):
        return decided
    try:
        return await _begin(keeper, uid, decided, key)
    except OSError as error:
        await _give_up(uplink, decided, key)
        return _no_room(str(error))


def _no_room(why: str) -> Refused:
    return Refused(
        "quota",
        f"The spool cannot take another attempt: {why}.",
        "See `respool status`; connect the hub, free space, or raise rows_quota.",
    )


async def _give_up(uplink: Uplink | None, decided: Decided, key: str) -> None:
    """The hub agreed to what cannot be: it hears of it, or will see the silence."""
    if uplink is not None and decided.hub is not None:
        gone = StateReport("gone", at=time.time(), writer=decided.request.writer)
        with trio.move_on_after(GIVE_UP_SECONDS), suppress(HubError):
            await uplink.door(key).report(decided.attempt_id, gone)


async def _begin(keeper: Keeper, uid: int, decided: Decided, key: str) -> Granted | Refused:
    """Make the segments and papers of a new writer, and take it up. Raises OSError; then nothing is left."""
    request, known = decided.request, keeper.node.get(decided.attempt_id)
    if known is not None and known.file.uid != uid:
        return of_another_user(decided.attempt_id)
    directory = disk.attempt_directory(keeper.root, uid, decided.attempt_id)
    paper = paper_of(request)
    if known is None:
        attempt = Attempt(_file(uid, decided), directory)
        attempt.pass_ = _pass(decided, key)
        if attempt.pass_.own:
            # Before the papers: an attempt that came with a key of its own must never be taken for one without.
            tokens.write(keeper.root, uid, attempt.id, attempt.pass_.token)
        fds = await trio.to_thread.run_sync(_make, attempt)
        if attempt.id in keeper.node:
            # Two users' processes of one launch: only attaches of the same user and project wait for each other.
            _close(fds)
            await trio.to_thread.run_sync(disk.delete_attempt, directory)
            tokens.drop(keeper.root, uid, attempt.id)
            return of_another_user(attempt.id)
        keeper.node.add(attempt)
    else:
        attempt, fds = known, await _further(keeper, known, paper)
    _take_up(keeper, attempt, paper, fds, decided)
    meta = merge_meta(decided.answer.meta, request.meta)
    if not decided.joined:
        _remember(keeper, uid, attempt, decided, meta)
    attached = _attached(attempt, paper.writer, decided.answer, decided.lines)
    url = decided.hub.url if decided.hub else None
    attached = attached._replace(
        joined=decided.joined, meta=meta, url=url, lasting=keeper.lasting, unknown=_unknown(decided)
    )
    return Granted(attached, attempt, [os.dup(fd) for fd in fds])


async def _further(keeper: Keeper, attempt: Attempt, paper: WriterFile) -> list[int]:
    """Make another writer of an attempt; one that was complete, and may be on the shelf, is so no more. Raises OSError
    when it was let go meanwhile.
    """
    async with keeper.retiring:
        if attempt.id not in keeper.node:
            raise FileNotFoundError(f"attempt {attempt.id} was just let go")
        fds = await trio.to_thread.run_sync(_make_further, attempt, paper)
        attempt.take_writer(paper).alive = True
        keeper.shelf.forget(attempt)
        attempt.shelved = False
        return fds


def _take_up(keeper: Keeper, attempt: Attempt, paper: WriterFile, fds: list[int], decided: Decided) -> None:
    writer = attempt.writers[paper.writer]
    writer.alive = True
    # Before it hears of it: of who ends a moment later the kernel tells nobody how, who had no pidfd by then.
    keeper.pidfds[writer] = processes.open_pidfd(paper.process)
    attempt.hub = attempt.hub or attempt.request.hub or ""
    if decided.hub is None:
        attempt.registered = False
    else:
        attempt.home, attempt.incarnation = decided.hub.run_id, decided.hub.incarnation
        attempt.number, attempt.entity = decided.hub.number, decided.hub.entity
    reader = keeper.open_reader(attempt, paper.writer)
    for index, fd in enumerate(fds):
        reader.keep(index, fd)
    keeper.births.ring()
    keeper.offer(attempt)


def _pass(decided: Decided, key: str) -> Pass:
    token = (decided.hub.token if decided.hub else None) or ""
    return Pass(own=True, token=token, key="" if token else key) if key else Pass()


def _file(uid: int, decided: Decided) -> AttemptFile:
    answer, hub = decided.answer, decided.hub
    return AttemptFile(
        attempt_id=decided.attempt_id,
        request=decided.request._asdict(),
        uid=uid,
        offline=hub is None,
        parent=answer.parent,
        resumed=answer.resumed,
        step=answer.step,
        number=hub.number if hub else None,
        entity=hub.entity if hub else decided.request.entity,
        parent_known=answer.parent_known,
        generation=decided.generation,
    )


def _make(attempt: Attempt) -> list[int]:
    """The segments, then the papers: without these the folder is nobody's."""
    try:
        disk.make_folders(attempt.directory)
        fds = _make_segments(attempt, attempt.request.writer)
        try:
            disk.create_attempt(attempt.directory, attempt.file)
        except OSError:
            _close(fds)
            raise
    except OSError:
        disk.delete_attempt(attempt.directory)
        raise
    return fds


def _make_further(attempt: Attempt, paper: WriterFile) -> list[int]:
    """The paper, then the segments: whose they are must be known as soon as they are."""
    try:
        disk.write_writer(attempt.directory, paper)
        return _make_segments(attempt, paper.writer)
    except OSError:
        disk.delete_writer(attempt.directory, paper.writer)
        raise


def _make_segments(attempt: Attempt, writer: int) -> list[int]:
    first = segments.create(attempt.directory, attempt.id, writer, 0)
    try:
        return [first, segments.create(attempt.directory, attempt.id, writer, 1)]
    except OSError:
        _close([first])
        raise


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


def _unknown(decided: Decided) -> bool:
    return not decided.joined and unknown(decided.request, decided.answer)


def _remember(keeper: Keeper, uid: int, attempt: Attempt, decided: Decided, meta: dict[str, object]) -> None:
    request, answer = decided.request, decided.answer
    if not answer.resumed and keeper.journal.recall(uid, attempt.run) is not None:
        return
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
        as_of=request.started_at,
    )
    keeper.remember(uid, memory)


def _attached(attempt: Attempt, writer: int, answer: Answer, lines: list[str]) -> Attached:
    return Attached(
        attempt_id=attempt.id,
        project=attempt.request.project,
        run_id=attempt.request.run_id,
        entity=attempt.entity,
        number=attempt.number,
        writer=writer,
        segment=0,
        capacity=limits.SEGMENT_SIZE,
        resumed=answer.resumed,
        step=answer.step,
        config=answer.config,
        summary=answer.summary,
        meta=answer.meta,
        directory=attempt.directory,
        lines=lines,
    )


async def _again(keeper: Keeper, attempt: Attempt, incarnation: str) -> Granted | Refused:
    """The same attach once more: its answer was lost. Only while nothing was written yet."""
    writer = attempt.writer_of(incarnation)
    assert writer is not None
    slot = writer.slot
    if attempt.tail(slot).next_seq or attempt.end_of(slot).over:
        advice = "Start a new process."
        return Refused("conflict", f"Writer {slot} of attempt {attempt.id} exists and has records.", advice)
    memory = keeper.journal.recall(attempt.file.uid, attempt.run)
    base = memory or Memory(*attempt.run, attempt.request.original_id)
    file, reader = attempt.file, keeper.open_reader(attempt, slot)
    answer = Answer(file.resumed, file.parent, True, file.step, base.config, base.summary, base.meta)
    fds = list[int]()
    for index in (0, 1):
        spare, made = await keeper.rooms.spare(reader, index)
        fds += made
        if spare.full:
            _close(fds)
            return _no_room(keeper.rooms.full.pop(reader, "it is full"))
    attached = _attached(attempt, slot, answer, [])._replace(joined=slot != attempt.request.writer)
    return Granted(attached._replace(lasting=keeper.lasting), attempt, fds)
