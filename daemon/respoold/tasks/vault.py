"""The checkpoints of trainers, on the daemon's side: room for them, their way to the disk, and their end here."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial

import trio

from respool.wire.file_messages import BlobDone, BlobDropped, BlobKept, Settle, Settled, Stage, Staged
from respoold.core import quota
from respoold.core.attempt import Attempt
from respoold.core.checkpoints import Share
from respoold.core.checkpoints import Stage as Fate
from respoold.core.file_version import Blob
from respoold.core.making_room import spare
from respoold.io import blobs, chunks
from respoold.io.reader import Reader
from respoold.tasks.keeper import Keeper


async def judge(keeper: Keeper, attempt: Attempt, message: BlobDone) -> BlobKept:
    """Whether blobs that were written may stay: what they turned out to hold may be more than there is room for."""
    uid, directory = attempt.file.uid, attempt.directory
    # What was staged is still in memory, and will need its room here.
    coming = sum(max(0, size - blobs.size_of(directory, token)) for token, size in message.sizes.items())
    refusal = await make_room(keeper, uid, coming)
    about = f"files of {uid}"
    if refusal is None:
        keeper.resolve(about, uid)
        return BlobKept()
    keeper.warn(refusal, about, uid)
    await _delete(attempt, message.sizes)
    return BlobKept(refusal)


async def make_room(keeper: Keeper, uid: int, size: int) -> str | None:
    """Room for `size` bytes of files, if need be at the cost of files' versions that newer ones replaced unsent, then
    of older checkpoints, one by one, unless even all of them were too few. Why there is none, or None.
    """
    refusal = await keeper.rooms.refuse_blob(uid, size)
    mine = [one for one in keeper.node if one.file.uid == uid and not one.adopted]
    if refusal is not None and await _drop_replaced(keeper, mine):
        refusal = await keeper.rooms.refuse_blob(uid, size)
    older = spare(mine, partial(whole, keeper)) if refusal is not None else []
    there = sum(blobs.size_of(one.directory, part.token) for one, share in older for part in share.parts)
    if there < quota.lacking(await keeper.rooms.count(uid), size):
        return refusal
    for attempt, share in older:
        await let_go(attempt, [share])
        keeper.save(attempt)
        refusal = await keeper.rooms.refuse_blob(uid, size)
        if refusal is None:
            break
    return refusal


async def _drop_replaced(keeper: Keeper, attempts: list[Attempt]) -> bool:
    """Remove the bytes of versions that are never sent any more, but for those under way; whether there were any."""
    found = False
    for attempt in attempts:
        there = set(await trio.to_thread.run_sync(blobs.tokens, attempt.directory))
        for version in list(attempt.files.values()):
            under_way = keeper.transfers.get(attempt.id, version.token) is not None
            if version.state is Blob.SKIPPED and version.token in there and not under_way:
                await trio.to_thread.run_sync(chunks.delete, attempt.directory, version.token)
                found = True
    return found


async def dropped(attempt: Attempt, message: BlobDropped) -> None:
    """Blobs that no record will name."""
    await _delete(attempt, message.tokens)


def stage(keeper: Keeper, attempt: Attempt, message: Stage, fds: list[int]) -> Staged:
    """Hold shared memory and write it to its blob."""
    if len(fds) != 1 or keeper.staging is None:
        for fd in fds:
            os.close(fd)
        return Staged("this daemon takes no shared memory")
    return Staged(keeper.staging.begin(attempt.directory, message.token, message.size, fds[0]))


async def settle(keeper: Keeper, reader: Reader, message: Settle) -> Settled:
    """Answer when these blobs, and the records before now, are on disk."""
    attempt, directory = reader.attempt, reader.attempt.directory
    while keeper.look(reader):
        await trio.lowlevel.checkpoint()
    keeper.attend(reader)
    for token in message.tokens:
        failed = await keeper.staging.settled(directory, token) if keeper.staging else None
        if failed is not None:
            return Settled(failed)
        share = next(
            (one for one in attempt.checkpoints if token in {part.token for part in one.parts}), None
        )
        if share is None:
            return Settled("no record names it")
        if not share.here:
            continue  # newer ones outlived it, or it is at the hub and was let go
        size = next(part.size for part in share.parts if part.token == token)
        try:
            await trio.to_thread.run_sync(chunks.settle, directory, token, size)
        except (blobs.BlobGoneError, OSError) as error:
            return Settled(str(error))
    target = reader.tail.next_seq
    while max(reader.durable_seq, attempt.acked.get(reader.writer, 0)) < target:
        if reader.blocked or reader.suspect is not None:
            return Settled(reader.blocked or "the disk did not take its record")
        await keeper.progress.wait()
    return Settled()


def ready(keeper: Keeper, attempt: Attempt, share: Share) -> bool:
    """Whether nothing of it is still being written from shared memory."""
    staging = keeper.staging
    return staging is None or not any(staging.busy(attempt.directory, part.token) for part in share.parts)


def whole(keeper: Keeper, attempt: Attempt, share: Share) -> bool:
    """Whether as many bytes lie here as were recorded: those of a staged one come after its record, and count when
    they are on disk, for until then all of them may come to nothing.
    """
    return ready(keeper, attempt, share) and all(
        blobs.size_of(attempt.directory, part.token) >= part.size for part in share.parts
    )


def outlived(keeper: Keeper, attempt: Attempt) -> list[Share]:
    """What its retention drops for newer ones, which lie here whole."""
    return attempt.checkpoints.outlived(partial(whole, keeper, attempt))


async def let_go(attempt: Attempt, shares: Iterable[Share]) -> None:
    """These need not lie here any more: outlived, or dropped by the hub's retention."""
    for share in shares:
        fate = Fate.DROPPED if share.stage is Fate.SENT else Fate.SKIPPED
        attempt.checkpoints.moved(share, stage=fate)
        await _delete(attempt, (part.token for part in share.parts))


async def _delete(attempt: Attempt, tokens: Iterable[str]) -> None:
    named = {part.token for share in attempt.checkpoints if share.here for part in share.parts}
    for token in tokens:
        if token not in named and token not in attempt.files:
            await trio.to_thread.run_sync(chunks.delete, attempt.directory, token)
