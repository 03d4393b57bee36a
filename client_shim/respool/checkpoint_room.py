"""Room for checkpoints in the spool: asked of the daemon, or taken where the spool is ours."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import time
from typing import TYPE_CHECKING

from respool.blobs import SnapshotError
from respool.local_quota import lacking, refuse_blob
from respool.local_retention import Handed, LocalRetention
from respool.local_shares import SharedSave, Told
from respool.saving import GRANT_SECONDS, Grant
from respool.wire.attempt import BLOBS, NOTE
from respool.wire.file_messages import BlobDone, BlobDropped, BlobKept, Settle, Settled
from respool.wire.shares import Place

WRITTEN_BACK_SECONDS = 60.0
"""Twice what the kernel lets pass before it writes to the disk by itself."""

if TYPE_CHECKING:
    from respool.arena import StagedFile
    from respool.checkpoint import Description
    from respool.checkpoint_file import CheckpointFile
    from respool.keeper import Keeper
    from respool.staged_copy import StagedCopy


class CheckpointRoom:
    """The blobs of one attempt's checkpoints. `sync` has its records on disk, or says why not; `retention` where no
    daemon looks after them.
    """

    def __init__(
        self, keeper: Keeper, sync: Callable[[], str | None], retention: LocalRetention | None = None
    ) -> None:
        self._keeper = keeper
        self._sync = sync
        self._retention = retention

    def grant(self, name: str, expected: int) -> Grant:
        """An empty file. Raises SnapshotError when `expected` bytes are known not to fit, or nobody can be asked."""
        try:
            return self._keeper.room.grant(name, expected)
        except SnapshotError:
            if self._retention is None or not self._room_made(self._retention, expected):
                raise
        return self._keeper.room.grant(name, expected)

    def kept(self, sizes: dict[str, int]) -> str | None:
        """Why these blobs may not stay, or None. A daemon that is away is not waited for: what was granted stays."""
        tether = self._keeper.tether
        if self._retention is not None:
            return self._judged(self._retention, sizes)
        room = self._keeper.room
        answer = None if tether is None or room.deaf else tether.ask(BlobDone(sizes), GRANT_SECONDS)
        if answer is None and tether is not None and not (room.deaf or tether.away):
            room.unheard()
        return answer.message.error if answer is not None and isinstance(answer.message, BlobKept) else None

    def _judged(self, retention: LocalRetention, sizes: dict[str, int]) -> str | None:
        # What was staged is still in memory, and will need its room here.
        coming = sum(max(0, size - _size(os.path.join(self._folder, token))) for token, size in sizes.items())
        try:
            refusal = refuse_blob(self._spool, coming)
            if refusal is not None and self._room_made(retention, coming):
                refusal = refuse_blob(self._spool, coming)
        except OSError as error:
            return f"the spool {self._spool} cannot be read: {error.strerror}"
        return refusal

    def _room_made(self, retention: LocalRetention, size: int) -> bool:
        try:
            return retention.make_room(lacking(self._spool, size))
        except OSError:
            return False

    @property
    def _spool(self) -> str:
        return os.path.dirname(self._keeper.attached.directory)

    @property
    def _folder(self) -> str:
        return os.path.join(self._keeper.attached.directory, BLOBS)

    def committed(self, what: Description, sizes: dict[str, int]) -> None:
        """A record names these. Where no daemon does it, what they outlive is removed now."""
        if self._retention is not None:
            note_synced(self._folder, time() - WRITTEN_BACK_SECONDS)
        if self._retention is not None:
            files = tuple(os.path.join(self._folder, token) for token in sizes)
            shared = self._shared(what, sizes) if what.world > 1 else None
            total = sum(sizes.values())
            self._retention.took(
                Handed(what.name, what.step, files, what.keep, what.score, what.pinned, total, shared)
            )

    def _shared(self, what: Description, sizes: dict[str, int]) -> SharedSave:
        place = Place(what.repeat, what.rank, what.world)
        save = SharedSave(self._keeper.attached.directory, what.name, what.step, place)
        save.tell(Told(what.name, sizes, what.keep, what.score, what.pinned))
        return save

    def stage(self, file: StagedFile) -> StagedCopy | None:
        """Have a file's arena written to disk behind the trainer's back; None: it was already. Raises OSError."""
        room = self._keeper.room
        copy = file.write_behind(None if room.deaf else self._keeper.tether)
        if copy is not None and copy.shared:
            room.unheard()
        return copy

    def drop(self, files: Iterable[CheckpointFile]) -> None:
        """No record names these: give their bytes back."""
        theirs: list[str] = []
        for file in files:
            file.fail("it was dropped")
            if file.path is not None:
                with suppress(OSError):  # the spool may have been removed with all that is in it
                    os.unlink(file.path)
            else:
                theirs.append(file.token)
        if theirs and self._keeper.tether is not None:
            self._keeper.tether.say(BlobDropped(theirs))

    def settled(self, tokens: list[str], timeout: float) -> bool:
        """Wait until these blobs and their record are on disk."""
        tether = self._keeper.tether
        if tether is not None:
            answer = tether.ask(Settle(tokens), timeout)
            if answer is not None and isinstance(answer.message, Settled):
                return answer.message.error is None
        noted = all(_noted(os.path.join(self._folder, token)) for token in tokens) and _synced(self._folder)
        return noted and self._sync() is None


def note_synced(folder: str, before: float | None = None) -> bool:
    """Have the blobs in `folder` on disk and note that they are, for after a reboot nobody believes the others:
    all, or those last written before `before`, which the kernel has written long since. Whether all are.
    """
    try:
        with os.scandir(folder) as entries:
            found = {one.name: one for one in entries}
        there = [one for name, one in found.items() if not name.endswith(NOTE) and name + NOTE not in found]
        chosen = [one.path for one in there if before is None or one.stat().st_mtime < before]
    except OSError:
        return False
    return not chosen or (all(_noted(path) for path in chosen) and _synced(folder))


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _noted(path: str) -> bool:
    if not _synced(path):
        return False
    try:
        os.close(os.open(path + NOTE, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError:
        return False
    return True


def _synced(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.fsync(fd)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
