"""Room in the spool: who may have how much more, and the segments that are made of it.

Counting and making go to a thread, one at a time per user, so that two requests never share the last room. Rows are
granted by whole segments, which are allocated at once: what a user holds never exceeds the cap. A writer whose
grant was refused goes on to the end of the segment it has.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import trio

from respool.wire import limits
from respool.wire.attempt import NOTE
from respool.wire.messages import Spare
from respoold.config import Config
from respoold.core import quota
from respoold.core.attempt import Attempt
from respoold.core.node import Node
from respoold.io import blobs, chunks, disk, files, segments
from respoold.io.reader import Reader
from respoold.tasks.shelf import Shelf

Let = Callable[[Attempt], None]


class Rooms:
    """What users hold and may hold. `let_go` forgets an attempt that is deleted to make room."""

    def __init__(self, config: Config, root: str, node: Node, shelf: Shelf, let_go: Let) -> None:
        self._config, self._root, self._node = config, root, node
        self._shelf, self._let_go = shelf, let_go
        self._blobs_cap = quota.blobs_cap(config.blobs_quota, files.capacity(root)[1])
        self._turns: dict[int, trio.Lock] = {}
        self.full: dict[Reader, str] = {}

    def turn(self, uid: int) -> trio.Lock:
        """Held while room is counted and used."""
        return self._turns.setdefault(uid, trio.Lock())

    async def count(self, uid: int) -> quota.Room:
        """What a user holds and may hold, counted now."""
        folders = [one.directory for one in self._node if one.file.uid == uid and not one.adopted]
        return await trio.to_thread.run_sync(self._count, folders)

    async def refuse_rows(self, uid: int, size: int) -> str | None:
        """Why there is no room for `size` bytes of rows, or None. What the hub has makes room if need be."""
        refusal = quota.refuse_segment(await self.count(uid), size)
        if refusal is not None and self._shelf.clear(uid):
            refusal = quota.refuse_segment(await self.count(uid), size)
        return refusal

    async def refuse_blob(self, uid: int, size: int) -> str | None:
        """Room for a snapshot of `size` bytes, if need be at the cost of snapshots that the hub has and that are
        kept here only for a quick restore, the oldest first. Why there is none, or None.
        """
        async with self.turn(uid):
            refusal = quota.refuse_blob(await self.count(uid), size)
            if refusal is not None and (self._shelf.clear(uid) | await self._sweep(uid)):
                refusal = quota.refuse_blob(await self.count(uid), size)
            for attempt in self._node:
                if refusal is None:
                    break
                if attempt.file.uid == uid and attempt.complete and not attempt.adopted:
                    self._let_go(attempt)
                    await trio.to_thread.run_sync(disk.delete_attempt, attempt.directory)
                    refusal = quota.refuse_blob(await self.count(uid), size)
            return refusal

    async def _sweep(self, uid: int) -> bool:
        """Remove what processes that are gone began to hand over and never did; whether there was any."""
        found = False
        for attempt in self._node:
            if attempt.file.uid == uid and attempt.over and not attempt.adopted:
                for name in await trio.to_thread.run_sync(blobs.tokens, attempt.directory):
                    if name.removesuffix(NOTE) not in attempt.named:
                        await trio.to_thread.run_sync(chunks.remove, attempt.directory, name)
                        found = True
        return found

    async def spare(self, reader: Reader, segment: int) -> tuple[Spare, list[int]]:
        """The segment ahead of a writer, made now unless it exists, and its descriptor; or the word that the
        quota is used up. The descriptor is the caller's to close.
        """
        attempt = reader.attempt
        async with self.turn(attempt.file.uid):
            self.full.pop(reader, None)
            try:
                return Spare(segment, limits.SEGMENT_SIZE), [os.dup(reader.descriptor(segment))]
            except FileNotFoundError:
                refusal = await self.refuse_rows(attempt.file.uid, limits.SEGMENT_SIZE)
            try:
                if refusal is None:
                    return Spare(segment, limits.SEGMENT_SIZE), [await self._make(reader, segment)]
            except OSError as error:
                refusal = f"the spool cannot make a segment: {error}"
        run = "/".join(attempt.run)
        self.full[reader] = f"{run}: no further rows are taken when its present segment is full: {refusal}"
        return Spare(segment, 0, full=True), []

    async def _make(self, reader: Reader, segment: int) -> int:
        attempt = reader.attempt
        fd = await trio.to_thread.run_sync(
            segments.create, attempt.directory, attempt.id, reader.writer, segment
        )
        reader.keep(segment, fd)
        return os.dup(fd)

    def _count(self, folders: list[str]) -> quota.Room:
        used = [disk.usage(folder) for folder in folders]
        size, free = files.capacity(self._root)
        return quota.Room(
            rows=sum(one.rows for one in used),
            blobs=sum(one.blobs for one in used),
            rows_cap=self._config.rows_quota,
            blobs_cap=self._blobs_cap,
            free=free,
            size=size,
            floor=self._config.free_floor,
        )
