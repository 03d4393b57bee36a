"""Uploading: the schedule says what, this carries it to the hub and tells the schedule how it went.

At most one request is in flight per writer, so records arrive in order; whatever came in the meantime goes out
merged with the next. No answer of the hub stops a stream for good: see `_trouble`.
"""

from __future__ import annotations

import math
from typing import NoReturn

import trio

from respool.wire import limits
from respoold.core.attempt import Attempt, Pass
from respoold.core.checkpoints import Part, Share, Stage
from respoold.core.cuts import CHUNK
from respoold.core.errors import HubAway, HubDenied, HubError, HubRefused
from respoold.core.file_version import Blob, FileVersion
from respoold.core.hubapi import FULL, Appended, FileCommit, RoomAsked
from respoold.core.schedule import Priority, Stream
from respoold.core.transfers import Transfer
from respoold.io import blobs, tokens
from respoold.io.hub import HubDoor
from respoold.io.reader import Reader
from respoold.io.registration import report
from respoold.tasks import belief, ferry, vault
from respoold.tasks.keeper import Keeper
from respoold.tasks.keys import register
from respoold.tasks.restored import met, read_again, unknown
from respoold.tasks.retire import retire_if_complete
from respoold.tasks.uplink import DENIED_SECONDS, Uplink, jitter

TRIES_BEFORE_QUARANTINE = 5
SMALLEST = 12
"""Halvings of a batch after which it is one extent."""
SAVE_SECONDS = 1.0
WRITTEN_SECONDS = 0.2
"""Between two looks at a checkpoint that is still being written from memory."""


class _NotYetError(Exception):
    """All that is left to send is still being written."""


async def upload_forever(keeper: Keeper, uplink: Uplink) -> NoReturn:
    """Send what the schedule allows until cancelled; what is in flight then is sent again later."""
    async with trio.open_nursery() as nursery:
        while True:
            now = trio.current_time()
            uplink.turns.give_way(uplink.schedule, lambda one: _urgent(keeper, one))
            if uplink.open:
                for stream in uplink.schedule.take(now):
                    nursery.start_soon(_send, keeper, uplink, stream)
            with trio.move_on_at(uplink.schedule.wake_at(now)):
                await uplink.upload.wait()


async def _send(keeper: Keeper, uplink: Uplink, stream: Stream) -> None:
    attempt = keeper.node.get(stream.attempt_id)
    if attempt is None or attempt.deleted:
        uplink.schedule.done(stream)
        return
    try:
        with uplink.turns.taken(stream) as turn:
            await _CARRIERS[stream.priority](keeper, uplink, attempt, stream)
    except _NotYetError:
        uplink.schedule.failed(stream, trio.current_time(), 0.0, WRITTEN_SECONDS)
        uplink.upload.ring()
        return
    except HubError as error:
        _trouble(keeper, uplink, attempt, stream, error)
        # The loop may sleep without a deadline: this stream's pause is one, and it was in flight till now.
        uplink.upload.ring()
        return
    if turn.scope.cancelled_caught:
        uplink.schedule.done(stream)
        keeper.offer(attempt)
        return
    if attempt.held:
        attempt.held = None
        keeper.resolve(attempt.id, attempt.file.uid)
    if attempt.no_room and stream.priority in {Priority.FILES, Priority.CHECKPOINTS}:
        attempt.no_room = None
        keeper.resolve(f"room {attempt.id}", attempt.file.uid)
    uplink.answered()
    uplink.schedule.done(stream)
    keeper.offer(attempt)
    uplink.sent_some(attempt)
    keeper.save(attempt, at_most_every=SAVE_SECONDS)
    await retire_if_complete(keeper, attempt)


def _trouble(keeper: Keeper, uplink: Uplink, attempt: Attempt, stream: Stream, error: HubError) -> None:
    """Nothing is given up: an absent hub is waited for, a refusal is tried again more and more slowly."""
    now, schedule = trio.current_time(), uplink.schedule
    match error:
        case HubAway():
            uplink.failed(error.why, error.retry_after)
            schedule.failed(stream, now, 0.0)
            return
        case HubDenied():
            again = _denied(keeper, uplink, attempt, error)
            schedule.failed(stream, now, jitter(), 0.0 if again else DENIED_SECONDS)
        case HubRefused() if error.problem.code == "deleted":
            schedule.done(stream)
            keeper.drop_deleted(attempt, error.problem.cause)
            return
        case HubRefused() if error.problem.code == "unknown-attempt":
            unknown(keeper, attempt)
            schedule.failed(stream, now, jitter())
            schedule.offer(Stream(Priority.STATE, attempt.id))
        case HubRefused() if error.problem.code == "quota" or error.status == FULL:
            attempt.no_room = (error.problem.cause, error.problem.advice)
            schedule.failed(stream, now, jitter())
            text = f"{'/'.join(attempt.run)}: {error} {error.problem.advice}"
            keeper.warn(text, f"room {attempt.id}", attempt.file.uid)
            return
        case _:
            attempt.held = f"the hub refuses: {error}"
            schedule.failed(stream, now, jitter())
    keeper.warn(f"{'/'.join(attempt.run)}: {error}", attempt.id, attempt.file.uid)


