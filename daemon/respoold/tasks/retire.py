"""Retiring an attempt that is over and that the hub has entirely: its segments go on the shelf (`tasks.shelf`), then
for good, and its memory stays.

Its newest file versions stay as long as the run may still be continued on this node without the hub, and until
space is short; a run that finished needs them no more.
"""

from __future__ import annotations

import time
from typing import NoReturn

import trio

from respool.wire.attempt import NOTE
from respoold.core.attempt import Attempt
from respoold.core.file_version import Blob
from respoold.core.memory import Memory, next_step
from respoold.core.states import State
from respoold.io import blobs, chunks, disk, fold, segments
from respoold.tasks import belief
from respoold.tasks.keeper import Keeper

LOOK_SECONDS = 1.0


async def retire_if_complete(keeper: Keeper, attempt: Attempt) -> None:
    """Do it when nothing is left to send; safe to call at any time, and again after a kill in the middle. One
    at a time: streams of one attempt may be answered at once, and each of them asks.
    """
    async with keeper.retiring:
        if keeper.node.get(attempt.id) is attempt and attempt.complete and _read(keeper, attempt):
            await _retire(keeper, attempt)


def _read(keeper: Keeper, attempt: Attempt) -> bool:
    return all(one.finished for one in keeper.readers_of(attempt))


async def _retire(keeper: Keeper, attempt: Attempt) -> None:
    _remember_launch(keeper, attempt)
    uplink = keeper.uplink_of(attempt)
    if uplink is not None:
        uplink.settled(attempt)
    if not attempt.adopted and segments.indexes(attempt.directory) and not attempt.shelved:
        await _remember_end(keeper, attempt)
        if not attempt.complete:
            return  # the hub was put back from a backup meanwhile
        _shelve(keeper, attempt)
    if attempt.state is State.FINISHED:
        _drop_finished_files(keeper, attempt)
    for one in keeper.node.of_run(attempt.file.uid, attempt.run):
        await _drop_if_done(keeper, one, finished=attempt.state is State.FINISHED)
    keeper.progress.moved()


async def retire_touched(keeper: Keeper) -> NoReturn:
    """Finish with attempts that were complete when the daemon started, or whose last segments have left the shelf,
    until cancelled.
    """
    while True:
        await trio.sleep(LOOK_SECONDS)
        while keeper.shelf.touched:
            attempt = keeper.node.get(keeper.shelf.touched.pop())
            if attempt is not None:
                await retire_if_complete(keeper, attempt)


async def _drop_if_done(keeper: Keeper, attempt: Attempt, *, finished: bool) -> None:
    """Another one of the run that still has segments was not folded into its memory yet, or they are on the shelf:
    its turn comes.
    """
    if attempt.complete and (finished if attempt.adopted else not segments.indexes(attempt.directory)):
        await _drop(keeper, attempt, finished=finished)


def _drop_finished_files(keeper: Keeper, attempt: Attempt) -> None:
    """A run that finished needs its snapshots here no more; its segments may stay on the shelf for longer."""
    for one in keeper.node.of_run(attempt.file.uid, attempt.run):
        if one.complete and not one.adopted:
            for token in blobs.tokens(one.directory):
                chunks.remove(one.directory, token)


def _remember_launch(keeper: Keeper, attempt: Attempt) -> None:
    """From now on its folder may go at any time."""
    try:
        generation = int(attempt.file.generation)
        keeper.journal.note_launch(attempt.file.uid, attempt.run, attempt.request.launch, generation)
    except OSError as error:
        keeper.warn(f"the journal cannot be written: {error}", about="journal")


async def _drop(keeper: Keeper, attempt: Attempt, *, finished: bool) -> None:
    """Drop what nobody needs of a complete attempt. One that was adopted stays where its owner made it until
    the run has finished: without a daemon it is all there is to resume from.
    """
    _drop_old_files(keeper, attempt)
    if not (finished or not blobs.tokens(attempt.directory)):
        return
    if keeper.notes.alone(attempt):
        keeper.take_writers(attempt)
        if not attempt.complete:
            keeper.notes.share(attempt)
            return
        if attempt.adopted and segments.indexes(attempt.directory):
            await _remember_end(keeper, attempt)
        # Known until it is gone: a rescan in between would adopt what is left of it, for good.
        await trio.to_thread.run_sync(disk.delete_attempt, attempt.directory)
        keeper.forget(attempt)


async def _remember_end(keeper: Keeper, attempt: Attempt) -> None:
    """Fold the last segment into the run's memory before it is deleted."""
    if not attempt.moved:
        return
    uid, request = attempt.file.uid, attempt.request
    view = await trio.to_thread.run_sync(fold.fold, attempt.directory)
    old = keeper.journal.recall(uid, attempt.run)
    memory = Memory(
        project=request.project,
        run_id=request.run_id,
        original_id=request.original_id,
        entity=attempt.entity,
        hub=request.hub or keeper.config.hub,
        head=attempt.id,
        state=attempt.state,
        step=next_step(keeper.node.of_run(uid, attempt.run), attempt),
        config=view.config,
        summary=view.summary,
        meta=view.meta or (old.meta if old else {}),
        updated_at=time.time(),
        as_of=max(request.started_at, old.as_of if old and old.head == attempt.id else 0.0),
    )
    if old is None or old.head in {attempt.id, attempt.file.parent, None} or old.as_of <= request.started_at:
        keeper.remember(uid, memory)


def _shelve(keeper: Keeper, attempt: Attempt) -> None:
    """All of its segments are needed no more; those that were never written to go at once."""
    attempt.shelved = True
    for reader in keeper.readers_of(attempt):
        last, rest = reader.tail.segment, reader.rest()
        reader.tail.advance(last + 1)
        for index in rest:
            if index > last:
                segments.delete(attempt.directory, reader.writer, index)
        keeper.shelf.put(attempt, reader.writer, [index for index in rest if index <= last])
    keeper.save(attempt)


def _drop_old_files(keeper: Keeper, attempt: Attempt) -> None:
    """Keep the newest version of each name in the run; older snapshots were sent, or never will be."""
    newest: dict[str, str] = {}
    run = keeper.node.of_run(attempt.file.uid, attempt.run)
    for one in run:
        for version in sorted(one.files.values(), key=lambda version: version.seq):
            if version.state in {Blob.SENT, Blob.PENDING}:
                newest[version.name] = version.token
    kept = set(newest.values()) | attempt.checkpoints.tokens | belief.doubted(run, attempt)
    for token in blobs.tokens(attempt.directory):
        if token.removesuffix(NOTE) not in kept:
            chunks.remove(attempt.directory, token)
