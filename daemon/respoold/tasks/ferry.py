"""Bringing files to the hub in chunks: what is there already is not sent, what was sent is not sent again.

A turn moves at most TURN bytes and then gives way: a checkpoint that was handed over meanwhile goes first, and so
do other runs. What a turn moved stays at the hub, so that a kill costs the chunks in flight and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import trio

from respoold.core.checkpoints import Part, Share, Stage
from respoold.core.errors import HubError
from respoold.core.hubapi import CheckpointCommit, RoomAsked
from respoold.core.manifest import names_of
from respoold.core.transfers import Transfer
from respoold.io import blobs, chunks
from respoold.io.chunks import Chunked
from respoold.io.hub import HubDoor

TURN = 64 << 20
ASK = 1 << 14
"""Digests in one question."""


class Bundle(NamedTuple):
    """A snapshot on its way: where it lies, and what it consists of."""

    path: str
    chunked: Chunked


class Lacking(NamedTuple):
    """A chunk of a snapshot that the hub has not, but for the first `begun` bytes of it."""

    digest: str
    offset: int
    size: int
    begun: int

    @property
    def left(self) -> int:
        return self.size - self.begun


class Moved(NamedTuple):
    """What a turn came to: whether all of it is at the hub, the bytes the hub has of it, and those sent now."""

    whole: bool
    there: int
    sent: int


async def bring(
    hub: HubDoor, bundles: list[Bundle], budget: int = TURN, *, transfer: Transfer | None = None
) -> Moved:
    """Bring what the hub lacks of these snapshots, `budget` bytes at most (one chunk at least). `transfer` hears of
    each chunk.
    """
    there = sent = 0
    transfer = transfer or Transfer(trio.current_time())
    for bundle in bundles:
        lacking = await _lacking(hub, bundle.chunked)
        had = bundle.chunked.size - sum(one.left for one in lacking)
        there += had
        transfer.had(had)
        chosen = _within(lacking, budget - sent)
        with _opened(bundle.path) as fd:
            await _put_all(hub, fd, chosen, transfer)
        moved = sum(one.left for one in chosen)
        there, sent = there + moved, sent + moved
        if len(chosen) < len(lacking):
            return Moved(whole=False, there=there, sent=sent)
    return Moved(whole=True, there=there, sent=sent)


async def bring_share(
    hub: HubDoor, attempt_id: str, directory: str, share: Share, transfer: Transfer | None = None
) -> tuple[Share, int, list[dict[str, Any]]]:
    """One turn of a checkpoint's share: the share as it stands then, the bytes sent, and what the hub's retention let
    go. Raises BlobGoneError when its bytes are not what was recorded, and what the hub's door raises.
    """
    if not share.sent:
        await hub.ask_room(attempt_id, _room(share))
    settled = [(part, await settle(directory, part)) for part in share.parts]
    bundles = [Bundle(blobs.path_of(directory, part.token), chunked) for part, chunked in settled]
    moved = await bring(hub, bundles, transfer=transfer)
    if not moved.whole:
        return share._replace(sent=moved.there), moved.sent, []
    taken = await hub.commit_checkpoint(attempt_id, _commit(share, settled))
    return share._replace(stage=Stage.SENT, sent=share.size), moved.sent, taken.expired


async def _put_all(hub: HubDoor, fd: int, chosen: list[Lacking], transfer: Transfer) -> None:
    """All at once, as many as the door lets through. Raises the first error of any, alone."""
    errors: list[HubError | EOFError] = []
    clock = trio.lowlevel.current_clock()

    def heard(count: int) -> None:
        transfer.sent(count, clock.current_time())

    async def put(one: Lacking) -> None:
        try:
            await hub.put_chunk(one.digest, fd, one.offset, one.size, heard, one.begun)
        except (HubError, EOFError) as error:
            errors.append(error)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for one in chosen:
            nursery.start_soon(put, one)
    for error in errors:
        if isinstance(error, EOFError):
            raise blobs.BlobGoneError(str(error)) from error
        raise error


async def settle(directory: str, part: Part) -> Chunked:
    """Hash a part and make it durable, once; again each time while the disk takes no note of it. Raises
    BlobGoneError.
    """
    try:
        return await trio.to_thread.run_sync(chunks.settle, directory, part.token, part.size)
    except OSError:
        return await trio.to_thread.run_sync(chunks.synced, directory, part.token, part.size)


async def _lacking(hub: HubDoor, chunked: Chunked) -> list[Lacking]:
    """Each chunk that the hub has not; one that occurs twice is sent once."""
    names, starts, at = names_of(chunked.digests), [], 0
    for size in chunked.sizes:
        starts.append(at)
        at += size
    found: dict[str, Lacking] = {}
    for first in range(0, len(names), ASK):
        asked = chunked.digests[32 * first : 32 * (first + ASK)]
        for index, begun in await hub.missing(asked):
            place = first + index
            size = chunked.sizes[place]
            # All of it and not taken: it is not what it should be.
            known = begun if begun < size else 0
            found.setdefault(names[place], Lacking(names[place], starts[place], size, known))
    return list(found.values())


def _within(lacking: list[Lacking], budget: int) -> list[Lacking]:
    chosen: list[Lacking] = []
    for one in lacking:
        if chosen and budget < one.left:
            break
        chosen.append(one)
        budget -= one.left
    return chosen


@contextmanager
def _opened(path: str) -> Iterator[int]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise blobs.BlobGoneError(f"its snapshot is gone ({error})") from error
    try:
        yield fd
    finally:
        os.close(fd)


def _room(share: Share) -> RoomAsked:
    return RoomAsked(
        share.name, share.size, share.seq, share.writer, share.step, share.rank, share.world,
        share.keep, share.score, share.pinned, share.logged,
    )  # fmt: skip


def _commit(share: Share, settled: list[tuple[Part, Chunked]]) -> CheckpointCommit:
    parts = [{"name": part.name, "size": part.size, **chunked._asdict()} for part, chunked in settled]
    return CheckpointCommit(
        share.name,
        share.step,
        share.seq,
        parts,
        share.writer,
        share.rank,
        share.world,
        share.time,
        share.metadata,
        share.keep,
        share.score,
        share.pinned,
        share.logged,
        share.repeat,
    )