def _denied(keeper: Keeper, uplink: Uplink, attempt: Attempt, error: HubDenied) -> bool:
    """The hub refused what the attempt showed. True when it has something else to show."""
    attempt.held = str(error) if attempt.pass_.stuck else f"the hub refuses: {error}"
    if not attempt.pass_.own:
        return uplink.refused(error)
    if error.problem.code == "unauthorized":
        # A token ends with its key. Another key of the same user is exchanged for another one.
        attempt.pass_ = Pass(own=True)
        tokens.write(keeper.root, attempt.file.uid, attempt.id, "")
    return False


async def _carry_state(keeper: Keeper, uplink: Uplink, attempt: Attempt, _: Stream) -> None:
    if keeper.node.unregistered_before(attempt):
        return
    if not attempt.registered or attempt.pass_.waiting:
        await register(keeper, uplink, attempt)
        for later in keeper.node.of_run(attempt.file.uid, attempt.run):
            keeper.offer(later)
    await report(uplink.door_of(attempt), attempt)
    keeper.save(attempt)


async def _carry_rows(keeper: Keeper, uplink: Uplink, attempt: Attempt, stream: Stream) -> None:
    reader = keeper.readers.get((attempt.id, stream.part))
    if reader is None:
        return
    limit = math.ceil(limits.MAX_BATCH / 2**reader.shrunk)
    extents = reader.choose(limit)
    if not extents:
        return
    first_seq, frames = extents[0].first_seq, await trio.to_thread.run_sync(reader.read, extents)
    try:
        answer = await uplink.door_of(attempt).append(attempt.id, stream.part, first_seq, frames)
    except HubRefused as error:
        _refused_rows(keeper, reader, error, extents[-1].next_seq)
        raise
    reader.shrunk = reader.refusals = 0
    _take_answer(keeper, attempt, reader, answer, first_seq)
    met(keeper, uplink, answer.incarnation)


def _refused_rows(keeper: Keeper, reader: Reader, error: HubRefused, next_seq: int) -> None:
    """413: smaller next time. Anything else but a forgotten attempt: one extent at a time, so that what is good
    goes through; and the first that is still refused after some tries and `refusal_patience` seconds (the hub
    may be what is wrong) stands aside with a LOSS in its place, so that it never blocks what comes behind it.
    """
    now = trio.current_time()
    if error.status == 413 and reader.shrunk < SMALLEST:
        reader.shrunk += 1
    elif error.status not in {404, 410}:
        reader.refused_since = reader.refused_since if reader.refusals else now
        reader.shrunk, reader.refusals = SMALLEST, reader.refusals + 1
        patient = now - reader.refused_since < keeper.config.refusal_patience
        if reader.refusals >= TRIES_BEFORE_QUARANTINE and not patient:
            reader.refusals = 0
            reader.set_aside(next_seq, f"the hub refused them: {error}", now)
            run = "/".join(reader.attempt.run)
            text = f"{run}: records set aside in quarantine: {error}"
            keeper.warn(text, f"{run} quarantine", reader.attempt.file.uid)


def _take_answer(keeper: Keeper, attempt: Attempt, reader: Reader, answer: Appended, first_seq: int) -> None:
    writer = reader.writer
    if answer.next_seq < first_seq and attempt.begins(writer) < first_seq:
        read_again(keeper, reader, answer.next_seq)
    elif answer.next_seq < first_seq:
        attempt.acked[writer] = answer.next_seq
        reader.tail.insert_loss(answer.next_seq, first_seq, "the hub lost them", trio.current_time())
    else:
        before = attempt.pending_records()
        attempt.acknowledge(writer, min(answer.next_seq, reader.tail.next_seq))
        keeper.sent += before - attempt.pending_records()
    keeper.prune(attempt, writer)
    if answer.superseded:
        keeper.supersede(attempt)


async def _carry_files(keeper: Keeper, uplink: Uplink, attempt: Attempt, _: Stream) -> None:
    """Bring the newest version first; the older ones of its name were skipped when it was handed over."""
    for version in attempt.pending_versions()[:1]:
        try:
            sent = await _carry_file(keeper, uplink, attempt, version)
        except blobs.BlobGoneError as error:
            if attempt.files[version.token].state is Blob.SKIPPED:
                continue  # it was removed when a newer one replaced it
            sent = version._replace(state=Blob.MISSING)
            keeper.give_up(attempt, f"{version.name}: {error}")
        else:
            keeper.sent_files += sent.state is Blob.SENT
        attempt.files[version.token] = sent
        if sent.state is not Blob.PENDING:
            keeper.transfers.done(attempt.id, version.token)
        keeper.save(attempt)


