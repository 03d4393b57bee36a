"""Taking over attempts that a user's processes kept without a daemon, by their descriptors.

A system daemon cannot read homes, and must not. So the user's next respool call passes it open files, and they are
copied into the user's part of the spool, under the user's quota; from then on the attempt is like any other. Who
the user is the kernel says, and whose each file is; what the client says is checked or not needed.

One copy at a time per user, in a thread that is given up when it takes too long: a file may lie on a file system
that the client made himself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import trio

from respool.wire.attempt import AttemptFile
from respool.wire.errors import FormatError
from respool.wire.messages import Adopt, Adopted, Message, Refused
from respoold.core.handover import Held, check_name, is_blob, paper_of
from respoold.io import disk, passed
from respoold.tasks.keeper import Keeper

MAX_WAITING = 32
PATIENCE = 60.0
SPEED = 10 << 20
"""Bytes a second that a copy is expected to make at the least, after PATIENCE."""

Reply = Callable[[Message], None]


class Partial(NamedTuple):
    """What was copied of an attempt that is not whole yet."""

    directory: str
    rows: int = 0
    blobs: int = 0


class Handover:
    """Takes over what is offered, in `nursery`: a client need not stay until it is done."""

    def __init__(self, keeper: Keeper, nursery: trio.Nursery) -> None:
        self._keeper = keeper
        self._nursery = nursery
        self._waiting: dict[int, int] = {}
        self._turns: dict[int, trio.Lock] = {}
        self._partial: dict[int, Partial] = {}
        self._threads: dict[int, trio.CapacityLimiter] = {}

    def offer(self, uid: int, message: Adopt, fds: list[int], reply: Reply) -> None:
        """Take the descriptors, and answer in time."""
        if self._waiting.get(uid, 0) >= MAX_WAITING:
            _close(fds)
            reply(Refused("quota", f"{MAX_WAITING} offers of uid {uid} wait already", "offer it later"))
            return
        self._waiting[uid] = self._waiting.get(uid, 0) + 1
        self._nursery.start_soon(self._take, uid, message, fds, reply)

    async def _take(self, uid: int, message: Adopt, fds: list[int], reply: Reply) -> None:
        async with self._turns.setdefault(uid, trio.Lock()):
            try:
                reply(await self._answer(uid, message, fds))
            except FormatError as error:
                reply(Refused("bad-request", str(error)))
            except passed.PassedError as error:
                reply(Refused("forbidden", str(error), "pass files of your own, open for reading"))
            except (OSError, trio.TooSlowError) as error:
                why = str(error) or "its files cannot be read fast enough"
                reply(Refused("quota", f"the attempt was not taken over: {why}", "run `respool sync`"))
            finally:
                self._waiting[uid] -= 1

    async def _answer(self, uid: int, message: Adopt, fds: list[int]) -> Adopted | Refused:
        given_up = False
        try:
            paper = paper_of(message.paper, uid)
            names = [check_name(name) for name in message.files]
            if len(names) != len(fds):
                raise FormatError(f"{len(names)} files are named and {len(fds)} passed")
            held = self._held(uid, paper.attempt_id)
            if held is not Held.UNKNOWN or not (names or message.last):
                return Adopted(paper.attempt_id, held.value)
            directory = disk.attempt_directory(self._keeper.root, uid, paper.attempt_id)
            try:
                refusal = await self._copy(uid, directory, names, fds)
            except trio.TooSlowError:
                given_up = True
                raise
            if refusal is not None:
                return Refused("quota", refusal, "see `respool status`, or run `respool sync`")
        finally:
            if not given_up:  # a thread that hangs still uses them
                _close(fds)
        if not message.last:
            return Adopted(paper.attempt_id, Held.PARTLY.value)
        self._partial.pop(uid, None)
        await trio.to_thread.run_sync(_complete, self._keeper.root, directory, paper)
        self._keeper.adopt(directory, own=True)
        return Adopted(paper.attempt_id, Held.KEPT.value)

    def _held(self, uid: int, attempt_id: str) -> Held:
        attempt = self._keeper.node.get(attempt_id)
        if attempt is not None and attempt.file.uid != uid:
            raise FormatError(f"attempt {attempt_id} is kept here for somebody else")
        if attempt is not None:
            return Held.COMPLETE if attempt.complete else Held.KEPT
        taken = disk.was_handed_over(self._keeper.root, uid, attempt_id)
        return Held.COMPLETE if taken else Held.UNKNOWN

    async def _copy(self, uid: int, directory: str, names: Sequence[str], fds: Sequence[int]) -> str | None:
        """Copy into the spool; why there is no room, or None."""
        limiter = self._threads.setdefault(uid, trio.CapacityLimiter(1))
        with trio.fail_after(PATIENCE):
            sizes = await trio.to_thread.run_sync(_measure, fds, uid, limiter=limiter, abandon_on_cancel=True)
        rows = sum(size for name, size in zip(names, sizes, strict=True) if not is_blob(name))
        whole = await self._begun(uid, directory, rows, sum(sizes) - rows)
        rooms = self._keeper.rooms
        refusal = await rooms.refuse_blob(uid, whole.blobs) or await rooms.refuse_rows(uid, whole.rows)
        if refusal is None:
            self._partial[uid] = whole
            with trio.fail_after(PATIENCE + sum(sizes) / SPEED):
                await trio.to_thread.run_sync(
                    _copy_all, directory, names, fds, sizes, limiter=limiter, abandon_on_cancel=True
                )
        return refusal

    async def _begun(self, uid: int, directory: str, rows: int, blobs: int) -> Partial:
        """With what was copied before of the same attempt. Of one user only one is begun at a time: what a client
        left half done counts against nobody's quota, and goes when the next is begun.
        """
        before = self._partial.get(uid, Partial(directory))
        if before.directory != directory:
            await trio.to_thread.run_sync(disk.delete_attempt, before.directory)
            before = Partial(directory)
        return Partial(directory, before.rows + rows, before.blobs + blobs)


def _measure(fds: Sequence[int], uid: int) -> list[int]:
    return [passed.measure(fd, uid) for fd in fds]


def _copy_all(directory: str, names: Sequence[str], fds: Sequence[int], sizes: Sequence[int]) -> None:
    disk.make_folders(directory)
    for name, fd, size in zip(names, fds, sizes, strict=True):
        passed.copy(fd, os.path.join(directory, name), size)


def _complete(root: str, directory: str, paper: AttemptFile) -> None:
    """The papers come last: without them the folder is nobody's."""
    disk.make_folders(directory)
    disk.create_attempt(directory, paper)
    disk.note_handed_over(root, paper.uid, paper.attempt_id)


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
