"""Retiring an attempt that is over and that the hub has entirely: its segments go, its memory stays.

Its newest file versions stay as long as the run may still be continued on this node without the hub, and until
space is short; a run that finished needs them no more.
"""

from __future__ import annotations

import time

import trio

from respoold.core.attempt import Attempt, Blob
from respoold.core.memory import Memory, next_step
from respoold.core.progress import progress_of
from respoold.core.states import State
from respoold.io import blobs, chunks, disk, fold, segments
from respoold.tasks.keeper import Keeper


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
    finished = attempt.state is State.FINISHED
    _remember_launch(keeper, attempt)
    if not attempt.adopted and segments.indexes(attempt.directory):
        await _remember_end(keeper, attempt)
        _drop_segments(keeper, attempt)
    for one in keeper.node.of_run(attempt.file.uid, attempt.run):
        # Another one of the run that still has segments was not folded into its memory yet: its turn comes.
        if one.complete and (finished if one.adopted else not segments.indexes(one.directory)):
            await _drop(keeper, one, finished=finished)
    keeper.progress.moved()


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
    )
    if old is None or old.head in {attempt.id, attempt.file.parent, None} or not old.updated_at:
        keeper.remember(uid, memory)


def _drop_segments(keeper: Keeper, attempt: Attempt) -> None:
    for writer, tail in attempt.tails.items():
        tail.advance(tail.segment + 1)
        attempt.rebase(writer, tail.segment)
    disk.write_progress(attempt.directory, progress_of(attempt))
    for reader in keeper.readers_of(attempt):
        reader.close()
    for writer, indexes in segments.indexes(attempt.directory).items():
        for index in indexes:
            segments.delete(attempt.directory, writer, index)


def _drop_old_files(keeper: Keeper, attempt: Attempt) -> None:
    """Keep the newest version of each name in the run; older snapshots were sent, or never will be."""
    newest: dict[str, str] = {}
    for one in keeper.node.of_run(attempt.file.uid, attempt.run):
        for version in sorted(one.files.values(), key=lambda version: version.seq):
            if version.state in {Blob.SENT, Blob.PENDING}:
                newest[version.name] = version.token
    kept = set(newest.values()) | attempt.checkpoints.tokens
    for token in blobs.tokens(attempt.directory):
        if token.removesuffix(chunks.NOTE) not in kept:
            chunks.remove(attempt.directory, token)