async def _carry_file(keeper: Keeper, uplink: Uplink, attempt: Attempt, version: FileVersion) -> FileVersion:
    """Hash a snapshot once (it is durable by then), upload what the hub has not, make the version visible."""
    belief.check_file(attempt, version)
    if not version.digest and version.size <= CHUNK:
        directory, token, size = attempt.directory, version.token, version.size
        version = version._replace(digest=await trio.to_thread.run_sync(blobs.settle, directory, token, size))
        attempt.files[token] = version
    hub = uplink.door_of(attempt)
    if version.size > CHUNK:
        transfer = keeper.transfers.turn(attempt.id, version.token, trio.current_time())
        return await _carry_chunks(hub, attempt, version, transfer)
    if not await hub.has_blob(version.digest):
        with blobs.open_blob(attempt.directory, version.token) as read:
            await hub.put_blob(version.digest, version.size, read)
    await hub.commit_file(attempt.id, _commit(version, version.digest))
    return version._replace(state=Blob.SENT)


async def _carry_chunks(
    hub: HubDoor, attempt: Attempt, version: FileVersion, transfer: Transfer
) -> FileVersion:
    """A turn of a large file; it stays pending until its last chunk is there."""
    if not version.digest:
        await hub.ask_room(attempt.id, RoomAsked(version.name, version.size, version.seq, version.writer))
    directory, part = attempt.directory, Part("", version.token, version.size)
    chunked = await ferry.settle(directory, part)
    bundle = ferry.Bundle(blobs.path_of(directory, version.token), chunked)
    moved = await ferry.bring(hub, [bundle], transfer=transfer)
    version = version._replace(digest=chunked.digest)
    if not moved.whole:
        return version
    commit = _commit(version, chunked.digest)._replace(digests=chunked.digests, sizes=chunked.sizes)
    await hub.commit_file(attempt.id, commit)
    return version._replace(state=Blob.SENT)


def _commit(version: FileVersion, digest: str) -> FileCommit:
    step = version.step if version.step >= 0 else None
    return FileCommit(version.name, digest, version.size, version.seq, version.writer, step, version.time)


def _outlived_meanwhile(keeper: Keeper, attempt: Attempt, share: Share) -> bool:
    """Whether a process that keeps its own spool has removed it for newer ones, whose records say so."""
    for reader in keeper.readers_of(attempt):
        keeper.look(reader)
    return share in vault.outlived(keeper, attempt)


def _next_share(keeper: Keeper, attempt: Attempt) -> Share | None:
    """The newest that the hub lacks and that can be read. One that is too short comes to its size while its writer
    lives, which may still be copying it from shared memory.
    """
    over = attempt.over
    return next(
        (
            one
            for one in attempt.checkpoints.pending
            if (vault.ready if over else vault.whole)(keeper, attempt, one)
        ),
        None,
    )


def _urgent(keeper: Keeper, attempt_id: str) -> Share | None:
    """The checkpoint that an attempt which is being preempted needs most."""
    attempt = keeper.node.get(attempt_id)
    return _next_share(keeper, attempt) if attempt is not None and attempt.notice else None


async def _carry_checkpoints(keeper: Keeper, uplink: Uplink, attempt: Attempt, stream: Stream) -> None:
    """A turn of the newest checkpoint that the hub lacks; those that it outlives need not go there at all."""
    await vault.let_go(
        attempt, [one for one in vault.outlived(keeper, attempt) if one.stage is Stage.PENDING]
    )
    share = _next_share(keeper, attempt)
    if share is None and attempt.checkpoints.pending:
        raise _NotYetError
    if share is None:
        return
    uplink.turns.moving(stream, share)
    try:
        belief.check(attempt, share)
        transfer = keeper.transfers.turn(attempt.id, share.key, trio.current_time())
        moved, _sent, expired = await ferry.bring_share(
            uplink.door_of(attempt), attempt.id, attempt.directory, share, transfer
        )
    except blobs.BlobGoneError as error:
        if _outlived_meanwhile(keeper, attempt, share):
            await vault.let_go(attempt, [share])
            return
        attempt.checkpoints.moved(share, stage=Stage.MISSING)
        keeper.transfers.done(attempt.id, share.key)
        remains = belief.remains(attempt, share)
        keeper.give_up(attempt, f"checkpoint {share.name} at step {share.step}: {error}{remains}")
    except HubRefused as error:
        if error.problem.code == "bad-request":
            attempt.checkpoints.refuse(share)
        raise
    else:
        attempt.checkpoints.moved(share, stage=moved.stage, sent=moved.sent)
        if moved.stage is Stage.SENT:
            keeper.transfers.done(attempt.id, share.key)
        keeper.sent_files += moved.stage is Stage.SENT
        for one in expired:
            await vault.let_go(
                attempt, attempt.checkpoints.expire(str(one.get("name")), int(one.get("step", 0)))
            )
    keeper.save(attempt)


_CARRIERS = {
    Priority.STATE: _carry_state,
    Priority.ROWS: _carry_rows,
    Priority.FILES: _carry_files,
    Priority.CHECKPOINTS: _carry_checkpoints,
}
